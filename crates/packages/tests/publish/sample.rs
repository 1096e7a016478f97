//! Packages and keys for tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base::Digest;
use base::progress::Silent;
use packages::control::Control;
use packages::deb::{Entry, Kind, Writer};
use packages::keys::Keys;
use packages::publish::{PublishError, Published, Request, publish};
use packages::release::Keyring;

/// Fri, 27 Nov 2026 08:00 UTC.
pub const NOW: u64 = 1_795_766_400;
pub const SUITE: &str = "preon-trixie";

/// The bytes of a package.
pub type Bytes = Vec<u8>;

pub fn deb(name: &str, version: &str) -> Bytes {
    deb_with(name, version, "", &[(&format!("usr/share/{name}/file"), version)])
}

pub fn deb_with(name: &str, version: &str, fields: &str, files: &[(&str, &str)]) -> Bytes {
    let control = Control::parse(&format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Preon OS\n\
         {fields}Description: a test\n with a second line\n"
    ));
    let mut writer = Writer::new(1, 0).unwrap();
    let mut folders: Vec<&Path> =
        files.iter().flat_map(|(path, _)| Path::new(path).ancestors().skip(1)).collect();
    folders.sort();
    folders.dedup();
    let entry = |path: &str, kind, size, mode| Entry {
        path: path.to_owned(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: 0,
        size,
        xattrs: Vec::new(),
    };
    for folder in folders.iter().filter_map(|path| path.to_str()).filter(|it| !it.is_empty()) {
        writer.add(&entry(folder, Kind::Directory, 0, 0o755), &mut std::io::empty()).unwrap();
    }
    for (path, text) in files {
        let entry = entry(path, Kind::File, text.len() as u64, 0o644);
        writer.add(&entry, &mut text.as_bytes()).unwrap();
    }
    writer.finish(&control.unwrap()).unwrap()
}

/// A folder with keys, packages and a repository.
pub struct Sample {
    scratch: tempfile::TempDir,
}

impl Sample {
    pub fn new() -> Self {
        Self::made_at(NOW)
    }

    /// With keys that were made `now`.
    pub fn made_at(now: u64) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        Keys::create(&scratch.path().join("keys"), now).unwrap();
        Self { scratch }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub fn folder(&self) -> PathBuf {
        self.path("repository")
    }

    pub fn suite(&self) -> PathBuf {
        self.folder().join("dists").join(SUITE)
    }

    pub fn keys(&self) -> Keys {
        Keys::open(&self.path("keys")).unwrap()
    }

    pub fn keyring(&self) -> Keyring {
        let path = self.path("keyring.gpg");
        fs::write(&path, self.keys().keyring().unwrap()).unwrap();
        Keyring::load(&path).unwrap()
    }

    pub fn publish(&self, debs: &[Bytes], now: u64) -> Result<Published, PublishError> {
        let mut paths = Vec::new();
        for bytes in debs {
            let path = self.path("debs").join(format!("{}.deb", Digest::of(bytes)));
            base::file::replace(&path, bytes).unwrap();
            paths.push(path);
        }
        let (keys, folder) = (self.keys(), self.folder());
        let (keys, folder) = (&keys, folder.as_path());
        publish(&Request { folder, suite: SUITE, debs: &paths, keys, now }, &Silent)
    }

    /// Every file of the repository with its bytes; links with where they lead.
    pub fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        tree(&self.folder())
    }

    /// Nothing is left over and nothing that is listed is missing.
    pub fn assert_whole(&self) {
        let shown = packages::publish::show(&self.folder(), SUITE, &self.keys()).unwrap();
        let tree = self.tree();
        for path in tree.keys() {
            let whole = self.folder().join(path);
            assert!(whole.exists(), "{path} leads nowhere");
            assert!(!path.ends_with(".part"), "{path} is left over");
        }
        let pool = tree.keys().filter(|path| path.starts_with("pool/"));
        let listed: Vec<_> = shown.packages.iter().map(|package| &package.path).collect();
        let mut sorted = listed.clone();
        sorted.sort();
        assert_eq!(pool.collect::<Vec<_>>(), sorted);
    }
}

fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_symlink() {
                let target = fs::read_link(entry.path()).unwrap();
                found.insert(name, target.to_str().unwrap().as_bytes().to_vec());
            } else {
                found.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

/// Gives the keys of `from` to `to`.
pub fn copy_keys(from: &Sample, to: &Sample) {
    fs::remove_dir_all(to.path("keys")).unwrap();
    let copied = std::process::Command::new("cp")
        .args(["-a", "--"])
        .args([from.path("keys"), to.path("keys")])
        .status()
        .unwrap();
    assert!(copied.success());
}
