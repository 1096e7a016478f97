//! What `forge audit elf` says of each file of the image, beside Debian's own hardening-check.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use system_tests::{forge, json, open, run};

/// How many files hardening-check is given at once.
const AT_ONCE: usize = 50;

/// Files of which the two say different things, and why.
const EXPLAINED: [(&str, &str, &str); 4] = [
    // `rebuild.rs` builds it: on a machine that had not, the audit may find the build, and the image have Debian's.
    ("/usr/lib/x86_64-linux-gnu/libjansson.so.4.14.0", "full RELRO", "built since"),
    // A static program binds nothing when it starts: hardening-check looks for a flag that it cannot have.
    ("/usr/bin/tini-static", "full RELRO", "static"),
    // It looks for a use of `__stack_chk_fail`; the C library is where that is.
    ("/usr/lib/x86_64-linux-gnu/libc.so.6", "canary", "defines it"),
    // The only call of this program that is checked is missing from its list.
    ("/usr/lib/systemd/systemd-reply-password", "fortify", "not on its list"),
];

#[derive(Deserialize)]
struct Audit {
    matrix: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    path: String,
    kind: String,
    pie: bool,
    relro: String,
    canary: bool,
    fortified: u32,
}

/// What `forge audit elf minimal` says; whether all pass does not matter here.
fn audit() -> Vec<Row> {
    let mut command = Command::new(forge::program());
    command.args(["audit", "elf", "minimal", "--json"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().expect("forge runs");
    json::<Audit>(&output.stdout).matrix
}

/// What hardening-check says of files: for each the lines of its answer.
fn second_opinion(files: &[PathBuf]) -> BTreeMap<PathBuf, BTreeMap<String, String>> {
    let mut opinions: BTreeMap<PathBuf, BTreeMap<String, String>> = BTreeMap::new();
    for some in files.chunks(AT_ONCE) {
        // It fails where a file is not hardened.
        let output = Command::new("hardening-check").args(some).output().expect("hardening-check");
        let mut current = PathBuf::new();
        for line in String::from_utf8(output.stdout).expect("text").lines() {
            match (line.strip_suffix(':'), line.trim().split_once(": ")) {
                (Some(path), _) if path.starts_with('/') => current = PathBuf::from(path),
                (_, Some((what, answer))) => {
                    let opinion = opinions.entry(current.clone()).or_default();
                    opinion.insert(what.to_owned(), answer.to_owned());
                }
                _ => {}
            }
        }
    }
    opinions
}

/// Where the two differ about one file.
fn differences(row: &Row, opinion: &BTreeMap<String, String>) -> Vec<&'static str> {
    let says = |what: &str| {
        opinion.get(what).unwrap_or_else(|| panic!("{what} in {opinion:?}")).starts_with("yes")
    };
    // It does not judge libraries, which cannot be anything else.
    let pie = row.kind != "program" || row.pie == says("Position Independent Executable");
    let relro = says("Read-only relocations") && says("Immediate binding");
    let agreed = [
        ("PIE", pie),
        ("full RELRO", (row.relro == "full") == relro),
        ("canary", row.canary == says("Stack protected")),
        ("fortify", (row.fortified > 0) == says("Fortify Source functions")),
    ];
    agreed.into_iter().filter(|(_, agreed)| !agreed).map(|(what, _)| what).collect()
}

#[test]
fn the_audit_agrees_with_hardening_check_on_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let usr = folder.path().join("usr");
    open("minimal").unpack(&usr);
    let rows = audit();
    assert!(rows.len() > 400, "{}", rows.len());
    // Permissions may keep others than root from reading a program.
    run(Command::new("chmod").args(["--recursive", "u+rX"]).arg(&usr));
    let file = |row: &Row| folder.path().join(row.path.trim_start_matches('/'));
    let files: Vec<_> = rows.iter().map(file).collect();
    let opinions = second_opinion(&files);

    let mut differing = BTreeSet::new();
    for row in &rows {
        let opinion = opinions.get(Path::new(&file(row)));
        let opinion = opinion.unwrap_or_else(|| panic!("no opinion about {}", row.path));
        differing.extend(differences(row, opinion).into_iter().map(|it| (row.path.as_str(), it)));
    }
    let explained: BTreeSet<_> = EXPLAINED.iter().map(|(path, what, _)| (*path, *what)).collect();
    let unexplained: Vec<_> = differing.difference(&explained).collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    // Built from source, both have the flag.
    let may_agree = |path: &str| path == "/usr/bin/tini-static" || path.contains("libjansson");
    let idle = explained.difference(&differing).filter(|(path, _)| !may_agree(path));
    assert_eq!(idle.count(), 0, "of {explained:?} only these differ: {differing:?}");
}
