//! One process at a time changes the store.
//!
//! Whoever only looks, and the initrd, which is alone, need no lock.

use base::Lock;

use crate::store::{Store, StoreError};

impl Store {
    /// Locks the store; never waits.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] when somebody else has locked it, [`StoreError::File`].
    pub fn lock(&self) -> Result<Lock, StoreError> {
        let path = self.lock_path();
        Lock::now(&path)?.ok_or(StoreError::Locked { path })
    }

    /// Locks the store as soon as whoever has locked it is done: for what must not be left undone, and has a limit of
    /// time from elsewhere.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`].
    pub fn lock_after_others(&self) -> Result<Lock, StoreError> {
        Ok(Lock::after_others(&self.lock_path())?)
    }
}
