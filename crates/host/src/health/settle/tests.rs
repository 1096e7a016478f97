use std::fs;

use base::Digest;
use formats::manifest::{FORMAT, Kernel, Layer, Manifest};
use generations::store::LayerFiles;
use generations::{Store, running};

use super::super::{Check, Outcome};
use super::*;
use crate::Root;

const RELEASE: &str = "6.12-preon";

/// A host that runs the wanted one of generations 1 to `count`, the highest.
fn host(dir: &tempfile::TempDir, count: u64) -> Host {
    let root = Root(dir.path().to_owned());
    let store = Store::create(&root.below(generations::STORE)).unwrap();
    for _ in 0..count {
        let files = LayerFiles { erofs: root.below("/erofs"), verity: root.below("/verity") };
        fs::write(&files.erofs, "erofs").unwrap();
        fs::write(&files.verity, "verity").unwrap();
        store.stage(&manifest(), &[files]).unwrap();
    }
    store.want(Generation(count)).unwrap();
    base::file::replace(
        &root.below(generations::kernel::RELEASE),
        format!("{RELEASE}\n").as_bytes(),
    )
    .unwrap();
    running::write(&root.below(generations::RUNNING), Generation(count)).unwrap();
    boot(&store);
    Host::open(&root).unwrap()
}

fn boot(store: &Store) -> Generation {
    let choice = store.choose(&Booted::of_release(RELEASE)).unwrap();
    store.count_attempt(&choice).unwrap();
    choice.generation
}

fn manifest() -> Manifest {
    let layer = Layer {
        name: "base".into(),
        erofs: Digest::of(b"erofs"),
        erofs_bytes: 5,
        verity: Digest::of(b"verity"),
        verity_bytes: 6,
        root_hash: Digest::of(b"root"),
        compression: "lz4".into(),
        cluster_bytes: 4096,
        inputs: Digest::of(b"inputs"),
    };
    let uki = Digest::of(b"uki");
    Manifest {
        format: FORMAT,
        image: "minimal".into(),
        version: "1".into(),
        build_id: "1.1".into(),
        kernel: Kernel {
            release: RELEASE.into(),
            version: "6.12-1".into(),
            package: "preon-uki-hardened".parse().unwrap(),
            uki,
        },
        other_kernels: Vec::new(),
        layers: vec![layer],
        packages: Vec::new(),
        not_rebuilt: [].into(),
        pins: [].into(),
        change: None,
        tools: [].into(),
    }
}

fn report(good: bool, failed: &[&str]) -> Report {
    let bad = Outcome::Bad { status: "exit status: 1".into(), output: "text".into() };
    let outcome = if good { Outcome::Good } else { bad };
    let failed = failed.iter().map(|it| (*it).to_owned()).collect();
    let check = Check { name: "50-docker".into(), outcome, seconds: 1.0 };
    Report { checks: vec![check], failed_units: Some(failed) }
}

fn known(host: &Host) -> String {
    fs::read_to_string(host.root.below("/var/lib/preon/health/failed-units")).unwrap_or_default()
}

#[test]
fn what_follows_depends_on_what_was_good_and_what_is_left() {
    let (one, two) = (Generation(1), Generation(2));
    let restart = Verdict::Restart { generation: two, then: one };
    #[rustfmt::skip]
    let cases = [
        // generations, blessed before, report, verdict, attempts then, good then
        (2, 0, true,  Verdict::Blessed(two), 0, 2),
        (2, 1, true,  Verdict::Blessed(two), 0, 2),
        (2, 0, false, restart,               1, 0), // the attempt counts
        (2, 1, false, restart,               1, 1),
        (2, 2, false, Verdict::Stays(two),   0, 2), // its surroundings have changed, not it
        (1, 0, true,  Verdict::Blessed(one), 0, 1),
        (1, 0, false, Verdict::Stays(one),   0, 0), // nothing else is left
        (1, 1, false, Verdict::Stays(one),   0, 1),
    ];
    for (count, blessed, good, expected, attempts, good_then) in cases {
        let case = format!("{count} generations, {blessed} blessed, good: {good}");
        let dir = tempfile::tempdir().unwrap();
        let host = host(&dir, count);
        if blessed != 0 {
            host.store.want(Generation(blessed)).unwrap();
            host.store.bless(Generation(blessed)).unwrap();
            host.store.want(Generation(count)).unwrap();
            boot(&host.store);
        }
        assert_eq!(settle(&host, &report(good, &[])).unwrap(), expected, "{case}");
        let wanted = host.store.wanted().unwrap();
        assert_eq!((wanted.attempts, wanted.good.0), (attempts, good_then), "{case}");
        let failure = host.store.failure(Generation(count)).unwrap();
        let noted = (!good).then_some("50-docker: exit status: 1\n  | text\n");
        assert_eq!(failure.as_deref(), noted, "{case}");
    }
}

#[test]
fn a_host_whose_generations_are_all_bad_ends_up_and_stays_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut host = host(&dir, 3);
    let bad = report(false, &[]);
    let mut boots = vec![3];
    while let Verdict::Restart { .. } = settle(&host, &bad).unwrap() {
        host.running = Some(boot(&host.store));
        boots.extend(host.running.map(|it| it.0));
    }
    assert_eq!(boots, [3, 3, 3, 2, 2, 2, 1]);
    for _ in 0..12 {
        assert_eq!(settle(&host, &bad).unwrap(), Verdict::Stays(Generation(1)));
        assert_eq!(boot(&host.store), Generation(1));
    }
}

#[test]
fn nothing_is_decided_where_another_generation_is_wanted_meanwhile() {
    for good in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let host = host(&dir, 2);
        host.store.want(Generation(1)).unwrap();
        let before = host.store.wanted().unwrap();
        let verdict = settle(&host, &report(good, &["a.service"])).unwrap();
        assert_eq!(verdict, Verdict::Superseded(Generation(2)));
        assert_eq!(host.store.wanted().unwrap(), before);
        assert_eq!(known(&host), "");
    }
}

#[test]
fn units_that_fail_under_a_good_generation_are_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(&dir, 2);
    settle(&host, &report(false, &["new.service"])).unwrap();
    assert_eq!(known(&host), "", "it was never good");
    settle(&host, &report(true, &["old.service"])).unwrap();
    assert_eq!(known(&host), "old.service\n");
    settle(&host, &report(false, &["old.service", "operator.service"])).unwrap();
    assert_eq!(known(&host), "old.service\noperator.service\n");
    settle(&host, &Report { failed_units: None, ..report(false, &[]) }).unwrap();
    assert_eq!(known(&host), "old.service\noperator.service\n", "systemd did not answer");
}

#[test]
fn what_does_not_run_cannot_be_settled() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host { running: None, ..host(&dir, 1) };
    let error = settle(&host, &report(true, &[])).unwrap_err();
    assert!(matches!(error, SettleError::NotRunning) && error.hint().is_some());
}
