//! How a new generation is seen.

mod defaults;

use std::collections::BTreeSet;
use std::process::Command;

use base::child;
use base::progress::Progress;
use base::{Explain, explain};
use formats::manifest::Manifest;
use generations::stack::live;
use generations::{Generation, running};
use serde::Serialize;

use crate::Host;
use crate::health::systemctl;

/// How a new generation is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// There is none.
    None,
    /// It is seen already; nothing was restarted.
    AtOnce,
    /// It is seen already, and the services that ran from what changed were restarted.
    Restarted,
    /// It boots next.
    NextBoot,
}

/// Shows a generation that has all files of the one that runs; one that cannot be shown boots next. That it boots next is
/// settled before, so what fails here is only noted: the next boot does it.
pub(crate) fn show(
    host: &Host,
    generation: Generation,
    manifest: &Manifest,
    progress: &dyn Progress,
) -> Activation {
    if !host.is_here() {
        return Activation::NextBoot; // another host's files
    }
    let note = |error: &dyn Explain| progress.note(&explain::render(error));
    let run = host.root.below(generations::RUN);
    if let Err(error) = live::restack(&host.store, manifest, &run, &host.usr) {
        let reason = explain::render(&error);
        progress
            .note(&format!("note: it waits for the next boot: it cannot be shown now\n{reason}"));
        return Activation::NextBoot;
    }
    if let Err(error) = running::write(&host.root.below(generations::RUNNING), generation) {
        note(&error);
    }
    Activation::AtOnce
}

/// Shows a generation that only adds to the one that runs, and does what its additions want.
pub(crate) fn at_once(
    host: &Host,
    generation: Generation,
    manifest: &Manifest,
    progress: &dyn Progress,
) -> Activation {
    let activation = show(host, generation, manifest, progress);
    if activation != Activation::AtOnce {
        return activation;
    }
    let note = |error: &dyn Explain| progress.note(&explain::render(error));
    let run = host.root.below(generations::RUN);
    let copied = match manifest.layers.last() {
        Some(layer) => defaults::copy(host, &live::place(layer, &run)),
        None => Ok(BTreeSet::new()),
    };
    let units = copied.unwrap_or_else(|error| {
        note(&error);
        BTreeSet::new()
    });
    for mut command in settle(&units) {
        if let Err(error) = child::run(&mut command) {
            note(&error);
        }
    }
    Activation::AtOnce
}

/// The services that cannot be restarted while others run; they wait for the next boot.
const NEVER: [&str; 2] = ["dbus.service", "systemd-logind.service"];

/// Shows a generation that changes or removes what runs, and restarts these services; those that it does not have any more
/// stop.
pub(crate) fn restarting(
    host: &Host,
    (generation, manifest): (Generation, &Manifest),
    services: &[String],
    progress: &dyn Progress,
) -> Activation {
    let activation = at_once(host, generation, manifest, progress);
    if activation != Activation::AtOnce {
        return activation;
    }
    for service in services {
        if NEVER.contains(&service.as_str()) {
            progress.note(&format!("{service} keeps what it runs from until the next boot"));
            continue;
        }
        let is_there = ["/usr/lib/systemd/system", "/etc/systemd/system"]
            .iter()
            .any(|folder| host.root.below(folder).join(service).exists());
        let verb = if is_there || service.contains('@') { "try-restart" } else { "stop" };
        if let Err(error) = child::run(systemctl(&host.root).args([verb, service])) {
            progress.note(&explain::render(&error));
        }
    }
    Activation::Restarted
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
