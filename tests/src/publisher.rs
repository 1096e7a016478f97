//! A publisher of trial packages: signed repositories that hosts under test change from.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use packages::keys::Keys;
use packages::publish::{Request, publish};

use crate::run;

/// The suite of trial repositories.
pub const SUITE: &str = "preon-trixie";

/// A publisher with keys of its own, in a folder that goes away with it.
#[derive(Debug)]
pub struct Publisher {
    folder: tempfile::TempDir,
}

/// A package of the product's kind: files below `/usr` only, no scripts.
#[derive(Clone, Copy, Debug)]
pub struct Package<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Path from the root, without a slash in front, and text; what begins with `#!` can be executed.
    pub files: &'a [(&'a str, &'a str)],
}

impl Default for Publisher {
    fn default() -> Self {
        Self::new()
    }
}

impl Publisher {
    /// One with new keys that has published nothing.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    pub fn new() -> Self {
        let publisher = Self { folder: tempfile::tempdir().unwrap() };
        Keys::create(&publisher.path("keys"), now()).unwrap();
        publisher
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Publishes these packages and no others; returns an archive of the repository with `root.json` in it.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn publish(&self, packages: &[Package<'_>]) -> PathBuf {
        self.publish_with(packages, &[])
    }

    /// The same, and packages that are there already.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn publish_with(&self, packages: &[Package<'_>], debs: &[PathBuf]) -> PathBuf {
        let mut debs = debs.to_owned();
        debs.extend(packages.iter().map(|package| self.build(package)));
        let keys = Keys::open(&self.path("keys")).unwrap();
        let folder = self.path("repository");
        let request =
            Request { folder: &folder, suite: SUITE, debs: &debs, keys: &keys, now: now() };
        publish(&request, &base::progress::Silent).unwrap();
        fs::copy(self.path("keys/1.root.json"), folder.join("root.json")).unwrap();
        let archive = self.path("repository.tar");
        run(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&folder).arg("."));
        archive
    }

    fn build(&self, package: &Package<'_>) -> PathBuf {
        let Package { name, version, files } = package;
        let root = self.path(&format!("{name}_{version}"));
        let deb = self.path(&format!("{name}_{version}.deb"));
        if deb.exists() {
            return deb; // the same name and version are the same bytes for ever
        }
        for (path, text) in *files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: trial\nDescription: a trial\n"
        );
        fs::create_dir_all(root.join("DEBIAN")).unwrap();
        fs::write(root.join("DEBIAN/control"), control).unwrap();
        run(Command::new("dpkg-deb")
            .args(["--build", "--root-owner-group"])
            .args([&root as &Path, &deb]));
        deb
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
