//! The operator's program: what a host is, what it was, what it will be.
//!
//! Each command is a file: its arguments, its doc comments as help text, one call into a library.

mod completion;
mod diff;
mod files;
mod history;
mod host;
mod info;
mod list;
mod man;
mod print;
mod rollback;
mod status;
#[cfg(test)]
mod trial;
mod verify;

use std::io::Write;
use std::process::ExitCode;

use base::output::Output;
use base::{Failure, explain};
use clap::Parser;

use crate::host::{Host, Options};

/// Look after a Preon OS host: its packages and its generations.
///
/// Exit status: 0 done, 1 failed, 2 misused.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Preon {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Status(status::Status),
    History(history::History),
    Diff(diff::Diff),
    Rollback(rollback::Rollback),
    Verify(verify::Verify),
    List(list::List),
    Info(info::Info),
    Files(files::Files),
    Completion(completion::Completion),
    Man(man::Man),
}

impl Preon {
    fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let host = || Host::open(&self.options);
        match self.command {
            Command::Status(command) => command.run(&host()?, out),
            Command::History(command) => command.run(&host()?, out),
            Command::Diff(command) => command.run(&host()?, out),
            Command::Rollback(command) => command.run(&host()?, out),
            Command::Verify(command) => command.run(&host()?, out),
            Command::List(command) => command.run(&host()?, out),
            Command::Info(command) => command.run(&host()?, out),
            Command::Files(command) => command.run(&host()?, out),
            Command::Completion(command) => command.run(out),
            Command::Man(command) => command.run(out),
        }
    }
}

fn main() -> ExitCode {
    let mut out = Output(std::io::stdout().lock());
    match Preon::parse().run(&mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprint!("{}", explain::render(failure.as_ref()));
            ExitCode::FAILURE
        }
    }
}
