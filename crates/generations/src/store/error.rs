//! Why the store does not answer.

use std::path::PathBuf;

use base::Explain;
use base::file::FileError;
use formats::manifest::ManifestError;

use super::Generation;
use crate::choose::Passed;
use crate::wanted::WantedError;

/// Why the store does not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no store.
    #[error("there is no store at {}", folder.display())]
    Missing {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A generation is asked for that the store does not hold.
    #[error("the store at {} holds no {generation}", folder.display())]
    NoSuchGeneration {
        /// The store.
        folder: PathBuf,
        /// The generation.
        generation: Generation,
    },
    /// A manifest cannot be understood.
    #[error("cannot understand {}", path.display())]
    Manifest {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: ManifestError,
    },
    /// A generation is to be blessed that is not to boot.
    #[error("{generation} cannot be blessed: {wanted} is wanted")]
    NotWanted {
        /// The generation.
        generation: Generation,
        /// The one that is to boot.
        wanted: Generation,
    },
    /// Every generation was given up or cannot be used. Ends with a line for each.
    #[error("no generation boots{}", lines(passed))]
    NothingBoots {
        /// Each of them with the reason, in the order in which they were to boot.
        passed: Vec<Passed>,
    },
    /// Another process changes the store.
    #[error("another program is changing the store: it holds {}", path.display())]
    Locked {
        /// The file that it has locked.
        path: PathBuf,
    },
    /// It is not known which generation is wanted.
    #[error(transparent)]
    Wanted(#[from] WantedError),
    /// Something else about a file.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for StoreError {
    fn is_busy(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { folder } => Some(format!(
                "check that the filesystem at {} is the one of a host",
                folder.display()
            )),
            Self::NoSuchGeneration { .. } => Some("ask for one that the store lists".into()),
            Self::Manifest { source, .. } => source.hint().or_else(|| {
                Some(
                    "undo what was changed in it by hand, or let another generation boot: \
                      `preon rollback N`"
                        .into(),
                )
            }),
            Self::NotWanted { .. } => Some("bless the one that is wanted, after it booted".into()),
            Self::NothingBoots { .. } => Some(
                "choose another kernel in the boot loader's menu, or mount the disk on another \
                 machine and name the generation to boot: `preon --root FOLDER rollback N`"
                    .into(),
            ),
            Self::Locked { .. } => Some("wait until it has finished, and do the same again".into()),
            Self::Wanted(error) => error.hint(),
            Self::File(error) => error.hint(),
        }
    }
}

fn lines(passed: &[Passed]) -> String {
    passed.iter().map(|passed| format!("\n  {passed}")).collect()
}
