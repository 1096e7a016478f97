//! What a command costs: time, memory, bytes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use super::repository::Server;
use crate::bench::{Pair, Row};
use crate::command;

/// What one run of a command cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub(super) seconds: f64,
    /// Of the largest process.
    pub(super) megabytes: f64,
    /// Bytes that it and its children gave to the disk: pages of files, not the filesystem's own.
    pub(super) written: f64,
    /// Bytes of files that the server read for it.
    pub(super) fetched: f64,
}

/// Drops what the kernel has cached of files, after all that waits to be written is written.
pub(super) fn drop_caches() -> Result<()> {
    command::run(&mut command::program("sync", &[]))?;
    fs::write("/proc/sys/vm/drop_caches", "3").context("cannot drop caches, which wants root")
}

/// Runs a command with nothing cached, but for the programs that start it.
pub(super) fn cold(command: &Command, server: &Server) -> Result<Cost> {
    drop_caches()?;
    warm(command, server)
}

/// Runs a command.
pub(super) fn warm(command: &Command, server: &Server) -> Result<Cost> {
    let report = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    let time = || {
        let mut timed = command::program("time", &["--format=%M", "--output"]);
        timed.arg(report.path()).arg("--").arg(command.get_program());
        timed
    };
    // So that neither side pays for reading time(1) and chroot(1).
    command::read(time().arg("--version"))?;
    let mut timed = time();
    timed.args(command.get_args());
    timed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (written, fetched) = (written()?, server.read_bytes()?);
    let start = Instant::now();
    command::read(&mut timed)?;
    Ok(Cost {
        seconds: start.elapsed().as_secs_f64(),
        megabytes: peak(report.path())?,
        written: self::written()? - written,
        fetched: server.read_bytes()? - fetched,
    })
}

/// The memory that time(1) wrote down, in megabytes.
fn peak(report: &Path) -> Result<f64> {
    let text = fs::read_to_string(report)?;
    let kibibytes: f64 = text.trim().parse().context("time(1) wrote no number")?;
    Ok(kibibytes * 1024.0 / 1e6)
}

/// Bytes that this program and its children, as far as they have ended, gave to the disk.
fn written() -> Result<f64> {
    counter("self", "write_bytes")
}

/// A counter of a process and of its children that have ended.
pub(super) fn counter(process: &str, name: &str) -> Result<f64> {
    let path = format!("/proc/{process}/io");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.and_then(|number| number.parse().ok()).with_context(|| format!("{path} has no {name}"))
}

/// The costs of the same work on both sides, one for each run.
#[derive(Debug, Default)]
pub(super) struct Costs {
    pub(super) ours: Vec<Cost>,
    pub(super) theirs: Vec<Cost>,
}

impl Costs {
    fn pair(&self, figure: impl Fn(&Cost) -> f64) -> Pair {
        let side = |costs: &[Cost]| costs.iter().map(&figure).collect();
        Pair { ours: side(&self.ours), theirs: side(&self.theirs) }
    }

    /// A row of seconds.
    pub(super) fn seconds(&self, name: &str) -> Row {
        self.pair(|cost| cost.seconds).row("packages", name, "s")
    }

    /// Rows of everything else.
    pub(super) fn others(&self, name: &str) -> Vec<Row> {
        let row = |what: &str, unit, figure: fn(&Cost) -> f64| {
            self.pair(figure).row("packages", &format!("{name}: {what}"), unit)
        };
        vec![
            row("fetched", "MB", |cost| cost.fetched / 1e6),
            row("written", "MB", |cost| cost.written / 1e6),
            row("memory", "MB", |cost| cost.megabytes),
        ]
    }
}
