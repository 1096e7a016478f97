//! The host to develop on, as its users meet it. One boot, one story: starting a machine is dear.

use std::time::Duration;

use system_tests::full::Host;

/// Emulated, on a machine that does other things too.
const BOOT: Duration = Duration::from_secs(900);

#[test]
#[ignore = "nightly: needs the image `full`"]
fn the_full_host_builds_runs_and_ships_what_people_develop() {
    let host = Host::start(BOOT);
    host.compiles();
    host.has_what_people_work_with();
    host.builds_and_runs_with_docker();
    host.builds_and_runs_without_docker();
    host.starts_a_pod();
    host.power_off();
}
