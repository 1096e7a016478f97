//! Why a kernel could not be built, and what to do about it.

use std::path::{Path, PathBuf};

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
    #[error("{} is no kernel configuration", path.display())]
    BadConfig {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BadConfig,
    },
    /// The committed file is empty or was written by something else than Kconfig.
    #[error("{} does not say of which version of the kernel it is", path.display())]
    NoVersion {
        /// The file.
        path: PathBuf,
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
        if self.is_disk_full() {
            let text =
                "free 4 GB where the cache is, 12 GB for `full`; --cache takes another place";
            return Some(text.into());
        }
        match self {
            Self::File(error) => error.hint(),
            Self::Unpack { .. } => Some(
                "run `forge cache clear roots`, so that the source is fetched and unpacked again"
                    .into(),
            ),
            Self::Patch { .. } => Some("adapt the patch to this source, or drop it if the source has the change by now".into()),
            Self::Configure { source } | Self::Modules { source } => source.hint(),
            Self::BadConfig { path, .. } | Self::NoVersion { path } => {
                Some(format!("run `{}` to write it anew", configures(path)?))
            }
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
            Self::Differs { committed, .. } => Some(format!(
                "run `{}`, then read and commit the difference",
                configures(committed)?
            )),
            Self::NotReproduced { first, second, .. } => {
                Some(format!("compare {} with {}", first.display(), second.display()))
            }
            Self::Compile { output, .. } if output.contains("Killed") => {
                Some("the compiler was out of memory: 2 GB for each processor do".into())
            }
            Self::Start { .. } | Self::Compile { .. } => None,
        }
    }
}

impl BuildError {
    fn is_disk_full(&self) -> bool {
        match self {
            Self::Unpack { source, .. }
            | Self::Patch { source, .. }
            | Self::Configure { source }
            | Self::Modules { source } => source.is_disk_full(),
            Self::Compile { output, .. } => output.contains("No space left on device"),
            _ => false,
        }
    }
}

/// The command that writes the committed configuration at `path`, which is named after its kernel;
/// `None` for another file.
fn configures(path: &Path) -> Option<String> {
    let flavour = path.file_name()?.to_str()?.strip_suffix(".config")?;
    (!flavour.is_empty()).then(|| format!("forge kernel config {flavour}"))
}
