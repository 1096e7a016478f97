//! A file that one process at a time has locked.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::file::FileError;

/// A file is locked until this is dropped or its process ends, however it ends.
///
/// Source: flock(2); the lock belongs to the open file, not to its name.
#[derive(Debug)]
#[must_use = "the file is locked only as long as this is kept"]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Locks the file at `path`, which is made where it is missing; `None` if somebody else has locked it.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming `path`.
    pub fn now(path: &Path) -> Result<Option<Self>, FileError> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(FileError::at("lock", path)(error)),
        }
    }

    /// Locks the file at `path`, which is made where it is missing, as soon as whoever has locked it is done.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming `path`.
    pub fn after_others(path: &Path) -> Result<Self, FileError> {
        let file = open(path)?;
        file.lock().map_err(FileError::at("lock", path))?;
        Ok(Self { file })
    }
}

impl Drop for Lock {
    /// Unlocks even where a child of another thread, between its fork and its exec, has the open file, too.
    fn drop(&mut self) {
        // Closing the file unlocks it as well, only perhaps a moment later.
        let _ = self.file.unlock();
    }
}

fn open(path: &Path) -> Result<File, FileError> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    file.map_err(FileError::at("open", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_a_file_locked_and_what_is_in_it_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        std::fs::write(&path, "kept").unwrap();
        let lock = Lock::now(&path).unwrap().unwrap();
        assert!(Lock::now(&path).unwrap().is_none());
        drop(lock);
        let lock = Lock::after_others(&path).unwrap();
        assert!(Lock::now(&path).unwrap().is_none());
        drop(lock);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
        assert!(
            Lock::now(&dir.path().join("no/such")).unwrap_err().to_string().contains("no/such")
        );
    }

    #[test]
    fn a_child_that_has_the_file_open_too_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::now(&path).unwrap().unwrap();
        let other = lock.file.try_clone().unwrap(); // as after a fork
        drop(lock);
        assert!(Lock::now(&path).unwrap().is_some());
        drop(other);
    }
}
