//! Updates of a checkout whose tool root is ten lines of shell.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::kernel::build::tests::{COMPILES, Recorder, hold_until_waited_for};
use crate::kernel::shop::{CONFIG, Shop, printed};

fn update(shop: &Shop, dry_run: bool) -> Result<String, String> {
    printed(|out| Update { dry_run, json: false }.run(shop, out))
}

#[test]
fn an_update_moves_lock_and_configurations_builds_and_says_what_is_fixed() {
    let shop = Shop::new(CONFIG, COMPILES);
    let said = update(&shop, true).unwrap();
    assert_eq!(said, "linux 6.12.117-1 -> 6.12.118-1 of trixie-security\n");
    assert_eq!(
        shop.source(Need::Files).unwrap().version,
        "6.12.117-1",
        "a dry run changes nothing"
    );

    let said = update(&shop, false).unwrap();
    let image = said.lines().find_map(|line| line.strip_prefix("built: ")).unwrap();
    assert!(Path::new(image).exists(), "{image}");
    let expected = format!(
        "linux 6.12.117-1 -> 6.12.118-1 of trixie-security\n\
         hardened: 1 options changed, meets the policy\n  CONFIG_NEW: n → y\n\
         full: 1 options changed, meets the policy\n  CONFIG_NEW: n → y\n\
         unhardened: 1 options changed\n  CONFIG_NEW: n → y\n\
         built: {image}\nfixed, says the changelog: 1 (CVE-2026-12345)\n"
    );
    assert_eq!(said, expected);
    let (lock, configs) = (&shop.texts()[0], &shop.texts()[1..]);
    assert!(lock.contains("6.12.118-1"), "{lock}");
    assert_eq!(configs, [CONFIG; 3]);
    assert!(!shop.cache().join("trial").exists(), "nothing is left of the trial");

    assert_eq!(
        update(&shop, false).unwrap(),
        "linux 6.12.118-1 of trixie-security is the newest\n"
    );
}

#[test]
fn an_update_that_fails_leaves_lock_and_configurations_as_they_were() {
    const WEAKER: &str =
        "# Linux/x86 6.12.118 Kernel Configuration\nCONFIG_GCC_PLUGINS=y\nCONFIG_A=y\n";
    #[rustfmt::skip]
    let cases = [
        (WEAKER, COMPILES,                          "CONFIG_NEW=y"),                      // the policy
        (CONFIG, "echo 'a.c:1: error: x'; exit 2",  "the kernel's build failed"),
        ("CONFIG_GCC_PLUGINS=y\n", COMPILES,        "1 of the options asked for did not come out"),
    ];
    for (config, compile, expected) in cases {
        let shop = Shop::new(config, compile);
        let before = shop.texts();
        let error = update(&shop, false).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert_eq!(shop.texts(), before, "{expected}");
    }
}

#[test]
fn a_lock_that_somebody_changes_meanwhile_is_not_overwritten() {
    let shop = Shop::new(CONFIG, COMPILES);
    let trial =
        Trial::begin(shop.repository(), shop.cache(), &shop.lock("6.12.118-1"), shop.progress())
            .unwrap();
    shop.lock("6.12.119-1").save(&shop.path("os/packages.lock")).unwrap();
    let before = shop.texts();
    let error = trial.keep().unwrap_err();
    assert!(error.to_string().ends_with("os/packages.lock was changed while the update was tried"));
    assert!(error.hint().unwrap().contains("again"));
    assert_eq!(shop.texts(), before);
}

#[test]
fn what_a_killed_trial_left_is_not_in_the_next_one() {
    let shop = Shop::new(CONFIG, COMPILES);
    let left = shop.cache().join("trial/os/packages.lock");
    file::replace(&left, b"left").unwrap();
    update(&shop, false).unwrap();
    assert!(shop.texts()[0].contains("6.12.118-1"));
}

#[test]
fn an_update_never_goes_backwards() {
    for dry_run in [true, false] {
        let mut shop = Shop::new(CONFIG, COMPILES);
        shop.archive = ("6.12.99-1", false);
        let before = shop.texts();
        let error = update(&shop, dry_run).unwrap_err();
        let expected = "error: the newest source of trixie-security is linux 6.12.99-1, older than the \
                        6.12.117-1 of os/packages.lock\nhint: wait until the mirror has caught up";
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(shop.texts(), before);
    }
}

#[test]
fn json_says_whether_there_is_something_newer_and_whether_the_archive_was_asked() {
    #[rustfmt::skip]
    let cases = [
        (("6.12.118-1", false), true),
        (("6.12.117-1", false), false),
        (("6.12.117-1", true),  false),
    ];
    for (archive, newer) in cases {
        let mut shop = Shop::new(CONFIG, COMPILES);
        shop.archive = archive;
        let said = printed(|out| Update { dry_run: true, json: true }.run(&shop, out)).unwrap();
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(
            (&said["newer"], &said["offline"]),
            (&newer.into(), &archive.1.into()),
            "{said}"
        );
    }
}

#[test]
fn without_network_the_newest_is_that_of_the_cache() {
    let mut shop = Shop::new(CONFIG, COMPILES);
    #[rustfmt::skip]
    let cases = [
        ("6.12.117-1", "linux 6.12.117-1 of trixie-security is the newest of what the cache holds\n"),
        ("6.12.118-1", "linux 6.12.117-1 -> 6.12.118-1 of trixie-security, the newest of what the cache holds\n"),
    ];
    for (version, expected) in cases {
        shop.archive = (version, true);
        assert_eq!(update(&shop, true).unwrap(), expected);
    }
}

#[test]
fn an_update_says_that_it_waits_for_another() {
    let mut shop = Shop::new(CONFIG, COMPILES);
    let recorder = Arc::new(Recorder::default());
    shop.progress = recorder.clone();
    hold_until_waited_for(&shop.cache.join("trial.lock"), &recorder);
    update(&shop, false).unwrap();
    assert_eq!(recorder.told()[0], "waiting for another update");
}

#[test]
fn a_fragment_that_nothing_reads_stops_the_update() {
    let shop = Shop::new(CONFIG, COMPILES);
    file::replace(&shop.path("os/kernel/harden/x.config"), b"CONFIG_A=y # r\n").unwrap();
    let error = update(&shop, false).unwrap_err();
    assert!(error.starts_with("error: nothing reads os/kernel/harden\nhint: "), "{error}");
}
