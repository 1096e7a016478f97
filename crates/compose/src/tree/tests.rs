use super::*;

fn path(text: &str) -> UsrPath {
    UsrPath::new(text).unwrap()
}

fn package(name: &str) -> Origin {
    Origin::Package(name.parse().unwrap())
}

fn folder(mode: u32, origin: Origin) -> Node {
    Node { mode, ..Node::new(Kind::Folder, origin) }
}

fn names(tree: &Tree) -> Vec<&str> {
    tree.iter().map(|(path, _)| path.as_str()).collect()
}

#[test]
fn two_packages_that_own_one_file_are_both_named() {
    for second in [Node::file("x", package("b")), Node::symlink("y", package("b"))] {
        let mut tree = Tree::default();
        tree.add(path("usr/bin/x"), Node::file("x", package("a"))).unwrap();
        let error = tree.add(path("usr/bin/x"), second).unwrap_err();
        assert_eq!(error.to_string(), "/usr/bin/x is in the package a and in the package b");
        assert_eq!(error.hint().unwrap(), "drop /usr/bin/x in the recipe of one of the two");
    }
}

#[test]
fn folders_merge_whatever_comes_first() {
    let add_file = |tree: &mut Tree| tree.add(path("usr/d/f"), Node::file("", package("a")));
    let add_folder = |tree: &mut Tree| tree.add(path("usr/d"), folder(0o700, package("b")));
    let mut one = Tree::default();
    add_file(&mut one).unwrap();
    add_folder(&mut one).unwrap();
    let mut other = Tree::default();
    add_folder(&mut other).unwrap();
    add_file(&mut other).unwrap();
    for tree in [one, other] {
        assert_eq!(names(&tree), ["usr", "usr/d", "usr/d/f"]);
        assert_eq!(tree.get("usr/d").unwrap().mode, 0o700);
    }
}

#[test]
fn one_folder_with_two_modes_is_a_conflict() {
    let mut tree = Tree::default();
    tree.add(path("usr/d"), folder(0o755, package("a"))).unwrap();
    tree.add(path("usr/d"), folder(0o755, package("c"))).unwrap();
    let error = tree.add(path("usr/d"), folder(0o700, package("b"))).unwrap_err();
    let text = "the folder /usr/d is 0755 0:0 in the package a, but 0700 0:0 in the package b";
    assert_eq!(error.to_string(), text);
    assert!(error.hint().unwrap().starts_with("drop /usr/d in the recipe of one"));
}

#[test]
fn nothing_lies_below_what_is_no_folder() {
    let mut tree = Tree::default();
    tree.add(path("usr/lib64"), Node::symlink("lib", package("a"))).unwrap();
    let error = tree.add(path("usr/lib64/d/x"), Node::file("", package("b"))).unwrap_err();
    let text = "/usr/lib64/d is in the package b, but /usr/lib64 is no folder in the package a";
    assert_eq!(error.to_string(), text);
    // The other order: the folder is implied, then the link wants its place.
    let mut tree = Tree::default();
    tree.add(path("usr/lib64/x"), Node::file("", package("b"))).unwrap();
    let error = tree.add(path("usr/lib64"), Node::symlink("lib", package("a"))).unwrap_err();
    assert!(matches!(error, Conflict::Twice { .. }), "{error}");
}

#[test]
fn children_are_not_grandchildren_nor_neighbours() {
    let mut tree = Tree::default();
    for file in ["usr/d/a", "usr/d/b/c", "usr/d-e", "usr/d.f/g"] {
        tree.add(path(file), Node::file("", package("a"))).unwrap();
    }
    assert_eq!(tree.children("usr/d").map(|(name, ..)| name).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(tree.below("usr/d").count(), 3);
}

#[test]
fn links_are_followed_as_on_the_host() {
    let mut tree = Tree::default();
    let link = |target: &str| Node::symlink(target, Origin::Composed);
    for (at, node) in [
        ("usr/lib/os-release", Node::file("", Origin::Composed)),
        ("usr/lib64", link("lib")),
        ("usr/bin/relative", link("../lib64/os-release")),
        ("usr/bin/absolute", link("/lib/os-release")),
        ("usr/bin/loop", link("loop")),
        ("usr/bin/gone", link("/var/lib/x")),
        ("usr/share/preon/etc/os-release", link("../usr/lib/os-release")),
    ] {
        tree.add(path(at), node).unwrap();
    }
    #[rustfmt::skip]
    let cases = [
        ("/usr/lib/os-release",           Some("/usr/lib/os-release")),
        ("/usr/bin/relative",             Some("/usr/lib/os-release")),
        ("/bin/absolute",                 Some("/usr/lib/os-release")),
        ("/etc/os-release",               Some("/usr/lib/os-release")), // right only at /etc
        ("/usr/bin/../lib",               Some("/usr/lib")),
        ("/usr/lib/os-release/x",         None),
        ("/usr/bin/loop",                 None),
        ("/usr/bin/gone",                 None),
        ("/run/x",                        None),
    ];
    for (at, expected) in cases {
        let found = tree.resolve(at).map(|(path, _)| path.to_string());
        assert_eq!(found.as_deref(), expected, "{at}");
    }
}
