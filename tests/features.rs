//! What a container host is for, used for real. One boot, one story: starting a machine is dear.

use std::path::Path;

use system_tests::features::Host;

/// Where the disk of tools is kept.
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");

#[test]
fn a_container_host_needs_nothing_that_is_missing() {
    let host = Host::start("minimal", Path::new(FOLDER));
    host.has_every_feature();
    host.power_off();
}

#[test]
#[ignore = "nightly: needs the image `full`"]
fn the_full_kernel_has_all_that_and_what_it_adds_and_the_hardened_one_beside_it() {
    let mut host = Host::start("full", Path::new(FOLDER));
    host.meets_the_policy(&["full"]);
    host.has_what_the_full_kernel_adds();
    host.has_every_feature();
    host.boots_the_other_kernel();
    host.power_off();
}

#[test]
#[ignore = "nightly: needs the image `strict`"]
fn the_strict_profile_takes_nothing_from_a_container_host() {
    let host = Host::start("strict", Path::new(FOLDER));
    host.meets_the_policy(&["--profile", "strict"]);
    host.has_every_feature();
    host.power_off();
}
