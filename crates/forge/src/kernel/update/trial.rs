//! A checkout to try an update in: the real one's files by links, but for those that an update changes.
//! However a trial ends before [`Trial::keep`], power cut included, the real checkout is as it was.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use base::Explain;
use base::file::{self, FileError};
use packages::lock::Lock;

use crate::kernel::build::wait_for;
use crate::kernel::{Flavour, Workshop, committed};

/// The lock below a checkout.
const LOCK: &str = "os/packages.lock";

/// Why a trial could not begin, or could not be kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrialError {
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
                Some("run `forge kernel update` again; what it built is in the cache".into())
            }
        }
    }
}

/// A checkout to try an update in.
pub(super) struct Trial {
    /// Where it is.
    pub(super) root: PathBuf,
    real: PathBuf,
    lock_before: Vec<u8>,
    /// Held until the trial ends: one at a time per cache.
    _alone: File,
}

impl Trial {
    /// The shop's checkout with another lock, in a folder of its cache; waits while another is tried.
    ///
    /// # Errors
    ///
    /// [`TrialError::File`].
    pub(super) fn begin(shop: &dyn Workshop, lock: &Lock) -> Result<Self, TrialError> {
        let (real, cache) = (shop.repository(), shop.cache());
        file::create_dir_all(cache)?;
        let path = cache.join("trial.lock");
        let alone = File::create(&path).map_err(FileError::at("create", &path))?;
        let locked = wait_for(&alone, "update of the kernel", shop.progress());
        locked.map_err(FileError::at("lock", &path))?;
        let root = cache.join("trial");
        if root.exists() {
            file::remove_folder(&root)?; // what a trial left that was killed
        }
        mirror(real, &root, &["os"])?;
        mirror(&real.join("os"), &root.join("os"), &["packages.lock", "kernel"])?;
        mirror(&real.join("os/kernel"), &root.join("os/kernel"), &["generated"])?;
        for flavour in Flavour::CONFIGURED {
            copy(&committed(real, flavour), &committed(&root, flavour))?;
        }
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
    pub(super) fn keep(self) -> Result<(), TrialError> {
        let lock = self.real.join(LOCK);
        if file::read(&lock)? != self.lock_before {
            return Err(TrialError::Overtaken(lock));
        }
        for flavour in Flavour::CONFIGURED {
            copy(&committed(&self.root, flavour), &committed(&self.real, flavour))?;
        }
        Ok(copy(&self.root.join(LOCK), &lock)?)
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // Links and copies only; the next trial clears what is left.
        let _ = file::remove_folder(&self.root);
    }
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
