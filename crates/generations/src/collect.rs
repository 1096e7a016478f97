//! Removing what nobody needs any more: generations, layers that none of the others names, and what
//! interrupted work has left.
//!
//! First a generation disappears, then its layers: a power cut in between leaves layers that the
//! next time finds.

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use base::{ByteSize, Digest};

use crate::store::{Generation, Store, StoreError};
use crate::wanted;

/// What was removed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Generations, oldest first.
    pub generations: Vec<Generation>,
    /// Files of layers, by name.
    pub layers: Vec<PathBuf>,
    /// What interrupted work has left: files and folders, by name.
    pub leftovers: Vec<PathBuf>,
    /// What all of it takes.
    pub freed: ByteSize,
}

impl Store {
    /// Says what [`Store::collect`] would remove.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn garbage(&self, keep: &BTreeSet<Generation>) -> Result<Collected, StoreError> {
        let wanted = self.wanted()?;
        let is_kept =
            |it: &Generation| keep.contains(it) || [wanted.generation, wanted.good].contains(it);
        let (kept, generations): (Vec<_>, Vec<_>) =
            self.generations()?.into_iter().partition(is_kept);
        let layers = self.nameless_layers(&kept)?;
        let mut leftovers = Vec::new();
        let places = [self.folder().to_owned(), self.layers_folder(), self.generations_folder()];
        let kept = kept.iter().map(|generation| self.generation_folder(*generation));
        for folder in places.into_iter().chain(kept) {
            leftovers.extend(file::unfinished(&folder)?);
        }
        leftovers.sort();
        let removed = generations.iter().map(|generation| self.generation_folder(*generation));
        let all: Vec<_> =
            removed.chain(layers.iter().cloned()).chain(leftovers.iter().cloned()).collect();
        let freed = all.iter().map(|path| file::length(path)).sum::<Result<u64, _>>()?;
        Ok(Collected { generations, layers, leftovers, freed: ByteSize(freed) })
    }

    /// Removes every generation but these, the wanted one and the good one, whose numbers are not given again; then the layers that no
    /// other generation names, and what interrupted work has left. Say with `keep` which generation
    /// runs, and which ones have layers that are mounted.
    ///
    /// Lock the store before: what others are about to add looks like garbage.
    ///
    /// # Errors
    ///
    /// [`StoreError`]. Nothing is removed when the manifest of a generation that stays cannot be
    /// understood, because then nobody knows which layers it needs.
    pub fn collect(&self, keep: &BTreeSet<Generation>) -> Result<Collected, StoreError> {
        let garbage = self.garbage(keep)?;
        // Nobody knows any more that they were there: what is said of their numbers must not become true of others.
        let highest = garbage.generations.last().copied().unwrap_or_default();
        if highest > self.wanted()?.highest && self.generations()?.last() == Some(&highest) {
            wanted::update(&self.wanted_path(), |wanted| wanted.highest = highest)?;
        }
        for generation in &garbage.generations {
            file::remove_folder(&self.generation_folder(*generation))?;
        }
        flush(&self.generations_folder())?; // before the first of their layers goes
        for path in garbage.layers.iter().chain(&garbage.leftovers) {
            remove(path)?;
        }
        flush(&self.layers_folder())?;
        Ok(garbage)
    }

    /// The files of layers that none of these generations names.
    fn nameless_layers(&self, generations: &[Generation]) -> Result<Vec<PathBuf>, StoreError> {
        let mut named = BTreeSet::new();
        for generation in generations {
            named.extend(self.manifest(*generation)?.layers.iter().map(|layer| layer.erofs));
        }
        let folder = self.layers_folder();
        let mut nameless = Vec::new();
        for entry in fs::read_dir(&folder).map_err(FileError::at("read", &folder))? {
            let path = entry.map_err(FileError::at("read", &folder))?.path();
            if layer_of(&path).is_some_and(|digest| !named.contains(&digest)) {
                nameless.push(path);
            }
        }
        nameless.sort();
        Ok(nameless)
    }
}

/// The layer that this is a file of; `None` for files that are not ours.
fn layer_of(path: &Path) -> Option<Digest> {
    let is_ours = path.extension().is_some_and(|end| end == "erofs" || end == "verity");
    is_ours.then(|| path.file_stem()?.to_str()?.parse().ok()).flatten()
}

fn remove(path: &Path) -> Result<(), FileError> {
    let is_folder = path.symlink_metadata().is_ok_and(|found| found.is_dir());
    let removed = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(FileError::at("remove", path))
}

/// Brings to the disk which files there are in a folder.
fn flush(folder: &Path) -> Result<(), FileError> {
    let flush = || -> io::Result<()> { File::open(folder)?.sync_all() };
    flush().map_err(FileError::at("write", folder))
}
