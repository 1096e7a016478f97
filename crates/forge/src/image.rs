//! Images: a disk with a boot loader, a unified kernel image and a store that holds generation 1.

mod build;
mod compose;
mod disk;
mod esp;
mod filesystem;
pub(crate) mod initrd;
mod kind;
mod layout;
mod oci;
mod show;

use std::io::Write;

use base::Failure;

use crate::context::Context;
use crate::layer;

/// `forge image …`
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Build(build::Build),
    Compose(compose::Compose),
    Oci(oci::Oci),
    Show(show::Show),
}

/// Builds the image `name`, be it a disk or a container image.
///
/// # Errors
///
/// What building it fails with.
pub(crate) fn make(context: &Context, name: &str) -> Result<(), Failure> {
    let out = &mut std::io::sink();
    match layer::definition(context, name)?.container {
        Some(_) if name == oci::DEFINITION => oci::Oci {}.run(context, out),
        _ => build::Build { name: name.to_owned() }.run(context, out),
    }
}

impl Command {
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Build(command) => command.run(context, out),
            Self::Compose(command) => command.run(context, out),
            Self::Oci(command) => command.run(context, out),
            Self::Show(command) => command.run(context, out),
        }
    }
}
