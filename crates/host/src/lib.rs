//! What a host does to itself: where its packages come from, how it changes, whether it is well.
//!
//! `preon` uses it directly as long as there is no daemon; the daemon will use nothing else.

pub mod activate;
pub mod advisories;
pub mod automatic;
pub mod bundle;
pub mod coordinator;
pub mod download;
pub mod etc;
pub mod health;
pub mod holds;
pub mod housekeeping;
pub mod loader;
pub mod repair;
pub mod repositories;
pub mod soft_reboot;
pub mod transaction;
pub mod undo;

use std::path::{Path, PathBuf};

use base::child::Program;
use base::file::FileError;
use base::{Explain, Failure};
use formats::manifest::{Manifest, Package};
use generations::kernel::UnknownKernel;
use generations::{Booted, Generation, Store, StoreError, running};
use packages::fetch::FetchOptions;
use packages::spelling;

use crate::loader::{Loader, LoaderError, Told, Variables};

/// The root folder of a host: `/` on the host itself, another one for rescue.
#[derive(Clone, Debug)]
pub struct Root(pub PathBuf);

impl Root {
    /// Where `path` of the host is.
    pub fn below(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }
}

/// A host: the one that this program runs on, or one whose disk is mounted somewhere.
#[derive(Debug)]
pub struct Host {
    /// Its root folder.
    pub root: Root,
    /// Its layers and generations.
    pub store: Store,
    /// Its `/usr`.
    pub usr: PathBuf,
    /// The generation that it runs; `None` if it does not run.
    pub running: Option<Generation>,
    /// mkfs.erofs of the product's own suite.
    pub mkfs: Program,
    /// How packages are fetched.
    pub fetch: FetchOptions,
}

/// A host cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Only root may look at it.
    #[error("the store at {} cannot be read", folder.display())]
    Closed {
        /// The store.
        folder: PathBuf,
    },
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for HostError {
    fn is_busy(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_busy())
    }

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
    pub fn open(root: &Root) -> Result<Self, HostError> {
        let below = |path| root.below(path);
        let folder = below(generations::STORE);
        if is_closed(&folder) {
            return Err(HostError::Closed { folder });
        }
        Ok(Self {
            root: root.clone(),
            store: Store::open(&folder)?,
            usr: below("/usr"),
            running: running::read(&below(generations::RUNNING))?,
            mkfs: Program::new("/usr/bin/mkfs.erofs"),
            fetch: FetchOptions::default(),
        })
    }

    /// Whether this program runs on it: only then can what is seen be changed.
    pub(crate) fn is_here(&self) -> bool {
        self.root.0 == Path::new("/")
    }

    /// The kernel that it runs.
    ///
    /// # Errors
    ///
    /// [`UnknownKernel`].
    pub fn kernel(&self) -> Result<Booted, UnknownKernel> {
        Booted::of_host(&self.root.0)
    }

    /// Whether a generation needs another kernel than runs, as far as that is known: then the machine has to start anew.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn needs_another_kernel(&self, generation: Generation) -> Result<bool, StoreError> {
        let manifest = self.store.manifest(generation)?;
        Ok(self.kernel().is_ok_and(|kernel| !kernel.fits(&manifest)))
    }

    /// Lets a generation boot next, with its kernel. Interrupted between both, the kernel of before starts, and whoever
    /// settles that boot goes on here.
    ///
    /// # Errors
    ///
    /// If there is no such generation, its kernel is not on the boot partition any more, or an EFI variable lets another
    /// kernel start ([`LoaderError::Overruled`]): nothing has changed then.
    pub fn boots_next(&self, generation: Generation) -> Result<Told, Failure> {
        let manifest = self.store.manifest(generation)?;
        if self.running.is_none() {
            return self.wakes_with(generation, &manifest);
        }
        let wanted = self.store.wanted().and_then(|wanted| self.store.manifest(wanted.generation));
        if wanted.is_ok_and(|wanted| wanted.kernels().eq(manifest.kernels())) {
            self.store.want(generation)?; // whatever starts now is right for both
            return Ok(Told::Yes);
        }
        let loader = Loader::of(&self.root)?;
        if let Some(loader) = &loader {
            loader.demand(&manifest)?;
        }
        self.demand_start(&manifest)?;
        self.store.want(generation)?;
        match loader {
            Some(loader) => loader.starts(&manifest, true)?,
            None if self.kernel().is_ok_and(|kernel| !kernel.fits(&manifest)) => {
                return Ok(Told::no(manifest, Some(LoaderError::Foreign)));
            }
            None => {}
        }
        Ok(Told::Yes)
    }

    /// Refuses a generation whose kernel would not start, because an EFI variable lets another one start each time.
    ///
    /// # Errors
    ///
    /// [`LoaderError::Overruled`], or if nobody can tell.
    pub(crate) fn demand_start(&self, manifest: &Manifest) -> Result<(), LoaderError> {
        match self.overruled()? {
            Some(entry) if manifest.kernels().all(|kernel| kernel.entry_id() != entry) => {
                Err(LoaderError::Overruled { entry })
            }
            _ => Ok(()),
        }
    }

    /// What the loader calls the image that an EFI variable lets start each time, whatever `loader.conf` says; `None` where
    /// that decides.
    ///
    /// # Errors
    ///
    /// [`LoaderError`].
    pub fn overruled(&self) -> Result<Option<String>, LoaderError> {
        let variables = Variables::of(&self.root)?;
        if variables.always.is_none() {
            return Ok(None); // nor is the loader's partition mounted for that
        }
        Loader::of(&self.root)?.map_or(Ok(None), |loader| loader.decided(&variables))
    }

    /// The same of a host that does not run. What its loader would start now is not known here, so it is told in any case.
    fn wakes_with(&self, generation: Generation, manifest: &Manifest) -> Result<Told, Failure> {
        let loader = Loader::of_sleeping(&self.root);
        if let Ok(Some(loader)) = &loader {
            loader.demand(manifest)?;
        }
        self.store.want(generation)?;
        let others = self.store.generations()?.into_iter().map(|it| self.store.manifest(it));
        let mut others = others.filter_map(Result::ok);
        match loader {
            Ok(Some(loader)) => loader.starts(manifest, true)?,
            // Then there is none that could start in its place.
            _ if others.all(|other| other.kernels().eq(manifest.kernels())) => {}
            other => return Ok(Told::no(manifest.clone(), other.err())),
        }
        Ok(Told::Yes)
    }

    /// The generation that commands speak of where none is named: the one that runs, else the one that would boot.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn current(&self) -> Result<Generation, StoreError> {
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
    pub fn manifest(&self, generation: Option<u64>) -> Result<Manifest, StoreError> {
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
pub struct NotInstalled {
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
pub fn installed<'a>(manifest: &'a Manifest, name: &str) -> Result<&'a Package, Failure> {
    let names = || manifest.packages.iter().map(|package| package.name.as_str());
    if let Some(package) = manifest.packages.iter().find(|package| package.name.as_str() == name) {
        return Ok(package);
    }
    let nearest = spelling::nearest(name, names());
    Err(NotInstalled { name: name.to_owned(), nearest: nearest.map(str::to_owned) }.into())
}
