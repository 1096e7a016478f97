//! `forge repo`: packages become a signed repository.

mod publish;
mod refresh;
mod serve;
mod show;
mod verify;

use std::io::Write;
use std::path::PathBuf;

use base::Failure;

use crate::advisories;
use crate::context::Context;

/// The suite of our packages, which are made from Debian's of that name.
const SUITE: &str = "preon-trixie";

/// `forge repo …`
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Publish(publish::Publish),
    Refresh(refresh::Refresh),
    Show(show::Show),
    Serve(serve::Serve),
    Verify(verify::Verify),
    Advisories(advisories::Advisories),
}

/// Where the repository is.
#[derive(Debug, clap::Args)]
struct Folder {
    /// Folder of the repository [default: out/repository in the checkout]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

impl Folder {
    fn path(&self, context: &Context) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| context.out("repository"))
    }
}

impl Command {
    /// Does what the command says; data goes to `out`.
    ///
    /// # Errors
    ///
    /// Whatever the command fails with.
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Publish(command) => command.run(context, out),
            Self::Refresh(command) => command.run(context, out),
            Self::Show(command) => command.run(context, out),
            Self::Serve(command) => command.run(context, out),
            Self::Verify(command) => command.run(context, out),
            Self::Advisories(command) => command.run(context, out),
        }
    }
}
