//! `cargo xtask fuzz`: random input for the parsers of foreign bytes, for a bounded time.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::command::{self, cargo, cargo_nightly};
use crate::run;

#[derive(Debug, clap::Args)]
pub(crate) struct Fuzz {
    /// Seconds for each target
    #[arg(default_value_t = SECONDS)]
    seconds: u32,
    /// Only this target
    #[arg(long)]
    target: Option<String>,
}

const SECONDS: u32 = 10;

impl Default for Fuzz {
    fn default() -> Self {
        Self { seconds: SECONDS, target: None }
    }
}

impl Fuzz {
    pub(crate) fn run(self) -> Result<()> {
        prepare()?;
        let built = built_seeds()?;
        let all = command::read(&mut cargo_nightly(&["fuzz", "list"]))?;
        let wanted = |name: &&str| self.target.as_deref().is_none_or(|target| target == *name);
        let targets: Vec<&str> = all.lines().filter(wanted).collect();
        if targets.is_empty() {
            bail!("there is no such target; there are: {}", all.replace('\n', " "));
        }
        let time = format!("-max_total_time={}", self.seconds);
        let limits = ["--", &time, "-timeout=10", "-rss_limit_mb=2048"];
        for target in targets {
            eprintln!("fuzzing {target} for {} s", self.seconds);
            let folders = corpus(target, &built)?;
            let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
            let run = ["fuzz", "run", "--sanitizer", "none", target];
            // What it prints matters only when it fails; then the input that did it is named there.
            command::read(&mut cargo_nightly(&[&run[..], &folders, &limits].concat()))?;
        }
        Ok(())
    }
}

/// The folders that a target starts from. What it finds goes to the first one.
fn corpus(target: &str, built: &Path) -> Result<Vec<String>> {
    let fuzz = command::workspace().join("fuzz");
    let found = fuzz.join("corpus").join(target);
    fs::create_dir_all(&found)?;
    let folders = [found, fuzz.join("seeds").join(target), built.join(target)];
    let there = folders.iter().filter(|folder| folder.is_dir());
    Ok(there.map(|folder| folder.to_string_lossy().into_owned()).collect())
}

/// A folder with a folder for each target whose seeds are made, because they are binary: the heads of
/// the image that was built, where one was, and a tar archive.
fn built_seeds() -> Result<PathBuf> {
    let seeds = command::workspace().join("target/fuzz-seeds");
    for (target, image) in [("gpt", "disk.raw"), ("pe", "preon.efi")] {
        let folder = seeds.join(target);
        fs::create_dir_all(&folder)?;
        if let Ok(image) = File::open(command::workspace().join("out").join(run::IMAGE).join(image))
        {
            let mut head = Vec::new();
            image.take(34 * 512).read_to_end(&mut head)?;
            fs::write(folder.join("head"), head)?;
        }
    }
    fs::create_dir_all(seeds.join("deb"))?;
    let archive = seeds.join("deb/seeds.tar");
    let fuzz = command::workspace().join("fuzz");
    let [archive, fuzz] = [&archive, &fuzz].map(|path| path.to_string_lossy());
    command::run(&mut command::program("tar", &["-cf", &archive, "-C", &fuzz, "seeds/version"]))?;
    Ok(seeds)
}

/// Installs the toolchain and the runner where they are missing.
fn prepare() -> Result<()> {
    let toolchains = command::read(&mut command::program("rustup", &["toolchain", "list"]))?;
    if !toolchains.lines().any(|line| line.starts_with("nightly")) {
        let install = ["toolchain", "install", "nightly", "--profile", "minimal"];
        command::run(&mut command::program("rustup", &install))?;
    }
    if !command::exists("cargo-fuzz") {
        command::run(&mut cargo(&["install", "--quiet", "--locked", "cargo-fuzz"]))?;
    }
    Ok(())
}
