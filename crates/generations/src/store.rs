//! The store: one folder with layers, manifests and the file that says what is wanted.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use formats::manifest::{Layer, Manifest};

mod error;

pub use error::StoreError;

/// The number of a generation; the first is 1. A later one is higher, but none need follow another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl Generation {
    /// No generation has this number.
    pub const NONE: Self = Self(0);

    /// The generation whose folder has this name; `None` for every other name.
    fn of_folder(name: &str) -> Option<Self> {
        let number: u64 = name.parse().ok()?;
        let generation = Self(number);
        (generation != Self::NONE && number.to_string() == name).then_some(generation)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {}", self.0)
    }
}

/// The store in one folder.
///
/// ```text
/// layers/<digest>.erofs                 the digest is that of this file
/// layers/<digest>.verity                its hash tree
/// generations/<number>/manifest.json
/// generations/<number>/failure          why it did not boot the last time, if it did not
/// generations/<number>/etc.<number>     snapshots of `/etc`'s upper side, see the crate `host`
/// wanted                                see `wanted` and `choose`
/// lock                                  see `lock`
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
        let folder = self.generations_folder();
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(FileError::at("read", &folder))? {
            let name = entry.map_err(FileError::at("read", &folder))?.file_name();
            // Other names are folders that are being filled.
            found.extend(name.to_str().and_then(Generation::of_folder));
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
        let named = |end| self.layers_folder().join(format!("{}.{end}", layer.erofs));
        LayerFiles { erofs: named("erofs"), verity: named("verity") }
    }

    /// The folder that holds all generations.
    pub(crate) fn generations_folder(&self) -> PathBuf {
        self.folder.join("generations")
    }

    /// The folder that holds all layers.
    pub(crate) fn layers_folder(&self) -> PathBuf {
        self.folder.join("layers")
    }

    /// The folder of one generation: its manifest, and what is kept and goes with it.
    pub fn generation_folder(&self, generation: Generation) -> PathBuf {
        self.generations_folder().join(generation.0.to_string())
    }

    pub(crate) fn manifest_path(&self, generation: Generation) -> PathBuf {
        self.generation_folder(generation).join("manifest.json")
    }

    pub(crate) fn wanted_path(&self) -> PathBuf {
        self.folder.join("wanted")
    }

    pub(crate) fn lock_path(&self) -> PathBuf {
        self.folder.join("lock")
    }

    /// The folder that holds everything.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_as_we_write_it_names_a_generation() {
        #[rustfmt::skip]
        let cases = [
            ("1",           Some(1)),
            ("12",          Some(12)),
            ("0",           None), // none
            ("01",          None),
            ("+1",          None),
            (".1.7-0.part", None), // is being filled
            ("",            None),
        ];
        for (name, number) in cases {
            assert_eq!(Generation::of_folder(name), number.map(Generation), "{name}");
        }
    }
}
