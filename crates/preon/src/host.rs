//! The host that a command is about: the one it runs on, or one whose disk is mounted somewhere.

use std::path::{Path, PathBuf};

use base::file::FileError;
use base::{Explain, Failure};
use formats::manifest::{Manifest, Package};
use generations::{Generation, Store, StoreError, running};

/// Which host.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Act on the host's files, without the management daemon. This version has no daemon yet and always does so
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    /// Act on the host whose root is FOLDER, for rescue
    #[arg(long, global = true, value_name = "FOLDER", default_value = "/")]
    pub(crate) root: PathBuf,
}

/// A host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) store: Store,
    /// Its `/usr`.
    pub(crate) usr: PathBuf,
    /// The generation that it runs; `None` if it does not run.
    pub(crate) running: Option<Generation>,
}

/// A host cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostError {
    #[error("the store at {} cannot be read", folder.display())]
    Closed { folder: PathBuf },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for HostError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Closed { .. } => Some("run it as root: `sudo preon …`".into()),
            Self::Store(error) => error.hint(),
            Self::File(error) => error.hint(),
        }
    }
}

impl Host {
    /// Opens its store.
    ///
    /// # Errors
    ///
    /// [`HostError`].
    pub(crate) fn open(options: &Options) -> Result<Self, HostError> {
        let below = |path: &str| options.root.join(path.trim_start_matches('/'));
        let folder = below(generations::STORE);
        if is_closed(&folder) {
            return Err(HostError::Closed { folder });
        }
        Ok(Self {
            store: Store::open(&folder)?,
            usr: below("/usr"),
            running: running::read(&below(generations::RUNNING))?,
        })
    }

    /// The generation that commands speak of where none is named: the one that runs, else the one that would boot.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn current(&self) -> Result<Generation, StoreError> {
        match self.running {
            Some(generation) => Ok(generation),
            None => Ok(self.store.wanted()?.generation),
        }
    }

    /// The manifest of `generation`, or of the current one.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn manifest(&self, generation: Option<u64>) -> Result<Manifest, StoreError> {
        let generation = match generation {
            Some(number) => Generation(number),
            None => self.current()?,
        };
        self.store.manifest(generation)
    }
}

/// Whether there may be a store that we must not see.
fn is_closed(folder: &Path) -> bool {
    let denied = |error: std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    folder.metadata().is_err_and(denied)
}

/// A package is not installed.
#[derive(Debug, thiserror::Error)]
#[error("the package {name} is not installed")]
pub(crate) struct NotInstalled {
    name: String,
    nearest: Option<String>,
}

impl Explain for NotInstalled {
    fn hint(&self) -> Option<String> {
        self.nearest.as_ref().map(|name| format!("did you mean {name}?"))
    }
}

/// The package `name` of a generation.
///
/// # Errors
///
/// [`NotInstalled`].
pub(crate) fn installed<'a>(manifest: &'a Manifest, name: &str) -> Result<&'a Package, Failure> {
    let names = || manifest.packages.iter().map(|package| package.name.as_str());
    if let Some(package) = manifest.packages.iter().find(|package| package.name.as_str() == name) {
        return Ok(package);
    }
    let near = |other: &&str| strsim::osa_distance(name, other) <= 2;
    let nearest = names().filter(near).min_by_key(|other| strsim::osa_distance(name, other));
    Err(NotInstalled { name: name.to_owned(), nearest: nearest.map(str::to_owned) }.into())
}
