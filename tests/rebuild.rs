//! A package is built from Debian's source: as hardened as the policy wants, and twice the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use system_tests::{forge, json, run};

/// Small, and Debian's build is not full RELRO.
const PACKAGE: &str = "jansson";
const LIBRARY: &str = "usr/lib/x86_64-linux-gnu/libjansson.so.4";

fn forge(words: &[&str]) -> String {
    let mut command = Command::new(forge::program());
    run(command.args(words).current_dir(env!("CARGO_MANIFEST_DIR")))
}

/// What the dynamic section of a library says.
fn dynamic(library: &Path) -> String {
    run(Command::new("readelf").args(["--dynamic", "--wide"]).arg(library))
}

#[test]
fn a_package_that_falls_short_is_built_from_source_twice_the_same_and_hardened() {
    let printed = forge(&["package", "build", PACKAGE, "--again"]);
    let deb = printed.lines().find(|line| line.ends_with("/libjansson4.deb"));
    let deb = PathBuf::from(deb.unwrap_or_else(|| panic!("{printed}")));
    let folder = tempfile::tempdir().unwrap();
    run(Command::new("dpkg-deb").arg("--extract").args([&deb, folder.path()]));
    let dynamic = dynamic(&folder.path().join(LIBRARY));
    assert!(dynamic.contains("BIND_NOW"), "{dynamic}");

    // The flags that are recorded are those that the compiler was called with.
    let build = deb.parent().unwrap();
    let recorded: serde_json::Value = json(&fs::read(build.join("build.json")).unwrap());
    let log = fs::read_to_string(build.join("build.log")).unwrap();
    let compiled =
        log.lines().find(|line| line.contains(" -DHAVE_CONFIG_H ") && line.contains(" -c "));
    let compiled = compiled.expect("the log shows how the compiler is called");
    for (kind, one) in
        [("CFLAGS", "-ftrivial-auto-var-init=zero"), ("CPPFLAGS", "-D_FORTIFY_SOURCE=3")]
    {
        let flags = recorded["flags"][kind].as_str().unwrap();
        assert!(flags.contains(one), "{flags}");
        for flag in flags.split_whitespace() {
            assert!(compiled.contains(flag), "{flag} is not in {compiled}");
        }
    }
    let rows: serde_json::Value = json(forge(&["package", "list", "--json"]).as_bytes());
    let row = rows.as_array().unwrap().iter().find(|row| row["source"] == PACKAGE).unwrap();
    assert_eq!(row["built"], true);
}
