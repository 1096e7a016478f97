//! Why a kernel could not be built, and what to do about it.

use std::path::PathBuf;

use base::Explain;
use base::child::ChildError;
use base::file::FileError;

use crate::kernel::config::{BadConfig, Difference, NotGranted};

/// Why a kernel could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// A file of the build or the cache.
    #[error(transparent)]
    File(#[from] FileError),
    /// The archive is damaged, or holds something else.
    #[error("cannot unpack the kernel's source from {}", archive.display())]
    Unpack {
        /// The archive.
        archive: PathBuf,
        /// Why.
        source: ChildError,
    },
    /// The source is another one than the patch was made for.
    #[error("cannot apply {} to the kernel's source", patch.display())]
    Patch {
        /// The patch.
        patch: PathBuf,
        /// Why.
        source: ChildError,
    },
    /// Kconfig failed.
    #[error("cannot expand the fragments into a configuration")]
    Configure {
        /// Why.
        source: ChildError,
    },
    /// Kconfig wrote something else than a configuration, or the committed file is none.
    #[error("the configuration cannot be read")]
    BadConfig {
        /// Why.
        source: BadConfig,
    },
    /// What was asked for did not come out.
    #[error("{} of the options asked for did not come out{}", missed.len(), lines(missed))]
    NotGranted {
        /// Which.
        missed: Vec<NotGranted>,
    },
    /// The committed configuration is another one.
    #[error("{} is not what the fragments lead to{}", committed.display(), lines(differences))]
    Differs {
        /// The committed file.
        committed: PathBuf,
        /// In which options.
        differences: Vec<Difference>,
    },
    /// The same inputs gave other bytes.
    #[error("building the kernel again gave another {}", files.join(", "))]
    NotReproduced {
        /// The names of the files.
        files: Vec<&'static str>,
        /// The folder of the first result.
        first: PathBuf,
        /// The folder of the second one.
        second: PathBuf,
    },
    /// The compiler could not be started.
    #[error("cannot start the kernel's build")]
    Start {
        /// Why.
        source: std::io::Error,
    },
    /// What was compiled could not be put together.
    #[error("cannot pack the kernel's modules")]
    Modules {
        /// Why.
        source: ChildError,
    },
    /// Compiling failed.
    #[error("the kernel's build failed with {status}\n{output}")]
    Compile {
        /// How it ended.
        status: std::process::ExitStatus,
        /// The errors and the last lines that it printed.
        output: String,
    },
}

/// Each of `items` on a line of its own, below another.
pub(super) fn lines(items: &[impl ToString]) -> String {
    items.iter().map(|item| format!("\n  {}", item.to_string())).collect()
}

impl Explain for BuildError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Unpack { .. } => Some(
                "free space where the cache is, or run `forge cache clear roots`, so that the source \
                 is fetched and unpacked again"
                    .into(),
            ),
            Self::Patch { .. } => Some("adapt the patch to this source, or drop it if the source has the change by now".into()),
            Self::Configure { source } | Self::Modules { source } => source.hint(),
            Self::BadConfig { .. } => Some("run `forge kernel config` to write it anew".into()),
            Self::NotGranted { missed } if missed.iter().any(NotGranted::is_plugins) => Some(
                "GCC plugins need plugin headers: add the package gcc-NN-plugin-dev of that very \
                 compiler to the root `build` of os/tools.toml"
                    .into(),
            ),
            Self::NotGranted { .. } => Some(
                "look up what each depends on in the source's Kconfig and ask for that too, drop the \
                 line, or mark it with `?` and say why it may be absent"
                    .into(),
            ),
            Self::Differs { .. } => {
                Some("run `forge kernel config`, then read and commit the difference".into())
            }
            Self::NotReproduced { first, second, .. } => {
                Some(format!("compare {} with {}", first.display(), second.display()))
            }
            Self::Compile { output, .. } if output.contains("No space left on device") => {
                Some("free 4 GB where the cache is, 12 GB for `full`; --cache takes another place".into())
            }
            Self::Compile { output, .. } if output.contains("Killed") => {
                Some("the compiler was out of memory: 2 GB for each processor do".into())
            }
            Self::Start { .. } | Self::Compile { .. } => None,
        }
    }
}
