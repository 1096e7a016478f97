//! What `cargo xtask bench packages` measures with: a publisher, and a host in a folder.
//!
//! ```text
//! bench_packages raise FOLDER             packages again, in versions that are newer; prints their paths
//! bench_packages small FOLDER COUNT       so many packages with one small file; prints their paths
//! bench_packages publish FOLDER KEYS      publishes packages, with keys that are made where they are missing
//! bench_packages host ROOT                a host that runs generation 1
//! ```
//!
//! Which packages: paths on standard input, one a line; for `host` a description in JSON.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base::child::Program;
use base::progress::Silent;
use base::{Digest, Explain, Failure, explain};
use compose::{Base, Composed, Compression, Image, Input, Product, Request, Workshop};
use formats::manifest::{FORMAT, Kernel, Manifest};
use generations::store::LayerFiles;
use generations::{Store, running};
use host::Root;
use host::repositories::{Configured, Repositories};
use packages::control::Control;
use packages::deb::{Deb, DebError, Entry, Kind, Limits, Writer};
use packages::keys::Keys;
use packages::publish::{self, publish};
use serde::Deserialize;

const SUITE: &str = "preon-trixie";

/// The time of all that is made here, seconds since 1970.
const EPOCH: u64 = 1_700_000_000;

/// What cannot be done, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Stopped(String);

impl Explain for Stopped {}

fn stopped(error: impl std::fmt::Display) -> Failure {
    Stopped(error.to_string()).into()
}

fn main() {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["raise", folder] => raise(Path::new(folder)),
        ["small", folder, count] => small(Path::new(folder), count),
        ["publish", folder, keys] => publication(Path::new(folder), Path::new(keys)),
        ["host", root] => host(Path::new(root)),
        _ => Err(stopped("see the head of this program's source")),
    };
    if let Err(failure) = done {
        eprint!("{}", explain::render(failure.as_ref()));
        std::process::exit(1);
    }
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(stopped)?;
    Ok(text)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Puts a package into `folder`, under a name that no other version has, and prints where.
fn keep(folder: &Path, control: &Control, bytes: &[u8]) -> Result<(), Failure> {
    let path = folder.join(format!("{}_{}.deb", control.name(), Digest::of(bytes).short()));
    base::file::replace(&path, bytes)?;
    println!("{}", path.display());
    Ok(())
}

/// `1-1+0preon1` becomes `1-1+0preon11`; the files stay as they are.
fn raise(folder: &Path) -> Result<(), Failure> {
    for path in standard_input()?.lines() {
        let deb = Deb::open(Path::new(path))?;
        let mut writer = Writer::new(6, EPOCH).map_err(stopped)?;
        deb.visit(Limits::default(), |entry, content| {
            writer.add(entry, content).map_err(|error| unwritten(path, &error))
        })?;
        let mut control = deb.control().clone();
        control.set_version(format!("{}1", control.version()).parse()?);
        keep(folder, &control, &writer.finish(&control).map_err(stopped)?)?;
    }
    Ok(())
}

fn unwritten(path: &str, error: &std::io::Error) -> DebError {
    let source = std::io::Error::other(error.to_string());
    base::file::FileError::at("pack", path)(source).into()
}

fn small(folder: &Path, count: &str) -> Result<(), Failure> {
    for number in 1..=count.parse().map_err(stopped)? {
        let text = format!("what the small package {number} brings\n").repeat(200);
        let entry = Entry {
            path: format!("usr/share/small/{number}"),
            kind: Kind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: EPOCH,
            xattrs: Vec::new(),
            size: text.len() as u64,
        };
        let mut writer = Writer::new(6, EPOCH).map_err(stopped)?;
        writer.add(&entry, &mut text.as_bytes()).map_err(stopped)?;
        let number: u32 = number;
        let control = Control::parse(&format!(
            "Package: small-{number}\nVersion: 1-1+0preon1\nArchitecture: all\nMaintainer: Preon OS\nDescription: a small package\n"
        ))?;
        keep(folder, &control, &writer.finish(&control).map_err(stopped)?)?;
    }
    Ok(())
}

fn publication(folder: &Path, keys: &Path) -> Result<(), Failure> {
    let debs: Vec<_> = standard_input()?.lines().map(PathBuf::from).collect();
    let keys = if keys.join("1.root.json").exists() {
        Keys::open(keys)?
    } else {
        Keys::create(keys, now())?
    };
    let request = publish::Request { folder, suite: SUITE, debs: &debs, keys: &keys, now: now() };
    publish(&request, &Silent)?;
    Ok(())
}

/// The host that is wanted.
#[derive(Deserialize)]
struct Wanted {
    /// The packages of its layers, lowest first: each has those of the one beneath.
    layers: Vec<Vec<Package>>,
    /// The packages that were asked for.
    asked: BTreeSet<String>,
    /// mkfs.erofs, as words of a command line.
    mkfs: Vec<String>,
    /// Where the repository is, and the metadata that it is trusted by.
    uri: String,
    root_metadata: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    deb: PathBuf,
    sha256: Digest,
    suite: String,
}

fn host(folder: &Path) -> Result<(), Failure> {
    let wanted: Wanted = serde_json::from_str(&standard_input()?).map_err(stopped)?;
    let root = Root(folder.to_owned());
    let store = Store::create(&root.below(generations::STORE))?;
    let work = root.below("/var/work");
    let mut layers = Vec::new();
    let mut beneath: Option<Request> = None;
    for (number, packages) in wanted.layers.iter().enumerate() {
        let request = request(&format!("layer-{number}"), packages, beneath)?;
        let mkfs = Program::from_words(&wanted.mkfs);
        let workshop = Workshop { folder: work.clone(), mkfs };
        layers.push(compose::compose(&request, &workshop, &Silent)?);
        beneath = Some(request);
    }
    let manifest = manifest(&wanted, &layers, beneath)?;
    let files =
        layers.iter().map(|it| LayerFiles { erofs: it.erofs.clone(), verity: it.verity.clone() });
    let first = store.stage(&manifest, &files.collect::<Vec<_>>())?;
    store.want(first)?;
    base::file::remove_folder(&work)?;
    running::write(&root.below(generations::RUNNING), first)?;
    let configured = Configured { uris: vec![wanted.uri], suite: SUITE.into(), ca: None };
    Repositories(&root).add("main", &configured, &base::file::read(&wanted.root_metadata)?)?;
    Ok(())
}

fn request(name: &str, packages: &[Package], beneath: Option<Request>) -> Result<Request, Failure> {
    let input =
        |it: &Package| Input { deb: it.deb.clone(), digest: it.sha256, suite: it.suite.clone() };
    let request = Request {
        name: name.into(),
        base: beneath.map(|beneath| Base::Composed(Box::new(beneath))),
        packages: packages.iter().map(input).collect(),
        shown: Vec::new(),
        image: Image::default(),
        product: Product {
            version: env!("CARGO_PKG_VERSION").into(),
            build_id: String::new(),
            image: "bench".into(),
            not_rebuilt: BTreeSet::new(),
        },
        epoch: EPOCH,
        compression: Compression {
            // As a host's own layers: to make them with an image's takes longer than to measure.
            algorithm: "lz4".to_owned().try_into()?,
            cluster_bytes: 65536,
        },
    };
    Ok(request.named())
}

fn manifest(
    wanted: &Wanted,
    layers: &[Composed],
    whole: Option<Request>,
) -> Result<Manifest, Failure> {
    let (Some(last), Some(whole)) = (layers.last(), whole) else {
        return Err(stopped("a host has a layer"));
    };
    let mut packages = last.packages.clone();
    for package in &mut packages {
        package.automatic = !wanted.asked.contains(package.name.as_str());
    }
    Ok(Manifest {
        format: FORMAT,
        image: whole.product.image,
        version: whole.product.version,
        build_id: whole.product.build_id,
        kernel: Kernel {
            release: "none".into(),
            version: "0".into(),
            package: "none".parse()?,
            uki: Digest::of(b""),
        },
        other_kernels: Vec::new(),
        layers: layers.iter().map(|it| it.layer.clone()).collect(),
        packages,
        not_rebuilt: BTreeSet::new(),
        pins: [].into(),
        change: None,
        tools: [].into(),
    })
}
