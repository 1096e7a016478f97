//! Files that were fetched and verified, by digest; nothing is ever changed in place.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base::Digest;
use base::file::{self, FileError};

/// A folder of files by digest, and of the last good `InRelease` of each suite. Several processes
/// may share it.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache in the folder `root`, which is made when something is put into it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the file with this digest is, once it is there.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder().join(digest.to_string())
    }

    /// The file with this digest, if it is there and still what its name says. One that is not
    /// (a bad disk, a curious person) is removed.
    ///
    /// # Errors
    ///
    /// [`FileError`] if it is there but cannot be read or removed.
    pub fn get(&self, digest: &Digest) -> Result<Option<PathBuf>, FileError> {
        let path = self.path(digest);
        match Digest::of_file(&path) {
            Ok(found) if found == *digest => Ok(Some(path)),
            Ok(_) => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(FileError::at("remove", path)(error))
                }
                _ => Ok(None), // or another process was faster
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::at("read", path)(error)),
        }
    }

    /// All files that are in it, by their digests.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming the folder.
    pub fn files(&self) -> Result<BTreeMap<Digest, PathBuf>, FileError> {
        let folder = self.folder();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            entries => entries.map_err(FileError::at("read", &folder))?,
        };
        let mut files = BTreeMap::new();
        for entry in entries {
            let path = entry.map_err(FileError::at("read", &folder))?.path();
            let digest = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            files.extend(digest.map(|digest| (digest, path)));
        }
        Ok(files)
    }

    /// What fetching has begun and not finished, be it given up or still going on.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming the folder.
    pub fn unfinished(&self) -> Result<Vec<PathBuf>, FileError> {
        file::unfinished(&self.folder())
    }

    fn folder(&self) -> PathBuf {
        self.root.join("by-hash/sha256")
    }

    /// Where the last good `InRelease` of a suite is, once there is one.
    pub(crate) fn release_path(&self, archive: &str, suite: &str) -> PathBuf {
        let archive = Digest::of(archive.as_bytes()).short();
        self.root.join("releases").join(format!("{archive}-{suite}"))
    }

    /// Keeps the `InRelease` of a suite.
    pub(crate) fn keep_release(
        &self,
        archive: &str,
        suite: &str,
        signed: &[u8],
    ) -> Result<(), FileError> {
        file::replace(&self.release_path(archive, suite), signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_what_its_name_says_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path());
        let digest = Digest::of(b"good");
        assert_eq!(cache.get(&digest).unwrap(), None);
        assert!(cache.files().unwrap().is_empty());
        file::replace(&cache.path(&digest), b"good").unwrap();
        assert_eq!(cache.get(&digest).unwrap(), Some(cache.path(&digest)));
        file::replace(&cache.path(&digest).with_file_name(".x.1-0.part"), b"half").unwrap();
        assert_eq!(cache.files().unwrap(), [(digest, cache.path(&digest))].into());
        assert_eq!(cache.unfinished().unwrap().len(), 1);
        file::replace(&cache.path(&digest), b"evil").unwrap();
        assert_eq!(cache.get(&digest).unwrap(), None);
        assert!(!cache.path(&digest).exists());
    }
}
