//! Why a generation did not boot: a small text beside its manifest, for whoever asks afterwards.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use base::file::{self, FileError};

use crate::store::{Generation, Store, StoreError};

/// The file's name in the folder of its generation.
const NAME: &str = "failure";

/// How many bytes of a text are kept: its first ones.
pub const LONGEST: usize = 16 << 10;

impl Store {
    /// Writes down why a boot of this generation failed, in place of what was there. Its blocks are there from the start, so
    /// that a full disk is no reason not to say what happened.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSuchGeneration`], [`StoreError::File`].
    pub fn note_failure(&self, generation: Generation, text: &str) -> Result<(), StoreError> {
        let folder = self.generation_folder(generation);
        if !folder.is_dir() {
            let folder = self.folder().to_owned();
            return Err(StoreError::NoSuchGeneration { folder, generation });
        }
        Ok(write(&folder, text)?)
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
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let text = text.trim_end();
                Ok((!text.is_empty()).then(|| format!("{text}\n")))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::at("read", path)(error).into()),
        }
    }

    /// Removes what was written down.
    pub(crate) fn forget_failure(&self, generation: Generation) -> Result<(), StoreError> {
        if self.failure(generation)?.is_none() {
            return Ok(()); // spare the disk
        }
        Ok(write(&self.generation_folder(generation), "")?)
    }

    fn failure_path(&self, generation: Generation) -> PathBuf {
        self.generation_folder(generation).join(NAME)
    }
}

/// Puts the file into the new folder of a generation, which nobody sees yet: it says nothing.
///
/// # Errors
///
/// [`FileError`].
pub(crate) fn create(folder: &Path) -> Result<(), FileError> {
    file::create(&folder.join(NAME), &padded(""))
}

/// The text as the file has it.
fn padded(text: &str) -> Vec<u8> {
    let text = &text[..text.floor_char_boundary(LONGEST)];
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(LONGEST, b'\n');
    bytes
}

/// Makes the file in the folder of a generation say this: always as long as the longest text, with empty lines behind.
///
/// # Errors
///
/// [`FileError`].
pub(crate) fn write(folder: &Path, text: &str) -> Result<(), FileError> {
    let bytes = padded(text);
    let path = folder.join(NAME);
    let in_place = || -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&path)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_data()
    };
    match in_place() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => file::replace(&path, &bytes),
        written => written.map_err(FileError::at("write", &path)),
    }
}
