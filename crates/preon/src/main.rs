//! The operator's program: what a host is, what it was, what it will be.
//!
//! Each command is a file: its arguments, its doc comments as help text, one call into a library.

mod advisories;
mod bundle;
mod change;
mod completion;
mod depends;
mod diff;
mod download;
mod etc;
mod exit;
mod files;
mod gc;
mod health;
mod history;
mod hold;
mod info;
mod list;
mod man;
mod names;
mod plan;
mod print;
mod refresh;
mod repair;
mod repo;
mod rollback;
mod search;
mod soft_reboot;
mod status;
#[cfg(test)]
mod trial;
mod undo;
mod updates;
mod verify;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use base::output::Output;
use base::{Failure, explain};
use clap::Parser;

use host::{Host, Root};

/// Look after a Preon OS host: its packages and its generations.
///
/// Exit status: 0 done, 1 failed, 2 misused, 3 somebody else changes the host right now, so nothing was done. `verify`, `check`,
/// `health`, `repair` and `advisories --check` end with 1 if something is wrong, too.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Preon {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

/// Which host.
#[derive(Clone, Debug, clap::Args)]
struct Options {
    /// Act on the host's files, without the management daemon. This version has no daemon yet and always does so
    #[arg(long, global = true)]
    offline: bool,
    /// Act on the host whose root is FOLDER, for rescue
    #[arg(long, global = true, value_name = "FOLDER", default_value = "/")]
    root: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Status(status::Status),
    History(history::History),
    Diff(diff::Diff),
    Rollback(rollback::Rollback),
    SoftReboot(soft_reboot::SoftReboot),
    Undo(undo::Undo),
    Gc(gc::Gc),
    Verify(verify::Verify),
    Repair(repair::Repair),
    Health(health::Health),
    List(list::List),
    Info(info::Info),
    Files(files::Files),
    Depends(depends::Depends),
    Provides(depends::Provides),
    Check(depends::Check),
    Install(change::Install),
    Remove(change::Remove),
    Upgrade(change::Upgrade),
    Downgrade(change::Downgrade),
    Autoremove(change::Autoremove),
    Pin(change::Pin),
    Unpin(change::Unpin),
    Mark(change::Mark),
    Plan(plan::Plan),
    Download(download::Download),
    Advisories(advisories::Advisories),
    Search(search::Search),
    Refresh(refresh::Refresh),
    /// Look after what was edited in /etc
    #[command(subcommand)]
    Etc(etc::Command),
    /// Carry a change on a file to a host that reaches no mirror
    #[command(subcommand)]
    Bundle(bundle::Command),
    /// Say where packages come from
    #[command(subcommand)]
    Repo(repo::Command),
    /// Look after what the host takes by itself, as /etc/preon/updates.toml says
    #[command(subcommand)]
    Updates(updates::Command),
    /// Keep automatic updates from restarting the host
    #[command(subcommand)]
    Hold(hold::Command),
    Completion(completion::Completion),
    Man(man::Man),
    Names(names::Names),
}

impl Preon {
    fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let root = Root(self.options.root);
        let host = || Host::open(&root);
        match self.command {
            Command::Status(command) => command.run(&host()?, out),
            Command::History(command) => command.run(&host()?, out),
            Command::Diff(command) => command.run(&host()?, out),
            Command::Rollback(command) => command.run(&host()?, out),
            Command::SoftReboot(command) => command.run(&host()?, out),
            Command::Undo(command) => command.run(&host()?, out),
            Command::Gc(command) => command.run(&host()?, out),
            Command::Verify(command) => command.run(&host()?, out),
            Command::Repair(command) => command.run(&host()?, out),
            Command::Health(command) => command.run(&host()?, out),
            Command::List(command) => command.run(&host()?, out),
            Command::Info(command) => command.run(&host()?, out),
            Command::Files(command) => command.run(&host()?, out),
            Command::Depends(command) => command.run(&host()?, out),
            Command::Provides(command) => command.run(&host()?, out),
            Command::Check(command) => command.run(&host()?, out),
            Command::Install(command) => change::run(command, &host()?, out),
            Command::Remove(command) => change::run(command, &host()?, out),
            Command::Upgrade(command) => command.run(&host()?, out),
            Command::Downgrade(command) => change::run(command, &host()?, out),
            Command::Autoremove(command) => change::run(command, &host()?, out),
            Command::Pin(command) => change::run(command, &host()?, out),
            Command::Unpin(command) => change::run(command, &host()?, out),
            Command::Mark(command) => change::run(command, &host()?, out),
            Command::Plan(command) => command.run(&host()?, out),
            Command::Download(command) => command.run(&root, out),
            Command::Advisories(command) => command.run(&host()?, out),
            Command::Search(command) => command.run(&root, out),
            Command::Refresh(command) => command.run(&root, out),
            Command::Etc(command) => command.run(&host()?, out),
            Command::Bundle(command) => command.run(&host()?, out),
            Command::Repo(command) => command.run(&root, out),
            Command::Updates(command) => command.run(&root, out),
            Command::Hold(command) => command.run(&root, out),
            Command::Completion(command) => command.run(out),
            Command::Man(command) => command.run(out),
            Command::Names(command) => command.run(&root, out),
        }
    }
}

fn main() -> ExitCode {
    let mut out = Output(std::io::stdout().lock());
    let result = Preon::parse().run(&mut out);
    if let Err(failure) = &result {
        eprint!("{}", explain::render(failure.as_ref()));
    }
    exit::status(&result).into()
}
