mod bench;
mod built;

use std::fs;

use base::explain::render;

use super::*;
use crate::recipe::script_digest;
use bench::*;

/// The control file; N stands for the revision that the code gives to what a recipe says nothing about.
fn control(curated: &Curated) -> String {
    let text = Deb::open(&curated.path).unwrap().control().to_string();
    text.replace(&format!("+0preon{}\n", 2 * METHOD - 1), "+0preonN\n")
}

#[test]
fn a_curated_package_holds_usr_only_with_etc_moved() {
    let mut bench = Bench::new(&[("a/recipe.toml", PLAIN)]);
    bench.package(
        "a",
        "",
        &[
            folder("/etc"),
            file("/etc/a.conf", "x"),
            folder("/lib"),
            file("/lib/a.so", "y"),
            link("/lib/b.so", "../etc/a.conf"),
            folder("/usr/share/empty"),
            File { path: "/usr/bin/a", mode: 0o4755, gid: 42, what: What::Text("z") },
        ],
    );
    let curated = bench.run().unwrap();
    let expected = [
        "4755 0:42 usr/bin/a: z",
        "644 0:0 usr/lib/a.so: y",
        "777 0:0 usr/lib/b.so -> ../../etc/a.conf",
        "755 0:0 usr/share/preon/etc/",
        "644 0:0 usr/share/preon/etc/a.conf: x",
    ];
    assert_eq!(listing(&curated[0]), expected);
}

#[test]
fn dpkg_finds_every_folder_that_it_unpacks_into() {
    let defaults = r#"drop = ["/usr/share/doc/**"] # x"#;
    let mut bench = Bench::new(&[("a/recipe.toml", PLAIN), ("defaults.toml", defaults)]);
    let files = [folder("/etc"), file("/etc/a", ""), file("/usr/share/doc/a/copyright", "free")];
    bench.package("a", "", &files);
    let curated = bench.run().unwrap();
    let expected = ["usr", "usr/share", "usr/share/doc", "usr/share/doc/a", "usr/share/preon"];
    assert_eq!(implied(&curated[0]), expected);

    let root = tempfile::tempdir().unwrap();
    for folder in ["admin/updates", "admin/info", "host"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    fs::write(root.path().join("admin/status"), "").unwrap();
    let unpacked = std::process::Command::new("dpkg")
        .args(["--force-not-root", "--force-depends", "--force-architecture", "--no-triggers"])
        .arg(format!("--instdir={}", root.path().join("host").display()))
        .arg(format!("--admindir={}", root.path().join("admin").display()))
        .arg("--log=/dev/null")
        .arg("--unpack")
        .arg(&curated[0].path)
        .output()
        .unwrap();
    assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
    assert!(root.path().join("host/usr/share/preon/etc/a").is_file());
}

#[test]
fn drop_and_keep_decide_and_copyright_always_stays() {
    let recipe = r#"
        summary = "A test"
        drop = ["/usr/share/a/**", "/var/**"] # x
        keep = ["/usr/share/a/keep*", "/usr/share/locale/C/**", "/usr/lib/empty"] # x
    "#;
    let defaults = r#"drop = ["/usr/share/doc/**", "/usr/share/locale/**"] # x"#;
    let mut bench = Bench::new(&[("a/recipe.toml", recipe), ("defaults.toml", defaults)]);
    bench.package(
        "a",
        "",
        &[
            folder("/usr/lib/empty"),
            file("/usr/share/a/drop", ""),
            file("/usr/share/a/keeper", ""),
            file("/usr/share/a/deep/keeper", ""), // `*` stays in its folder
            file("/usr/share/doc/a/copyright", "free"),
            file("/usr/share/doc/a/README", ""),
            file("/usr/share/doc/b/copyright", ""), // another package's
            file("/usr/share/locale/C/x", ""),
            file("/usr/share/locale/de/x", ""),
            file("/var/lib/a", ""),
        ],
    );
    let curated = bench.run().unwrap();
    let expected = [
        "755 0:0 usr/lib/empty/",
        "644 0:0 usr/share/a/keeper: ",
        "644 0:0 usr/share/doc/a/copyright: free",
        "644 0:0 usr/share/locale/C/x: ",
    ];
    let all = listing(&curated[0]);
    let found: Vec<_> =
        all.iter().filter(|line| !line.ends_with('/') || line.ends_with("empty/")).collect();
    assert_eq!(found, expected.iter().collect::<Vec<_>>());
    assert_eq!(curated[0].warnings, [""; 0]);
}

#[test]
fn a_copyright_folder_that_is_a_link_stays() {
    let defaults = r#"drop = ["/usr/share/doc/**"] # x"#;
    let mut bench = Bench::new(&[("a/recipe.toml", PLAIN), ("defaults.toml", defaults)]);
    bench.package("a", "", &[link("/usr/share/doc/a", "b")]);
    assert_eq!(files(&bench.run().unwrap()[0]), ["777 0:0 usr/share/doc/a -> b"]);
}

#[test]
fn a_file_outside_of_usr_and_etc_is_never_lost_silently() {
    let mut bench = Bench::new(&[("a/recipe.toml", PLAIN)]);
    bench.package("a", "", &[file("/var/lib/a/db", "x"), link("/opt/a", "b")]);
    let expected = "error: cannot curate the package a\n  \
        caused by: it has files outside of /usr and /etc: /opt/a, /var/lib/a/db\n\
        hint: name them in `drop` in os/packages/a/recipe.toml; `tmpfiles` and `files/usr` \
        replace them\n";
    assert_eq!(bench.complaint(), expected);
    assert!(!bench.cache().exists(), "nothing half-written is left");
}

#[test]
fn an_empty_folder_outside_is_a_warning_unless_the_recipe_makes_it() {
    let recipe = "summary = \"x\"\ntmpfiles = [\"d /var/lib/a 0700 root root -\"]\n";
    let mut bench = Bench::new(&[("a/recipe.toml", recipe)]);
    let folders = ["/var", "/var/lib", "/var/lib/a", "/var/lib/b"].map(folder);
    bench.package("a", "", &folders);
    let warnings = &bench.run().unwrap()[0].warnings;
    assert_eq!(
        warnings,
        &["the empty folder /var/lib/b is left out; `tmpfiles` could make it".to_owned()]
    );
}

#[test]
fn hard_links_survive_as_far_as_their_ends_do() {
    let cases: [(&str, &[&str]); 4] = [
        ("", &["usr/bin/a: text", "usr/bin/b == usr/bin/a", "usr/bin/c == usr/bin/a"]),
        ("/usr/bin/a", &["usr/bin/b: text", "usr/bin/c == usr/bin/b"]), // the first holds the text
        ("/usr/bin/b", &["usr/bin/a: text", "usr/bin/c == usr/bin/a"]),
        ("/usr/bin/{a,b}", &["usr/bin/c: text"]),
    ];
    for (drop, expected) in cases {
        let drop = if drop.is_empty() { String::new() } else { format!("drop = [\"{drop}\"] # x") };
        let mut bench = Bench::new(&[("a/recipe.toml", &format!("{PLAIN}{drop}"))]);
        bench.package(
            "a",
            "",
            &[
                file("/usr/bin/a", "text"),
                hard("/usr/bin/c", "/usr/bin/a"),
                hard("/usr/bin/b", "/usr/bin/a"),
            ],
        );
        let expected: Vec<_> = expected.iter().map(|line| format!("644 0:0 {line}")).collect();
        assert_eq!(files(&bench.run().unwrap()[0]), expected, "{drop}");
    }
}

#[test]
fn another_mode_is_that_of_every_name_of_the_file() {
    let recipe = format!("{PLAIN}[modes]\n\"/usr/bin/a\" = \"0755\"\n");
    let mut bench = Bench::new(&[("a/recipe.toml", &recipe)]);
    let setuid = |file| File { mode: 0o4755, ..file };
    let all = [setuid(file("/usr/bin/a", "x")), setuid(hard("/usr/bin/b", "/usr/bin/a"))];
    bench.package("a", "", &all);
    let listed = files(&bench.run().unwrap()[0]);
    assert!(listed.iter().all(|line| line.starts_with("755 ")), "{listed:?}");
}

#[test]
fn a_link_to_what_is_left_out_is_a_warning() {
    let recipe = format!("{PLAIN}drop = [\"/usr/lib/a\"] # x");
    let mut bench = Bench::new(&[("a/recipe.toml", &recipe)]);
    bench.package(
        "a",
        "",
        &[
            file("/usr/lib/a", ""),
            link("/usr/bin/a", "../lib/a"),
            link("/usr/bin/b", "/lib/a"),
            link("/usr/bin/other", "/usr/lib/of-another-package"),
        ],
    );
    assert_eq!(
        bench.run().unwrap()[0].warnings,
        [
            "/usr/bin/a points to /usr/lib/a, which is left out",
            "/usr/bin/b points to /usr/lib/a, which is left out",
        ]
    );
}

#[test]
fn both_halves_of_merged_usr_may_meet_only_as_file_and_link_to_it() {
    let mut bench = Bench::new(&[("a/recipe.toml", PLAIN)]);
    bench.package("a", "", &[link("/bin/a", "/usr/bin/a"), file("/usr/bin/a", "x")]);
    assert_eq!(files(&bench.run().unwrap()[0]), ["644 0:0 usr/bin/a: x"]);

    let mut bench = Bench::new(&[("a/recipe.toml", PLAIN)]);
    bench.package("a", "", &[file("/bin/a", "x"), file("/usr/bin/a", "y")]);
    assert!(
        bench.complaint().contains("it has two files where merged /usr has one, at /usr/bin/a")
    );
}

#[test]
fn every_script_needs_a_reason() {
    const POSTINST: (&str, &str) = ("postinst", "#!/bin/sh\nset -e\nadduser --system a\n");
    const PRERM: (&str, &str) = ("prerm", "#!/bin/sh\n:\n");
    #[rustfmt::skip]
    let cases = [
        // below [scripts] in the recipe   what is missing
        ("",                               Some("postinst")),
        ("postinst = \"x\"",               None),
        ("\"a/postinst\" = \"x\"",         None),
        ("\"b/postinst\" = \"x\"",         Some("postinst")), // of the other package
        ("prerm = \"x\"",                  Some("postinst")),
    ];
    for (line, missing) in cases {
        let recipe = format!("{PLAIN}packages = [\"a\", \"b\"]\n[scripts]\n{line}\n");
        let defaults = "[scripts]\nprerm = \"nothing\"";
        let mut bench = Bench::new(&[("a/recipe.toml", &recipe), ("defaults.toml", defaults)]);
        bench.scripted("a", &[POSTINST, PRERM]);
        bench.accept_scripts();
        let complaint = bench.run().err().map(|error| render(&error));
        assert_eq!(complaint.is_some(), missing.is_some(), "{line}");
        let Some((script, complaint)) = missing.zip(complaint) else { continue };
        let begins = format!("its {script}; it begins:\n  | adduser --system a\n");
        assert!(complaint.contains(&begins), "{complaint}");
        assert!(complaint.contains("\"a/postinst\" = \"what replaces it\""), "{complaint}");
    }
}

#[test]
fn a_script_that_changed_since_it_was_read_is_refused() {
    let recipe = format!("{PLAIN}[scripts]\npostinst = \"x\"\n");
    let read = ("postinst", "#!/bin/sh\n# Automatically added by dh_a/1\nrm a\n");
    #[rustfmt::skip]
    let cases = [
        // its text in the next version                          what is complained about
        ("#!/bin/sh\n# Automatically added by dh_a/2\nrm a\n", None),
        ("#!/bin/sh\n# Automatically added by dh_a/1\nrm b\n", Some("its postinst has changed since somebody read it")),
        ("#!/bin/sh\nrm a\nadduser b\n",                       Some("  | adduser b\n")),
    ];
    for (text, expected) in cases {
        let mut bench = Bench::new(&[("a/recipe.toml", &recipe)]);
        bench.scripted("a", &[read]);
        let unread = bench.complaint();
        assert!(unread.contains("nobody has noted that they read its postinst"), "{unread}");
        bench.accept_scripts();
        bench.run().unwrap();

        bench.inputs.clear();
        bench.scripted("a", &[("postinst", text)]);
        let complaint = bench.run().err().map(|error| render(&error));
        assert_eq!(complaint.is_some(), expected.is_some(), "{text}: {complaint:?}");
        let Some((complaint, expected)) = complaint.zip(expected) else { continue };
        assert!(complaint.contains(expected), "{complaint}");
        assert!(complaint.contains("run `forge review --accept a`"), "{complaint}");
    }
}

#[test]
fn left_out_dependencies_and_wishes_are_gone_from_the_control_file() {
    let recipe = format!("{PLAIN}[without]\nperl = \"x\"\n\"debconf-2.0\" = \"x\"\n");
    let defaults = "[without]\ndebconf = \"x\"\nneverheardof = \"x\"";
    let mut bench = Bench::new(&[("a/recipe.toml", &recipe), ("defaults.toml", defaults)]);
    let fields = "Source: src\nPre-Depends: perl\n\
        Depends: libc6 (>= 2.4), debconf (>= 0.5) | debconf-2.0, a-data (= 1.2-3), x | perl, perl | y\n\
        Recommends: y\nSuggests: z\nBreaks: old (<= 1), perl (<< 5)\nInstalled-Size: 999\n";
    bench.package("a", fields, &[file("/usr/bin/a", "text")]);
    let curated = bench.run().unwrap().remove(0);
    let expected = "Package: a\nVersion: 1.2-3+0preonN\nArchitecture: amd64\n\
        Source: src (1.2-3)\nDepends: libc6 (>= 2.4), a-data (>= 1.2-3), a-data (<< 1.2-3+1), x\n\
        Breaks: old (<< 1+1), perl (<< 5)\nInstalled-Size: 1\nDescription: x\nPreon-Origin-SHA256: ";
    let control = control(&curated);
    assert!(control.starts_with(expected), "{control}");
    assert_eq!(Deb::open(&curated.path).unwrap().scripts().count(), 0);
}

#[test]
fn a_left_out_dependency_that_nobody_has_is_an_error() {
    let recipe = format!("{PLAIN}[without]\nperl = \"x\"\n");
    let mut bench = Bench::new(&[("a/recipe.toml", &recipe)]);
    bench.package("a", "Depends: libc6\nConflicts: perl\nBreaks: perl\nReplaces: perl\n", &[]);
    let expected = "error: the recipe a leaves out perl, on which none of its packages depends\n\
                    hint: remove perl from [without] or [build.without]\n";
    assert_eq!(bench.complaint(), expected);
}

#[test]
fn what_a_recipe_says_in_vain_is_a_warning_once_all_its_packages_are_there() {
    let recipe = "summary = \"x\"\npackages = [\"a\", \"b\"]\n\
        drop = [\"/usr/share/x/**\", \"/usr/share/y/**\"] # x\nkeep = [\"/usr/z\"] # x\n\
        [scripts]\npostinst = \"x\"\n[without]\nperl = \"x\"\n";
    let mut bench = Bench::new(&[("a/recipe.toml", recipe)]);
    bench.package("a", "", &[file("/usr/share/x/1", "")]);
    assert_eq!(bench.run().unwrap()[0].warnings, [""; 0], "b might still bear it out");

    bench.package("b", "Depends: perl\n", &[]);
    for attempt in ["fresh", "cached"] {
        assert_eq!(
            bench.run().unwrap()[0].warnings,
            [
                "`drop` matches nothing with /usr/share/y/**",
                "`keep` matches nothing with /usr/z",
                "[scripts] has postinst, which does not exist",
            ],
            "{attempt}"
        );
    }
}

#[test]
fn what_the_recipe_adds_lies_in_the_first_package() {
    let recipe = r#"
        summary  = "A test"
        packages = ["a", "b"]
        drop     = ["/etc/a.conf"] # x
        presets  = { "a.service" = "enable", "b.timer" = "disable" }
        links    = { "/usr/bin/awk" = "mawk", "/etc/x" = "../usr/x" }
        tmpfiles = ["d /var/lib/a 0710 root a -"]
        [[user]]
        name = "a"
        uid = 105
        home = "/run/a"
        description = "The \"a\" 100% user"
        [[user]]
        name = "b"
        uid = 106
        group = "c"
        shell = "/usr/bin/bash"
        [[group]]
        name = "c"
        gid = 110
        members = ["a"]
    "#;
    let mut bench = Bench::new(&[
        ("a/recipe.toml", recipe),
        ("a/files/etc/a.conf", "ours"),
        ("a/files/usr/lib/a/run", "#!/bin/sh"),
    ]);
    bench.package("a", "", &[file("/etc/a.conf", "theirs")]);
    bench.package("b", "", &[file("/usr/bin/b", "")]);
    let curated = bench.run().unwrap();
    let sysusers = "usr/lib/sysusers.d/preon-a.conf: g c 110;g a 105;\
        u! a 105:105 \"The \\\"a\\\" 100%% user\" /run/a /usr/sbin/nologin;\
        u b 106:110 - - /usr/bin/bash;m a c;";
    #[rustfmt::skip]
    let expected = [
        "777 0:0 usr/bin/awk -> mawk",
        "644 0:0 usr/lib/a/run: #!/bin/sh",
        "644 0:0 usr/lib/systemd/system-preset/50-preon-a.preset: enable a.service;disable b.timer;",
        &format!("644 0:0 {sysusers}"),
        "644 0:0 usr/lib/tmpfiles.d/preon-a.conf: d /var/lib/a 0710 root a -;",
        "644 0:0 usr/share/preon/etc/a.conf: ours",
        "777 0:0 usr/share/preon/etc/x -> ../usr/x",
    ];
    assert_eq!(files(&curated[0]), expected);
    assert_eq!(files(&curated[1]), ["644 0:0 usr/bin/b: "]);
}

#[test]
fn a_package_of_our_own_is_made_of_its_files() {
    let mut bench = Bench::new(&[
        ("preon-base/recipe.toml", "summary = \"Ours\"\npackages = []"),
        ("preon-base/files/usr/lib/os-release", "NAME=\"Preon OS\"\n"),
    ]);
    let (name, version) = ("preon-base".parse().unwrap(), "2026.11".parse().unwrap());
    let built = tempfile::tempdir().unwrap();
    let program = built.path().join("usr/bin/preon");
    file::create_dir_all(program.parent().unwrap()).unwrap();
    fs::write(&program, "program").unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let built = vec![OwnFiles { folder: built.path().into(), digest: Digest::of(b"built") }];
    bench.inputs.push(Input { name, origin: Origin::Own { version, built } });
    let curated = bench.run().unwrap().remove(0);
    let expected =
        ["755 0:0 usr/bin/preon: program", "644 0:0 usr/lib/os-release: NAME=\"Preon OS\";"];
    assert_eq!(files(&curated), expected);
    let control = control(&curated);
    assert!(control.starts_with("Package: preon-base\nVersion: 2026.11+0preonN\n"), "{control}");
}

#[test]
fn files_that_no_package_may_bring_are_refused() {
    #[rustfmt::skip]
    let cases = [
        ("a/files/var/lib/x", "files/var/lib/x would lie at /var/lib/x"),
        ("a/files/lib/x",     "files/lib/x would lie at /usr/lib/x"),
        ("a/files/x",         "files/x would lie at /x"),
        ("a/files/usrx/x",    "files/usrx/x would lie at /usrx/x"),
        ("a/files/usr/bin/link/x", "/usr/bin/link/x would lie below /usr/bin/link, which is no folder"),
    ];
    for (path, why) in cases {
        let mut bench = Bench::new(&[("a/recipe.toml", PLAIN), (path, "")]);
        bench.package("a", "", &[file("/usr/bin/link", "")]);
        let complaint = bench.complaint();
        assert!(complaint.contains(why), "{path}\n{complaint}");
        assert!(complaint.contains("\nhint: "), "{path}\n{complaint}");
    }
}

#[test]
fn what_a_recipe_can_mend_is_hinted_at() {
    let pipe = [File { path: "/usr/lib/a", mode: 0o600, gid: 0, what: What::Pipe }];
    #[rustfmt::skip]
    let cases: [(&str, &[File<'_>], &str); 2] = [
        ("Depends: x (",  &[],   "take a from another suite in os/packages/a/recipe.toml"),
        ("Section: misc", &pipe, "name it in `drop` in os/packages/a/recipe.toml"),
    ];
    for (field, files, hint) in cases {
        let mut bench = Bench::new(&[("a/recipe.toml", PLAIN)]);
        bench.package("a", &format!("{field}\n"), files);
        let complaint = bench.complaint();
        assert!(complaint.contains(hint), "{complaint}");
    }
}

#[test]
fn all_packages_that_fail_are_named_at_once() {
    let mut bench = Bench::new(&[("a/recipe.toml", PLAIN), ("b/recipe.toml", PLAIN)]);
    bench.scripted("a", &[("preinst", "mv x y\n")]);
    bench.package("b", "", &[file("/srv/x", "")]);
    bench.package("c", "", &[]);
    let complaint = bench.complaint();
    for part in [
        "error: 3 packages cannot be curated\n- cannot curate the package a: ",
        "\n- cannot curate the package b: it has files outside of /usr and /etc: /srv/x\n",
        "\n- no recipe covers the package c\n",
    ] {
        assert!(complaint.contains(part), "{part}\n{complaint}");
    }
}

#[test]
fn the_same_inputs_give_the_same_bytes_and_are_made_once() {
    let make = || {
        let mut bench = Bench::new(&[("a/recipe.toml", PLAIN), ("a/files/etc/x", "1")]);
        bench.package("a", "", &[file("/usr/bin/a", "text")]);
        bench
    };
    let (one, other) = (make(), make());
    let first = one.run().unwrap().remove(0);
    let second = other.run().unwrap().remove(0);
    assert_eq!(fs::read(&first.path).unwrap(), fs::read(&second.path).unwrap());
    assert_eq!(first.digest, Digest::of_file(&first.path).unwrap());

    let made = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let before = made(&first.path);
    assert_eq!(made(&one.run().unwrap()[0].path), before, "it was made again");
    fs::write(&first.path, "damaged").unwrap();
    assert_eq!(Digest::of_file(&one.run().unwrap()[0].path).unwrap(), first.digest);
    fs::write(one.dir.path().join("packages/a/files/etc/x"), "2").unwrap();
    assert_ne!(one.run().unwrap()[0].path, first.path, "the recipe has changed");
}

#[test]
fn a_file_that_is_another_package_is_refused() {
    let mut bench = Bench::new(&[("a/recipe.toml", PLAIN), ("b/recipe.toml", PLAIN)]);
    bench.package("a", "", &[]);
    bench.inputs[0].name = "b".parse().unwrap();
    assert!(bench.complaint().contains("the file is a, not b"));
}

#[test]
fn a_part_holds_what_the_package_it_is_of_drops() {
    let recipe = r#"
        summary = "A test"
        drop = ["/usr/bin/{b,c}"] # x
        [part.a-more]
        summary = "More of it"
        of      = "a"
        files   = ["/usr/bin/b"]
        needs   = ["libx"]
        links   = { "/usr/bin/also-b" = "b" }
    "#;
    let mut bench = Bench::new(&[("a/recipe.toml", recipe)]);
    let all = ["/usr/bin/a", "/usr/bin/b", "/usr/bin/c"].map(|path| file(path, "x"));
    bench.package("a", "Depends: libc6\nProvides: y\n", &all);
    let part = Input { name: "a-more".parse().unwrap(), ..bench.inputs[0].clone() };
    bench.inputs.push(part);
    let curated = bench.run().unwrap();
    assert_eq!(files(&curated[0]), ["644 0:0 usr/bin/a: x"]);
    assert_eq!(files(&curated[1]), ["777 0:0 usr/bin/also-b -> b", "644 0:0 usr/bin/b: x"]);
    let expected = "Package: a-more\nSource: a (1.2-3)\nVersion: 1.2-3+0preonN\nArchitecture: amd64\n\
        Maintainer: Preon OS\nDepends: a (>= 1.2-3), a (<< 1.2-3+1), libx\nDescription: More of it\n\
        Installed-Size: 2\n";
    assert_eq!(control(&curated[1]), expected);
}

#[test]
fn a_recipe_adds_dependencies_and_keeps_those_that_the_defaults_leave_out() {
    let recipe = format!("{PLAIN}[with]\na-more = \"x\"\nperl-base = \"x\"\n");
    let defaults = "[without]\nperl-base = \"x\"\n";
    let mut bench = Bench::new(&[("a/recipe.toml", &recipe), ("defaults.toml", defaults)]);
    bench.package("a", "Depends: libc6, perl-base (>= 5)\n", &[]);
    let deb = Deb::open(&bench.run().unwrap()[0].path).unwrap();
    assert_eq!(deb.control().get("Depends"), Some("libc6, perl-base (>= 5), a-more"));
}

#[test]
fn a_recipe_takes_rights_from_a_file() {
    let recipe = format!("{PLAIN}[modes]\n\"/usr/bin/a\" = \"0755\"\n\"/usr/bin/b\" = \"0755\"\n");
    let mut bench = Bench::new(&[("a/recipe.toml", &recipe)]);
    let set_id = File { path: "/usr/bin/a", mode: 0o4755, gid: 0, what: What::Text("x") };
    bench.package("a", "", &[set_id]);
    let curated = bench.run().unwrap();
    assert_eq!(files(&curated[0]), ["755 0:0 usr/bin/a: x"]);
    assert_eq!(curated[0].warnings, ["[modes] has /usr/bin/b, which does not exist"]);
}

#[test]
fn a_generated_script_needs_no_reader_but_a_preset_for_each_unit() {
    let snippets = "[[snippet]]\nanswer = \"x\"\npresets = true\ntext = \"enable '@unit@'\\n\"\n";
    let script = "#!/bin/sh\nset -e\n# Automatically added by dh_x/1\nenable 'a.socket'\n\
                  # End automatically added section\n";
    #[rustfmt::skip]
    let cases = [
        ("",                                                       Some("its postinst enables a.socket, of which `presets` says nothing")),
        ("presets = { \"a.socket\" = \"disable\" }",               None),
        ("drop = [\"/usr/lib/systemd/system/a.*\"] # x",           None),
    ];
    for (line, complaint) in cases {
        let recipe = format!("{PLAIN}{line}\n");
        let mut bench = Bench::new(&[("a/recipe.toml", &recipe), ("snippets.toml", snippets)]);
        bench.scripted("a", &[("postinst", script)]);
        let found = bench.run().err().map(|error| render(&error));
        assert_eq!(found.is_some(), complaint.is_some(), "{line}: {found:?}");
        let Some((found, complaint)) = found.zip(complaint) else { continue };
        assert!(found.contains(complaint), "{found}");
        assert!(found.contains("\"a.socket\" = \"disable\""), "{found}");
    }
}
