//! Hosts that change by themselves: from a signed repository to the restart, for real but for mkfs.erofs, the kernel and
//! systemd.

#![allow(missing_docs)]

mod server;
mod slots;
#[path = "../changing/world.rs"]
#[allow(dead_code, unreachable_pub)]
mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base::explain;
use base::progress::Silent;
use generations::{Generation, Store};
use host::automatic::{self, Memory, Step};
use host::coordinator::{Config, Coordinator, Holder, Taken};
use testkit::in_namespace;
use world::{Package, World};

const BASE: Package<'_> = ("base", "1-1+0preon1", "Depends: libbase\n", &[("usr/bin/base", "1")]);
const LIBBASE: Package<'_> = ("libbase", "1-1+0preon1", "", &[("usr/lib/libbase", "1")]);
const LIBBASE_2: Package<'_> = ("libbase", "2-1+0preon1", "", &[("usr/lib/libbase", "2")]);
const BASE_2: Package<'_> = (
    "base",
    "2-1+0preon1",
    "Depends: libbase\nPreon-Fixes:\n 2-1 - CVE-2026-0001\n",
    &[("usr/bin/base", "2")],
);
const BASE_3: Package<'_> = (
    "base",
    "3-1+0preon1",
    "Depends: libbase\nPreon-Fixes:\n 3-1 - CVE-2026-0002\n",
    &[("usr/bin/base", "3")],
);
const NOW: u64 = 1_900_000_000;

/// A host with `/etc/preon/updates.toml`, and its systemd.
struct Alone {
    world: World,
}

impl Alone {
    fn new(config: &str) -> Self {
        let host = Self { world: World::new(&[BASE, LIBBASE]) };
        host.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        host.write("/proc/sys/kernel/hostname", "web1\n");
        host.configure(config);
        host
    }

    fn configure(&self, config: &str) {
        self.write("/etc/preon/updates.toml", config);
    }

    fn write(&self, path: &str, text: &str) {
        base::file::replace(&self.world.on_host(path), text.as_bytes()).unwrap();
    }

    fn store(&self) -> Store {
        self.world.store()
    }

    /// Programs that answer as systemd would, and write down which restarts they were asked for.
    fn put_systemd(&self) {
        let asked = self.world.on_host("/asked");
        for (name, text) in [
            ("systemctl", format!("echo \"$@\" >>{}", asked.display())),
            ("busctl", "echo '{\"data\":[[]]}'".to_owned()),
            ("systemd-run", format!("echo again \"$@\" >>{}", asked.display())),
        ] {
            let path = self.world.on_host("/usr/bin").join(name);
            base::file::replace(&path, format!("#!/bin/sh\n{text}\n").as_bytes()).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// What it was asked for since the last time.
    fn asked(&self) -> Vec<String> {
        let path = self.world.on_host("/asked");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        text.lines().map(str::to_owned).collect()
    }

    fn turn(&self, now: u64) -> Result<Memory, String> {
        self.put_systemd();
        automatic::run(&self.world.host(), now, &Silent)
            .map_err(|error| explain::render(error.as_ref()))
    }

    /// What a turn did, in words.
    fn step(&self, now: u64) -> String {
        match self.turn(now).unwrap().step.unwrap() {
            Step::Nothing { why } => why,
            Step::Wait { until, why } => format!("wait {}: {why}", until.map_or(0, |it| it - now)),
            Step::Restart { generation, .. } => format!("restart {generation}"),
            step => format!("{step:?}"),
        }
    }

    /// Boots what is wanted, and finds it good.
    fn boots_well(&self) {
        let store = self.store();
        let choice = store.choose(&generations::Booted::of_release("6.12-preon")).unwrap();
        store.count_attempt(&choice).unwrap();
        self.world.boot();
        store.bless(choice.generation).unwrap();
    }

    /// Boots what is wanted until it gives way, to what is good then.
    fn boots_badly(&self) {
        let store = self.store();
        let bad = store.wanted().unwrap().generation;
        for _ in 0..=generations::choose::ATTEMPTS {
            let choice = store.choose(&generations::Booted::of_release("6.12-preon")).unwrap();
            store.count_attempt(&choice).unwrap();
        }
        assert_eq!(store.wanted().unwrap().failed, bad);
        self.world.boot();
        store.bless(store.wanted().unwrap().generation).unwrap();
    }

    fn wanted(&self) -> u64 {
        self.store().wanted().unwrap().generation.0
    }
}

#[test]
fn a_repository_that_is_silent_keeps_no_other_ones_updates_away_and_what_waits_stays() {
    let host = Alone::new("mode = \"stage\"\nwhat = \"all\"");
    let extra = World::new(&[LIBBASE_2]);
    let know = |uri: &str| host.world.know("extra", &extra.path("keys/1.root.json"), uri);
    know("file:///gone");
    host.world.publish(&[BASE_2]);
    let memory = host.turn(NOW).unwrap();
    assert_eq!((host.wanted(), memory.silent[0].name.as_str()), (2, "extra"));
    assert_eq!(host.world.packages(2), ["*base 2-1+0preon1 delta", "libbase 1-1+0preon1 base"]);
    // What waits is from both: it neither goes nor is made anew without one of them.
    know(&extra.uri());
    assert_eq!(host.turn(NOW + 1).unwrap().silent, []);
    assert_eq!(host.wanted(), 3);
    know("file:///gone");
    assert_eq!(host.step(NOW + 2), "a new generation waits for a restart");
    host.boots_well();
    host.world.publish(&[BASE_3]);
    assert_eq!(host.step(NOW + 3), "a new generation waits for a restart");
    assert_eq!(host.wanted(), 4);
    assert_eq!(host.world.packages(4), ["*base 3-1+0preon1 delta", "libbase 2-1+0preon1 delta"]);
    host.configure("mode = \"off\"");
    assert_eq!(host.turn(NOW + 4).unwrap().silent, []); // nobody looks
    // Where nobody answers the turn fails, as with one repository.
    host.configure("mode = \"stage\"");
    host.world.mirrors(&["file:///gone".into()]);
    assert!(host.turn(NOW + 4).is_err());
    let memory = Memory::read(&host.world.root()).unwrap();
    assert!(memory.failure.is_some() && memory.silent.is_empty());
}

#[test]
fn an_update_is_staged_restarted_into_and_over_when_it_is_good() {
    let host = Alone::new("mode = \"apply\"");
    host.boots_well();
    assert_eq!(host.step(NOW), "everything is as new as it can be");
    host.world.publish(&[BASE_2, LIBBASE_2]);
    assert_eq!(host.step(NOW + 1), "restart 2");
    assert_eq!(host.asked(), ["--check-inhibitors=no soft-reboot"]);
    // Only what fixes a flaw: that is the default.
    assert_eq!(host.world.packages(2), ["*base 2-1+0preon1 delta", "libbase 1-1+0preon1 base"]);
    let manifest = host.store().manifest(Generation(2)).unwrap();
    assert_eq!(manifest.change.unwrap().asked, "automatic upgrade --security");
    host.boots_well();
    let memory = host.turn(NOW + 2).unwrap();
    assert_eq!((memory.restart, memory.available), (None, None));
    host.configure("mode = \"apply\"\nwhat = \"all\"\nreboot = \"full\"");
    assert_eq!(host.step(NOW + 3), "restart 3");
    assert_eq!(host.asked(), ["--check-inhibitors=no reboot"]);
}

#[test]
fn who_only_looks_changes_nothing() {
    for config in ["mode = \"notify\"", "mode = \"off\""] {
        let host = Alone::new(config);
        host.world.publish(&[BASE_2, LIBBASE]);
        let memory = host.turn(NOW).unwrap();
        let closes = memory.available.map(|plan| plan["closes"][0].clone());
        assert_eq!(closes, config.contains("notify").then(|| "CVE-2026-0001".into()));
        assert_eq!((host.wanted(), host.store().generations().unwrap().len()), (1, 1));
    }
    // Nor does a look at what would be done.
    let host = Alone::new("mode = \"apply\"");
    host.world.publish(&[BASE_2, LIBBASE]);
    let memory = automatic::check(&host.world.host(), NOW, &Silent).unwrap();
    assert_eq!((memory.step, host.wanted()), (Some(Step::Stage), 1));
    // What was done stays what is told of.
    assert_eq!(Memory::read(&host.world.root()).unwrap().step, None);
    host.configure("mode = \"stage\"");
    let done = host.turn(NOW).unwrap().step;
    host.configure("mode = \"apply\"");
    let memory = automatic::check(&host.world.host(), NOW, &Silent).unwrap();
    assert!(matches!(memory.step, Some(Step::Restart { .. })), "{:?}", memory.step);
    assert_eq!(Memory::read(&host.world.root()).unwrap().step, done);
}

#[test]
fn what_the_running_kernel_does_not_fit_takes_a_whole_restart() {
    let host = Alone::new("mode = \"apply\"");
    host.boots_well();
    host.write("/proc/sys/kernel/osrelease", "6.11-chosen-in-the-menu\n");
    host.world.publish(&[BASE_2, LIBBASE]);
    assert_eq!(host.step(NOW), "restart 2");
    assert_eq!(host.asked(), ["--check-inhibitors=no reboot"]);
}

#[test]
fn what_gave_way_is_not_taken_again_and_what_repairs_it_is() {
    let host = Alone::new("mode = \"apply\"");
    host.boots_well();
    host.world.publish(&[BASE_2, LIBBASE]);
    assert_eq!(host.step(NOW), "restart 2");
    host.boots_badly();
    for later in [1, 100_000] {
        assert!(host.step(NOW + later).starts_with("this was tried"), "{}", host.step(NOW));
    }
    host.world.publish(&[BASE_3, LIBBASE]);
    assert_eq!(host.step(NOW + 200_000), "restart 3");
    host.boots_well();
    assert_eq!(host.step(NOW + 200_001), "everything is as new as it can be");

    // Somebody goes back by hand: the host does not go forth by itself.
    host.store().want(Generation(1)).unwrap();
    assert!(host.step(NOW + 200_002).starts_with("generation 1 waits for a restart"));
    host.boots_well();
    assert!(host.step(NOW + 200_003).starts_with("this was tried"));
    assert_eq!(host.wanted(), 1);
}

#[test]
fn what_cut_the_host_off_is_not_taken_again_after_somebody_went_back() {
    let host = Alone::new("mode = \"stage\"");
    host.boots_well();
    host.world.publish(&[BASE_2, LIBBASE]);
    host.turn(NOW).unwrap();
    host.boots_well(); // somebody restarts the host
    host.world.mirrors(&["file:///gone".into()]);
    assert!(host.turn(NOW + 1).is_err());
    host.store().want(Generation(1)).unwrap();
    host.boots_well();
    host.world.mirrors(&[host.world.uri()]);
    let step = host.step(NOW + 2);
    assert!(step.starts_with("this was tried"), "{step}");
    assert_eq!(host.wanted(), 1);
}

#[test]
fn without_windows_a_host_restarts_in_the_turn_that_stages_or_after_its_part_of_the_delay() {
    let host = Alone::new("mode = \"apply\"");
    host.boots_well();
    host.world.publish(&[BASE_2, LIBBASE]);
    assert_eq!(host.step(NOW), "restart 2");
    let host = Alone::new("mode = \"apply\"\ndelay = \"10h\"");
    host.boots_well();
    host.world.publish(&[BASE_2, LIBBASE]);
    let step = host.step(NOW);
    assert!(step.ends_with(": hosts restart one after another"), "{step}");
    let wait: u64 = step.split(['t', ':']).nth(1).unwrap().trim().parse().unwrap();
    assert_eq!(host.step(NOW + wait - 1), "wait 1: hosts restart one after another");
    assert_eq!(host.step(NOW + wait), "restart 2");
}

#[test]
fn a_window_that_is_shorter_than_an_hour_has_a_turn_of_its_own() {
    const HOUR: u64 = 3600;
    let host = Alone::new("mode = \"apply\"\nwindows = [\"02:00-02:10\"]");
    host.boots_well();
    host.world.publish(&[BASE_2, LIBBASE]);
    let midnight = NOW / (24 * HOUR) * 24 * HOUR;
    assert_eq!(host.step(midnight), "wait 7200: no maintenance window is open");
    assert_eq!(host.asked(), [""; 0]);
    assert_eq!(host.step(midnight + HOUR + 900), "wait 2700: no maintenance window is open");
    let again = "again --quiet --collect --timer-property=AccuracySec=1s --on-active=2700s \
                 systemctl start --no-block preon-updates.service";
    assert_eq!(host.asked(), [again]);
    assert_eq!(host.step(midnight + 2 * HOUR), "restart 2");
}

#[test]
fn what_waits_gives_way_to_what_is_newer_and_goes_when_it_is_offered_no_more() {
    let host = Alone::new("mode = \"stage\"\nwhat = \"all\"");
    host.world.publish(&[BASE, LIBBASE_2]);
    let waits = "a new generation waits for a restart";
    assert_eq!((host.step(NOW), host.wanted()), (waits.into(), 2));
    assert_eq!((host.step(NOW), host.wanted()), (waits.into(), 2));
    host.world.publish(&[BASE_2, LIBBASE_2]);
    assert_eq!((host.step(NOW + 1), host.wanted()), (waits.into(), 3));
    assert_eq!(host.world.packages(3), ["*base 2-1+0preon1 delta", "libbase 2-1+0preon1 delta"]);
    assert_eq!(host.store().manifest(Generation(3)).unwrap().change.unwrap().from, 1);
    // Less is asked for, and so less waits.
    host.configure("mode = \"stage\"\nwhat = \"security\"");
    assert_eq!(host.step(NOW + 2), waits);
    assert_eq!(host.world.packages(4), ["*base 2-1+0preon1 delta", "libbase 1-1+0preon1 base"]);
    // What somebody else lets wait is left alone.
    host.store().want(Generation(1)).unwrap();
    host.world.change("pin base", pin("base")).unwrap();
    host.world.boot();
    host.world
        .change("unpin base", packages::change::Wish::Unpin("base".parse().unwrap()))
        .unwrap();
    assert!(host.step(NOW + 3).starts_with("generation 6 waits for a restart: it is not from"));
    assert_eq!(host.asked(), [""; 0]);
}

fn pin(name: &str) -> packages::change::Wish {
    packages::change::Wish::Pin { name: name.parse().unwrap(), version: None }
}

#[test]
fn what_is_offered_no_more_does_not_boot() {
    let host = Alone::new("mode = \"stage\"\nwhat = \"all\"");
    host.world.publish(&[BASE, LIBBASE_2]);
    host.turn(NOW).unwrap();
    assert_eq!(host.wanted(), 2);
    host.configure("mode = \"stage\"\nwhat = \"security\"");
    assert_eq!(host.step(NOW + 1), "everything is as new as it can be");
    assert_eq!(host.wanted(), 1);
}

#[test]
fn what_was_only_folded_and_waits_for_a_boot_keeps_no_update_from_the_host() {
    let host = Alone::new("mode = \"apply\"\nwhat = \"all\"");
    for newer in [[BASE, LIBBASE_2], [BASE_2, LIBBASE_2]] {
        host.world.publish(&newer);
        let asked = packages::change::Wish::Upgrade { names: Vec::new(), security: false };
        host.world.change("upgrade", asked).unwrap();
        host.boots_well();
    }
    let asked = host::housekeeping::Asked { keep: 3, dry_run: false, unattended: true };
    host.world.gc(asked).unwrap().folded.unwrap();
    assert_eq!((host.wanted(), host.step(NOW)), (4, "everything is as new as it can be".into()));
    assert_eq!(host.wanted(), 4);
    host.world.publish(&[BASE_3, LIBBASE_2]);
    assert_eq!(host.step(NOW + 1), "restart 5");
}

#[test]
fn a_wave_a_window_and_a_hold_keep_a_host_back_each_in_its_place() {
    const DAY: u64 = 86_400;
    let host = Alone::new("mode = \"apply\"\nwave = [\"24h:100\"]\nwindows = [\"00:00-24:00\"]");
    host.turn(NOW).unwrap();
    host.world.publish(&[BASE_2, LIBBASE]);
    assert_eq!(host.step(NOW + 5), format!("wait {DAY}: other hosts come first"));
    assert_eq!(host.step(NOW + 5 + DAY / 2), format!("wait {}: other hosts come first", DAY / 2));
    host.write("/run/preon/holds/job", "a job runs");
    assert_eq!(host.step(NOW + 5 + DAY), "wait 0: held by job (a job runs)");
    assert_eq!((host.wanted(), host.asked()), (2, vec![]));
    fs::remove_file(host.world.on_host("/run/preon/holds/job")).unwrap();
    host.configure("mode = \"apply\"\nwindows = [\"Mon 00:00-00:01\"]");
    assert!(host.step(NOW + 6 + DAY).ends_with("no maintenance window is open"));
    host.configure("mode = \"apply\"");
    assert_eq!(host.step(NOW + 7 + DAY), "restart 2");
}

#[test]
fn a_restart_waits_for_who_changes_the_host_and_for_whom_nobody_can_ask() {
    let host = Alone::new("mode = \"apply\"");
    host.world.publish(&[BASE_2, LIBBASE]);
    host.configure("mode = \"stage\"");
    host.turn(NOW).unwrap();
    host.configure("mode = \"apply\"");
    let lock = host.store().lock().unwrap();
    assert_eq!(host.step(NOW + 1), "wait 0: somebody changes the host");
    drop(lock);
    host.put_systemd();
    fs::remove_file(host.world.on_host("/usr/bin/busctl")).unwrap();
    let memory = automatic::run(&host.world.host(), NOW + 2, &Silent).unwrap();
    let Some(Step::Wait { why, .. }) = memory.step else { panic!("{:?}", memory.step) };
    assert!(why.contains("systemd-logind does not say who inhibits"), "{why}");
    assert_eq!(host.asked(), [""; 0]);
}

#[test]
fn two_turns_at_once_are_one_and_a_failure_is_remembered() {
    let host = Alone::new("mode = \"stage\"");
    let path = "/var/lib/preon/updates.lock";
    host.write(path, "");
    let lock = fs::File::open(host.world.on_host(path)).unwrap();
    lock.lock().unwrap();
    assert!(host.turn(NOW).unwrap_err().contains("another automatic update is under way"));
    drop(lock);
    fs::remove_dir_all(host.world.path("repository")).unwrap();
    let error = host.turn(NOW).unwrap_err();
    let memory = Memory::read(&host.world.root()).unwrap();
    assert_eq!((memory.failure, memory.step, memory.at), (Some(error), None, NOW));
}

const TOGETHER: &str = "mode = \"apply\"\n[coordinator]\netcd = [\"http://127.0.0.1:2379\"]\nslots = 1\ngroup = \"web\"\n";

fn coordinator() -> Coordinator {
    let etcd = vec!["http://127.0.0.1:2379".into()];
    let (slots, group) = (1.try_into().unwrap(), "web".into());
    let config = Config { etcd, slots, group, ca: None, certificate: None, key: None };
    Coordinator::new(&host::Root("/".into()), &config).unwrap()
}

#[test]
fn a_host_restarts_with_a_slot_only_and_keeps_it_until_it_is_well_with_something_newer() {
    in_namespace(|| {
        let host = Alone::new(TOGETHER);
        host.boots_well();
        host.world.publish(&[BASE_2, LIBBASE]);
        let step = host.step(NOW);
        assert!(step.contains("etcd cannot be reached at http://127.0.0.1:2379"), "{step}");
        assert_eq!((host.wanted(), host.asked()), (2, vec![]));

        let _etcd = server::Etcd::start();
        let other = Holder { name: "web2".into(), since: NOW, generation: 9 };
        assert_eq!(coordinator().acquire("2", &other).unwrap(), Taken::Granted);
        assert_eq!(host.step(NOW + 1), "wait 0: all slots of the group web are taken: web2");
        coordinator().release("web2").unwrap();
        assert_eq!(host.step(NOW + 2), "restart 2");
        assert_eq!(holders(), "web1");

        // It was asked for and did not happen, and then somebody holds: the slot is free for others.
        host.write("/run/preon/holds/job", "");
        assert_eq!(host.step(NOW + 3), "wait 0: held by job");
        assert_eq!(holders(), "");
        fs::remove_file(host.world.on_host("/run/preon/holds/job")).unwrap();
        assert_eq!(host.step(NOW + 4), "restart 2");

        host.boots_badly();
        let memory = host.turn(NOW + 5).unwrap();
        let kept = memory.restart.unwrap().kept.unwrap();
        assert_eq!(kept, "generation 2 gave way to generation 1");
        assert_eq!(holders(), "web1");
        assert!(matches!(coordinator().acquire("2", &other).unwrap(), Taken::Full(_)));

        host.world.publish(&[BASE_3, LIBBASE]);
        assert_eq!(host.step(NOW + 6), "restart 3");
        host.boots_well();
        assert_eq!(host.step(NOW + 7), "everything is as new as it can be");
        assert_eq!(holders(), "");
    });
}

fn holders() -> String {
    coordinator().holders().unwrap().to_string()
}

#[test]
fn a_slot_goes_back_to_the_group_in_which_it_was_taken_whatever_is_configured_then() {
    in_namespace(|| {
        let _etcd = server::Etcd::start();
        for then in ["mode = \"off\"".to_owned(), TOGETHER.replace("web", "db")] {
            let host = Alone::new(TOGETHER);
            host.boots_well();
            host.world.publish(&[BASE_2, LIBBASE]);
            assert_eq!(host.step(NOW), "restart 2");
            assert_eq!(holders(), "web1");
            host.configure(&then);
            host.boots_well();
            assert_eq!(host.turn(NOW + 1).unwrap().restart, None);
            assert_eq!(holders(), "", "{then}");
        }
        // One that fell back has no say in a group that it has left.
        let host = Alone::new(TOGETHER);
        host.boots_well();
        host.world.publish(&[BASE_2, LIBBASE]);
        assert_eq!(host.step(NOW), "restart 2");
        host.boots_badly();
        host.configure(&TOGETHER.replace("web", "db"));
        host.world.publish(&[BASE_3, LIBBASE]);
        assert_eq!(host.step(NOW + 1), "restart 3");
        assert_eq!(holders(), "");
    });
}

#[test]
fn a_slot_of_which_etcds_answer_was_lost_is_given_back() {
    in_namespace(|| {
        let _etcd = server::Etcd::start();
        let host =
            Alone::new(&TOGETHER.replace("2379", &server::silent_after_changes().to_string()));
        host.boots_well();
        host.world.publish(&[BASE_2, LIBBASE]);
        let step = host.step(NOW);
        assert!(step.contains("nobody knows whether etcd has changed preon/reboot/web"), "{step}");
        host.configure(TOGETHER);
        host.write("/run/preon/holds/job", "");
        assert_eq!(host.step(NOW + 1), "wait 0: held by job");
        assert_eq!(holders(), "");
    });
}
