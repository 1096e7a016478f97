//! The store: one folder with layers, manifests and the file that says what is wanted.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base::Explain;
use base::file::{self, FileError};
use formats::manifest::{Layer, Manifest, ManifestError};

use crate::wanted::{self, Wanted, WantedError};

/// The number of a generation; the first is 1. A later one is higher, but none need follow another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {}", self.0)
    }
}

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
    /// It is not known which generation is wanted.
    #[error(transparent)]
    Wanted(#[from] WantedError),
    /// Something else about a file.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for StoreError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { folder } => Some(format!(
                "check that the filesystem at {} is the one of a host",
                folder.display()
            )),
            Self::NoSuchGeneration { .. } => Some("ask for one that the store lists".into()),
            Self::Manifest { source, .. } => source.hint(),
            Self::Wanted(error) => error.hint(),
            Self::File(error) => error.hint(),
        }
    }
}

/// The store in one folder.
///
/// ```text
/// layers/<digest>.erofs                 the digest is that of this file
/// layers/<digest>.verity                its hash tree
/// generations/<number>/manifest.json
/// wanted                                see `wanted`
/// ```
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// The two files of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerFiles {
    /// The EROFS file.
    pub erofs: PathBuf,
    /// Its hash tree.
    pub verity: PathBuf,
}

impl Store {
    /// The store in `folder`, which must be there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`].
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        if folder.join("generations").is_dir() {
            Ok(Self { folder: folder.to_owned() })
        } else {
            Err(StoreError::Missing { folder: folder.to_owned() })
        }
    }

    /// The store in `folder`; it is made where it is missing, without any generation.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`].
    pub fn create(folder: &Path) -> Result<Self, StoreError> {
        file::create_dir_all(&folder.join("layers"))?;
        file::create_dir_all(&folder.join("generations"))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// All generations, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`].
    pub fn generations(&self) -> Result<Vec<Generation>, StoreError> {
        let folder = self.folder.join("generations");
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(FileError::at("read", &folder))? {
            let name = entry.map_err(FileError::at("read", &folder))?.file_name();
            // Other names are folders that are being filled.
            found.extend(name.to_str().and_then(|name| name.parse().ok()).map(Generation));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The manifest of a generation.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSuchGeneration`], [`StoreError::Manifest`], [`StoreError::File`].
    pub fn manifest(&self, generation: Generation) -> Result<Manifest, StoreError> {
        let path = self.manifest_path(generation);
        match file::read(&path) {
            Ok(json) => {
                Manifest::parse(&json).map_err(|source| StoreError::Manifest { path, source })
            }
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::NoSuchGeneration { folder: self.folder.clone(), generation })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Where the files of a layer are.
    pub fn layer_files(&self, layer: &Layer) -> LayerFiles {
        let named = |end| self.folder.join("layers").join(format!("{}.{end}", layer.erofs));
        LayerFiles { erofs: named("erofs"), verity: named("verity") }
    }

    /// Which generation is to boot, and how often that was tried.
    ///
    /// # Errors
    ///
    /// [`StoreError::Wanted`].
    pub fn wanted(&self) -> Result<Wanted, StoreError> {
        Ok(wanted::read(&self.wanted_path())?)
    }

    /// Makes `generation` the one that boots, with no attempt made yet.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; what was wanted before is wanted still.
    pub fn want(&self, generation: Generation) -> Result<(), StoreError> {
        self.manifest(generation)?;
        Ok(wanted::write(&self.wanted_path(), Wanted { generation, attempts: 0 })?)
    }

    /// Writes down that a boot of the wanted generation begins.
    ///
    /// # Errors
    ///
    /// [`StoreError::Wanted`].
    pub fn count_attempt(&self) -> Result<Wanted, StoreError> {
        let before = self.wanted()?;
        let after = Wanted { attempts: before.attempts.saturating_add(1), ..before };
        wanted::write(&self.wanted_path(), after)?;
        Ok(after)
    }

    /// The generation that boots now: the wanted one.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn choose(&self) -> Result<(Generation, Manifest), StoreError> {
        let generation = self.wanted()?.generation;
        Ok((generation, self.manifest(generation)?))
    }

    pub(crate) fn manifest_path(&self, generation: Generation) -> PathBuf {
        self.folder.join("generations").join(generation.0.to_string()).join("manifest.json")
    }

    fn wanted_path(&self) -> PathBuf {
        self.folder.join("wanted")
    }
}
