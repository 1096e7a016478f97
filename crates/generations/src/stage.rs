//! Putting a generation into the store.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use base::digest::Hasher;
use base::file::{self, FileError, Staged};
use base::{Digest, Explain};
use formats::manifest::{Manifest, ManifestError};

use crate::store::{Generation, LayerFiles, Store, StoreError};

/// Why a generation is not in the store.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The manifest makes no sense.
    #[error("the new generation's manifest cannot be used")]
    Manifest(#[source] ManifestError),
    /// There are more or fewer files than layers.
    #[error("the manifest names {layers} layers, but files of {given} were given")]
    Count {
        /// In the manifest.
        layers: usize,
        /// Given.
        given: usize,
    },
    /// A file is not what the manifest says.
    #[error("{} is not what the manifest says: its digest is {found}, not {expected}", path.display())]
    WrongBytes {
        /// The file.
        path: PathBuf,
        /// Its digest.
        found: Digest,
        /// The manifest's.
        expected: Digest,
    },
    /// A file could not be copied.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Explain for StageError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Manifest(error) => error.hint(),
            Self::WrongBytes { .. } => Some("fetch or build the file anew".into()),
            Self::File(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Count { .. } => None,
        }
    }
}

impl Store {
    /// Copies the layers into the store, then the manifest, and returns the new generation: one
    /// more than the highest so far. `files` are in the order of the manifest's layers.
    ///
    /// It does not boot before it is wanted. Layers that the store holds already are not copied.
    ///
    /// # Errors
    ///
    /// [`StageError`]; there is no new generation then, and no file that is half written.
    pub fn stage(
        &self,
        manifest: &Manifest,
        files: &[LayerFiles],
    ) -> Result<Generation, StageError> {
        manifest.check().map_err(StageError::Manifest)?;
        if files.len() != manifest.layers.len() {
            let (layers, given) = (manifest.layers.len(), files.len());
            return Err(StageError::Count { layers, given });
        }
        for (layer, from) in manifest.layers.iter().zip(files) {
            let to = self.layer_files(layer);
            copy(&from.erofs, &to.erofs, layer.erofs)?;
            copy(&from.verity, &to.verity, layer.verity)?;
        }
        let last = self.generations()?.last().map_or(0, |generation| generation.0);
        let generation = Generation(last + 1);
        let path = self.manifest_path(generation);
        let (folder, name) = (path.parent().unwrap_or(&path), path.file_name().unwrap_or_default());
        file::create_folder(folder, |folder| {
            file::replace(&folder.join(name), manifest.to_json().as_bytes())
        })?;
        Ok(generation)
    }
}

/// Copies a file whose digest is known; does nothing when it is there. One that has been damaged
/// since is replaced.
fn copy(from: &Path, to: &Path, expected: Digest) -> Result<(), StageError> {
    if to.exists() && Digest::of_file(to).map_err(FileError::at("read", to))? == expected {
        return Ok(());
    }
    let mut reader = File::open(from).map_err(FileError::at("open", from))?;
    let mut staged = Staged::create(to)?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 17];
    loop {
        let length = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(FileError::at("read", from)(error).into()),
        };
        hasher.update(&buffer[..length]);
        staged.write_all(&buffer[..length]).map_err(FileError::at("write", to))?;
    }
    let found = hasher.finish();
    if found != expected {
        return Err(StageError::WrongBytes { path: from.to_owned(), found, expected });
    }
    Ok(staged.commit()?)
}
