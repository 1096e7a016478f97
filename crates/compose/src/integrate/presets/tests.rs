use super::*;

const UNITS: &str = "usr/lib/systemd/system";
const LINKS: &str = "usr/share/preon/etc/systemd/system";
const PRESETS: &str = "usr/lib/systemd/system-preset";

fn tree(files: &[(&str, &str, &str)]) -> Tree {
    let mut tree = Tree::default();
    for (folder, name, text) in files {
        let node = match text.strip_prefix("-> ") {
            Some(target) => Node::symlink(target, Origin::Composed),
            None => Node::file(*text, Origin::Package("a".parse().unwrap())),
        };
        tree.add(UsrPath::new(&format!("{folder}/{name}")).unwrap(), node).unwrap();
    }
    tree
}

fn wanted(by: &str) -> String {
    format!("[Install]\nWantedBy={by}\n")
}

/// The links in the defaults for `/etc`; each leads to a unit by its absolute path.
fn new_links(files: &[(&str, &str, &str)]) -> (Vec<String>, Vec<String>) {
    let before = tree(files);
    let mut after = before.clone();
    let findings = enable(&mut after, Manager::System).unwrap();
    let links = after.below(LINKS).filter(|(path, _)| before.get(path.as_str()).is_none());
    let links = links.filter_map(|(path, node)| match &node.kind {
        Kind::Symlink(target) => {
            let unit = target.strip_prefix(&format!("/{UNITS}/")).unwrap();
            Some(format!("{} -> {unit}", &path.as_str()[LINKS.len() + 1..]))
        }
        _ => None,
    });
    (links.collect(), findings.iter().map(ToString::to_string).collect())
}

#[test]
fn the_first_rule_in_order_of_file_names_decides() {
    let multi = wanted("multi-user.target");
    let (links, findings) = new_links(&[
        (PRESETS, "90-systemd.preset", "enable a.service\nenable not-there.service\ndisable *\n"),
        (PRESETS, "50-preon-a.preset", "disable a.*\nenable b.service\nignore d.service"),
        (PRESETS, "README", "not a preset"),
        (UNITS, "a.service", &multi),
        (UNITS, "b.service", &multi),
        (UNITS, "c.service", &multi),
        (UNITS, "d.service", &multi),
    ]);
    assert_eq!(links, ["multi-user.target.wants/b.service -> b.service"]);
    assert_eq!(findings, [""; 0]);
}

#[test]
fn a_unit_without_a_rule_is_enabled_with_all_that_it_asks_for() {
    let (links, _) = new_links(&[
        (
            UNITS,
            "a.service",
            "[Install]\nWantedBy=x.target\nRequiredBy=y.service\nAlias=z.service\nAlso=a.socket",
        ),
        (UNITS, "a.socket", &wanted("sockets.target")),
        (UNITS, "static.service", "[Service]\n"),
        (PRESETS, "9.preset", "disable a.socket"), // `Also` wins, as in systemd
    ]);
    assert_eq!(
        links,
        [
            "sockets.target.wants/a.socket -> a.socket",
            "x.target.wants/a.service -> a.service",
            "y.service.requires/a.service -> a.service",
            "z.service -> a.service",
        ]
    );
}

#[test]
fn templates_are_enabled_by_instance() {
    let getty = format!("{}DefaultInstance=tty1\n", wanted("getty.target"));
    let (links, _) = new_links(&[
        (UNITS, "getty@.service", &getty),
        (UNITS, "serial@.service", "[Install]\nWantedBy=dev-%i.device\nAlias=x-%p-%i.service"),
        (UNITS, "bare@.service", &wanted("x.target")),
        (PRESETS, "1.preset", "enable serial@.service S0 S1"),
    ]);
    assert_eq!(
        links,
        [
            "dev-S0.device.wants/serial@S0.service -> serial@.service",
            "dev-S1.device.wants/serial@S1.service -> serial@.service",
            "getty.target.wants/getty@tty1.service -> getty@.service",
            "x-serial-S0.service -> serial@.service",
            "x-serial-S1.service -> serial@.service",
        ]
    );
}

#[test]
fn a_drop_in_changes_what_enabling_means() {
    let (links, _) = new_links(&[
        (UNITS, "a.service", &wanted("x.target")),
        (UNITS, "a.service.d/10.conf", "[Install]\nWantedBy=\nWantedBy=y.target"),
    ]);
    assert_eq!(links, ["y.target.wants/a.service -> a.service"]);
}

#[test]
fn a_dangling_alias_is_reported_and_stops_nothing() {
    let (links, findings) = new_links(&[
        (UNITS, "runlevel1.target", "-> rescue.target"),
        (UNITS, "masked.service", "-> /dev/null"),
        (UNITS, "a.service", &wanted("x.target")),
    ]);
    assert_eq!(links, ["x.target.wants/a.service -> a.service"]);
    let text = "the unit runlevel1.target is a link to rescue.target, which is not there";
    assert_eq!(findings, [text]);
}

#[test]
fn what_a_package_links_itself_is_left_as_it_is() {
    let (links, _) = new_links(&[
        (UNITS, "a.service", "[Install]\nAlias=b.service\nWantedBy=x.target"),
        (UNITS, "b.service", "-> /usr/lib/systemd/system/a.service"),
        (UNITS, "x.target.wants/a.service", "-> /lib/systemd/system/a.service"),
    ]);
    assert_eq!(links, [""; 0]);
}

#[test]
fn our_own_presets_must_name_units_that_are_there() {
    #[rustfmt::skip]
    let cases = [
        ("50-preon-x", "enable b.service",  "the recipe x enables b.service, which no package holds"),
        ("50-preon-x", "disable b.service", "the recipe x disables b.service, which no package holds"),
        ("50-preon-x", "disable b@1.service", "the recipe x disables b@1.service, which no package holds"),
        ("50-preon-x", "enable c.service",  "the recipe x enables c.service, which is only a link to a.service"),
        ("50-preon-x", "disable c.service", "the recipe x disables c.service, which is only a link to a.service"),
        ("00-preon-image", "disable b.service", "the image definition disables b.service, which no package holds"),
        ("10-preon-y", "disable b.service", "preset 10-preon-y.preset disables b.service, which no package holds"),
        ("50-preon-x", "start a.service",   "preset 50-preon-x.preset, line 1: it starts with none of enable, disable, ignore"),
        ("50-preon-x", "enable",            "preset 50-preon-x.preset, line 1: it names no unit"),
    ];
    for (preset, rule, message) in cases {
        let mut tree = tree(&[
            (PRESETS, &format!("{preset}.preset"), rule),
            (UNITS, "a.service", &wanted("x.target")),
            (UNITS, "c.service", "-> a.service"),
        ]);
        let error = enable(&mut tree, Manager::System).unwrap_err();
        assert_eq!(error.to_string(), message, "{rule}");
    }
}

#[test]
fn a_unit_that_is_there_may_be_disabled_and_what_debian_disables_may_be_absent() {
    let (links, findings) = new_links(&[
        (
            PRESETS,
            "50-preon-x.preset",
            "disable a.service\ndisable static.service\ndisable gone*.service",
        ),
        (PRESETS, "90-systemd.preset", "disable not-there.service"),
        (UNITS, "a.service", &wanted("multi-user.target")),
        (UNITS, "static.service", ""),
    ]);
    assert_eq!(links, [""; 0]);
    assert_eq!(findings, [""; 0]);
}

#[test]
fn a_second_name_that_another_unit_has_is_an_error_with_a_hint() {
    let mut tree = tree(&[
        (UNITS, "dbus-broker.service", "[Install]\nAlias=dbus.service"),
        (UNITS, "dbus.service", ""),
    ]);
    let error = enable(&mut tree, Manager::System).unwrap_err();
    let text = "dbus-broker.service is to be known as dbus.service too, but dbus.service is there in the package a";
    assert_eq!(error.to_string(), text);
    assert!(error.hint().unwrap().contains("drop dbus.service"));
}

#[test]
fn a_preset_for_a_unit_that_cannot_be_enabled_is_reported() {
    let (_, findings) =
        new_links(&[(PRESETS, "00-preon-x.preset", "enable a.service"), (UNITS, "a.service", "")]);
    let text = "preset 00-preon-x.preset enables a.service, which has nothing to enable";
    assert_eq!(findings, [text]);
}
