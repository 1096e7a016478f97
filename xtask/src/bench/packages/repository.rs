//! Curated packages, published and served.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::cost;
use crate::bench::unpacked::Unpacked;
use crate::{command, progress};

/// A curated package as forge tells of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Package {
    pub(super) package: String,
    pub(super) suite: String,
    pub(super) deb: PathBuf,
    pub(super) sha256: String,
}

/// All that recipes cover, by name. No kernel is among it.
pub(super) fn curated() -> Result<BTreeMap<String, Package>> {
    command::run(&mut command::cargo(&["build", "--release", "-p", "forge"]))?;
    let list = command::read(&mut forge(&["curate", "--json"]))?;
    let list: Vec<Package> = serde_json::from_str(&list).context("forge curate")?;
    Ok(list.into_iter().map(|it| (it.package.clone(), it)).collect())
}

/// forge itself, not by way of cargo.
fn forge(arguments: &[&str]) -> Command {
    let program = command::workspace().join("target/release/forge");
    command::program(&program.to_string_lossy(), arguments)
}

/// Debian 13's mkfs.erofs, run by its own loader with its own libraries: words of a command line.
pub(super) fn mkfs() -> Result<Vec<String>> {
    let root = EROFS.folder(|_| Ok(()))?.join("root/usr");
    let libraries = root.join("lib/x86_64-linux-gnu");
    let loader = libraries.join("ld-linux-x86-64.so.2");
    let words = [loader, "--library-path".into(), libraries, root.join("bin/mkfs.erofs")];
    Ok(words.iter().map(|word| word.to_string_lossy().into_owned()).collect())
}

const EROFS: Unpacked = Unpacked { name: "erofs-13", what: "erofs-utils", packages: "erofs-utils" };

/// What an image is made of, without its kernels: what was asked for, and all.
pub(super) struct Image {
    pub(super) asked: BTreeSet<String>,
    pub(super) all: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Definition {
    packages: BTreeSet<String>,
    extends: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    sets: BTreeMap<String, Set>,
}

#[derive(Deserialize)]
struct Set {
    packages: BTreeSet<String>,
}

impl Image {
    /// The image as `os/images` and the lock describe it.
    pub(super) fn named(name: &str) -> Result<Self> {
        let root = command::workspace();
        let definition = |name: &str| -> Result<Definition> {
            let text = fs::read_to_string(root.join(format!("os/images/{name}.toml")))?;
            toml::from_str(&text).with_context(|| format!("os/images/{name}.toml"))
        };
        let mut lock: Lock = toml::from_str(&fs::read_to_string(root.join("os/packages.lock"))?)?;
        let set = lock.sets.remove(&format!("image/{name}"));
        let mut all = set.with_context(|| format!("the lock has no image {name}"))?.packages;
        let own = definition(name)?;
        let mut asked = own.packages;
        if let Some(base) = &own.extends {
            asked.extend(definition(base)?.packages);
        }
        all.extend(asked.iter().cloned());
        all.extend(needed_beside(&all)?);
        Ok(Self { asked, all })
    }
}

/// What recipes say that `packages` need beside what Debian says. Without it the first change of a host would bring it.
fn needed_beside(packages: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let mut needed = BTreeSet::new();
    for folder in fs::read_dir(command::workspace().join("os/packages"))? {
        let folder = folder?.path();
        let path = folder.join("recipe.toml");
        if !path.exists() {
            continue;
        }
        let recipe: Recipe = toml::from_str(&fs::read_to_string(&path)?)
            .with_context(|| format!("{}", path.display()))?;
        let own = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let covered =
            if recipe.packages.is_empty() { own.into_iter().collect() } else { recipe.packages };
        if covered.iter().any(|package| packages.contains(package)) {
            needed.extend(recipe.with.into_keys());
        }
    }
    Ok(needed)
}

/// The part of a recipe that says so.
#[derive(Deserialize)]
struct Recipe {
    /// What it covers; the package that its folder is named after, where it names none.
    #[serde(default)]
    packages: Vec<String>,
    #[serde(default)]
    with: BTreeMap<String, toml::Value>,
}

/// The program that publishes packages and makes hosts in folders: `crates/host/examples`.
pub(super) struct Maker(PathBuf);

impl Maker {
    pub(super) fn build() -> Result<Self> {
        let words = ["build", "--quiet", "--release", "-p", "host", "--example", "bench_packages"];
        command::run(&mut command::cargo(&words))?;
        Ok(Self(command::workspace().join("target/release/examples/bench_packages")))
    }

    /// Runs it with `input`; the lines that it prints.
    pub(super) fn run(&self, arguments: &[&str], input: &str) -> Result<Vec<String>> {
        let mut maker = Command::new(&self.0);
        maker.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = maker.spawn().context("cannot start bench_packages")?;
        child.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output().context("cannot wait for bench_packages")?;
        ensure!(output.status.success(), "bench_packages {arguments:?} failed");
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }
}

/// What both sides change from: a repository below `target/bench`, with keys of its own.
pub(super) struct Repository {
    pub(super) folder: PathBuf,
    keys: PathBuf,
}

impl Repository {
    pub(super) fn new(parent: &Path) -> Self {
        Self { folder: parent.join("repository"), keys: parent.join("keys") }
    }

    /// The metadata from which hosts trust it.
    pub(super) fn root_metadata(&self) -> PathBuf {
        self.keys.join("1.root.json")
    }

    /// Publishes these files beside what is there.
    pub(super) fn publish(&self, maker: &Maker, debs: &[String]) -> Result<()> {
        let (folder, keys) = (self.folder.to_string_lossy(), self.keys.to_string_lossy());
        let what = format!("publishing {} packages", debs.len());
        let arguments = ["publish", &*folder, &*keys];
        progress::show(&what, || maker.run(&arguments, &debs.join("\n")))?;
        Ok(())
    }
}

/// `forge repo serve`, until it is dropped.
pub(super) struct Server {
    child: Child,
    /// Held open: what it prints must go somewhere.
    printed: Option<BufReader<ChildStdout>>,
    pub(super) uri: String,
}

impl Server {
    /// Serves `folder` on a free port of the loopback.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let folder = folder.to_string_lossy();
        let mut serve = forge(&["repo", "serve", "--listen", "127.0.0.1:0", "--folder", &*folder]);
        let child = serve.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let child = child.context("cannot start forge")?;
        let mut server = Self { child, printed: None, uri: String::new() };
        let output = server.child.stdout.take().context("no standard output")?;
        let mut line = String::new();
        server.printed.insert(BufReader::new(output)).read_line(&mut line)?;
        let uri = line.trim().rsplit(' ').next().filter(|uri| uri.starts_with("http://"));
        server.uri = uri.with_context(|| format!("forge serves nowhere: {line}"))?.to_owned();
        Ok(server)
    }

    /// How many bytes of files it has read so far: all of them for whoever asked.
    pub(super) fn read_bytes(&self) -> Result<f64> {
        cost::counter(&self.child.id().to_string(), "rchar")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with nothing to save, and may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
