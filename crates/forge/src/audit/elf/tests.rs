//! Reports of made-up packages.

use std::fs;

use goblin::elf::program_header::{PT_GNU_RELRO, PT_GNU_STACK};
use packages::control::Control;
use packages::deb::Writer;

use super::hardening::Relro;
use super::*;

/// A package `demo` with these files and this further field.
fn package(folder: &Path, field: &str, files: &[(&str, u32, &[u8])]) -> PathBuf {
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
    let control = format!(
        "Package: demo\nVersion: 1\nArchitecture: amd64\nMaintainer: x\n{field}Description: x\n"
    );
    let path = folder.join("demo.deb");
    fs::write(&path, writer.finish(&Control::parse(&control).unwrap()).unwrap()).unwrap();
    path
}

/// What is measured of a package whose program is no ELF file that can be read.
fn demo(field: &str) -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let files: [(&str, u32, &[u8]); 3] = [
        ("usr/bin/broken", 0o755, b"\x7fELF broken"),
        ("usr/bin/become", 0o4755, b"#!/bin/sh\n"),
        ("usr/bin/script", 0o755, b"#!/bin/sh\n"),
    ];
    let path = package(folder.path(), field, &files);
    measure(&demo_name(), &path).unwrap()
}

fn demo_name() -> PackageName {
    "demo".parse().unwrap()
}

/// A report of `subject` with this recipe and policy.
fn report_of(subject: &Subject, recipe: &str, policy: &str) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let recipes = folder.path().join("recipes");
    fs::create_dir_all(recipes.join("demo")).unwrap();
    fs::write(recipes.join("demo/recipe.toml"), format!("summary = \"x\"\n{recipe}")).unwrap();
    let file = folder.path().join("elf.toml");
    fs::write(&file, policy).unwrap();
    Report::new(&Policy::load(&file).unwrap(), &Recipes::load(&recipes).unwrap(), subject)
}

fn report(recipe: &str, policy: &str) -> Report {
    report_of(&demo(""), recipe, policy)
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
fn a_file_that_everybody_may_write_to_is_found_and_can_be_waived() {
    let folder = tempfile::tempdir().unwrap();
    let path = package(folder.path(), "", &[("usr/share/open", 0o666, b"text")]);
    let subject = measure(&demo_name(), &path).unwrap();
    let shown = lines(&report_of(&subject, "", ""));
    let line = "demo /usr/share/open world-writable 0666";
    assert!(shown.contains(&line.to_owned()), "{shown:?}");

    let waived = BROKEN.replace("bin/broken", "share/open").replace("unreadable", "world-writable");
    assert_eq!(report_of(&subject, &waived, "").findings, []);
}

#[test]
fn a_waiver_that_accepts_nothing_is_found() {
    let recipe = BROKEN.replace("/usr/bin/broken", "/usr/bin/script");
    let shown = lines(&report(&recipe, BECOMES));
    assert!(shown.contains(&"demo /usr/bin/script idle-waiver unreadable".to_owned()), "{shown:?}");
}

#[test]
fn a_pattern_accepts_many_files_but_none_of_the_minimal_host() {
    let recipe = BROKEN.replace("/usr/bin/broken", "/usr/bin/**");
    let large = report(&recipe, BECOMES);
    assert_eq!((large.findings, large.waivers), (vec![], 1));

    let minimal = BTreeSet::from([demo_name()]);
    let small = report_of(&Subject { minimal, ..demo("") }, &recipe, BECOMES);
    let shown = lines(&small);
    for finding in ["/usr/bin/broken unreadable", "/usr/bin/** broad-waiver unreadable"] {
        assert!(shown.iter().any(|line| line.contains(finding)), "{finding}: {shown:?}");
    }
    assert_eq!((small.findings.len(), small.waivers), (2, 0));
}

#[test]
fn a_release_accepts_nothing_in_the_minimal_host() {
    let minimal = BTreeSet::from([demo_name()]);
    let strict = Subject { minimal, release: true, ..demo("") };
    assert_eq!(report_of(&strict, BROKEN, BECOMES).findings.len(), 1);
    let other = Subject { release: true, ..demo("") };
    assert_eq!(report_of(&other, BROKEN, BECOMES).findings, []);
}

#[test]
fn waivers_of_a_package_that_is_built_from_source_are_about_debians_build() {
    let recipe = format!("[build]\nreason = \"x\"\n{BROKEN}");
    assert_eq!(report(&recipe, BECOMES).findings, []);
    let ours = report_of(&demo("Preon-Build-Flags: -fPIE\n"), &recipe, BECOMES);
    assert_eq!(ours.findings.len(), 1, "the file, and no idle waiver");
}

#[test]
fn a_program_that_runs_as_another_than_its_header_says_cannot_be_read() {
    let own = fs::read(std::env::current_exe().unwrap()).unwrap();
    Hardening::read(&own).unwrap().unwrap();
    for (at, byte) in [(4, 1), (5, 2), (5, 0), (6, 0)] {
        let mut odd = own.clone();
        odd[at] = byte; // class, byte order, version: the kernel looks at none of them
        assert!(Hardening::read(&odd).is_err(), "{at} {byte}");
    }
}

/// This test's own program, with its program headers changed.
fn with_headers(change: impl Fn(&mut [&mut [u8]])) -> Hardening {
    let mut bytes = fs::read(std::env::current_exe().unwrap()).unwrap();
    let offset = u64::from_le_bytes(bytes[32..40].try_into().unwrap());
    let count = u16::from_le_bytes(bytes[56..58].try_into().unwrap());
    let headers = bytes[usize::try_from(offset).unwrap()..].chunks_exact_mut(56);
    change(&mut headers.take(count.into()).collect::<Vec<_>>());
    Hardening::read(&bytes).unwrap().unwrap()
}

fn place_of(kind: u32, headers: &[&mut [u8]]) -> usize {
    headers.iter().position(|header| header[..4] == kind.to_le_bytes()).unwrap()
}

#[test]
fn a_header_for_read_only_data_that_covers_nothing_does_not_count() {
    assert!(with_headers(|_| ()).relro != Relro::No);
    let empty = with_headers(|headers| {
        headers[place_of(PT_GNU_RELRO, headers)][40..48].fill(0); // p_memsz
    });
    assert_eq!(empty.relro, Relro::No);
}

#[test]
fn of_several_headers_for_the_stack_the_last_counts_as_for_the_kernel() {
    assert!(with_headers(|_| ()).nx);
    let with_another_at = |last: bool| {
        with_headers(|headers| {
            let (stack, relro) = (place_of(PT_GNU_STACK, headers), place_of(PT_GNU_RELRO, headers));
            let (first, second) = (stack.min(relro), stack.max(relro));
            for (at, flags) in [(first, 6), (second, 6)] {
                headers[at][..4].copy_from_slice(&PT_GNU_STACK.to_le_bytes());
                headers[at][4] = flags;
            }
            headers[if last { second } else { first }][4] = 7; // it may be executed
        })
    };
    assert!(!with_another_at(true).nx);
    assert!(with_another_at(false).nx);
}

#[test]
fn a_hard_link_has_its_own_bits_and_they_count() {
    let entry = |kind| Entry {
        path: "usr/bin/b".into(),
        kind,
        mode: 0o4755,
        uid: 0,
        gid: 0,
        mtime: 0,
        xattrs: Vec::new(),
        size: 0,
    };
    for (kind, counts) in [
        (Kind::File, true),
        (Kind::HardLink("usr/bin/a".into()), true),
        (Kind::Directory, false),
        (Kind::Symlink("a".into()), false),
    ] {
        let found: Vec<_> = privileges(&entry(kind.clone())).collect();
        assert_eq!(found == [Privilege::Setuid], counts, "{kind:?}: {found:?}");
    }
}

#[test]
fn a_waiver_is_idle_only_where_all_that_it_may_be_about_was_looked_at() {
    let recipe = BROKEN.replace("broken", "script");
    let recipe = format!("packages = [\"demo\", \"demo-more\"]\n{recipe}");
    let mut subject = demo("");
    let idle = |subject: &Subject| report_of(subject, &recipe, BECOMES).findings.len() == 2;
    assert!(!idle(&subject));
    subject.packages.insert("demo-more".parse().unwrap());
    assert!(idle(&subject));
}

#[test]
fn json_has_the_counts_and_the_page_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let own = fs::read(std::env::current_exe().unwrap()).unwrap();
    let path = package(folder.path(), "", &[("usr/bin/a&b", 0o755, &own)]);
    let report = report_of(&measure(&demo_name(), &path).unwrap(), "", "");
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
        ("$ORIGIN/../y",  "/usr/lib/y"),
    ];
    for (folder, expected) in cases {
        assert_eq!(report::searched(folder, "/usr/lib/gconv/a.so"), expected, "{folder}");
    }
}
