//! One process at a time changes the store.
//!
//! Whoever only looks, and the initrd, which is alone, need no lock.

use std::fs::{File, TryLockError};

use base::file::FileError;

use crate::store::{Store, StoreError};

/// The right to change the store, until it is dropped or its process ends, however it ends.
#[derive(Debug)]
#[must_use = "the store is locked only as long as this is kept"]
pub struct StoreLock {
    file: File,
}

impl Drop for StoreLock {
    /// Unlocks even where a child of another thread, between its fork and its exec, has the open file, too.
    fn drop(&mut self) {
        // Closing the file unlocks it as well, only perhaps a moment later.
        let _ = self.file.unlock();
    }
}

impl Store {
    /// Locks the store; never waits.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] when somebody else has locked it, [`StoreError::File`].
    ///
    /// Source: flock(2); the lock belongs to the open file, not to its name.
    pub fn lock(&self) -> Result<StoreLock, StoreError> {
        let path = self.lock_path();
        let file = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(StoreLock { file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path }),
            Err(TryLockError::Error(error)) => Err(FileError::at("lock", path)(error).into()),
        }
    }

    /// Locks the store as soon as whoever has locked it is done: for what must not be left undone, and has a limit of
    /// time from elsewhere.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`].
    pub fn lock_after_others(&self) -> Result<StoreLock, StoreError> {
        let file = self.lock_file()?;
        file.lock().map_err(FileError::at("lock", self.lock_path()))?;
        Ok(StoreLock { file })
    }

    fn lock_file(&self) -> Result<File, StoreError> {
        let path = self.lock_path();
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        Ok(file.map_err(FileError::at("open", &path))?)
    }
}
