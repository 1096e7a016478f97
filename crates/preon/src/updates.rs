//! `preon updates`: what the host takes by itself.

mod summary;
mod tell;

use std::io::Write;

use base::output::plain;
use base::progress::Lines;
use base::{Explain, Failure};
use clap::Args;
use host::automatic::{self, Config, Memory};
use host::coordinator::{Coordinator, Holders};
use host::holds::Holds;
use host::{Host, Root};
use serde_json::json;

use crate::print;

pub(crate) use summary::lines;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Status(Status),
    Check(Check),
    Run(Run),
    Release(Release),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    ///
    /// What the command fails with.
    pub(crate) fn run(&self, root: &Root, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Status(command) => command.run(root, out),
            Self::Check(command) => command.run(&Host::open(root)?, out),
            Self::Run(command) => command.run(&Host::open(root)?, out),
            Self::Release(command) => command.run(root, out),
        }
    }
}

/// Say what was found and done last, and what is waited for
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Look what there is, and say what `preon updates run` would do
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Do what /etc/preon/updates.toml says is to be done now; the host does this by itself each hour
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Give up the slot of a host that will not do so itself
///
/// A host that restarts takes a slot of its group and gives it up when it is well. One that does not come back, or
/// came back to its old generation, keeps it, so that what is bad for it does not go on to others.
#[derive(Debug, Args)]
pub(crate) struct Release {
    /// Its name or number, as `preon updates status` prints it [default: this host]
    host: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// There is no slot to give up.
#[derive(Debug, thiserror::Error)]
enum ReleaseError {
    /// Hosts of this group ask nobody.
    #[error("no coordinator is configured")]
    NoCoordinator,
    /// The host has none.
    #[error("{host} has no slot of the group {group}, or several hosts are called so")]
    NoSlot { host: String, group: String },
}

impl Explain for ReleaseError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoCoordinator => "see [coordinator] in /etc/preon/updates.toml".into(),
            Self::NoSlot { .. } => "`preon updates status` lists who has one, with numbers".into(),
        })
    }
}

impl Status {
    fn run(&self, root: &Root, out: &mut dyn Write) -> Result<(), Failure> {
        let (config, memory) = (Config::load(root)?, Memory::read(root)?);
        let holds = Holds(root).list(print::now())?;
        let slots = config.coordinator.as_ref().map(|it| Slots::ask(root, it));
        if self.json {
            let last = (memory.at > 0).then_some(&memory); // else there was none
            let told = json!({ "mode": config.mode, "last": last, "holds": holds, "slots": slots });
            return print::json(out, &told);
        }
        let mut lines = tell::lines(&config, &memory);
        let names: Vec<_> = holds.iter().map(ToString::to_string).collect();
        lines.extend((!names.is_empty()).then(|| ("Held by", names.join("\n"))));
        lines.extend(slots.map(|slots| ("Slots", slots.text())));
        let line = |(name, text): &(&str, String)| {
            format!("{name:12} {}\n", text.trim_end().replace('\n', "\n             "))
        };
        print::text(out, &lines.iter().map(line).collect::<String>())
    }
}

/// Who has a slot.
#[derive(serde::Serialize)]
struct Slots {
    group: String,
    slots: usize,
    /// Missing if nobody answers.
    taken: Option<Holders>,
    /// Why nobody does.
    failure: Option<String>,
}

impl Slots {
    fn ask(root: &Root, config: &host::coordinator::Config) -> Self {
        let asked = Coordinator::new(root, config)
            .map_err(Failure::from)
            .and_then(|coordinator| Ok(coordinator.holders()?));
        let (taken, failure) = match asked {
            Ok(taken) => (Some(taken), None),
            Err(error) => (None, Some(base::explain::render(error.as_ref()))),
        };
        Self { group: config.group.clone(), slots: config.slots.get(), taken, failure }
    }

    fn text(&self) -> String {
        let Some(taken) = &self.taken else {
            return self.failure.clone().unwrap_or_default();
        };
        let head = format!("{} of {} taken in the group {}\n", taken.len(), self.slots, self.group);
        let line = |(id, holder): (&str, &host::coordinator::Holder)| {
            let since = print::moment(holder.since);
            format!(
                "{holder} since {since}, into generation {}, number {}\n",
                holder.generation,
                plain(id)
            )
        };
        head + &taken.iter().map(line).collect::<String>()
    }
}

/// Tells whoever logs in; that this fails says nothing about the turn.
fn post(host: &Host) {
    if let Err(error) = summary::post(host) {
        eprint!("{}", base::explain::render(error.as_ref()));
    }
}

impl Check {
    fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let memory = automatic::check(host, print::now(), &Lines::new(std::io::stderr()));
        post(host);
        let memory = memory?;
        if self.json {
            return print::json(out, &memory);
        }
        print::text(
            out,
            &(tell::available(&memory)
                + "\n"
                + &tell::step(memory.step.as_ref(), tell::Tense::Would)
                + "\n"),
        )
    }
}

impl Run {
    fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let memory = automatic::run(host, print::now(), &Lines::new(std::io::stderr()));
        post(host);
        let memory = memory?;
        if self.json {
            return print::json(out, &memory);
        }
        print::text(out, &(tell::step(memory.step.as_ref(), tell::Tense::Did) + "\n"))
    }
}

impl Release {
    fn run(&self, root: &Root, out: &mut dyn Write) -> Result<(), Failure> {
        let config = Config::load(root)?.coordinator.ok_or(ReleaseError::NoCoordinator)?;
        let host = match &self.host {
            Some(host) => host.clone(),
            None => automatic::host_id(root)?,
        };
        let released = Coordinator::new(root, &config)?.release(&host)?;
        let group = config.group;
        let holder = released.ok_or_else(|| ReleaseError::NoSlot { host, group: group.clone() })?;
        if self.json {
            return print::json(out, &json!({ "group": group, "released": holder }));
        }
        print::text(out, &format!("{holder} has no slot of the group {group} any more\n"))
    }
}

#[cfg(test)]
mod tests;
