//! A host that verifies the repository through TUF, by the crate `tough`.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use packages::keys::{Replaced, Role};
use tough::{FilesystemTransport, Prefix, Repository, RepositoryLoader, TargetName};
use url::Url;

use crate::sample::{SUITE, Sample, deb};

/// `tough` looks at the machine's clock.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn url(folder: &Path) -> Url {
    Url::from_directory_path(folder).unwrap()
}

/// A host that trusts `root` and remembers what it has seen in `memory`.
#[expect(clippy::result_large_err, reason = "tough made it so large")]
fn load(sample: &Sample, root: &[u8], memory: &Path) -> Result<Repository, tough::error::Error> {
    fs::create_dir_all(memory).unwrap();
    let loader = RepositoryLoader::new(
        &root,
        url(&sample.suite().join("tuf")),
        url(&sample.folder().join("targets")),
    );
    wait(loader.transport(FilesystemTransport).datastore(memory).load())
}

/// What a target holds, fetched and verified; `None` if there is none of this name.
fn read(repository: &Repository, name: &str) -> Option<Vec<u8>> {
    let name = TargetName::new(name).unwrap();
    let folder = tempfile::tempdir().unwrap();
    repository.targets().signed.targets.get(&name)?;
    wait(repository.save_target(&name, folder.path(), Prefix::None)).unwrap();
    Some(fs::read(folder.path().join(name.raw())).unwrap())
}

fn first_root(sample: &Sample) -> Vec<u8> {
    fs::read(sample.path("keys/1.root.json")).unwrap()
}

#[test]
fn a_host_finds_packages_and_indexes_under_their_digests() {
    let sample = Sample::made_at(now());
    let package = deb("a", "1:1-1~x+0preon1");
    sample.publish(std::slice::from_ref(&package), now()).unwrap();
    let repository = load(&sample, &first_root(&sample), &sample.path("memory")).unwrap();
    assert_eq!(read(&repository, "a_1-1~x+0preon1_amd64.deb"), Some(package));
    let index = read(&repository, &format!("{SUITE}_main_binary-amd64_Packages")).unwrap();
    assert!(String::from_utf8(index).unwrap().starts_with("Package: a\n"));
    assert!(read(&repository, &format!("{SUITE}_main_binary-amd64_Packages.zst")).is_some());
    assert!(read(&repository, "b_1_amd64.deb").is_none());
}

#[test]
fn a_host_that_knows_only_the_first_root_follows_two_rotations() {
    let sample = Sample::made_at(now());
    sample.publish(&[deb("a", "1")], now()).unwrap();
    let (root, memory) = (first_root(&sample), sample.path("memory"));
    load(&sample, &root, &memory).unwrap();
    for role in [Role::Root, Role::Root, Role::Timestamp, Role::Snapshot, Role::Targets] {
        sample.keys().rotate(role, now(), Replaced::Retires).unwrap();
        sample.publish(&[], now()).unwrap();
        let repository = load(&sample, &root, &memory).unwrap();
        assert_eq!(repository.root().signed.version.get(), sample.keys().root_version());
        let fresh = load(&sample, &root, &sample.path(&format!("fresh-{role}"))).unwrap();
        assert!(read(&fresh, "a_1_amd64.deb").is_some());
    }
    assert_eq!(sample.keys().root_version(), 6);
}

#[test]
fn a_chain_of_roots_with_a_gap_or_of_strangers_leads_nowhere() {
    let sample = Sample::made_at(now());
    sample.publish(&[deb("a", "1")], now()).unwrap();
    let root = first_root(&sample);
    sample.keys().rotate(Role::Root, now(), Replaced::Retires).unwrap();
    sample.keys().rotate(Role::Timestamp, now(), Replaced::Retires).unwrap();
    sample.publish(&[], now()).unwrap();
    fs::remove_file(sample.suite().join("tuf/2.root.json")).unwrap();
    assert!(load(&sample, &root, &sample.path("one")).is_err());

    let stranger = Sample::made_at(now());
    stranger.publish(&[deb("a", "1")], now()).unwrap();
    assert!(load(&stranger, &root, &sample.path("other")).is_err());
}

#[test]
fn an_older_timestamp_that_is_played_again_is_refused() {
    let sample = Sample::made_at(now());
    sample.publish(&[deb("a", "1")], now()).unwrap();
    let (root, memory) = (first_root(&sample), sample.path("memory"));
    let path = sample.suite().join("tuf/timestamp.json");
    let old = fs::read(&path).unwrap();
    sample.publish(&[deb("a", "2")], now()).unwrap();
    load(&sample, &root, &memory).unwrap();
    let new = fs::read(&path).unwrap();
    fs::write(&path, old).unwrap();
    let error = load(&sample, &root, &memory).unwrap_err();
    assert!(matches!(error, tough::error::Error::OlderMetadata { .. }), "{error}");
    fs::write(&path, new).unwrap();
    load(&sample, &root, &memory).unwrap();
}

#[test]
fn a_repository_that_begins_anew_is_believed_once_its_keys_were_rotated() {
    let sample = Sample::made_at(now());
    for version in ["1", "2", "3"] {
        sample.publish(&[deb("a", version)], now()).unwrap();
    }
    let (root, memory) = (first_root(&sample), sample.path("memory"));
    load(&sample, &root, &memory).unwrap();
    fs::remove_dir_all(sample.folder()).unwrap(); // the disk broke
    sample.publish(&[deb("a", "3")], now()).unwrap();
    let error = load(&sample, &root, &memory).unwrap_err();
    assert!(matches!(error, tough::error::Error::OlderMetadata { .. }), "{error}");
    for role in [Role::Timestamp, Role::Snapshot, Role::Targets] {
        sample.keys().rotate(role, now(), Replaced::Retires).unwrap();
    }
    sample.publish(&[], now()).unwrap();
    let repository = load(&sample, &root, &memory).unwrap();
    assert!(read(&repository, "a_3_amd64.deb").is_some());
}

#[test]
fn a_repository_that_was_not_renewed_is_refused() {
    let made = now() - packages::publish::LIFE - 60;
    let sample = Sample::made_at(made);
    sample.publish(&[deb("a", "1")], made).unwrap();
    let error = load(&sample, &first_root(&sample), &sample.path("memory")).unwrap_err();
    assert!(matches!(error, tough::error::Error::ExpiredMetadata { .. }), "{error}");
}

#[test]
fn a_package_that_was_changed_on_the_way_is_refused() {
    let sample = Sample::made_at(now());
    sample.publish(&[deb("a", "1")], now()).unwrap();
    let repository = load(&sample, &first_root(&sample), &sample.path("memory")).unwrap();
    let path = sample.folder().join("pool/main/a/a/a_1_amd64.deb");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let name = TargetName::new("a_1_amd64.deb").unwrap();
    let saved = wait(repository.save_target(&name, sample.path("out"), Prefix::None));
    assert!(saved.is_err());
}
