//! What a person is told who asks for what is not there or cannot be meant.

use std::fs;

use crate::checkout::Checkout;
use crate::checkout::kernel_tools;
use crate::{demo, locked};

#[test]
fn a_container_image_is_not_made_or_shown_as_a_disk_nor_a_disk_as_a_container_image() {
    let checkout = Checkout::new(&[demo("1")]);
    checkout.write("out/oci/preon-base.tar", "container image");
    checkout.write("out/oci/manifest.json", "of a disk"); // from when it was taken for one
    for command in ["build", "show"] {
        let error = checkout.forge(&["image", command, "oci"]).error();
        assert!(error.contains("os/images/oci.toml describes a container image"), "{error}");
        assert!(error.contains("hint: run `forge image oci`"), "{error}");
    }
    let kept = fs::read_to_string(checkout.path("out/oci/preon-base.tar")).unwrap();
    assert_eq!(kept, "container image");

    let definition = fs::read_to_string(checkout.path("os/images/demo.toml")).unwrap();
    checkout.write("os/images/other.toml", &format!("{definition}[container]\n"));
    let error = checkout.forge(&["image", "build", "other"]).error();
    assert!(error.contains("hint: take [container] out of it"), "{error}");

    checkout.write("os/images/oci.toml", &definition);
    let error = checkout.forge(&["image", "oci"]).error();
    assert!(error.contains("os/images/oci.toml has no [container]"), "{error}");
    assert_eq!(checkout.archive.server.requests(), [], "it is said before anything is fetched");
}

/// A checkout with what the kernel is built from and with, which the archive has in `version`.
fn with_kernel_tools(version: &str) -> Checkout {
    let checkout = Checkout::new(&kernel_tools(version));
    checkout.describe_kernel("");
    checkout
}

/// The folder that `forge kernel show` says is not there.
fn kernel_that_is_not_there(checkout: &Checkout) -> String {
    checkout.archive.server.requests();
    let folder = checkout.missing_kernel();
    assert_eq!(checkout.archive.server.requests(), []);
    folder
}

#[test]
fn which_kernel_was_not_built_is_said_without_fetching_or_unpacking_anything() {
    let mut checkout = with_kernel_tools("1");
    checkout.forge(&["update"]).good();
    let of_the_lock = kernel_that_is_not_there(&checkout);
    assert_eq!(checkout.names("cache/roots"), [""; 0]);

    // Once a build has taken newer packages, because the lock's were gone, it is theirs.
    checkout.publish(&kernel_tools("2"));
    for name in ["gcc", "linux-source-6.12"] {
        checkout.archive.server.remove(&format!("debian/pool/{name}_1.deb"));
    }
    assert_eq!(kernel_that_is_not_there(&checkout), of_the_lock);
    let built = checkout.forge(&["kernel", "build"]);
    assert_eq!(built.code, Some(1), "these tools build nothing");
    assert_eq!(checkout.names("cache/roots").len(), 2, "{}", built.err);
    let of_newer = kernel_that_is_not_there(&checkout);
    assert_ne!(of_newer, of_the_lock);

    checkout.plant_kernel();
    fs::remove_dir_all(checkout.path("cache/roots")).unwrap();
    let shown = checkout.forge(&["kernel", "show"]).good().out;
    assert!(shown.contains("Debian's linux 2\n") && shown.contains("6.12.2\n"), "{shown}");
    assert_eq!(checkout.names("cache/roots"), [""; 0]);
}

#[test]
fn a_name_that_is_not_known_is_answered_with_the_one_that_was_meant() {
    let checkout = locked(&[demo("1")]);
    let tools = "[root.image]\nsummary = \"x\"\nstandalone = true\npackages = [\"deom\"]\n";
    #[rustfmt::skip]
    let cases: [(&[&str], (&str, &str), &str); 6] = [
        (&["image", "build", "dmo"],  ("x", ""), "there is no image dmo"),
        (&["image", "show", "demi"],  ("x", ""), "there is no image demi"),
        (&["review", "demon"],        ("x", ""), "the lock has no package demon"),
        (&["review", "--accept", "emo"], ("x", ""), "the lock has no package emo"),
        (&["update"], ("os/images/x.toml", "summary = \"x\"\npackages = [\"dem\"]\n"), "no recipe covers dem"),
        (&["update"], ("os/tools.toml", tools), "the archive has no package deom"),
    ];
    for (words, (path, text), why) in cases {
        checkout.write(path, text);
        let error = checkout.forge(words).error();
        assert!(error.contains(why), "{words:?}: {error}");
        assert!(error.contains("hint: did you mean demo?"), "{words:?}: {error}");
        fs::remove_file(checkout.path(path)).unwrap();
    }
    let error = checkout.forge(&["image", "build", "../images/demo"]).error();
    assert!(error.contains("there is no image ../images/demo"), "{error}");
    assert!(error.contains("hint: write it, or take one of demo, oci"), "{error}");
    let error = checkout.forge(&["review", "something-else"]).error();
    assert!(error.contains("hint: run `forge review` to see"), "{error}");
}

#[test]
fn a_recipe_for_what_the_archive_does_not_have_is_refused_with_its_place() {
    let checkout = Checkout::new(&[demo("1")]);
    let recipe = "summary = \"x\"\n# a \"list\"\npackages = [\n    \"xyzzy\",\n]\n";
    checkout.write("os/packages/other/recipe.toml", recipe);
    let error = checkout.forge(&["update"]).error();
    let place = "error: os/packages/other/recipe.toml:4: the archive's trixie has no package xyzzy";
    assert!(error.starts_with(place), "{error}");
    assert!(error.contains("hint: correct its name, take it out"), "{error}");
    assert_eq!(checkout.lock(), "");

    fs::remove_dir_all(checkout.path("os/packages/other")).unwrap();
    checkout.write("os/packages/dmeo/recipe.toml", "summary = \"x\"\n");
    let error = checkout.forge(&["update"]).error();
    let place = "error: os/packages/dmeo/recipe.toml: the archive's trixie has no package dmeo";
    assert!(error.starts_with(place), "{error}");
    assert!(error.contains("hint: did you mean demo?"), "{error}");

    // A package of our own is not asked of the archive.
    fs::remove_dir_all(checkout.path("os/packages/dmeo")).unwrap();
    checkout.write("os/packages/ours/recipe.toml", "summary = \"x\"\npackages = []\n");
    checkout.forge(&["update"]).good();
}

#[test]
fn a_newer_kernel_source_is_found_in_the_archive_and_a_dry_run_changes_nothing() {
    let mut checkout = with_kernel_tools("6.12.117-1");
    checkout.forge(&["update"]).good();
    let lock = fs::read(checkout.path("os/packages.lock")).unwrap();
    let said = checkout.forge(&["kernel", "update", "--dry-run"]).good().out;
    assert_eq!(said, "linux 6.12.117-1 of trixie is the newest\n");

    checkout.publish(&kernel_tools("6.12.118-1"));
    let said = checkout.forge(&["kernel", "update", "--dry-run", "--json"]).good().out;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["before"], &said["now"]), (&"6.12.117-1".into(), &"6.12.118-1".into()));
    assert_eq!(fs::read(checkout.path("os/packages.lock")).unwrap(), lock);
}
