//! The build machine's program: from Debian's archive to images.
//!
//! Each command is a file: its arguments, its doc comments as help text, one call into a library.

mod advisories;
mod audit;
mod cache;
mod completion;
mod context;
mod curate;
mod image;
mod kernel;
mod key;
mod layer;
mod man;
mod oci;
mod output;
mod package;
mod programs;
mod progress;
mod provenance;
mod recipe;
mod repository;
mod review;
mod sandbox;
mod sbom;
#[cfg(test)]
mod scratch;
mod supply;
mod tools;
mod trial;
mod uki;
mod update;
mod workshop;

use std::io::Write;
use std::process::ExitCode;

use base::{Failure, explain};
use clap::Parser;

use crate::context::{Context, Options};
use crate::workshop::KernelShop;

/// Build Preon OS: packages, kernel, images.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Forge {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Build images and show what they are made of
    #[command(subcommand)]
    Image(image::Command),
    /// Build the kernel and show what it is
    #[command(subcommand)]
    Kernel(kernel::Command),
    /// Build packages from source
    #[command(subcommand)]
    Package(package::Command),
    #[command(subcommand)]
    Audit(audit::Command),
    /// Publish packages and serve them
    #[command(subcommand)]
    Repo(repository::Command),
    /// Make, show and replace the keys that sign a repository
    #[command(subcommand)]
    Key(key::Command),
    Update(update::Update),
    Review(review::Review),
    Curate(curate::command::Curate),
    Sbom(sbom::Sbom),
    #[command(subcommand)]
    Provenance(provenance::Command),
    /// Show or clear what is kept between builds
    #[command(subcommand)]
    Cache(cache::Command),
    Completion(completion::Completion),
    Man(man::Man),
}

impl Forge {
    fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let context = || Context::open(self.options);
        match self.command {
            Command::Image(command) => command.run(&context()?, out),
            Command::Kernel(command) => command.run(&KernelShop::new(&context()?), out),
            Command::Package(command) => command.run(&context()?, out),
            Command::Audit(command) => command.run(&context()?, out),
            Command::Repo(command) => command.run(&context()?, out),
            Command::Key(command) => command.run(&context()?, out),
            Command::Update(command) => command.run(&context()?, out),
            Command::Review(command) => command.run(&context()?, out),
            Command::Curate(command) => command.run(&context()?, out),
            Command::Sbom(command) => command.run(&context()?, out),
            Command::Provenance(command) => command.run(&context()?, out),
            Command::Cache(command) => command.run(&context()?, out),
            Command::Completion(command) => command.run(out),
            Command::Man(command) => command.run(out),
        }
    }
}

fn main() -> ExitCode {
    let mut out = base::output::Output(std::io::stdout().lock());
    match Forge::parse().run(&mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprint!("{}", explain::render(failure.as_ref()));
            ExitCode::FAILURE
        }
    }
}
