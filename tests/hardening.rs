//! What `forge audit elf` says of each file of the image, beside Debian's own hardening-check.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use system_tests::{Image, forge, json, open, run};

/// How many files hardening-check is given at once.
const AT_ONCE: usize = 50;

/// Files of which the two say different things, and why.
const EXPLAINED: [(&str, &str, &str); 3] = [
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
    package: String,
    path: String,
    kind: String,
    pie: bool,
    relro: String,
    canary: bool,
    fortified: u32,
}

/// A source package that we build.
#[derive(Deserialize)]
struct Source {
    built: bool,
    packages: Vec<String>,
}

/// What forge prints as JSON; whether it succeeds does not matter here.
fn says<T: serde::de::DeserializeOwned>(words: &[&str]) -> T {
    let mut command = Command::new(forge::program());
    command.args(words).arg("--json").current_dir(env!("CARGO_MANIFEST_DIR"));
    json(&command.output().expect("forge runs").stdout)
}

/// What `forge audit elf minimal` says of files that are in the image. Of a package that was built since the image was
/// made, as another test may have done, the image has Debian's build and the audit measures ours.
fn audit(image: &Image) -> Vec<Row> {
    let rows = says::<Audit>(&["audit", "elf", "minimal"]).matrix;
    let sources: Vec<Source> = says(&["package", "list"]);
    let built: Vec<_> =
        sources.into_iter().filter(|it| it.built).flat_map(|it| it.packages).collect();
    let not_then = image.manifest().not_rebuilt;
    let is_newer = |row: &Row| built.contains(&row.package) && not_then.contains(&row.package);
    rows.into_iter().filter(|row| !is_newer(row)).collect()
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
    let image = open("minimal");
    image.unpack(&usr);
    let rows = audit(&image);
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
    // Built from source, tini has the flag.
    let idle = explained.difference(&differing).filter(|(path, _)| *path != "/usr/bin/tini-static");
    assert_eq!(idle.count(), 0, "of {explained:?} only these differ: {differing:?}");
}
