//! Reports of made-up packages.

use std::fs;

use packages::control::Control;
use packages::deb::Writer;

use super::*;

/// A package `demo` with these files.
fn package(folder: &Path, files: &[(&str, u32, &[u8])]) -> PathBuf {
    let mut writer = Writer::new(1, 0).unwrap();
    for (path, mode, bytes) in files {
        let entry = Entry {
            path: (*path).to_owned(),
            kind: Kind::File,
            mode: *mode,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: Vec::new(),
            size: bytes.len() as u64,
        };
        writer.add(&entry, &mut &**bytes).unwrap();
    }
    let control = "Package: demo\nVersion: 1\nArchitecture: amd64\nMaintainer: x\nDescription: x\n";
    let path = folder.join("demo.deb");
    fs::write(&path, writer.finish(&Control::parse(control).unwrap()).unwrap()).unwrap();
    path
}

/// A report of a package whose program is no ELF file that can be read, with this recipe and policy.
fn report(recipe: &str, policy: &str) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let files: [(&str, u32, &[u8]); 3] = [
        ("usr/bin/broken", 0o755, b"\x7fELF broken"),
        ("usr/bin/become", 0o4755, b"#!/bin/sh\n"),
        ("usr/bin/script", 0o755, b"#!/bin/sh\n"),
    ];
    let path = package(folder.path(), &files);
    let measured = measure("demo", &path).unwrap();
    let recipes = folder.path().join("recipes");
    fs::create_dir_all(recipes.join("demo")).unwrap();
    fs::write(recipes.join("demo/recipe.toml"), format!("summary = \"x\"\n{recipe}")).unwrap();
    let file = folder.path().join("elf.toml");
    fs::write(&file, policy).unwrap();
    Report::new("x", &Policy::load(&file).unwrap(), &Recipes::load(&recipes).unwrap(), &measured)
}

fn lines(report: &Report) -> Vec<String> {
    let text = report.to_string();
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

const BROKEN: &str = "[waive]\n\"/usr/bin/broken\" = [{ finding = \"unreadable\", reason = \"a test\", on = 2026-11-27 }]\n";
const BECOMES: &str =
    "[privileged]\n\"/usr/bin/become\" = { with = \"setuid\", reason = \"a test\" }\n";

#[test]
fn what_falls_short_is_found_unless_recipe_or_policy_say_why() {
    let all = report("", "");
    assert_eq!(all.findings.len(), 2);
    let shown = lines(&all);
    assert!(shown.iter().any(|line| line.starts_with("demo /usr/bin/become setuid")), "{shown:?}");
    assert!(shown.iter().any(|line| line.starts_with("demo /usr/bin/broken unreadable")));

    let none = report(BROKEN, BECOMES);
    assert_eq!(none.findings, []);
    assert!(
        lines(&none).contains(&"demo /usr/bin/broken unreadable a test (2026-11-27)".to_owned())
    );

    let other = report(BROKEN, &BECOMES.replace("setuid", "setgid"));
    assert_eq!(other.findings.len(), 1, "another right than the one that is allowed");
}

#[test]
fn a_waiver_that_accepts_nothing_is_found() {
    let recipe = BROKEN.replace("/usr/bin/broken", "/usr/bin/script");
    let shown = lines(&report(&recipe, BECOMES));
    assert!(shown.contains(&"demo /usr/bin/script idle-waiver unreadable".to_owned()), "{shown:?}");
}

#[test]
fn json_has_the_counts_and_the_page_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let own = fs::read(std::env::current_exe().unwrap()).unwrap();
    let path = package(folder.path(), &[("usr/bin/a&b", 0o755, &own)]);
    let recipes = folder.path().join("recipes");
    fs::create_dir(&recipes).unwrap();
    let measured = measure("demo", &path).unwrap();
    let recipes = Recipes::load(&recipes).unwrap();
    let report = Report::new("x", &Policy::default(), &recipes, &measured);
    let json = serde_json::to_value(&report).unwrap();
    for (key, count) in [("files", 1), ("pie", 1), ("nx", 1), ("cet", 0), ("c_files", 0)] {
        assert_eq!(json[key], count, "{key}");
    }
    assert_eq!(json["matrix"][0]["language"], "rust");
    assert_eq!(json["waived"], serde_json::json!([]));
    let page = report.html();
    assert!(page.contains("<td>/usr/bin/a&amp;b</td><td>program</td><td>Rust</td>"), "{page}");
}

#[test]
fn a_file_means_its_own_folder_by_origin() {
    #[rustfmt::skip]
    let cases = [
        ("$ORIGIN",       "/usr/lib/gconv"),
        ("${ORIGIN}/x/",  "/usr/lib/gconv/x"),
        ("/usr/lib/ceph", "/usr/lib/ceph"),
    ];
    for (folder, expected) in cases {
        assert_eq!(report::searched(folder, "/usr/lib/gconv/a.so"), expected, "{folder}");
    }
}
