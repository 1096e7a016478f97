//! Why a generation did not boot: a small text beside its manifest, for whoever asks afterwards.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

use base::file::{self, FileError};

use crate::store::{Generation, Store, StoreError};

/// How many bytes of a text are kept: its first ones.
pub const LONGEST: usize = 16 << 10;

impl Store {
    /// Writes down why a boot of this generation failed, in place of what was there.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSuchGeneration`], [`StoreError::File`]; what was there is there still.
    pub fn note_failure(&self, generation: Generation, text: &str) -> Result<(), StoreError> {
        let folder = self.generation_folder(generation);
        if !folder.is_dir() {
            let folder = self.folder().to_owned();
            return Err(StoreError::NoSuchGeneration { folder, generation });
        }
        let text = &text[..text.floor_char_boundary(LONGEST)];
        Ok(file::replace(&self.failure_path(generation), text.as_bytes())?)
    }

    /// Why the last boot of this generation that is known to have failed did so; `None` if none
    /// has, or if one was good since.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`].
    pub fn failure(&self, generation: Generation) -> Result<Option<String>, StoreError> {
        let path = self.failure_path(generation);
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            File::open(&path)?.take(LONGEST as u64).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::at("read", path)(error).into()),
        }
    }

    /// Removes what was written down.
    pub(crate) fn forget_failure(&self, generation: Generation) -> Result<(), StoreError> {
        let path = self.failure_path(generation);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FileError::at("remove", path)(error).into())
            }
            _ => Ok(()),
        }
    }

    fn failure_path(&self, generation: Generation) -> PathBuf {
        self.generation_folder(generation).join("failure")
    }
}
