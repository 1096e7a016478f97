//! A publisher, and a host in a folder that runs what the publisher's packages make.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::child::Program;
use base::progress::Silent;
use base::{Digest, Failure, explain};
use compose::{Compression, Image, Input, Product, Request, Workshop};
use formats::manifest::{FORMAT, Kernel, Manifest};
use generations::stack::live;
use generations::store::LayerFiles;
use generations::{Generation, Store, running};
use host::repositories::{Configured, Repositories};
use host::transaction::{self, Asked, How, Outcome, Transaction};
use host::{Host, Root, housekeeping};
use packages::change::Wish;
use packages::control::Control;
use packages::deb::{Entry, Kind, Writer};
use packages::fetch::FetchOptions;
use packages::keys::Keys;
use packages::publish::{self, publish};

pub const SUITE: &str = "preon-trixie";

/// A package: name, version, further fields of its control file, and its files.
pub type Package<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)]);

/// The bytes of a curated package.
pub fn deb((name, version, fields, files): Package<'_>) -> Vec<u8> {
    let mut writer = Writer::new(1, 0).unwrap();
    for (path, text) in files {
        let entry = Entry {
            path: (*path).to_owned(),
            kind: Kind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 1,
            xattrs: Vec::new(),
            size: text.len() as u64,
        };
        writer.add(&entry, &mut text.as_bytes()).unwrap();
    }
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Preon OS\n{fields}Description: {name}\n"
    );
    writer.finish(&Control::parse(&control).unwrap()).unwrap()
}

/// Everything lies in one folder, which goes away.
pub struct World {
    dir: tempfile::TempDir,
    /// What makes the host's layers.
    pub mkfs: Program,
    /// How the host fetches.
    pub fetch: FetchOptions,
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl World {
    /// A host that runs generation 1 of these packages, of which the first one was asked for, and knows the
    /// publisher's repository, which has them.
    pub fn new(packages: &[Package<'_>]) -> Self {
        Self::made_at(packages, now())
    }

    /// The same, but that keys and repository were made at this time.
    pub fn made_at(packages: &[Package<'_>], at: u64) -> Self {
        let fetch = FetchOptions {
            attempts: 1,
            stall: Duration::from_millis(300),
            ..FetchOptions::default()
        };
        let world = Self { dir: tempfile::tempdir().unwrap(), mkfs: mkfs(), fetch };
        Keys::create(&world.path("keys"), at).unwrap();
        let debs: Vec<_> = packages.iter().map(|package| world.keep(*package)).collect();
        world.publish_at(packages, at);
        world.install(debs);
        let configured = Configured { uris: vec![world.uri()], suite: SUITE.into(), ca: None };
        let root = fs::read(world.path("keys/1.root.json")).unwrap();
        Repositories(&world.root()).add("main", &configured, &root).unwrap();
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn root(&self) -> Root {
        Root(self.path("host"))
    }

    /// A path of the host.
    pub fn on_host(&self, path: &str) -> PathBuf {
        self.root().below(path)
    }

    pub fn uri(&self) -> String {
        format!("file://{}", self.path("repository").display())
    }

    /// Lets the host know these mirrors, and no others.
    pub fn mirrors(&self, uris: &[String]) {
        let text = format!("uris = {uris:?}\nsuite = \"{SUITE}\"\n");
        let path = self.on_host("/etc/preon/repositories/main.toml");
        base::file::replace(&path, text.as_bytes()).unwrap();
    }

    /// Lets the host know the repository `name` there, of which it knows nothing yet but its root.
    pub fn know(&self, name: &str, root: &Path, uri: &str) {
        let (host, uris) = (self.root(), vec![uri.to_owned()]);
        let repositories = Repositories(&host);
        let _ = repositories.remove(name);
        let configured = Configured { uris, suite: SUITE.into(), ca: None };
        repositories.add(name, &configured, &fs::read(root).unwrap()).unwrap();
    }

    fn keep(&self, package: Package<'_>) -> Input {
        let bytes = deb(package);
        let digest = Digest::of(&bytes);
        let deb = self.path("debs").join(format!("{digest}.deb"));
        base::file::replace(&deb, &bytes).unwrap();
        Input { deb, digest, suite: SUITE.into() }
    }

    pub fn keys(&self) -> Keys {
        Keys::open(&self.path("keys")).unwrap()
    }

    /// Lets the repository have these packages, too.
    pub fn publish(&self, packages: &[Package<'_>]) {
        self.publish_at(packages, now());
    }

    fn publish_at(&self, packages: &[Package<'_>], now: u64) {
        let debs: Vec<_> = packages.iter().map(|package| self.keep(*package).deb).collect();
        let (keys, folder) = (self.keys(), self.path("repository"));
        let request =
            publish::Request { folder: &folder, suite: SUITE, debs: &debs, keys: &keys, now };
        publish(&request, &Silent).unwrap();
    }

    fn install(&self, packages: Vec<Input>) {
        let folder = self.path("out");
        let request = Request {
            name: "base".into(),
            base: None,
            packages,
            shown: Vec::new(),
            image: Image::default(),
            product: Product {
                version: "0.1".into(),
                build_id: String::new(),
                image: "minimal".into(),
                not_rebuilt: [].into(),
            },
            epoch: 1_700_000_000,
            compression: Compression {
                algorithm: "lz4".to_owned().try_into().unwrap(),
                cluster_bytes: 65536,
            },
        }
        .named();
        let workshop = Workshop { folder, mkfs: self.mkfs.clone() };
        let composed = compose::compose(&request, &workshop, &Silent).unwrap();
        let mut packages = composed.packages;
        packages[0].automatic = false;
        let manifest = Manifest {
            format: FORMAT,
            image: "minimal".into(),
            version: "0.1".into(),
            build_id: request.product.build_id,
            kernel: Kernel {
                release: "6.12-preon".into(),
                version: "6.12-1".into(),
                package: "preon-uki-hardened".parse().unwrap(),
                uki: Digest::of(b"uki"),
            },
            other_kernels: Vec::new(),
            layers: vec![composed.layer],
            packages,
            not_rebuilt: [].into(),
            pins: [].into(),
            change: None,
            tools: [].into(),
        };
        let store = Store::create(&self.on_host(generations::STORE)).unwrap();
        let files = LayerFiles { erofs: composed.erofs, verity: composed.verity };
        let first = store.stage(&manifest, &[files]).unwrap();
        store.want(first).unwrap();
        self.boot();
    }

    pub fn store(&self) -> Store {
        Store::open(&self.on_host(generations::STORE)).unwrap()
    }

    /// The host as commands see it.
    pub fn host(&self) -> Host {
        let (mkfs, fetch) = (self.mkfs.clone(), self.fetch.clone());
        Host { mkfs, fetch, ..Host::open(&self.root()).unwrap() }
    }

    /// Shows at `/usr` what is wanted, as overlayfs would, and each layer by itself.
    pub fn boot(&self) {
        self.show(self.store().wanted().unwrap().generation);
    }

    /// The same with this generation.
    pub fn show(&self, generation: Generation) {
        let store = self.store();
        let usr = self.on_host("/usr");
        if usr.exists() {
            fs::remove_dir_all(&usr).unwrap();
        }
        fs::create_dir_all(&usr).unwrap();
        let run = self.on_host(generations::RUN);
        if run.join("layers").exists() {
            fs::remove_dir_all(run.join("layers")).unwrap();
        }
        for layer in store.manifest(generation).unwrap().layers {
            let erofs = store.layer_files(&layer).erofs;
            lay_over(&erofs, &usr);
            let alone = live::place(&layer, &run);
            fs::create_dir_all(&alone).unwrap();
            lay_over(&erofs, &alone);
        }
        running::write(&self.on_host(generations::RUNNING), generation).unwrap();
    }

    /// Makes a change; what people are told where that fails.
    pub fn change(&self, words: &str, wish: Wish) -> Result<Outcome, String> {
        self.ask(&Asked { words: words.into(), wish, how: How::Apply })
    }

    /// Cleans up; what people are told where that fails.
    pub fn gc(&self, asked: housekeeping::Asked) -> Result<housekeeping::Outcome, String> {
        self.gc_with(&self.host(), asked)
    }

    pub fn gc_with(
        &self,
        host: &Host,
        asked: housekeeping::Asked,
    ) -> Result<housekeeping::Outcome, String> {
        let told = |failure: Failure| explain::render(failure.as_ref());
        housekeeping::run(host, asked, &Silent).map_err(told)
    }

    pub fn ask(&self, asked: &Asked) -> Result<Outcome, String> {
        let told = |failure: Failure| explain::render(failure.as_ref());
        transaction::run(&self.host(), asked, &Silent).map_err(told)
    }

    /// What a wish would do; the host stays as it is.
    pub fn would(&self, wish: Wish) -> Transaction {
        let words = String::new();
        let asked = Asked { words, wish, how: How::Tell };
        let outcome = self.ask(&asked).unwrap();
        assert_eq!(outcome.generation, None);
        outcome.transaction
    }

    /// Asks the repositories, and changes nothing.
    pub fn ask_what_an_upgrade_would_be(&self) {
        self.would(Wish::Upgrade { names: Vec::new(), security: false });
    }

    /// The packages of a generation, each with its version and its layer's kind; `*` in front of those asked for.
    pub fn packages(&self, generation: u64) -> Vec<String> {
        let manifest = self.store().manifest(Generation(generation)).unwrap();
        let told = |it: &formats::manifest::Package| {
            let mark = if it.automatic { "" } else { "*" };
            let layer = it.layer.split('-').next().unwrap_or_default();
            format!("{mark}{} {} {layer}", it.name, it.version)
        };
        manifest.packages.iter().map(told).collect()
    }

    /// All files of the host with their bytes, but for what it remembers of repositories, what is cached, what is noted
    /// of edits, and the store's lock.
    pub fn everything(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.path("host")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let about = path.symlink_metadata().unwrap();
                let skipped =
                    ["var/lib/preon", "var/cache/preon", "data/etc/defaults", "data/etc/edited"];
                if skipped.iter().any(|it| path.ends_with(it)) {
                    continue;
                }
                if about.is_dir() {
                    folders.push(path);
                } else if about.is_file() && !path.ends_with("preon/lock") {
                    let bytes = fs::read(&path).unwrap();
                    found.push((path, bytes));
                }
            }
        }
        found.sort();
        found
    }
}

/// A program that stores the tar stream itself, filled up to whole blocks, as if it were EROFS.
fn mkfs() -> Program {
    script(MKFS)
}

/// The same, with more for the shell to do before and afterwards.
pub fn mkfs_between(before: &str, afterwards: &str) -> Program {
    script(&format!("{before}\n{MKFS} || exit\n{afterwards}"))
}

const MKFS: &str = "for output; do :; done; \
                    dd of=\"$output\" bs=4096 conv=sync iflag=fullblock status=none";

fn script(text: &str) -> Program {
    Program::from_words(["/bin/sh", "-c", text])
}

/// Unpacks a layer over what is in the folder `usr`.
fn lay_over(layer: &Path, usr: &Path) {
    let mut archive = tar::Archive::new(fs::File::open(layer).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let place = usr.join(entry.path().unwrap());
        let is_folder = entry.header().entry_type() == tar::EntryType::Directory;
        match place.symlink_metadata() {
            Ok(there) if there.is_dir() && !is_folder => fs::remove_dir_all(&place).unwrap(),
            Ok(there) if !there.is_dir() => fs::remove_file(&place).unwrap(),
            _ => {}
        }
        if entry.header().entry_type() != tar::EntryType::Char {
            entry.unpack_in(usr).unwrap();
        }
    }
}
