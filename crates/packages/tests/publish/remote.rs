//! Hosts read the repository over HTTP from mirrors, some of which lie.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::Explain;
use base::progress::Silent;
use packages::cache::Cache;
use packages::fetch::{FetchError, FetchOptions, Fetcher};
use packages::keys::{Replaced, Role};
use packages::publish::LIFE;
use packages::remote::{Refusal, Remote, RemoteError, Trusted};

use crate::sample::{SUITE, Sample, deb};
use crate::server::{Fault, Server};

const DAY: u64 = 24 * 60 * 60;

/// Hosts look at the machine's clock.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A repository with this version of `a`.
fn published(version: &str) -> Sample {
    let sample = Sample::made_at(now());
    sample.publish(&[deb("a", version)], now()).unwrap();
    sample
}

/// A path below the metadata of the suite.
fn tuf(name: &str) -> String {
    format!("dists/{SUITE}/tuf/{name}")
}

/// A server that gives what `sample` has published.
fn mirror(sample: &Sample) -> Server {
    let server = Server::start();
    copy(sample, &server);
    server
}

/// Lets `server` give what `sample` has published.
fn copy(sample: &Sample, server: &Server) {
    for path in sample.tree().keys() {
        server.put(path, fs::read(sample.folder().join(path)).unwrap());
    }
}

/// A host that was made with the first root of a publisher.
struct Host {
    _scratch: tempfile::TempDir,
    remote: Remote,
    fetcher: Arc<Fetcher>,
}

impl Host {
    fn new(publisher: &Sample, mirrors: &[&Server]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let options = FetchOptions {
            attempts: 1,
            stall: Duration::from_millis(300),
            ..FetchOptions::default()
        };
        let cache = Cache::new(scratch.path().join("cache"));
        let remote = Remote {
            mirrors: mirrors.iter().map(|server| server.uri()).collect(),
            suite: SUITE.into(),
            root: fs::read(publisher.path("keys/1.root.json")).unwrap(),
            memory: scratch.path().join("memory"),
            made: now() - 365 * DAY,
        };
        Self { _scratch: scratch, remote, fetcher: Arc::new(Fetcher::new(cache, options).unwrap()) }
    }

    fn refresh(&self) -> Result<Trusted, RemoteError> {
        self.remote.refresh(&self.fetcher)
    }

    /// Why the only mirror is not believed.
    fn refusal(&self) -> Refusal {
        match self.refresh() {
            Err(error @ RemoteError::Refused { refusal, .. }) => {
                let text = base::explain::render(&error);
                assert!(text.contains("hint: "), "{text}");
                let causes: Vec<_> =
                    text.lines().filter(|line| line.contains("caused by")).collect();
                assert_eq!(causes.len(), 1, "said twice: {text}");
                refusal
            }
            other => panic!("{other:?}"),
        }
    }

    /// What the file that is published as `name` holds.
    fn read(&self, name: &str) -> Result<Vec<u8>, RemoteError> {
        let wanted = self.refresh()?.wanted(name)?;
        Ok(fs::read(self.fetcher.fetch(&wanted, &Silent)?).unwrap())
    }

    fn memory(&self, name: &str) -> PathBuf {
        self.remote.memory.join("seen").join(name)
    }
}

#[test]
fn a_host_finds_packages_through_the_index_under_their_digests() {
    let sample = Sample::made_at(now());
    let package = deb("a", "1:1-1~x+0preon1");
    sample.publish(std::slice::from_ref(&package), now()).unwrap();
    let server = mirror(&sample);
    let host = Host::new(&sample, &[&server]);
    let trusted = host.refresh().unwrap();
    assert_eq!((trusted.version(), trusted.root_version()), (1, 1));
    assert!(trusted.valid_until() > now() + LIFE - 60);
    let index = trusted.index(&host.fetcher).unwrap();
    let shown: Vec<_> = index.stanzas().map(|it| (it.name(), it.version_text())).collect();
    assert_eq!(shown, [("a", "1:1-1~x+0preon1")]);
    let file = index.stanzas().next().unwrap().download().unwrap().filename;
    let wanted = trusted.package(&file).unwrap();
    assert_eq!(fs::read(host.fetcher.fetch(&wanted, &Silent).unwrap()).unwrap(), package);
    for name in ["b_1_amd64.deb", "", "..", "a/b", "a\nb"] {
        assert!(matches!(trusted.wanted(name), Err(RemoteError::NotListed(_))), "{name}");
    }
}

#[test]
fn keys_that_were_rotated_while_a_host_was_off_are_followed_from_the_first_root() {
    let sample = published("1");
    let server = mirror(&sample);
    let (awake, asleep) = (Host::new(&sample, &[&server]), Host::new(&sample, &[&server]));
    asleep.refresh().unwrap();
    for role in [Role::Root, Role::Root, Role::Timestamp, Role::Snapshot, Role::Targets] {
        sample.keys().rotate(role, now(), Replaced::Retires).unwrap();
        sample.publish(&[], now()).unwrap();
        copy(&sample, &server);
        assert_eq!(awake.refresh().unwrap().root_version(), sample.keys().root_version());
    }
    for host in [&asleep, &Host::new(&sample, &[&server])] {
        assert_eq!(host.refresh().unwrap().root_version(), 6);
        assert!(host.read("a_1_amd64.deb").is_ok());
    }
}

#[test]
fn a_root_that_was_replaced_is_believed_no_more() {
    let sample = published("1");
    let server = mirror(&sample);
    let host = Host::new(&sample, &[&server]);
    sample.keys().rotate(Role::Root, now(), Replaced::Retires).unwrap();
    sample.publish(&[], now()).unwrap();
    copy(&sample, &server);
    host.refresh().unwrap();
    // Somebody who has the first root's key, and shows nothing of the second root.
    server.remove(&tuf("2.root.json"));
    assert_eq!(host.refresh().unwrap().root_version(), 2);
}

#[test]
fn a_chain_of_roots_with_a_gap_or_of_strangers_leads_nowhere() {
    let sample = published("1");
    sample.keys().rotate(Role::Root, now(), Replaced::Retires).unwrap();
    sample.keys().rotate(Role::Timestamp, now(), Replaced::Retires).unwrap();
    sample.publish(&[], now()).unwrap();
    let server = mirror(&sample);
    server.remove(&tuf("2.root.json"));
    assert_eq!(Host::new(&sample, &[&server]).refusal(), Refusal::Unsigned);

    let stranger = published("1");
    assert_eq!(Host::new(&sample, &[&mirror(&stranger)]).refusal(), Refusal::Unsigned);
    let mut host = Host::new(&sample, &[&server]);
    host.remote.root = b"{}".to_vec();
    assert_eq!(host.refusal(), Refusal::Root);
}

#[test]
fn a_mirror_that_does_not_say_whether_there_is_a_next_root_is_not_believed() {
    let sample = published("1");
    let server = mirror(&sample);
    #[rustfmt::skip]
    let cases = [
        (Fault::Status(500), Some(Refusal::Unreachable)),
        (Fault::Stall(0),    Some(Refusal::Unreachable)),
        (Fault::Status(403), None), // so a store of objects says that there is none
    ];
    for (fault, expected) in cases {
        server.put(&tuf("2.root.json"), "x");
        server.fault(&tuf("2.root.json"), fault);
        let host = Host::new(&sample, &[&server]);
        match expected {
            Some(refusal) => assert_eq!(host.refusal(), refusal, "{fault:?}"),
            None => drop(host.refresh().unwrap()),
        }
    }
}

#[test]
fn a_repository_of_last_month_that_is_played_again_is_refused_by_who_has_seen_a_newer_one() {
    let sample = published("1");
    let (server, old) = (mirror(&sample), mirror(&sample));
    sample.publish(&[deb("a", "2")], now()).unwrap();
    copy(&sample, &server);
    let mut host = Host::new(&sample, &[&server]);
    host.refresh().unwrap();
    host.remote.mirrors = vec![old.uri()];
    assert_eq!(host.refusal(), Refusal::Older);
    host.remote.mirrors = vec![server.uri()];
    assert_eq!(host.refresh().unwrap().version(), 2);
}

#[test]
fn what_was_verified_is_remembered_though_the_rest_failed() {
    let sample = published("1");
    let (server, old) = (mirror(&sample), mirror(&sample));
    sample.publish(&[deb("a", "2")], now()).unwrap();
    copy(&sample, &server);
    server.remove(&tuf("2.targets.json"));
    let mut host = Host::new(&sample, &[&server]);
    assert_eq!(host.refusal(), Refusal::Unreachable);
    host.remote.mirrors = vec![old.uri()];
    assert_eq!(host.refusal(), Refusal::Older);
}

#[test]
fn a_repository_that_was_not_renewed_is_refused() {
    let made = now() - LIFE - 60;
    let sample = Sample::made_at(made);
    sample.publish(&[deb("a", "1")], made).unwrap();
    assert_eq!(Host::new(&sample, &[&mirror(&sample)]).refusal(), Refusal::Expired);
}

#[test]
fn files_of_two_publications_do_not_go_together() {
    let sample = published("1");
    let first = sample.tree();
    sample.publish(&[deb("a", "2")], now()).unwrap();
    for role in ["snapshot", "targets"] {
        let server = mirror(&sample);
        server.put(&tuf(&format!("2.{role}.json")), first[&tuf(&format!("1.{role}.json"))].clone());
        assert_eq!(Host::new(&sample, &[&server]).refusal(), Refusal::Mixed, "{role}");
    }
}

#[test]
fn a_page_in_place_of_metadata_is_named_as_such() {
    let sample = published("1");
    let server = Server::start();
    for name in ["2.root.json", "timestamp.json"] {
        server.put(&tuf(name), "<!DOCTYPE html><title>Log in</title>");
    }
    assert_eq!(Host::new(&sample, &[&server]).refusal(), Refusal::Malformed);
}

#[test]
fn a_package_that_was_swapped_for_another_genuine_one_is_refused() {
    let sample = Sample::made_at(now());
    let (one, other) = (deb("a", "1"), deb("b", "1"));
    sample.publish(&[one, other.clone()], now()).unwrap();
    let server = mirror(&sample);
    let host = Host::new(&sample, &[&server]);
    let wanted = host.refresh().unwrap().wanted("a_1_amd64.deb").unwrap();
    let path = wanted.uri.strip_prefix(&server.uri()).unwrap().trim_start_matches('/').to_owned();
    let mut swapped = other;
    swapped.truncate(usize::try_from(wanted.size).unwrap());
    server.put(&path, swapped);
    let error = host.fetcher.fetch(&wanted, &Silent).unwrap_err();
    let expected = matches!(error, FetchError::Tampered { .. } | FetchError::Truncated { .. });
    assert!(expected, "{error}");
}

#[test]
fn the_next_mirror_is_asked_when_one_is_away_stalls_lies_or_is_old() {
    let sample = published("1");
    let (old, stalls) = (mirror(&sample), mirror(&sample));
    sample.publish(&[deb("a", "2")], now()).unwrap();
    let (good, stranger, away) = (mirror(&sample), published("3"), Server::start());
    let lies = mirror(&stranger);
    stalls.fault(&tuf("timestamp.json"), Fault::Stall(10));
    let mut host = Host::new(&sample, &[&good]);
    host.refresh().unwrap();
    host.remote.mirrors = [&away, &stalls, &lies, &old, &good].map(Server::uri).into();
    let trusted = host.refresh().unwrap();
    assert_eq!((trusted.mirror(), trusted.version()), (good.uri().as_str(), 2));

    host.remote.mirrors = [&stalls, &lies, &old].map(Server::uri).into();
    let error = host.refresh().unwrap_err();
    assert!(error.hint().is_some());
    let text = error.to_string();
    for (server, reason) in [
        (&stalls, "it does not give its signed metadata"),
        (&lies, "is not signed by the keys that this host knows"),
        (&old, "older than what this host has seen"),
    ] {
        let line = text.lines().find(|line| line.contains(&server.uri())).unwrap();
        assert!(line.contains(reason), "{line}");
    }
    host.remote.mirrors.clear();
    assert!(matches!(host.refresh(), Err(RemoteError::NoMirror)));
}

#[test]
fn no_terminal_obeys_what_a_mirror_writes_into_its_metadata() {
    let sample = published("1");
    let server = mirror(&sample);
    let key =
        r#"{"keytype": "\u001b[2J\nhint: x", "scheme": "ed25519", "keyval": {"public": "aa"}}"#;
    let text =
        format!(r#"{{"signatures": [], "signed": {{"_type": "root", "keys": {{"aa": {key}}}}}}}"#);
    server.put(&tuf("2.root.json"), text.into_bytes());
    let text = base::explain::render(&Host::new(&sample, &[&server]).refresh().unwrap_err());
    assert!(text.contains("[2J"), "it is told what is wrong: {text}");
    assert!(!text.contains('\x1b') && !text.contains("\nhint: x"), "{text:?}");
}

#[test]
fn no_more_is_fetched_of_metadata_than_it_may_have() {
    let sample = published("1");
    let files = ["timestamp.json", "1.snapshot.json", "1.targets.json"];
    for name in files {
        let server = mirror(&sample);
        let mut bytes = fs::read(sample.folder().join(tuf(name))).unwrap();
        let length = bytes.len().max(if name == files[0] { 1 << 20 } else { 0 });
        bytes.resize(2 * length, b' ');
        server.put(&tuf(name), bytes);
        let host = Host::new(&sample, &[&server]);
        assert_eq!(host.refusal(), Refusal::Mixed, "{name}");
        let text = base::explain::render(&host.refresh().unwrap_err());
        let expected = format!("{name} is longer than the {} that", base::ByteSize(length as u64));
        assert!(text.contains(&expected), "{text}");
    }
}

#[test]
fn a_folder_is_a_mirror_too() {
    let sample = published("1");
    let mut host = Host::new(&sample, &[]);
    host.remote.mirrors = vec![format!("file://{}/", sample.folder().display())];
    assert_eq!(host.read("a_1_amd64.deb").unwrap(), deb("a", "1"));
}

#[test]
fn a_clock_before_the_making_of_the_host_is_refused_before_anybody_is_asked() {
    let sample = published("1");
    let server = mirror(&sample);
    let mut host = Host::new(&sample, &[&server]);
    host.remote.made = now() + DAY;
    let error = host.refresh().unwrap_err();
    assert!(matches!(error, RemoteError::Clock { .. }), "{error}");
    assert!(error.hint().unwrap().contains("set the clock"));
    assert!(server.requests().is_empty());
}

#[test]
fn a_clock_that_went_back_since_the_last_look_is_refused() {
    let sample = published("1");
    let server = mirror(&sample);
    let host = Host::new(&sample, &[&server]);
    host.refresh().unwrap();
    fs::write(host.memory("latest_known_time.json"), "\"2126-01-01T00:00:00Z\"").unwrap();
    assert_eq!(host.refusal(), Refusal::ClockWentBack);
    fs::remove_file(host.memory("latest_known_time.json")).unwrap(); // as the hint says
    host.refresh().unwrap();
}

#[test]
fn a_repository_that_begins_anew_is_believed_once_its_keys_were_rotated() {
    let sample = Sample::made_at(now());
    for version in ["1", "2", "3"] {
        sample.publish(&[deb("a", version)], now()).unwrap();
    }
    let server = mirror(&sample);
    let host = Host::new(&sample, &[&server]);
    host.refresh().unwrap();
    fs::remove_dir_all(sample.folder()).unwrap(); // the disk broke
    sample.publish(&[deb("a", "3")], now()).unwrap();
    copy(&sample, &server);
    assert_eq!(host.refusal(), Refusal::Older);
    for role in [Role::Timestamp, Role::Snapshot, Role::Targets] {
        sample.keys().rotate(role, now(), Replaced::Retires).unwrap();
    }
    sample.publish(&[], now()).unwrap();
    copy(&sample, &server);
    assert!(host.read("a_3_amd64.deb").is_ok());
}

#[test]
fn four_that_refresh_at_once_leave_one_memory_and_what_a_killed_one_left_goes() {
    let sample = published("1");
    let server = mirror(&sample);
    let host = Host::new(&sample, &[&server]);
    let left = host.remote.memory.join(".seen.1-0.part");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("root.json"), "{").unwrap();
    std::thread::scope(|scope| {
        let run = || host.refresh().unwrap().version();
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        assert!(runs.into_iter().all(|run| run.join().unwrap() == 1));
    });
    let names = fs::read_dir(&host.remote.memory).unwrap();
    let mut names: Vec<_> =
        names.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["lock", "seen"]);
}

#[test]
fn a_look_that_finds_nothing_new_leaves_the_memory_as_it_was_but_for_the_time() {
    let sample = published("1-1+0preon1");
    let server = mirror(&sample);
    let host = Host::new(&sample, &[&server]);
    let seen = host.remote.memory.join("seen");
    let look = || {
        host.refresh().unwrap();
        let files = fs::read_dir(&seen).unwrap().map(|it| it.unwrap().path());
        let files: BTreeMap<_, _> = files.map(|it| (it.clone(), fs::read(it).unwrap())).collect();
        (seen.metadata().unwrap().ino(), files)
    };
    let ((first, mut before), (second, mut after)) = (look(), look());
    assert_eq!(first, second, "the folder was made anew");
    let clock = seen.join("latest_known_time.json");
    assert_ne!(before.remove(&clock), after.remove(&clock), "the time was not noted");
    assert_eq!(before, after);
    assert!(!host.remote.memory.join(".seen.part").exists());

    sample.publish(&[deb("a", "2-1+0preon1")], now()).unwrap();
    copy(&sample, &server);
    assert_ne!(look().0, first);
}
