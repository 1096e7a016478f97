//! `cargo xtask bench resolve`: reading Debian 13's index and choosing packages, beside APT.
//!
//! APT is measured twice: making its cache from the index, as we do each time, and with the cache
//! already made.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use testkit::debian;

use super::{Pair, Row};
use crate::command;

/// What is asked for, on a system that has nothing.
const REQUEST: [&str; 3] = ["docker.io", "systemd", "openssh-server"];

/// APT's own names for its caches; a container's APT is often told to keep none.
const CACHES: [&str; 2] = ["pkgcache.bin", "srcpkgcache.bin"];

pub(super) fn measure(runs: usize) -> Result<Vec<Row>> {
    let root = tempfile::tempdir().context("cannot make a temporary folder")?;
    let root = root.path();
    prepare(root)?;
    command::run(apt(root).args(["-q", "update"]))?;
    let indexes = indexes(root)?;

    let example = ["--release", "-p", "packages", "--example", "resolve"];
    command::run(&mut command::cargo(&[&["build", "--quiet"], &example[..]].concat()))?;
    let ours = command::workspace().join("target/release/examples/resolve");

    let (mut cold, mut warm) = (Pair::default(), Pair::default());
    for _ in 0..runs {
        let seconds = timed(Command::new(&ours).args(&indexes).arg("--").args(REQUEST))?;
        cold.ours.push(seconds);
        warm.ours.push(seconds);
        cold.theirs.push(timed(&mut simulate(root, ["", ""]))?);
        command::read(&mut simulate(root, CACHES))?;
        warm.theirs.push(timed(&mut simulate(root, CACHES))?);
    }
    let name = REQUEST.join(" ");
    Ok(vec![
        cold.row("resolve", &format!("read and resolve {name}"), "s"),
        warm.row("resolve", "the same, APT's cache made before", "s"),
    ])
}

/// An empty system that knows Debian 13's archive.
fn prepare(root: &Path) -> Result<()> {
    for folder in ["etc/apt", "lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(root.join(folder)).context("cannot make a folder for APT")?;
    }
    fs::write(root.join("status"), "").context("cannot write an empty status file")?;
    let sources = debian::sources()?.join("\n") + "\n";
    fs::write(root.join("etc/apt/sources.list"), sources).context("cannot write APT's sources")
}

fn apt(root: &Path) -> Command {
    let mut apt = command::program("apt-get", &[]);
    let folder = root.display();
    for setting in [
        format!("Dir::Etc={folder}/etc/apt"),
        format!("Dir::State={folder}"),
        format!("Dir::State::status={folder}/status"),
        format!("Dir::Cache={folder}/cache"),
        "APT::Sandbox::User=root".to_owned(),
        "Acquire::Languages=none".to_owned(),
        "Acquire::GzipIndexes=false".to_owned(),
        "APT::Install-Recommends=false".to_owned(),
    ] {
        apt.arg("-o").arg(setting);
    }
    apt
}

/// What APT would install, with its caches in these files; a cache without a name is not kept.
fn simulate(root: &Path, [packages, sources]: [&str; 2]) -> Command {
    let mut apt = apt(root);
    apt.arg("-o").arg(format!("Dir::Cache::pkgcache={packages}"));
    apt.arg("-o").arg(format!("Dir::Cache::srcpkgcache={sources}"));
    apt.args(["-s", "install"]).args(REQUEST);
    apt
}

/// The Packages files that APT fetched.
fn indexes(root: &Path) -> Result<Vec<String>> {
    let format = ["indextargets", "--format", "$(FILENAME)", "Created-By: Packages"];
    let list = command::read(apt(root).args(format))?;
    Ok(list.lines().map(str::to_owned).collect())
}

fn timed(command: &mut Command) -> Result<f64> {
    let start = Instant::now();
    command::read(command)?;
    Ok(start.elapsed().as_secs_f64())
}
