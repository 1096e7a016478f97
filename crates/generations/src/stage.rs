//! Putting a generation into the store: by copying on the build machine, by moving on the host.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use base::digest::Hasher;
use base::file::{self, FileError, Staged};
use base::{Digest, Explain};
use formats::manifest::{Layer, Manifest, ManifestError};

use crate::check::{CheckError, Damaged};
use crate::failure;
use crate::store::{Generation, LayerFiles, Store, StoreError};

/// A layer that is not in the store yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLayer {
    /// The digest of its EROFS file, by which the manifest names it.
    pub digest: Digest,
    /// Where its files are, on the filesystem of the store.
    pub files: LayerFiles,
}

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
    /// A layer is given that the manifest does not name.
    #[error("a layer is given that the manifest does not name (sha256 {digest})")]
    Stranger {
        /// The digest of its EROFS file.
        digest: Digest,
    },
    /// A layer is not there, or is not as long as the manifest says.
    #[error("not all layers of the new generation are as its manifest says")]
    Check(#[source] CheckError),
    /// A file could not be copied or moved.
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
            Self::Check(error) => error.hint(),
            Self::Count { .. } | Self::Stranger { .. } => None,
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
        self.check_layers(manifest).map_err(StageError::Check)?;
        let generation = self.next_generation()?;
        let path = self.generation_folder(generation);
        file::create_folder(&path, |folder| fill(folder, manifest))?;
        Ok(generation)
    }

    /// Moves the new layers into the store, then writes the manifest, and returns the new
    /// generation: one more than the highest so far. Their digests were just computed by whoever
    /// made them, so only lengths are checked, as of the layers that the store holds already.
    ///
    /// It does not boot before it is wanted. Lock the store before ([`Store::lock`]). A power cut
    /// leaves the new generation whole or not at all; layers without one are removed by
    /// [`Store::collect`].
    ///
    /// # Errors
    ///
    /// [`StageError`]; there is no new generation then. Layers are moved only once all of them are
    /// known to be there, and those that are new are removed again.
    pub fn add(&self, manifest: &Manifest, new: &[NewLayer]) -> Result<Generation, StageError> {
        manifest.check().map_err(StageError::Manifest)?;
        let named: BTreeSet<_> = manifest.layers.iter().map(|layer| layer.erofs).collect();
        if let Some(stranger) = new.iter().find(|layer| !named.contains(&layer.digest)) {
            return Err(StageError::Stranger { digest: stranger.digest });
        }
        let given = |layer: &Layer| new.iter().find(|new| new.digest == layer.erofs);
        let files = |layer: &Layer| match given(layer) {
            Some(new) => new.files.clone(),
            None => self.layer_files(layer),
        };
        Self::check_files(manifest, files).map_err(StageError::Check)?;
        let mut placed = Vec::new();
        let moved = manifest.layers.iter().filter_map(|layer| {
            let (new, to) = (given(layer)?, self.layer_files(layer));
            Some([(&new.files.erofs, to.erofs), (&new.files.verity, to.verity)])
        });
        let added = moved.flatten().try_for_each(|(from, to)| {
            let fresh = !to.exists();
            place(from, &to)?;
            placed.extend(fresh.then_some(to));
            Ok(())
        });
        let added = added.and_then(|()| self.add_manifest(manifest));
        if added.is_err() {
            // No generation names them. What cannot be removed now is found by `collect`.
            placed.iter().for_each(|path| drop(fs::remove_file(path)));
        }
        added
    }

    /// Brings the layers that were moved to the disk, and adds the generation that has them.
    fn add_manifest(&self, manifest: &Manifest) -> Result<Generation, StageError> {
        let layers = self.layers_folder();
        flush(&layers).map_err(FileError::at("write", &layers))?;
        let generation = self.next_generation()?;
        let path = self.generation_folder(generation);
        file::create_flushed_folder(&path, |folder| fill(folder, manifest))?;
        Ok(generation)
    }

    /// Puts a copy of the file `from` in the place of one that is damaged.
    ///
    /// What has the damaged file mounted keeps it until it is mounted anew. Where there is no room for both, the damaged one
    /// goes first.
    ///
    /// # Errors
    ///
    /// [`StageError::WrongBytes`] if it is not the one that is missing, and others; nothing has changed then.
    pub fn restore(&self, damaged: &Damaged, from: &Path) -> Result<(), StageError> {
        let is_right = || Digest::of_file(from).is_ok_and(|found| found == damaged.digest);
        if file::free_bytes(&self.layers_folder())? < damaged.bytes && is_right() {
            let _ = fs::remove_file(&damaged.path); // else the copy fails, and says so
        }
        copy(from, &damaged.path, damaged.digest)
    }

    /// One more than any that was ever given.
    fn next_generation(&self) -> Result<Generation, StoreError> {
        let highest = self.generations()?.last().copied().unwrap_or_default();
        let told = self.wanted().unwrap_or_default(); // nothing is wanted in a new store
        let told =
            [told.generation, told.good, told.failed, told.asked, told.stand_in, told.highest];
        let highest = told.into_iter().fold(highest, Generation::max);
        Ok(Generation(highest.0.saturating_add(1)))
    }
}

/// Writes what the folder of a generation holds, which nobody sees before.
fn fill(folder: &Path, manifest: &Manifest) -> Result<(), FileError> {
    failure::create(folder)?;
    file::create(&folder.join("manifest.json"), manifest.to_json().as_bytes())
}

/// Puts a file in its place, where it is whole after a power cut once its folder is flushed.
fn place(from: &Path, to: &Path) -> Result<(), FileError> {
    flush(from).map_err(FileError::at("write", from))?;
    fs::rename(from, to).map_err(FileError::at("move into the store the file", from))
}

/// Brings a file, or the list of files in a folder, to the disk.
fn flush(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
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
