//! `cargo xtask fuzz`: random input for the parsers of foreign bytes, for a bounded time.

use anyhow::{Result, bail};

use crate::command::{self, cargo, cargo_nightly};

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
            let run = ["fuzz", "run", "--sanitizer", "none", target];
            // What it prints matters only when it fails; then the input that did it is named there.
            command::read(&mut cargo_nightly(&[&run[..], &limits].concat()))?;
        }
        Ok(())
    }
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
