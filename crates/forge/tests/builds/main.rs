//! Whole builds of a small product from an archive of its own: what is wrong is told with what to
//! do about it, and leaves nothing half-written behind.
#![allow(missing_docs, unreachable_pub)]

mod answers;
mod checkout;
mod refresh;
#[allow(dead_code)]
#[path = "../../../packages/tests/archive/repository.rs"]
mod repository;
mod serve;
#[allow(dead_code)]
#[path = "../../../packages/tests/archive/server.rs"]
mod server;
mod sources;
mod verify;

use std::fs;

use checkout::{Checkout, IN_RELEASE, Printed, package, scripted};
use repository::{Package, Repository};
use server::Fault;

fn demo(version: &str) -> Package {
    package(("demo", version), "", &[("usr/bin/demo", "demo\n")])
}

/// A checkout whose lock is there.
fn locked(packages: &[Package]) -> Checkout {
    let checkout = Checkout::new(packages);
    checkout.forge(&["update"]).good();
    checkout
}

#[test]
fn a_build_takes_what_the_lock_names_and_needs_no_network_the_second_time() {
    let checkout = locked(&[demo("1")]);
    let image = checkout.path("out/oci/preon-base.tar");
    let printed = checkout.forge(&["image", "oci", "--release"]).good();
    assert!(printed.out.starts_with(image.to_str().unwrap()), "{}", printed.out);
    assert!(printed.err.contains("fetching packages: "), "{}", printed.err);
    let first = fs::read(&image).unwrap();
    checkout.archive.server.requests();

    fs::remove_file(&image).unwrap();
    let printed = checkout.forge(&["image", "oci", "--offline"]).good();
    assert!(!printed.err.contains("fetching"), "{}", printed.err);
    assert_eq!(checkout.archive.server.requests(), []);
    assert!(fs::read(&image).unwrap() == first);
}

#[test]
fn a_package_that_is_gone_is_replaced_in_development_and_stops_a_release() {
    for command in [&["image", "oci"][..], &["image", "build", "demo"]] {
        let mkfs = package(("mkfs", "1"), "", &[("usr/bin/mkfs.erofs", "x")]);
        let mut checkout = Checkout::with_tools(demo("1"), mkfs);
        checkout.forge(&["update"]).good();
        let lock = checkout.lock();
        checkout.publish(&[demo("2"), package(("mkfs", "1.1"), "", &[])]);
        checkout.archive.server.remove("debian/pool/demo_1.deb");
        checkout.archive.server.remove("debian/pool/mkfs_1.deb");
        let gone = if command.len() == 2 { ("demo", "1", "2") } else { ("mkfs", "1", "1.1") };
        let (name, old, new) = gone;

        let error = checkout.forge(&[command, &["--release"]].concat()).error();
        let text = format!("{name} {old} is neither in the archive any more nor in the cache");
        assert!(error.contains(&text), "{error}");
        assert!(error.contains("forge update"), "{error}");
        assert_eq!(checkout.names("out/oci"), [""; 0]);

        let printed = checkout.forge(command);
        let text = format!("note: {name} {old} is gone from the archive: {new} is used instead");
        assert_eq!(printed.err.matches(&text).count(), 1, "{}", printed.err);
        assert_eq!(checkout.lock(), lock, "only `forge update` moves the lock");
    }
}

#[test]
fn a_recipe_that_cannot_be_satisfied_is_explained_and_the_lock_stays() {
    let mut checkout = locked(&[demo("1")]);
    let lock = checkout.lock();
    checkout.publish(&[package(("demo", "2"), "Depends: gone (>= 3)", &[])]);
    let error = checkout.forge(&["update"]).error();
    assert!(error.contains("cannot choose the packages of image/"), "{error}");
    assert!(error.contains("demo needs `gone (>= 3)`"), "{error}");
    assert_eq!(checkout.lock(), lock);

    let other = package(("other", "1"), "", &[]);
    checkout.publish(&[package(("demo", "2"), "Depends: other", &[]), other]);
    let error = checkout.forge(&["update"]).error();
    assert!(error.contains("demo needs `other`, but other may not be chosen"), "{error}");
    assert!(error.contains("hint: write os/packages/other/recipe.toml"), "{error}");

    checkout.write("os/packages/demo/recipe.toml", "summary = \"x\"\ndorp = []\n");
    let error = checkout.forge(&["update"]).err;
    assert!(error.contains("recipe.toml:2") && error.contains('^'), "{error}");
}

#[test]
fn a_maintainer_script_must_be_read_again_when_it_changes() {
    let mut checkout = Checkout::new(&[scripted(("demo", "1"), "#!/bin/sh\nadduser a\n")]);
    let recipe = "summary = \"x\"\n[scripts]\npostinst = \"the account\"\n";
    checkout.write("os/packages/demo/recipe.toml", recipe);
    checkout.forge(&["update"]).good();
    let unread = checkout.forge(&["image", "oci"]).error();
    assert!(unread.contains("nobody has noted that they read its postinst"), "{unread}");

    let shown = checkout.forge(&["review"]).good().out;
    assert!(shown.contains("demo/postinst of 1: not noted as read"), "{shown}");
    assert!(shown.contains("  | adduser a\n") && shown.contains("1 scripts wait"), "{shown}");
    checkout.forge(&["review", "--accept", "demo"]).good();
    assert_eq!(checkout.forge(&["review"]).good().out, "every script was read\n");
    let accepted = checkout.forge(&["image", "oci"]);
    assert!(!accepted.err.contains("postinst"), "{}", accepted.err);

    checkout.publish(&[scripted(("demo", "2"), "#!/bin/sh\nadduser b\n")]);
    checkout.forge(&["update"]).good();
    let changed = checkout.forge(&["image", "oci"]).error();
    assert!(changed.contains("its postinst has changed since somebody read it"), "{changed}");
    assert!(changed.contains("  | adduser b\n"), "{changed}");
    assert!(changed.contains("forge review --accept demo"), "{changed}");
}

#[test]
fn what_was_damaged_in_the_cache_is_made_anew() {
    let checkout = locked(&[demo("1")]);
    checkout.forge(&["image", "oci"]).good();
    let curated = checkout.names("cache/curated");
    for name in curated.iter().filter(|name| name.ends_with(".deb")) {
        checkout.write(&format!("cache/curated/{name}"), "damaged");
    }
    checkout.forge(&["image", "oci", "--offline"]).good();
}

#[test]
fn the_cache_is_not_cleared_while_somebody_uses_it() {
    let checkout = locked(&[demo("1")]);
    checkout.forge(&["image", "oci"]).good();
    let other = fs::File::open(checkout.path("cache/in-use")).unwrap();
    other.lock_shared().unwrap();
    let refused = checkout.forge(&["cache", "clear"]).error();
    assert!(refused.contains("another forge is using the cache"), "{refused}");
    assert!(!checkout.names("cache/curated").is_empty());
    drop(other);
    checkout.forge(&["cache", "clear"]).good();
    assert_eq!(checkout.names("cache"), ["in-use"]);
}

#[test]
fn what_is_no_recipe_does_not_disturb_and_a_pipe_in_one_is_named() {
    let checkout = locked(&[demo("1")]);
    fs::create_dir_all(checkout.path("os/packages/.idea/x")).unwrap();
    checkout.forge(&["image", "oci"]).good();
    let pipe = checkout.path("os/packages/demo/pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let printed = checkout.forge(&["image", "oci"]);
    assert_eq!(printed.code, Some(1));
    assert!(printed.err.contains(&format!("cannot read {}", pipe.display())), "{}", printed.err);
}

#[test]
fn two_packages_that_hold_one_file_are_both_named_and_no_image_is_made() {
    let other = package(("other", "1"), "", &[("usr/bin/demo", "another\n")]);
    let checkout = locked(&[demo("1"), other]);
    let error = checkout.forge(&["image", "oci"]).error();
    let text = "/usr/bin/demo is in the package demo and in the package other";
    assert!(error.contains(text), "{error}");
    assert_eq!(checkout.names("out/oci"), [""; 0]);
}

#[test]
fn an_archive_older_than_the_lock_is_refused_where_no_cache_remembers_a_newer_one() {
    let mut checkout = locked(&[demo("2")]);
    let lock = checkout.lock();
    fs::remove_dir_all(checkout.path("cache/archive/releases")).unwrap();
    checkout.now -= 3600;
    checkout.publish(&[demo("1")]);
    let error = checkout.forge(&["update"]).error();
    assert!(error.contains("error: the archive's trixie"), "{error}");
    assert!(error.contains(" of os/packages.lock\nhint: wait until the mirror"), "{error}");
    assert_eq!(checkout.lock(), lock);
}

#[test]
fn an_archive_that_is_not_genuine_is_refused_and_nothing_of_it_is_kept() {
    type Change = fn(&mut Checkout);
    #[rustfmt::skip]
    let cases: [(&str, Change); 5] = [
        ("no signature is good", |it| {
            let signed = it.archive.signed().replacen("Origin: Test", "Origin: Evil", 1);
            it.archive.server.put(IN_RELEASE, signed);
        }),
        ("is not in the keyring", |it| {
            fs::write(it.path("keyring.pgp"), Repository::empty("x", it.now).keyring()).unwrap();
        }),
        ("it expired on ", |it| it.expire(&[demo("2")])),
        ("is not what was promised", |it| it.fault(&it.archive.by_hash(), Fault::Tamper)),
        ("is cut short", |it| it.fault(&it.archive.by_hash(), Fault::Cut(0))),
    ];
    for (message, change) in cases {
        let mut checkout = Checkout::new(&[demo("1")]);
        change(&mut checkout);
        let error = checkout.forge(&["update"]).error();
        assert!(error.contains(message), "{message}: {error}");
        assert_eq!(checkout.lock(), "");
        assert_eq!(checkout.names("cache/archive/by-hash/sha256").len(), 0, "{message}");
        assert_eq!(checkout.unfinished().len(), 0, "{message}");
    }
}

#[test]
fn a_package_that_is_not_genuine_is_refused_and_nothing_of_it_is_kept() {
    for (fault, message) in [
        (Fault::Tamper, "is not what was promised"),
        (Fault::TooLong, "is longer than the"),
        (Fault::Cut(0), "is cut short"),
    ] {
        let checkout = locked(&[demo("1")]);
        let before = checkout.names("cache/archive/by-hash/sha256").len();
        checkout.fault("debian/pool/demo_1.deb", fault);
        let error = checkout.forge(&["image", "oci"]).error();
        assert!(error.contains("pool/demo_1.deb"), "{error}");
        assert!(error.contains(message), "{error}");
        assert_eq!(checkout.names("cache/archive/by-hash/sha256").len(), before);
        assert_eq!(checkout.names("out/oci"), [""; 0]);
        assert_eq!(checkout.unfinished().len(), 0);
    }
}

#[test]
fn after_a_kill_in_the_middle_of_a_download_the_next_run_works() {
    let checkout = locked(&[demo("1")]);
    checkout.fault("debian/pool/demo_1.deb", Fault::Stall(100));
    let mut child = checkout.start(&["image", "oci"]);
    checkout.archive.server.wait_for_stall();
    child.kill().unwrap();
    assert_eq!(Printed::of(child).code, None);
    assert_eq!(checkout.unfinished().len(), 1);

    checkout.archive.server.heal("debian/pool/demo_1.deb");
    checkout.forge(&["image", "oci"]).good();
    assert!(checkout.path("out/oci/preon-base.tar").exists());
    assert_eq!(checkout.unfinished().len(), 0);
}

/// A stand-in for mkfs.erofs and the loader that runs it: takes some of its input, and kills forge
/// where the file `kill` lies in the checkout.
fn deadly_tools() -> Package {
    let loader = "#!/bin/sh\n\
        for output; do :; done\n\
        if [ -e kill ]; then\n  dd of=\"$output\" bs=512 count=1 status=none\n  kill -9 $PPID\nfi\n\
        exec dd of=\"$output\" bs=4096 conv=sync iflag=fullblock status=none\n";
    let files =
        [("usr/bin/mkfs.erofs", "x"), ("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", loader)];
    package(("mkfs", "1"), "", &files)
}

#[test]
fn after_a_kill_in_the_middle_of_composing_the_next_run_works() {
    let checkout = Checkout::with_tools(demo("1"), deadly_tools());
    // The product has no programs of ours, so that no whole image can be built: a layer of all packages can.
    fs::copy(checkout.path("os/images/demo.toml"), checkout.path("os/images/minimal.toml"))
        .unwrap();
    checkout.forge(&["update"]).good();
    checkout.write("kill", "");
    let build = || checkout.forge(&["curate", "--layer", "out/everything"]);
    let printed = build();
    assert_eq!(printed.code, None, "{}", printed.err);
    assert_ne!(checkout.unfinished().len(), 0);

    fs::remove_file(checkout.path("kill")).unwrap();
    build().good();
    assert_eq!(checkout.unfinished().len(), 0);
    assert_eq!(checkout.names("out/everything/layers").len(), 2);
}
