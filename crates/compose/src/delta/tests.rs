use super::*;

/// A tree of `path text` lines as in packages for tests: `-> x` a link, `/` a folder, `=> x` another name of x;
/// `!` in front of a text makes the mode another one.
fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::default();
    for (path, text) in files {
        let path = UsrPath::new(path).unwrap();
        let node = match text.split_at_checked(3) {
            _ if *text == "/" => Node::new(Kind::Folder, Origin::Image),
            Some(("-> ", target)) => Node::symlink(target, Origin::Image),
            Some(("=> ", first)) => tree.get(first).unwrap().clone(),
            _ => Node::file(text.trim_start_matches('!'), Origin::Image),
        };
        let mode = if text.starts_with('!') { 0o600 } else { node.mode };
        tree.add(path, Node { mode, ..node }).unwrap();
    }
    tree
}

/// What is seen of `upper` over `base`, as overlayfs shows it.
fn stacked(base: &Tree, upper: &Tree) -> Tree {
    let mut seen = Tree::default();
    let is_folder = |node: &Node| matches!(node.kind, Kind::Folder);
    for (path, node) in base.iter() {
        let hides =
            |above: &UsrPath| upper.get(above.as_str()).is_some_and(|node| !is_folder(node));
        let covered =
            upper.get(path.as_str()).is_some_and(|over| !(is_folder(over) && is_folder(node)));
        if !covered && !with_above(path)[1..].iter().any(hides) {
            seen.put(path.clone(), node.clone());
        }
    }
    for (path, node) in upper.iter().filter(|(_, node)| !matches!(node.kind, Kind::Whiteout)) {
        seen.put(path.clone(), node.clone());
    }
    seen
}

fn listing(tree: &Tree) -> Vec<String> {
    let names = links(tree);
    let line = |(path, node): (&UsrPath, &Node)| {
        let what = match &node.kind {
            Kind::Folder => "/".to_owned(),
            Kind::Symlink(target) => format!("-> {target}"),
            Kind::File(content) => content.text().unwrap(),
            Kind::Whiteout => "gone".to_owned(),
        };
        format!("{path} {:o} {what} {:?}", node.mode, names.get(path).map(Vec::len))
    };
    tree.iter().map(line).collect()
}

#[test]
fn a_layer_over_another_shows_the_whole() {
    let base = [
        ("usr/bin/a", "a"),
        ("usr/bin/b", "b"),
        ("usr/lib/x/one", "1"),
        ("usr/lib/x/two", "2"),
        ("usr/lib/link", "-> x"),
        ("usr/lib/once", "same"),
        ("usr/lib/twice", "=> usr/lib/once"),
        ("usr/share/empty", "/"),
    ];
    let without = |gone: &[&str]| -> Vec<(&str, &str)> {
        base.into_iter()
            .filter(|(path, _)| !gone.iter().any(|gone| path.starts_with(gone)))
            .collect()
    };
    let with = |mut files: Vec<(&'static str, &'static str)>,
                more: &[(&'static str, &'static str)]| {
        files.extend(more);
        files
    };
    #[rustfmt::skip]
    let cases: [(&str, Vec<(&str, &str)>); 11] = [
        ("nothing",                 base.to_vec()),
        ("a file more",             with(base.to_vec(), &[("usr/bin/c", "c")])),
        ("another content",         with(without(&["usr/bin/a"]), &[("usr/bin/a", "A")])),
        ("another mode",            with(without(&["usr/bin/a"]), &[("usr/bin/a", "!a")])),
        ("a file less",             without(&["usr/bin/b"])),
        ("a folder less",           without(&["usr/lib/x"])),
        ("a link elsewhere",        with(without(&["usr/lib/link"]), &[("usr/lib/link", "-> y")])),
        ("a file for a folder",     with(without(&["usr/lib/x"]), &[("usr/lib/x", "file")])),
        ("a folder for a file",     with(without(&["usr/bin/a"]), &[("usr/bin/a/in", "it")])),
        ("two files where was one", with(without(&["usr/lib/twice"]), &[("usr/lib/twice", "same")])),
        ("one file less a name",    without(&["usr/lib/twice"])),
    ];
    for (what, whole) in cases {
        let (base, whole) = (tree(&base), tree(&whole));
        let delta = over(&base, &whole).unwrap();
        assert_eq!(listing(&stacked(&base, &delta)), listing(&whole), "{what}");
    }
}

#[test]
fn what_both_have_is_not_in_the_layer() {
    let base = tree(&[("usr/bin/a", "a"), ("usr/lib/x/one", "1"), ("usr/share/s", "s")]);
    let whole = tree(&[("usr/bin/a", "a"), ("usr/bin/b", "b"), ("usr/lib/x/two", "2")]);
    let delta = over(&base, &whole).unwrap();
    let listing = listing(&delta);
    let expected = [
        "/usr 755 / None",
        "/usr/bin 755 / None",
        "/usr/bin/b 644 b None",
        "/usr/lib 755 / None",
        "/usr/lib/x 755 / None",
        "/usr/lib/x/one 0 gone None",
        "/usr/lib/x/two 644 2 None",
        "/usr/share 0 gone None",
    ];
    assert_eq!(listing, expected);
}
