//! Why the boot loader cannot be told what to start, and whether it was.

use std::path::PathBuf;

use base::file::FileError;
use base::{ByteSize, Explain};
use formats::manifest::{Kernel, Manifest};
use sys::efi::VariableError;
use sys::mount::MountError;

/// Why the boot loader's partition cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoaderError {
    /// It is not mounted.
    #[error("the boot loader's partition cannot be seen at {}", folder.display())]
    Unseen {
        /// The folder that should be there.
        folder: PathBuf,
    },
    /// The kernel of a generation is not there.
    #[error("the kernel {entry} is not on the boot loader's partition any more")]
    Missing {
        /// What the loader would call it.
        entry: String,
    },
    /// Another kernel finds no place.
    #[error("the kernel takes {needed}, but the boot loader's partition has only {free} free")]
    NoRoom {
        /// What it takes.
        needed: ByteSize,
        /// What there is.
        free: ByteSize,
    },
    /// Another one has started the host.
    #[error("this host was not started by the boot loader of its image")]
    Foreign,
    /// An EFI variable lets a kernel start that a generation does not fit.
    #[error(
        "the EFI variable LoaderEntryDefault lets {entry} start each time, which the generation does not fit"
    )]
    Overruled {
        /// What the loader calls that kernel's image.
        entry: String,
    },
    /// An EFI variable cannot be read.
    #[error(transparent)]
    Variable(#[from] VariableError),
    /// It was found on the disk of a host that does not run, and the kernel refuses it.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A file of it.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for LoaderError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unseen { .. } => Some("`systemctl status efi.mount` says why".into()),
            Self::Foreign => Some("its kernel comes with what starts it".into()),
            Self::Missing { .. } => Some("let another generation boot: `preon rollback N`".into()),
            Self::NoRoom { .. } => Some(
                "`preon gc --keep 0` removes the kernels of generations that nobody needs".into(),
            ),
            Self::Overruled { .. } => {
                Some("let loader.conf decide again: `bootctl set-default \"\"`".into())
            }
            Self::Variable(error) => error.hint(),
            Self::Mount(error) => error.hint(),
            Self::File(error) => error.hint(),
        }
    }
}

/// Whether the boot loader starts a kernel that the generation fits which boots next.
#[derive(Debug)]
pub enum Told {
    /// It does.
    Yes,
    /// Nobody could tell it: somebody has to start the kernel by hand.
    No {
        /// The generation's kernel.
        kernel: Box<Kernel>,
        /// Why it was not told; missing where its partition was looked for and is not there.
        why: Option<LoaderError>,
    },
}

impl Told {
    /// It was not told to start the kernel of this generation.
    pub(crate) fn no(manifest: Manifest, why: Option<LoaderError>) -> Self {
        Self::No { kernel: Box::new(manifest.kernel), why }
    }
}
