//! `cargo xtask bench compose`: the minimal layer from packages that lie ready, beside mmdebstrap making a
//! system of the same packages.
//!
//! mmdebstrap needs more packages than are in the layer: what their maintainer scripts call. Each side ends
//! with mkfs.erofs, the same program: once with lz4, which hardly costs, once compressed as it is published.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use base::Digest;
use serde::Deserialize;
use tempfile::TempDir;
use testkit::debian;

use super::{Pair, Row};
use crate::{command, progress, run};

const SUITE: &str = "trixie";

/// The part of the lock that says what is in the layer.
#[derive(Deserialize)]
struct Lock {
    sets: std::collections::BTreeMap<String, Set>,
}

#[derive(Deserialize)]
struct Set {
    packages: Vec<String>,
}

/// What compressing costs: nearly nothing, or what the published layer is worth.
#[derive(Deserialize)]
struct Definition {
    compression: String,
    cluster_bytes: u32,
}

/// What both sides work with.
struct Bench {
    folder: TempDir,
    packages: Vec<String>,
    /// mkfs.erofs of the image's tools, as words of a command line.
    mkfs: Vec<PathBuf>,
    cluster_bytes: u32,
}

/// Seconds, and the memory of the largest process in megabytes.
struct Cost {
    seconds: f64,
    megabytes: f64,
}

pub(super) fn measure(runs: usize) -> Result<Vec<Row>> {
    run::build(run::IMAGE)?; // so that all packages lie ready
    let root = command::workspace();
    let text = fs::read_to_string(root.join("os/images/minimal.toml"))?;
    let definition: Definition = toml::from_str(&text)?;
    let bench = Bench::prepare(definition.cluster_bytes)?;
    let mut rows = Vec::new();
    for (name, compression) in [("lz4", "lz4"), ("as published", &definition.compression)] {
        let (mut seconds, mut memory) = (Pair::default(), Pair::default());
        for _ in 0..runs {
            let ours = bench.ours(compression)?;
            let theirs = bench.theirs(compression)?;
            seconds.ours.push(ours.seconds);
            seconds.theirs.push(theirs.seconds);
            memory.ours.push(ours.megabytes);
            memory.theirs.push(theirs.megabytes);
        }
        rows.push(seconds.row("compose", &format!("the minimal layer, {name}"), "s"));
        rows.push(memory.row("compose", &format!("its largest process, {name}"), "MB"));
    }
    Ok(rows)
}

impl Bench {
    fn prepare(cluster_bytes: u32) -> Result<Self> {
        let root = command::workspace();
        let lock = fs::read_to_string(root.join("os/packages.lock"))?;
        let mut lock: Lock = toml::from_str(&lock)?;
        let set = lock.sets.remove("image/minimal").context("the lock has no minimal image")?;
        let parent = root.join("target/bench");
        fs::create_dir_all(&parent).context("cannot make target/bench")?;
        let folder = tempfile::tempdir_in(parent).context("cannot make a folder to work in")?;
        let bench = Self { folder, packages: set.packages, mkfs: mkfs()?, cluster_bytes };
        progress::show("fetching what mmdebstrap needs", || bench.offer())?;
        Ok(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a flat repository of all packages that a first, uncounted run of mmdebstrap installs.
    fn offer(&self) -> Result<()> {
        let repository = self.path("repository");
        fs::create_dir_all(&repository)?;
        let mut bootstrap = self.bootstrap();
        // What it downloads is in the root until it is installed, in two steps; it is taken from there.
        let copy = format!("cp \"$1\"/var/cache/apt/archives/*.deb {}", repository.display());
        for hook in ["extract", "customize"] {
            bootstrap.arg(format!("--{hook}-hook={copy}"));
        }
        bootstrap.arg("--aptopt=APT::Keep-Downloaded-Packages \"true\"");
        bootstrap.args([SUITE, "/dev/null"]);
        command::read(bootstrap.arg("--format=null").args(debian::sources()?))?;
        let index = ["packages", "."];
        let index =
            command::read(command::program("apt-ftparchive", &index).current_dir(&repository))?;
        let line = format!("{} {} Packages", Digest::of(index.as_bytes()), index.len());
        let release = format!("Suite: {SUITE}\nCodename: {SUITE}\nSHA256:\n {line}\n");
        fs::write(repository.join("Packages"), index)?;
        Ok(fs::write(repository.join("Release"), release)?)
    }

    fn bootstrap(&self) -> Command {
        let include = format!("--include={}", self.packages.join(","));
        let options = ["--quiet", "--variant=essential", "--dpkgopt=force-unsafe-io", &include];
        command::program("mmdebstrap", &options)
    }

    fn ours(&self, compression: &str) -> Result<Cost> {
        let target = self.path("ours");
        fs::create_dir_all(&target)?;
        // Itself, not by way of cargo, which would count.
        let mut forge = Command::new(command::workspace().join("target/release/forge"));
        forge.current_dir(command::workspace());
        forge.args(["--offline", "image", "compose", run::IMAGE]);
        forge.args(["--compression", compression, "--output"]).arg(&target);
        let cost = cost(&[&mut forge])?;
        fs::remove_dir_all(target)?;
        Ok(cost)
    }

    fn theirs(&self, compression: &str) -> Result<Cost> {
        let (root, target) = (self.path("root"), self.path("theirs.erofs"));
        let mut bootstrap = self.bootstrap();
        bootstrap.arg(SUITE).arg(&root);
        bootstrap.arg(format!("deb [trusted=yes] copy:{} ./", self.path("repository").display()));
        let mut mkfs = Command::new(&self.mkfs[0]);
        mkfs.args(&self.mkfs[1..]).arg(format!("-z{compression}"));
        mkfs.args([&format!("-C{}", self.cluster_bytes), "-T0", "--all-root", "--quiet"]);
        let cost = cost(&[&mut bootstrap, mkfs.arg(&target).arg(&root)])?;
        fs::remove_file(target)?;
        fs::remove_dir_all(root)?;
        Ok(cost)
    }
}

/// mkfs.erofs of the tools that made the image.
fn mkfs() -> Result<Vec<PathBuf>> {
    #[derive(Deserialize)]
    struct Manifest {
        tools: std::collections::BTreeMap<String, String>,
    }
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
        folder: PathBuf,
    }
    let path = command::workspace().join("out").join(run::IMAGE).join("manifest.json");
    let manifest: Manifest = serde_json::from_str(&fs::read_to_string(path)?)?;
    let identity = manifest.tools.get("image-root").context("the image names no tools")?;
    let kinds = command::read(&mut command::forge(&["cache", "show", "--json"]))?;
    let kinds: Vec<Kind> = serde_json::from_str(&kinds)?;
    let roots = kinds.into_iter().find(|kind| kind.kind == "roots").context("no tool roots")?;
    let root = roots.folder.join(&identity[..12]);
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let loader = libraries.join("ld-linux-x86-64.so.2");
    Ok(vec![loader, "--library-path".into(), libraries, root.join("usr/bin/mkfs.erofs")])
}

/// What it costs to run these programs one after another.
fn cost(commands: &[&mut Command]) -> Result<Cost> {
    let mut cost = Cost { seconds: 0.0, megabytes: 0.0 };
    let report = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    for command in commands {
        let mut timed = command::program("time", &["--format=%M", "--output"]);
        timed.arg(report.path()).arg("--").arg(command.get_program()).args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            timed.current_dir(folder);
        }
        let start = Instant::now();
        command::read(&mut timed)?;
        cost.seconds += start.elapsed().as_secs_f64();
        cost.megabytes = cost.megabytes.max(peak(report.path())?);
    }
    Ok(cost)
}

/// The memory that time(1) wrote down, in megabytes.
fn peak(report: &Path) -> Result<f64> {
    let text = fs::read_to_string(report)?;
    let kibibytes: f64 = text.trim().parse().context("time(1) wrote no number")?;
    Ok(kibibytes * 1024.0 / 1e6)
}
