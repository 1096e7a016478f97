//! How a new generation is seen.

mod defaults;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use base::child;
use base::progress::Progress;
use base::{Failure, explain};
use formats::manifest::Manifest;
use generations::stack::live;
use generations::{Generation, running};
use serde::Serialize;

use crate::Host;

/// How a new generation is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// There is none.
    None,
    /// It is seen already; nothing was restarted.
    AtOnce,
    /// It boots next.
    NextBoot,
}

/// Shows a generation that only adds to the one that runs; what cannot be shown boots next.
///
/// # Errors
///
/// If the store or the running system cannot be read or written. That the generation boots next is settled before.
pub(crate) fn at_once(
    host: &Host,
    generation: Generation,
    manifest: &Manifest,
    progress: &dyn Progress,
) -> Result<Activation, Failure> {
    if host.root.0 != Path::new("/") {
        return Ok(Activation::NextBoot); // another host's files
    }
    let run = host.root.below(generations::RUN);
    if let Err(error) = live::restack(&host.store, manifest, &run, &host.usr) {
        progress.note(&explain::render(&error));
        return Ok(Activation::NextBoot);
    }
    running::write(&host.root.below(generations::RUNNING), generation)?;
    let units = match manifest.layers.last() {
        Some(layer) => defaults::copy(host, &live::place(layer, &run))?,
        None => BTreeSet::new(),
    };
    for command in settle(&units) {
        let mut command = command;
        if let Err(error) = child::run(&mut command) {
            progress.note(&explain::render(&error)); // the generation is there; the rest comes at the next boot
        }
    }
    Ok(Activation::AtOnce)
}

/// What maintainer scripts would run for new packages, and the start of units that they enable.
fn settle(units: &BTreeSet<String>) -> Vec<Command> {
    let command = |program: &str, words: &[&str]| {
        let mut command = Command::new(program);
        command.args(words);
        command
    };
    let mut all = vec![
        command("systemd-sysusers", &[]),
        command("systemd-tmpfiles", &["--create"]),
        command("systemctl", &["daemon-reload"]),
        command("udevadm", &["control", "--reload"]),
    ];
    if !units.is_empty() {
        let mut start = command("systemctl", &["start", "--no-block"]);
        start.args(units);
        all.push(start);
    }
    all
}
