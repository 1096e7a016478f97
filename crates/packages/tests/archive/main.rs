//! A small archive with a key of its own, served on the loopback interface: what is genuine is
//! taken, what is tampered with, expired or gone is refused with a hint.
#![allow(missing_docs, unreachable_pub)]

mod repository;
#[allow(dead_code)]
mod server;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::Explain;
use base::progress::{Progress, Silent, Task, Unit};
use packages::archive::{Archive, ArchiveError, Fetched, Gone, Options};
use packages::cache::Cache;
use packages::fetch::{FetchOptions, Fetcher};
use packages::lock::{Lock, Locked};
use packages::release::Keyring;
use packages::resolve::{Pins, Universe};
use packages::sources::Sources;
use repository::{NOW, Repository, WEEK};
use server::Fault;

const IN_RELEASE: &str = "debian/dists/sid/InRelease";

/// What was noted.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn begin(&self, _: &str, _: Option<u64>, _: Unit) -> Box<dyn Task> {
        Box::new(Silent)
    }

    fn note(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

/// A client with a cache of its own.
struct Client {
    folder: tempfile::TempDir,
    notes: Arc<Notes>,
    /// Suites that may have expired.
    stale: BTreeSet<String>,
}

impl Client {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, notes: Arc::default(), stale: BTreeSet::new() }
    }

    fn archive(&self, repository: &Repository) -> Archive {
        self.archive_at(repository, NOW, false)
    }

    fn archive_at(&self, repository: &Repository, now: u64, offline: bool) -> Archive {
        let keyring = self.folder.path().join("keyring.pgp");
        std::fs::write(&keyring, repository.keyring()).unwrap();
        let options = FetchOptions {
            pause: Duration::ZERO,
            stall: Duration::from_millis(200),
            ..FetchOptions::default()
        };
        let uri = format!("{}/debian", repository.server.uri());
        Archive::open(Options {
            sources: Sources::given(&uri, None).unwrap(),
            fetcher: Fetcher::new(Cache::new(self.folder.path().join("cache")), options).unwrap(),
            verify: Box::new(Keyring::load(&keyring).unwrap()),
            now,
            offline,
            stale: self.stale.clone(),
            progress: self.notes.clone(),
        })
    }

    fn notes(&self) -> Vec<String> {
        std::mem::take(&mut self.notes.0.lock().unwrap())
    }
}

/// Reads the index and fetches all packages; how many there were.
fn all(archive: &Archive) -> Result<usize, ArchiveError> {
    let contents = archive.contents(&["sid"])?;
    let stanzas: Vec<_> = contents.indexes[0].stanzas().collect();
    for (stanza, path) in stanzas.iter().zip(archive.download(&stanzas)?) {
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text, format!("deb of {} {}", stanza.name(), stanza.version_text()));
    }
    Ok(stanzas.len())
}

fn text(error: &dyn Explain) -> String {
    assert!(error.hint().is_some(), "{error}");
    base::explain::render(error)
}

#[test]
fn a_second_time_needs_no_network() {
    let repository = Repository::start("sid", &[("a", "1"), ("b", "2")]);
    let client = Client::new();
    assert_eq!(all(&client.archive(&repository)).unwrap(), 2);
    let requests: Vec<_> = repository.server.requests();
    assert!(requests[1].0.contains("/by-hash/SHA256/"), "{requests:?}");

    assert_eq!(all(&client.archive_at(&repository, NOW, true)).unwrap(), 2);
    assert_eq!(repository.server.requests(), []);

    repository.server.fault(IN_RELEASE, Fault::Status(503));
    assert_eq!(all(&client.archive(&repository)).unwrap(), 2);
    let notes = client.notes();
    assert!(notes[0].ends_with("using the cached release of sid"), "{notes:?}");

    let late = client.archive_at(&repository, NOW + 2 * WEEK, true);
    assert!(text(&all(&late).unwrap_err()).contains("it expired on"));
    let empty = Client::new().archive_at(&repository, NOW, true);
    assert!(text(&all(&empty).unwrap_err()).contains("is not in the cache"));
}

#[test]
fn a_tampered_release_is_refused() {
    let repository = Repository::start("sid", &[("a", "1")]);
    let signed = repository.signed();
    let changed = signed.replacen("Acquire-By-Hash: yes", "Acquire-By-Hash: no", 1);
    assert_ne!(signed, changed);
    let unsigned = "Suite: sid\nDate: Sat, 21 Nov 2026 00:53:03 UTC\nSHA256:\n".to_owned();
    for (bytes, message) in
        [(changed, "no signature is good"), (unsigned, "it is not a signed text")]
    {
        repository.server.put(IN_RELEASE, bytes);
        let client = Client::new();
        let text = text(&all(&client.archive(&repository)).unwrap_err());
        assert!(text.contains("InRelease is not signed by anyone trusted"), "{text}");
        assert!(text.contains(message), "{text}");
        assert!(!client.folder.path().join("cache").exists(), "something was kept");
    }
}

#[test]
fn text_around_the_signed_text_is_not_believed() {
    let repository = Repository::start("sid", &[("a", "1")]);
    let signed = repository.signed();
    repository.server.put(IN_RELEASE, format!("Suite: evil\n\n{signed}\nSuite: evil\n"));
    // Refused or passed over, as long as nothing of it is used.
    if let Ok(count) = all(&Client::new().archive(&repository)) {
        assert_eq!(count, 1);
    }
}

#[test]
fn the_wrong_key_is_refused() {
    let repository = Repository::start("sid", &[("a", "1")]);
    let other = Repository::start("sid", &[("a", "1")]);
    repository.server.put(IN_RELEASE, other.signed());
    let text = text(&all(&Client::new().archive(&repository)).unwrap_err());
    assert!(text.contains("is not in the keyring"), "{text}");
}

/// An archive with the source of one package: its `.dsc` and one file more, neither of which the server
/// has yet.
fn with_source() -> Repository {
    let mut repository = Repository::empty("sid", NOW);
    let files = [("a_1.dsc", "dsc"), ("a_1.tar.xz", "tar")].map(|(name, bytes)| {
        format!(" {} {} {name}\n", base::Digest::of(bytes.as_bytes()), bytes.len())
    });
    repository.sources = format!(
        "Package: a\nVersion: 1\nDirectory: pool/main/a\nChecksums-Sha256:\n{}",
        files.concat()
    );
    repository.publish(&[], NOW - 3600);
    repository
}

#[test]
fn a_source_package_is_fetched_and_may_lack_only_its_dsc() {
    let repository = with_source();
    let client = Client::new();
    let archive = client.archive(&repository);
    let sources = archive.sources(&["sid"]).unwrap();
    let source = sources[0].find("a", "1").unwrap().unwrap().source;
    let error = archive.download_source(&source).unwrap_err();
    assert!(text(&error).contains("a_1.tar.xz does not exist"), "{error}");

    // What was a security update may lie in the other archive only.
    repository.server.put("debian-security/pool/updates/main/a/a_1.tar.xz", "tar");
    let files = archive.download_source(&source).unwrap();
    assert_eq!((files.len(), files[0].is_none()), (2, true));
    assert_eq!(std::fs::read(files[1].as_ref().unwrap()).unwrap(), b"tar");
    repository.server.put("debian/pool/main/a/a_1.dsc", "dsc");
    let files = archive.download_source(&source).unwrap();
    assert_eq!(std::fs::read(files[0].as_ref().unwrap()).unwrap(), b"dsc");
    let offline = client.archive_at(&repository, NOW, true);
    assert_eq!(offline.download_source(&source).unwrap(), files);
}

#[test]
fn a_source_whose_bytes_are_others_is_refused() {
    for (file, bytes) in [("a_1.tar.xz", "rat"), ("a_1.dsc", "DSC"), ("a_1.dsc", "d")] {
        let repository = with_source();
        repository.server.put("debian/pool/main/a/a_1.tar.xz", "tar");
        repository.server.put(&format!("debian/pool/main/a/{file}"), bytes);
        let archive = Client::new().archive(&repository);
        let source = archive.sources(&["sid"]).unwrap()[0].find("a", "1").unwrap().unwrap().source;
        let text = text(&archive.download_source(&source).unwrap_err());
        assert!(text.contains(file), "{text}");
    }
}

#[test]
fn an_expired_release_is_refused() {
    let repository = Repository::start("sid", &[("a", "1")]);
    let archive = Client::new().archive_at(&repository, NOW + 2 * WEEK, false);
    let text = text(&all(&archive).unwrap_err());
    assert!(text.contains("InRelease cannot be used"), "{text}");
    assert!(text.contains("it expired on 2026-11-28"), "{text}");
}

#[test]
fn an_expired_release_is_used_with_a_note_where_that_is_allowed() {
    let repository = Repository::start("sid", &[("a", "1")]);
    let mut client = Client::new();
    client.stale.insert("forky".into());
    all(&client.archive_at(&repository, NOW + 2 * WEEK, false)).unwrap_err();
    client.stale.insert("sid".into());
    assert_eq!(all(&client.archive_at(&repository, NOW + 2 * WEEK, false)).unwrap(), 1);
    assert!(client.notes()[0].contains("has expired, and is used nevertheless"));
}

#[test]
fn a_server_that_stalls_or_cuts_the_release_short_is_given_up_and_nothing_is_kept() {
    for (fault, message) in [
        (Fault::Stall(10), "InRelease: the server sent nothing, or next to nothing, for 0.2 s"),
        (Fault::Cut(10), "cannot fetch http"),
    ] {
        let repository = Repository::start("sid", &[("a", "1")]);
        repository.server.fault(IN_RELEASE, fault);
        let client = Client::new();
        let text = text(&all(&client.archive(&repository)).unwrap_err());
        assert!(text.contains(message), "{text}");
        assert!(!client.folder.path().join("cache").exists(), "something was kept");
    }
}

#[test]
fn the_release_of_another_suite_is_refused() {
    let repository = Repository::start("sid", &[("a", "1")]);
    repository.server.put("debian/dists/experimental/InRelease", repository.signed());
    let error = Client::new().archive(&repository).contents(&["experimental"]).unwrap_err();
    assert!(text(&error).contains("it is of the suite sid, not of experimental"));
}

#[test]
fn an_older_release_than_the_cached_one_is_not_taken() {
    let mut repository = Repository::start("sid", &[("a", "1")]);
    let old = repository.signed();
    let client = Client::new();
    repository.publish(&[("a", "2")], NOW - 60);
    let newest = |archive: Archive| {
        let contents = archive.contents(&["sid"]).unwrap();
        contents.indexes[0].stanzas().next().unwrap().version_text().to_owned()
    };
    assert_eq!(newest(client.archive(&repository)), "2");
    repository.server.put(IN_RELEASE, old);
    assert_eq!(newest(client.archive(&repository)), "2");
    assert!(client.notes()[0].contains("is older than what it was before"));
}

#[test]
fn tampered_indexes_and_packages_are_refused() {
    let repository = Repository::start("sid", &[("a", "1")]);
    let index = repository.by_hash();
    for path in [index.as_str(), "debian/pool/a_1.deb"] {
        let repository = Repository::start("sid", &[("a", "1")]);
        let path = if path == index { repository.by_hash() } else { path.to_owned() };
        repository.server.fault(&path, Fault::Tamper);
        let text = text(&all(&Client::new().archive(&repository)).unwrap_err());
        assert!(text.contains("is not what was promised"), "{text}");
    }
}

#[test]
fn an_index_that_is_cut_short_is_resumed() {
    let repository = Repository::start("sid", &[("a", "1"), ("b", "1")]);
    repository.server.fault(&repository.by_hash(), Fault::CutOnce(40));
    assert_eq!(all(&Client::new().archive(&repository)).unwrap(), 2);
}

#[test]
fn a_locked_package_that_is_gone_is_replaced_in_development_and_an_error_in_a_release() {
    let mut repository = Repository::start("sid", &[("a", "1"), ("b", "1")]);
    let contents = Client::new().archive(&repository).contents(&["sid"]).unwrap();
    let universe = Universe::new(&contents.indexes, &Pins::default()).unwrap();
    let packages = ["a", "b"]
        .map(|name| (name.parse().unwrap(), Locked::of(universe.get(name).unwrap()).unwrap()));
    let lock =
        Lock { releases: contents.releases.clone(), packages: packages.into(), ..Lock::default() };
    assert_eq!(lock.epoch(), NOW - 3600);

    repository.publish(&[("a", "1"), ("b", "2")], NOW - 60);
    repository.server.remove("debian/pool/b_1.deb");
    let client = Client::new();
    let fetch = |gone| {
        let archive = client.archive(&repository);
        archive.download_locked(&lock, lock.packages.keys(), gone)
    };
    let error = fetch(Gone::Fail).unwrap_err();
    let text = text(&error);
    assert!(text.contains("b 1 is neither in the archive any more nor in the cache"), "{text}");
    assert!(text.contains("forge update"), "{text}");

    let fetched = fetch(Gone::TakeNewest).unwrap();
    let told: Vec<_> = fetched
        .iter()
        .map(|Fetched { name, locked, replaces, .. }| {
            format!("{name} {} {replaces:?}", locked.version)
        })
        .collect();
    assert_eq!(told, ["a 1 None", "b 2 Some(1)"]);
    assert_eq!(client.notes(), ["note: b 1 is gone from the archive: 2 is used instead"]);
}

/// What a lock names while `repository` is as it is.
fn lock(repository: &Repository, names: &[&str]) -> Lock {
    let contents = Client::new().archive(repository).contents(&["sid"]).unwrap();
    let universe = Universe::new(&contents.indexes, &Pins::default()).unwrap();
    let locked =
        |name: &&str| (name.parse().unwrap(), Locked::of(universe.get(name).unwrap()).unwrap());
    let packages = names.iter().map(locked).collect();
    Lock { releases: contents.releases.clone(), packages, ..Lock::default() }
}

#[test]
fn without_network_a_missing_package_is_said_to_be_missing_from_the_cache_not_from_the_archive() {
    let mut repository = Repository::start("sid", &[("a", "1"), ("b", "1")]);
    let lock = lock(&repository, &["a", "b"]);
    let client = Client::new();
    let fetch = |gone| {
        let archive = client.archive_at(&repository, NOW, true);
        archive.download_locked(&lock, lock.packages.keys(), gone)
    };
    repository.server.requests();
    for gone in [Gone::TakeNewest, Gone::Fail] {
        let text = text(&fetch(gone).unwrap_err());
        let expected = "pool/a_1.deb is not in the cache, and the network is not to be used";
        assert!(text.contains(expected) && text.contains("without --offline"), "{text}");
    }
    assert_eq!(repository.server.requests(), []);

    // The newest of what is cached will do in development, which is said; `b 1` is the newest.
    repository.publish(&[("a", "2"), ("b", "1")], NOW - 60);
    let archive = client.archive(&repository);
    let contents = archive.contents(&["sid"]).unwrap();
    let universe = Universe::new(&contents.indexes, &Pins::default()).unwrap();
    archive.download(&[universe.get("a").unwrap()]).unwrap();
    let fetch = |gone| {
        let archive = client.archive_at(&repository, NOW, true);
        archive.download_locked(&lock, lock.packages.keys(), gone)
    };
    let missing = text(&fetch(Gone::TakeNewest).unwrap_err());
    assert!(missing.contains("pool/b_1.deb is not in the cache"), "{missing}");
    archive.download(&[universe.get("b").unwrap()]).unwrap();
    assert_eq!(fetch(Gone::TakeNewest).unwrap()[0].locked.version.to_string(), "2");
    assert_eq!(client.notes(), ["note: a 1 is not in the cache: 2 is used instead"]);
}

#[test]
fn the_indexes_are_read_once_for_all_packages_that_are_gone() {
    let mut repository = Repository::start("sid", &[("a", "1"), ("b", "1"), ("c", "1")]);
    let lock = lock(&repository, &["a", "b", "c"]);
    repository.publish(&[("a", "2"), ("b", "1"), ("c", "2")], NOW - 60);
    for gone in ["a", "c"] {
        repository.server.remove(&format!("debian/pool/{gone}_1.deb"));
    }
    repository.server.requests();
    let archive = Client::new().archive(&repository);
    let fetched = archive.download_locked(&lock, lock.packages.keys(), Gone::TakeNewest).unwrap();
    let versions: Vec<_> =
        fetched.iter().map(|one| format!("{} {}", one.name, one.locked.version)).collect();
    assert_eq!(versions, ["a 2", "b 1", "c 2"]);
    let requests = repository.server.requests();
    let releases = requests.iter().filter(|(path, _)| path.contains("InRelease"));
    assert_eq!(releases.count(), 1, "{requests:?}");
}
