//! `forge audit`: whether what was built is what `os/policy` says that it must be.

pub(crate) mod elf;
pub(crate) mod kernel;

use std::io::Write;

use base::Failure;

use crate::context::Context;

/// Compare what is built with what os/policy demands
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Elf(elf::Elf),
    Kernel(kernel::Kernel),
}

impl Command {
    /// Does what the command says; data goes to `out`.
    ///
    /// # Errors
    ///
    /// Whatever the command fails with.
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Elf(command) => command.run(context, out),
            Self::Kernel(command) => command.run(&context.root, out),
        }
    }
}
