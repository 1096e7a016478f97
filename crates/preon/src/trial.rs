//! A host in a folder, for tests of commands: with generation 1 of two packages, which runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base::{Digest, explain};
use clap::Parser;
use formats::manifest::{Change, FORMAT, Kernel, Layer, Manifest, Package};
use generations::store::LayerFiles;
use generations::{Generation, Store, running};
use packages::cache::Cache;
use serde_json::json;

use crate::Preon;

const DATA: &[u8] = &[1; 8192];
const TREE: &[u8] = &[2; 8192];

const STATUS: &str = "Package: bash\nStatus: install ok installed\nVersion: 5.2-1\nArchitecture: amd64\nDepends: libc6 (>= 2.41)\n\
                      Description: a shell\n\nPackage: libc6\nVersion: 2.41-1\nArchitecture: amd64\nDescription: C\n\n";

pub(crate) struct Trial {
    root: tempfile::TempDir,
}

impl Trial {
    pub(crate) fn new() -> Self {
        let trial = Self { root: tempfile::tempdir().unwrap() };
        let store = Store::create(&trial.below(generations::STORE)).unwrap();
        let first = store.stage(&manifest("build1"), &[trial.layer()]).unwrap();
        store.want(first).unwrap();
        trial.runs(first.0);
        let info = trial.below("/usr/lib/preon/dpkg/info");
        fs::create_dir_all(&info).unwrap();
        fs::write(info.with_file_name("status"), STATUS).unwrap();
        fs::write(info.join("bash.list"), "/.\n/usr\n/usr/bin\n/usr/bin/bash\n").unwrap();
        let list = "/.\n/usr\n/usr/lib\n/usr/lib/libc.so.6\n";
        fs::write(info.join("libc6:amd64.list"), list).unwrap();
        trial
    }

    /// Where `path` of the host is.
    pub(crate) fn below(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// The two files of the only layer, outside of the store.
    fn layer(&self) -> LayerFiles {
        let files = LayerFiles { erofs: self.below("/erofs"), verity: self.below("/verity") };
        fs::write(&files.erofs, DATA).unwrap();
        fs::write(&files.verity, TREE).unwrap();
        files
    }

    /// The path of a new file outside of the host's folders.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.below(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Lets the host know the repository `main`, in which the last refresh has found version 1 of this package.
    pub(crate) fn publish(&self, name: &str) {
        let text = format!(
            "Package: {name}\nVersion: 1\nArchitecture: amd64\nInstalled-Size: 3\nFilename: pool/x.deb\nSize: 7\n\
             SHA256: {}\nDescription: fast\n\n",
            "0".repeat(64)
        );
        let index = zstd::encode_all(text.as_bytes(), 0).unwrap();
        let digest = Digest::of(&index);
        let cached = Cache::new(self.below("/var/cache/preon/archive")).path(&digest);
        let found = json!({ "mirror": "https://one", "version": 1, "valid_until": 60, "packages": 1, "index": digest });
        let (toml, found) = ("uris = []\nsuite = \"preon\"\n", found.to_string());
        for (path, bytes) in [
            (cached, &index[..]),
            (self.below("/etc/preon/repositories/main.toml"), toml.as_bytes()),
            (self.below("/var/lib/preon/repositories/main.json"), found.as_bytes()),
        ] {
            base::file::replace(&path, bytes).unwrap();
        }
    }

    /// Makes a program of the host from the text of a shell script.
    pub(crate) fn script(&self, path: &str, text: &str) {
        let path = self.below(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.below(generations::STORE)).unwrap()
    }

    /// Takes a package out of the manifest of a new generation, which runs.
    pub(crate) fn lose_package(&self, name: &str) {
        let mut manifest = manifest("build3");
        manifest.packages.retain(|package| package.name.as_str() != name);
        let generation = self.store().stage(&manifest, &[self.layer()]).unwrap();
        self.store().want(generation).unwrap();
        self.runs(generation.0);
    }

    /// Adds generation 2: without libc6, with another bash.
    pub(crate) fn stage_second(&self) {
        let mut manifest = manifest("build2");
        manifest.packages.pop();
        manifest.packages[0].version = "5.3-1+0preon1".parse().unwrap();
        manifest.change = Some(Change { from: 1, at: 60, asked: "remove libc6".into() });
        self.store().stage(&manifest, &[self.layer()]).unwrap();
    }

    /// Adds a generation that needs the kernel of this release.
    pub(crate) fn stage_kernel(&self, release: &str) -> Generation {
        let mut manifest = manifest("build4");
        manifest.kernel.release = release.into();
        self.store().stage(&manifest, &[self.layer()]).unwrap()
    }

    /// A unified kernel image, as far as a loader reads it before it starts it.
    pub(crate) fn image() -> Vec<u8> {
        testkit::efi::image("6.12-preon", "1").into_bytes()
    }

    /// Sets a variable of the boot loader.
    pub(crate) fn set_variable(&self, name: &str, text: &str) {
        let path = self.below(&testkit::efi::variable_path(name));
        base::file::replace(&path, &testkit::efi::variable(text)).unwrap();
    }

    /// Says that generation `number` runs.
    pub(crate) fn runs(&self, number: u64) {
        let path = self.below(generations::RUNNING);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        running::write(&path, Generation(number)).unwrap();
    }

    pub(crate) fn lose_layers(&self) {
        for layer in self.layers() {
            fs::remove_file(layer).unwrap();
        }
    }

    pub(crate) fn damage_layers(&self) {
        for layer in self.layers() {
            fs::write(layer, [3; 8192]).unwrap();
        }
    }

    fn layers(&self) -> Vec<PathBuf> {
        let folder = self.below(generations::STORE).join("layers");
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// What the command prints; what it says on failure.
    pub(crate) fn run(&self, words: &[&str]) -> Result<String, String> {
        self.run_at(self.root.path(), words)
    }

    /// The exit status of the command.
    pub(crate) fn status(&self, words: &[&str]) -> u8 {
        let root = self.root.path().to_str().unwrap();
        let line = ["preon", "--root", root].into_iter().chain(words.iter().copied());
        match Preon::try_parse_from(line) {
            Ok(preon) => crate::exit::status(&preon.run(&mut Vec::new())),
            Err(misuse) => misuse.exit_code().try_into().unwrap(),
        }
    }

    /// What a command prints that fails.
    pub(crate) fn run_failing(&self, words: &[&str]) -> String {
        let root = self.root.path().to_str().unwrap();
        let line = ["preon", "--root", root].into_iter().chain(words.iter().copied());
        let mut out = Vec::new();
        assert!(Preon::try_parse_from(line).unwrap().run(&mut out).is_err());
        String::from_utf8(out).unwrap()
    }

    pub(crate) fn run_at(&self, root: impl AsRef<Path>, words: &[&str]) -> Result<String, String> {
        let root = root.as_ref().to_str().unwrap();
        let line = ["preon", "--root", root].into_iter().chain(words.iter().copied());
        let mut out = Vec::new();
        match Preon::try_parse_from(line).unwrap().run(&mut out) {
            Ok(()) => Ok(String::from_utf8(out).unwrap()),
            Err(failure) => Err(explain::render(failure.as_ref())),
        }
    }
}

fn manifest(build: &str) -> Manifest {
    let package = |name: &str, version: &str, automatic| Package {
        name: name.parse().unwrap(),
        version: format!("{version}+0preon1").parse().unwrap(),
        debian_version: version.parse().unwrap(),
        source: name.into(),
        source_version: version.parse().unwrap(),
        architecture: "amd64".into(),
        suite: "trixie".into(),
        rebuilt: false,
        automatic,
        installed_bytes: 1000,
        layer: "base".into(),
        deb: Digest::of(name.as_bytes()),
    };
    Manifest {
        format: FORMAT,
        image: "minimal".into(),
        version: "0.1".into(),
        build_id: build.into(),
        kernel: Kernel {
            release: "6.12-preon".into(),
            version: "6.12-1".into(),
            package: "preon-uki-hardened".parse().unwrap(),
            uki: Digest::of(b"uki"),
        },
        other_kernels: Vec::new(),
        layers: vec![Layer {
            name: "base".into(),
            erofs: Digest::of(DATA),
            erofs_bytes: DATA.len() as u64,
            verity: Digest::of(TREE),
            verity_bytes: TREE.len() as u64,
            root_hash: Digest::of(b"root"),
            compression: "lz4".into(),
            cluster_bytes: 4096,
            inputs: Digest::of(b"inputs"),
        }],
        packages: vec![package("bash", "5.2-1", false), package("libc6", "2.41-1", true)],
        not_rebuilt: [].into(),
        pins: [].into(),
        change: None,
        tools: [].into(),
    }
}
