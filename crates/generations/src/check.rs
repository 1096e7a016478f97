//! Is everything there that a generation needs?

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base::file::FileError;
use base::{ByteSize, Digest, Explain};
use formats::manifest::{Layer, Manifest};

use crate::store::{Generation, LayerFiles, Store, StoreError};

/// What is wrong with a generation.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of a layer cannot be read.
    #[error("layer {layer} cannot be used")]
    Unreadable {
        /// The layer's name.
        layer: String,
        /// Why.
        source: FileError,
    },
    /// A file of a layer is too short or too long.
    #[error("layer {layer} is damaged: {} holds {}, not {}", path.display(), ByteSize(*found), ByteSize(*expected))]
    Size {
        /// The layer's name.
        layer: String,
        /// The file.
        path: PathBuf,
        /// Its bytes.
        found: u64,
        /// How many it should have.
        expected: u64,
    },
    /// A file of a layer holds other bytes than it should.
    #[error("layer {layer} is damaged: {} has the digest {found}", path.display())]
    Digest {
        /// The layer's name.
        layer: String,
        /// The file.
        path: PathBuf,
        /// Its digest.
        found: Digest,
    },
}

impl Explain for CheckError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Unreadable { source, .. } => source.hint().or_else(|| {
                Some(
                    "fetch the layer anew: `preon repair`; or let another generation boot: `preon rollback N`"
                        .into(),
                )
            }),
            Self::Size { .. } | Self::Digest { .. } => Some("fetch the layer anew: `preon repair`".into()),
        }
    }
}

/// A file of a layer that is not what its manifest says, or is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The layer's name.
    pub layer: String,
    /// The file.
    pub path: PathBuf,
    /// How many bytes it should have.
    pub bytes: u64,
    /// The digest that it should have.
    pub digest: Digest,
}

/// What is wrong with a store.
#[derive(Debug, Default)]
pub struct Damage {
    /// Files of layers.
    pub files: Vec<Damaged>,
    /// Why manifests cannot be read, each with its path.
    pub manifests: Vec<StoreError>,
}

/// One file that a layer consists of, as its manifest has it.
struct Expected<'a> {
    layer: &'a str,
    path: PathBuf,
    bytes: u64,
    digest: Digest,
}

impl Store {
    /// Checks that all files of a generation are there and have their lengths. Quick.
    ///
    /// # Errors
    ///
    /// [`CheckError`] naming the first layer that is not as it should be.
    pub fn check(&self, generation: Generation) -> Result<(), CheckError> {
        self.check_layers(&self.manifest(generation)?)
    }

    /// Checks that all files of the layers that a manifest names are there and have their lengths.
    pub(crate) fn check_layers(&self, manifest: &Manifest) -> Result<(), CheckError> {
        Self::check_files(manifest, |layer| self.layer_files(layer))
    }

    /// The same of files that lie where `files` says.
    pub(crate) fn check_files(
        manifest: &Manifest,
        files: impl Fn(&Layer) -> LayerFiles,
    ) -> Result<(), CheckError> {
        manifest.layers.iter().flat_map(|layer| expected(layer, files(layer))).try_for_each(
            |file| {
                let found =
                    fs::metadata(&file.path).map_err(|e| unreadable(file.layer, &file.path, e))?;
                if found.len() == file.bytes {
                    return Ok(());
                }
                let layer = file.layer.to_owned();
                let (found, expected) = (found.len(), file.bytes);
                Err(CheckError::Size { layer, path: file.path, found, expected })
            },
        )
    }

    /// Checks the digests of all files of a generation: reads every byte.
    ///
    /// # Errors
    ///
    /// [`CheckError`] naming the first layer that is not as it should be.
    pub fn check_bytes(&self, generation: Generation) -> Result<(), CheckError> {
        let manifest = self.manifest(generation)?;
        manifest
            .layers
            .iter()
            .flat_map(|layer| expected(layer, self.layer_files(layer)))
            .try_for_each(|file| {
                let found = Digest::of_file(&file.path)
                    .map_err(|e| unreadable(file.layer, &file.path, e))?;
                if found == file.digest {
                    return Ok(());
                }
                Err(CheckError::Digest { layer: file.layer.to_owned(), path: file.path, found })
            })
    }

    /// Every file of any generation's layers that is missing or holds other bytes than it should: reads every byte. A
    /// generation whose manifest cannot be read keeps nobody from looking at the others; what its layers are nobody knows.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`] if the generations cannot be listed.
    pub fn damage(&self) -> Result<Damage, StoreError> {
        let mut seen = BTreeSet::new();
        let mut damage = Damage::default();
        for generation in self.generations()? {
            let manifest = match self.manifest(generation) {
                Ok(manifest) => manifest,
                Err(error) => {
                    damage.manifests.push(error);
                    continue;
                }
            };
            let layers = manifest.layers.iter();
            for file in layers.flat_map(|layer| expected(layer, self.layer_files(layer))) {
                if !seen.insert(file.path.clone())
                    || Digest::of_file(&file.path).is_ok_and(|found| found == file.digest)
                {
                    continue;
                }
                let Expected { layer, path, bytes, digest } = file;
                damage.files.push(Damaged { layer: layer.to_owned(), path, bytes, digest });
            }
        }
        Ok(damage)
    }
}

fn expected(layer: &Layer, files: LayerFiles) -> [Expected<'_>; 2] {
    let name = layer.name.as_str();
    let (erofs, verity) = (layer.erofs, layer.verity);
    [
        Expected { layer: name, path: files.erofs, bytes: layer.erofs_bytes, digest: erofs },
        Expected { layer: name, path: files.verity, bytes: layer.verity_bytes, digest: verity },
    ]
}

fn unreadable(layer: &str, path: &Path, source: std::io::Error) -> CheckError {
    CheckError::Unreadable { layer: layer.to_owned(), source: FileError::at("read", path)(source) }
}
