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

/// The library's package, built now unless it is there.
fn built(options: &[&str]) -> PathBuf {
    let printed = forge(&[&["package", "build", PACKAGE], options].concat());
    let deb = printed.lines().find(|line| line.ends_with("/libjansson4.deb"));
    PathBuf::from(deb.unwrap_or_else(|| panic!("{printed}")))
}

#[test]
fn what_it_was_built_of_is_stated_and_signed() {
    let deb = built(&[]);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [key, public, signed] = ["key", "public", "signed"].map(path);
    let openssl = |words: &[&str]| run(Command::new("openssl").args(words));
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", &key]);
    openssl(&["pkey", "-in", &key, "-pubout", "-out", &public]);
    forge(&["provenance", "sign", "minimal", "--key", &key, "--output", &signed]);

    let statement = format!("{signed}/source-{PACKAGE}.intoto.json");
    let verify = ["provenance", "verify", &statement, deb.to_str().unwrap(), "--key", &public];
    let said = forge(&verify);
    for of in [".dsc", ".orig.tar.gz", "os/packages/build.toml", "os/packages/jansson", "gcc-14_"] {
        assert!(
            said.lines().any(|line| line.starts_with("of ") && line.contains(of)),
            "{of}: {said}"
        );
    }
}

#[test]
fn a_package_that_falls_short_is_built_from_source_twice_the_same_and_hardened() {
    let deb = built(&["--again"]);
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
