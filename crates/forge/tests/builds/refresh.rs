//! Following the archive: what is newer is checked as a whole and published, or nothing changes.

use std::fs;
use std::io::Write;

use serde_json::{Value, json};

use crate::checkout::{Checkout, Printed, binary, scripted, with_modes};
use crate::repository::Package;

/// A product that follows its archive, and keys outside of it.
pub struct Product {
    pub checkout: Checkout,
    pub keys: tempfile::TempDir,
}

/// The package `demo` of this version, whose changelog says that 2 fixes a flaw.
fn demo(version: &str) -> Package {
    let text = "demo (3) trixie; urgency=low\n\n  * new\n\ndemo (2) trixie-security; urgency=high\n\n  * CVE-2026-0002\n\n\
                demo (1) trixie; urgency=low\n\n  * CVE-2026-0001\n";
    let text = &text[text.find(&format!("demo ({version})")).unwrap_or(0)..];
    let mut changelog = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    changelog.write_all(text.as_bytes()).unwrap();
    let changelog = changelog.finish().unwrap();
    let files = [
        ("usr/bin/demo", version.as_bytes()),
        ("usr/share/doc/demo/changelog.gz", changelog.as_slice()),
    ];
    binary(("demo", version), "", &files)
}

impl Product {
    /// Version 1 of `demo` is published.
    pub fn new() -> Self {
        let product =
            Self { checkout: Checkout::new(&[demo("1")]), keys: tempfile::tempdir().unwrap() };
        product.checkout.write("os/policy/elf.toml", "[search]\n[privileged]\n");
        // No kernel is described.
        fs::remove_file(product.checkout.path("os/images/demo.toml")).unwrap();
        let minimal = "summary = \"x\"\npackages = [\"demo\"]\n[container]\n";
        product.checkout.write("os/images/minimal.toml", minimal);
        product.checkout.forge(&["update"]).good();
        product.forge(&["key", "new"], &[]).good();
        product.refresh("test -f $PREON_OUT/oci/preon-base.tar && touch tested").good();
        assert!(product.checkout.path("tested").exists());
        product
    }

    pub fn forge(&self, words: &[&str], more: &[&str]) -> Printed {
        let keys = self.keys.path().join("keys");
        self.checkout.forge(&[words, &["--keys", keys.to_str().unwrap()], more].concat())
    }

    /// Refreshes with this test of the images.
    fn refresh(&self, test: &str) -> Printed {
        self.forge(&["repo", "refresh"], &["--image", "oci", "--test", test])
    }

    /// What the repository has, and what the lock says.
    fn state(&self) -> (Value, String) {
        let shown = self.forge(&["repo", "show", "--json"], &[]).good().out;
        (serde_json::from_str(&shown).unwrap(), self.checkout.lock())
    }
}

#[test]
fn what_is_newer_is_tested_published_and_locked_and_its_fixes_are_told() {
    let mut product = Product::new();
    product.checkout.publish(&[demo("2")]);
    let words = ["repo", "refresh", "--json"];
    let test = ["--image", "oci", "--test", "grep -c demo os/packages.lock && touch again"];
    let said = product.forge(&words, &test).good();
    let said: Value = serde_json::from_str(&said.out).expect("only JSON on standard output");
    let change = json!({
        "class": "security", "source": "demo", "before": "1", "now": "2", "packages": ["demo"],
        "fixes": ["CVE-2026-0002"],
    });
    assert_eq!(said["changes"], json!({ "sources": [change], "tools": [] }));
    assert_eq!(said["fixes"], json!(["CVE-2026-0002"]));
    assert_eq!(said["publication"]["version"], 2);
    let steps: Vec<_> = said["steps"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    let expected = [
        "choosing",
        "reviewing",
        "comparing",
        "building packages",
        "auditing",
        "building kernels",
        "building images",
        "testing",
        "publishing",
    ];
    assert_eq!(steps, expected);
    assert!(product.checkout.path("again").exists());
    assert!(product.checkout.lock().contains("\"demo\" = { version = \"2\""));
    let (shown, _) = product.state();
    assert_eq!(shown["packages"].as_array().unwrap().len(), 2, "both versions are there: {shown}");

    // Once more nothing is newer: nothing is tested, and the dates are renewed.
    let said = product.refresh("false").good().out;
    assert!(said.starts_with("nothing is newer in the archive\n"), "{said}");
    assert!(said.contains("publication 3: 2 packages, 0 of them new"), "{said}");
}

#[test]
fn what_would_change_is_told_without_keys_and_changes_nothing() {
    let mut product = Product::new();
    product.checkout.publish(&[demo("3")]);
    let state = product.state();
    let said = product.checkout.forge(&["repo", "refresh", "--dry-run"]).good().out;
    assert!(said.starts_with("security  demo  1 -> 3  CVE-2026-0002\n"), "{said}");
    assert!(said.contains("1 source packages changed, 1 CVEs close"), "{said}");
    assert!(said.ends_with("nothing was published\n"), "{said}");
    assert_eq!(product.state(), state);
}

#[test]
fn a_refresh_stops_at_the_first_thing_that_does_not_fit_and_changes_nothing() {
    let script = || scripted(("demo", "2"), "#!/bin/sh\nadduser demo\n");
    let outside = || binary(("demo", "2"), "", &[("opt/demo", b"x")]);
    let setuid = || with_modes(("demo", "2"), "", &[("usr/bin/demo", 0o4755, b"x")]);
    #[rustfmt::skip]
    let cases: [(&dyn Fn() -> Package, &str, &str, &str); 5] = [
        (&script,      "true",   "reviewing", "nobody has said what replaces its postinst"),
        (&outside,     "true",   "reviewing", "it has files outside of /usr and /etc: /opt/demo"),
        (&setuid,      "true",   "auditing",  "/usr/bin/demo"),
        (&|| demo("2"), "exit 7", "testing",   "`exit 7` failed with exit status: 7"),
        (&|| demo("1"), "true",   "comparing", "the archive has demo 1, but 1.5 was there before"),
    ];
    let mut product = Product::new();
    product.checkout.publish(&[demo("1.5")]);
    product.refresh("true").good();
    for (package, test, step, why) in cases {
        product.checkout.publish(&[package()]);
        let state = product.state();
        let error = product.refresh(test).error();
        let start = format!(
            "error: the refresh stopped at {step}; repository and checkout are as they were\n"
        );
        assert!(error.starts_with(&start) && error.contains(why), "{error}");
        assert!(error.contains("hint: let `forge update` move the checkout"), "{error}");
        assert_eq!(product.state(), state, "{step}");
    }
}

#[test]
fn after_a_kill_in_the_middle_the_next_refresh_works() {
    let mut product = Product::new();
    product.checkout.publish(&[demo("2")]);
    let state = product.state();
    let killed = product.refresh("kill -9 $PPID");
    assert_eq!(killed.code, None, "{}", killed.err);
    assert_eq!(product.state(), state);
    product.refresh("true").good();
    assert!(product.checkout.lock().contains("\"demo\" = { version = \"2\""));
    assert_eq!(product.checkout.unfinished(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn packages_that_the_checkout_was_moved_to_before_are_tested_and_told_too() {
    let mut product = Product::new();
    product.checkout.publish(&[demo("2")]);
    product.checkout.forge(&["update"]).good();
    let said = product.refresh("touch again").good().out;
    assert!(said.starts_with("security  demo  1 -> 2  CVE-2026-0002\n"), "{said}");
    assert!(product.checkout.path("again").exists());
}
