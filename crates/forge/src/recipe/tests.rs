use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base::explain::render;

use super::*;

/// Writes files below a fresh folder: path and content.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// What a person sees who has these files, without the folder's own path.
fn complaint(files: &[(&str, &str)]) -> String {
    let dir = folder(files);
    let error = Recipes::load(dir.path()).expect_err("these recipes should be refused");
    render(&error).replace(dir.path().to_str().unwrap(), "os/packages")
}

const FULL: &str = r#"
summary  = "Remote login"
packages = ["openssh-server", "openssh-client"]
revision = 2
suite    = "sid"
suite_reason = "a test"
drop     = ["/usr/share/runit/**"]      # another init system
keep     = ["/usr/share/locale/C/**"]   # the locale of the host
presets  = { "ssh.service" = "enable", "ssh.socket" = "disable" }
links    = { "/usr/bin/awk" = "mawk" }
tmpfiles = ["d /var/lib/docker 0710 root root -"]
[scripts]
postinst = "what replaces it"
"openssh-client/postinst" = "nothing"
[without]
perl = "only for a helper"
[[user]]
name = "sshd"
uid = 105
group = "docker"
home = "/run/sshd"
shell = "/usr/sbin/nologin"
description = "Secure Shell"
[[group]]
name = "docker"
gid = 110
[build]
reason = "not full RELRO"
packages = ["openssh-server"]
options = ["nodoc"]
profiles = ["stage1"]
environment = { GOFLAGS = "-v" }
flags = { CFLAGS = ["-Wno-error"] }
needs = ["gawk (>= 1) | mawk"]
unsigned = "the mirror lacks it"
differs = "a time stamp"
[waive]
"/usr/x" = [{ finding = "not-pie", reason = "static", on = 2026-11-23 }]
"#;

#[test]
fn a_recipe_may_say_all_that_the_schema_names() {
    let dir = folder(&[("openssh/recipe.toml", FULL)]);
    let recipes = Recipes::load(dir.path()).unwrap();
    let recipe = recipes.for_package(&"openssh-client".parse().unwrap()).unwrap();
    assert_eq!(recipe.name, "openssh");
    assert_eq!(recipe.carrier(), &"openssh-server");
    assert_eq!(recipe.declared.revision, 2);
    assert_eq!(recipe.declared.users[0].uid.to_string(), "105");
    assert!(recipes.for_package(&"openssh".parse().unwrap()).is_none());
}

#[test]
fn a_recipe_covers_the_package_of_its_folder_unless_it_says_otherwise() {
    let dir = folder(&[
        ("bash/recipe.toml", "summary = \"Shell\""),
        ("preon-base/recipe.toml", "summary = \"Ours\"\npackages = []"),
    ]);
    let recipes = Recipes::load(dir.path()).unwrap();
    let recipe = |name: &str| recipes.for_package(&name.parse().unwrap()).unwrap();
    assert_eq!(recipe("bash").packages(), &["bash".parse::<PackageName>().unwrap()]);
    assert!(recipe("preon-base").is_own());
    assert_eq!(recipe("preon-base").carrier(), &"preon-base");
}

#[test]
fn an_unknown_key_is_shown_with_its_line_and_a_caret() {
    let text = "summary = \"Shell\"\ndorp = [\"/usr/share/man/**\"]\n";
    let expected = "\
error: os/packages/bash/recipe.toml:2 is not understood
  caused by: TOML parse error at line 2, column 1
  |
2 | dorp = [\"/usr/share/man/**\"]
  | ^^^^
unknown field `dorp`, expected one of `summary`, `packages`, `program`, `manual`, `revision`, `suite`, \
`suite_reason`, `drop`, `keep`, `presets`, `links`, `tmpfiles`, `scripts`, `without`, `with`, `modes`, \
`part`, `user`, `group`, `build`, `waive`

hint: docs/curation.md and docs/image.md list every key
";
    assert_eq!(complaint(&[("bash/recipe.toml", text)]), expected);
}

#[test]
fn a_pattern_without_a_reason_is_shown_with_its_line_and_a_caret() {
    let text = "summary = \"Shell\"\ndrop = [\n  \"/usr/bin/a\",   # why\n  \"/usr/bin/b\",\n]\n";
    let expected = "\
error: os/packages/bash/recipe.toml:4 does not say why
  caused by: `/usr/bin/b` is in `drop` without a reason
  |
4 |   \"/usr/bin/b\",
  |   ^^^^^^^^^^^^
hint: add `# why` at the end of its line, or on a line of its own above the patterns that share \
the reason
";
    assert_eq!(complaint(&[("bash/recipe.toml", text)]), expected);
    let defaults = complaint(&[("defaults.toml", "keep = [\"/usr/bin/b\"]")]);
    assert!(defaults.starts_with("error: os/packages/defaults.toml:1 does not"), "{defaults}");
}

#[test]
fn every_recipe_of_the_product_can_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../os/packages");
    if let Err(error) = Recipes::load(&folder) {
        panic!("{}", render(&error));
    }
}

#[test]
fn what_a_recipe_cannot_mean_is_refused_at_its_line() {
    #[rustfmt::skip]
    let cases = [
        ("drop = [\"/usr/share/[\"]",                        ":2", "unclosed character class"),
        ("drop = [\"/lib/systemd/**\"]",                     ":2", "`/usr/lib/systemd/**` on the host"),
        ("packages = [\"a b\"]",                             ":2", "is not a package name"),
        ("presets = { \"a.service\" = \"on\" }",             ":2", "unknown variant `on`"),
        ("links = { \"usr/bin/x\" = \"y\" }",                ":2", "is not an absolute path"),
        ("links = { \"/usr/bin/x\" = \"\" }",                ":2", "symbolic link can point"),
        ("tmpfiles = [\"/var/lib/x\"]",                      ":2", "tmpfiles.d"),
        ("[scripts]\ntriggers = \"x\"",                      ":3", "names no maintainer script"),
        ("[scripts]\npostinst = \"\"",                       ":3", "a line of text is needed"),
        ("[[user]]\nname = \"x\"\nuid = 1000",               ":4", "1000 is not the number"),
        ("[[user]]\nname = \"x y\"\nuid = 100",              ":3", "is not an account name"),
        ("[[user]]\nname = \"x\"\nuid = 100\nid = 1",        ":5", "unknown field `id`"),
        ("[without]\nperl = \"\"",                           ":3", "a line of text is needed"),
        ("revision = -1",                                    ":2", "-1"),
    ];
    for (line, place, why) in cases {
        let text = format!("summary = \"x\"\n{line}\n");
        let complaint = complaint(&[("bash/recipe.toml", &text)]);
        let place = format!("os/packages/bash/recipe.toml{place} is not understood");
        assert!(complaint.contains(&place), "{line}\n{complaint}");
        assert!(complaint.contains(why), "{line}\n{complaint}");
        assert!(complaint.contains('^'), "{line}\n{complaint}");
    }
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    #[rustfmt::skip]
    let cases = [
        ("suite = \"sid\"",                                       "`suite_reason` does not say why"),
        ("suite_reason = \"x\"",                                  "default suite"),
        ("packages = [\"a\", \"a\"]",                             "a is listed twice"),
        ("packages = []\ndrop = [\"/usr/x\"] # x",                    "no Debian package to say `drop` about"),
        ("revision = 0",                                          "counts from 1"),
        ("program = \"preon\"",                                     "only a package of our own has a `program`"),
        ("manual = \"preon\"",                                      "only a package of our own has a `program` or a `manual`"),
        ("presets = { \"ssh\" = \"enable\" }",                    "`ssh` in presets is not the name of a unit"),
        ("[scripts]\n\"other/postinst\" = \"x\"",                 "`other/postinst` in [scripts]"),
        ("[[user]]\nname=\"a\"\nuid=1\n[[group]]\nname=\"a\"\ngid=2", "the account a is declared twice"),
    ];
    for (line, why) in cases {
        let text = format!("summary = \"x\"\n{line}\n");
        let complaint = complaint(&[("bash/recipe.toml", &text)]);
        let place = "error: os/packages/bash/recipe.toml contradicts itself\n";
        assert!(complaint.starts_with(place), "{line}\n{complaint}");
        assert!(complaint.contains(why), "{line}\n{complaint}");
    }
}

#[test]
fn recipes_that_collide_are_both_named() {
    let user = |name: &str, uid: u32| {
        format!("summary = \"x\"\n[[user]]\nname = \"{name}\"\nuid = {uid}\n")
    };
    let covers_b = "summary = \"x\"\npackages = [\"b\"]".to_owned();
    let plain = "summary = \"x\"".to_owned();
    #[rustfmt::skip]
    let cases = [
        (covers_b,        plain,           "the recipes a and b both cover the package b"),
        (user("x", 100),  user("x", 101),  "the recipes a and b both declare the user x"),
        (user("x", 100),  user("y", 100),  "the recipes a and b both declare the user number 100"),
    ];
    for (a, b, why) in cases {
        let complaint = complaint(&[("a/recipe.toml", &a), ("b/recipe.toml", &b)]);
        assert!(complaint.contains(why), "{complaint}");
        assert!(complaint.contains("hint: "), "{complaint}");
    }
}

#[test]
fn a_group_that_nobody_declares_is_refused() {
    let text = "summary = \"x\"\n[[user]]\nname = \"a\"\nuid = 1\ngroup = \"nogroup\"\n";
    let complaint = complaint(&[("a/recipe.toml", text)]);
    assert!(complaint.contains("has the group nogroup, which no recipe declares"), "{complaint}");
}

#[test]
fn a_folder_without_a_recipe_is_an_error() {
    let complaint = complaint(&[("bash/files/etc/x", "")]);
    assert!(complaint.contains("os/packages/bash holds no recipe.toml"), "{complaint}");
    assert!(complaint.contains("hint: write one, or remove the folder"), "{complaint}");
}

fn digest(folder: &Path) -> Digest {
    Recipes::load(folder).unwrap().iter().next().unwrap().digest
}

#[test]
fn the_digest_changes_with_content_and_not_with_the_file_system() {
    let files = [("a/recipe.toml", "summary = \"x\""), ("a/files/etc/one", "1")];
    let (one, other) = (folder(&files), folder(&files));
    let path = other.path().join("a/files/etc/one");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let before = digest(one.path());
    assert_eq!(digest(other.path()), before, "the umask does not count");

    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    assert_ne!(digest(other.path()), before, "a program is not a file");
    for (path, text) in [("a/files/etc/two", ""), ("a/files/etc/one", "2"), ("defaults.toml", "")] {
        let changed = folder(&files);
        fs::write(changed.path().join(path), text).unwrap();
        assert_eq!(digest(changed.path()) == before, path == "defaults.toml", "{path}");
    }
    fs::write(one.path().join("defaults.toml"), "drop = [\"/usr/x\"] # x").unwrap();
    assert_ne!(digest(one.path()), before, "the defaults count");
}

#[test]
fn at_least_600_packages_of_debian_are_covered_and_all_are_in_the_lock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let recipes = Recipes::load(&root.join("os/packages")).unwrap();
    let lock = packages::lock::Lock::load(&root.join("os/packages.lock")).unwrap();
    let locked = &lock.sets[crate::supply::REPOSITORY].packages;
    let covered: BTreeSet<_> = recipes.iter().flat_map(Recipe::packages).cloned().collect();
    assert!(covered.len() >= 600, "{}", covered.len());
    let missing: Vec<_> = covered.difference(locked).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_waiver_cannot_be_decided_on_a_day_that_is_yet_to_come() {
    let declared = |day: &str| -> Declaration {
        let waiver = format!("{{ finding = \"not-pie\", reason = \"a test\", on = {day} }}");
        toml::from_str(&format!("summary = \"x\"\n[waive]\n\"/usr/bin/x\" = [{waiver}]\n")).unwrap()
    };
    let today = declared("2026-11-27").waive.into_values().next().unwrap()[0].on;
    let name = "x".parse().unwrap();
    for (day, refused) in [("2026-11-27", false), ("2026-11-28", true), ("2027-01-01", true)] {
        let found = contradiction(&name, &declared(day), today);
        assert_eq!(found.is_some(), refused, "{day}: {found:?}");
    }
    let recipe = "summary = \"x\"\n[waive]\n\"/usr/bin/x\" = [{ finding = \"not-pie\", \
                  reason = \"a test\", on = 9999-12-31 }]\n";
    let text = complaint(&[("bash/recipe.toml", recipe)]);
    assert!(
        text.contains("a waiver of /usr/bin/x was decided on 9999-12-31, which is yet to come")
    );
    assert!(text.contains("hint: give the day on which it was decided"), "{text}");
}
