//! A checkout to try another lock in: the real one's files by links, but for those that follow the lock.
//! However a trial ends before [`Trial::keep`], power cut included, the real checkout is as it was.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use base::Explain;
use base::file::{self, FileError};
use base::progress::Progress;
use packages::lock::Lock;

use crate::kernel::build::wait_for;

/// The lock below a checkout.
const LOCK: &str = "os/packages.lock";

/// The configurations below a checkout that follow from the kernel's source.
const CONFIGURATIONS: &str = "os/kernel/generated";

/// Why a trial could not begin, or could not be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrialError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} was changed while the update was tried", .0.display())]
    Overtaken(PathBuf),
}

impl Explain for TrialError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Overtaken(_) => {
                Some("run the same command again; what it built is in the cache".into())
            }
        }
    }
}

/// A checkout to try an update in.
pub(crate) struct Trial {
    /// Where it is.
    pub(crate) root: PathBuf,
    real: PathBuf,
    lock_before: Vec<u8>,
    /// Held until the trial ends: one at a time per cache.
    _alone: File,
}

impl Trial {
    /// The checkout at `real` with another lock and no results in `out`, in a folder of `cache`; waits while
    /// another is tried there.
    ///
    /// # Errors
    ///
    /// [`TrialError::File`].
    pub(crate) fn begin(
        real: &Path,
        cache: &Path,
        lock: &Lock,
        progress: &dyn Progress,
    ) -> Result<Self, TrialError> {
        file::create_dir_all(cache)?;
        let path = cache.join("trial.lock");
        let alone = File::create(&path).map_err(FileError::at("create", &path))?;
        let locked = wait_for(&alone, "update", progress);
        locked.map_err(FileError::at("lock", &path))?;
        let root = cache.join("trial");
        if root.exists() {
            file::remove_folder(&root)?; // what a trial left that was killed
        }
        mirror(real, &root, &["os", "out"])?;
        mirror(&real.join("os"), &root.join("os"), &["packages.lock", "kernel"])?;
        if real.join("os/kernel").is_dir() {
            mirror(&real.join("os/kernel"), &root.join("os/kernel"), &["generated"])?;
        }
        copy_all(&real.join(CONFIGURATIONS), &root.join(CONFIGURATIONS))?;
        lock.save(&root.join(LOCK))?;
        let lock_before = file::read(&real.join(LOCK))?;
        Ok(Self { root, real: real.to_owned(), lock_before, _alone: alone })
    }

    /// Takes what the trial came to into the real checkout. The lock is last: as long as it is the old
    /// one, the update counts as not done.
    ///
    /// # Errors
    ///
    /// [`TrialError`].
    pub(crate) fn keep(self) -> Result<(), TrialError> {
        self.not_overtaken()?;
        copy_all(&self.root.join(CONFIGURATIONS), &self.real.join(CONFIGURATIONS))?;
        Ok(copy(&self.root.join(LOCK), &self.real.join(LOCK))?)
    }

    /// Fails if somebody has changed the real checkout's lock since the trial began.
    ///
    /// # Errors
    ///
    /// [`TrialError`].
    pub(crate) fn not_overtaken(&self) -> Result<(), TrialError> {
        let lock = self.real.join(LOCK);
        if file::read(&lock)? == self.lock_before {
            return Ok(());
        }
        Err(TrialError::Overtaken(lock))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // Links and copies only; the next trial clears what is left.
        let _ = file::remove_folder(&self.root);
    }
}

/// Copies the files of the folder `from`, if it is there, over those of the folder `to`.
fn copy_all(from: &Path, to: &Path) -> Result<(), FileError> {
    if !from.is_dir() {
        return Ok(());
    }
    file::create_dir_all(to)?;
    for entry in fs::read_dir(from).map_err(FileError::at("list", from))? {
        let entry = entry.map_err(FileError::at("list", from))?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), FileError> {
    file::replace(to, &file::read(from)?)
}

/// Makes the folder `to` with a link to each entry of `from` that is not in `except`.
fn mirror(from: &Path, to: &Path, except: &[&str]) -> Result<(), FileError> {
    file::create_dir_all(to)?;
    for entry in fs::read_dir(from).map_err(FileError::at("list", from))? {
        let entry = entry.map_err(FileError::at("list", from))?;
        let name = entry.file_name();
        if !except.iter().any(|except| name == *except) {
            let link = to.join(&name);
            symlink(entry.path(), &link).map_err(FileError::at("create", &link))?;
        }
    }
    Ok(())
}
