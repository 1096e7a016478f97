//! What is kept of a build: its files and their digests, in a folder of the cache.

use std::fs;
use std::path::{Path, PathBuf};

use base::digest::Digest;
use base::file::{self, FileError};

/// Each file that is kept: where the build leaves it, and its name in the cache.
const FILES: [(&str, &str); 4] = [
    ("arch/x86/boot/bzImage", "bzImage"),
    (".config", "config"),
    ("System.map", "System.map"),
    ("include/config/kernel.release", "release"),
];

/// The modules of a kernel that has any: where the build leaves them, and their name in the cache.
const MODULES: &str = "modules.tar";

/// The digests of the files, as `sha256sum` writes and checks them.
const DIGESTS: &str = "SHA256SUMS";

/// A built kernel: a folder in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    pub(super) folder: PathBuf,
}

impl Kernel {
    /// The kernel whose files lie in `folder`.
    #[cfg(test)]
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The path of the image, an EFI program.
    pub(crate) fn image(&self) -> PathBuf {
        self.folder.join("bzImage")
    }

    /// The path of the final configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("config")
    }

    /// The path of its modules, a tar archive of `lib/modules`, if it has any.
    pub(crate) fn modules(&self) -> Option<PathBuf> {
        let path = self.folder.join(MODULES);
        path.exists().then_some(path)
    }

    /// What `uname -r` prints on it, such as `6.12.117-preon`.
    ///
    /// # Errors
    ///
    /// [`FileError`] if the cache was tampered with.
    pub(crate) fn release(&self) -> Result<String, FileError> {
        Ok(file::read_text(&self.folder.join("release"))?.trim().to_owned())
    }

    /// The size of the image in bytes.
    ///
    /// # Errors
    ///
    /// [`FileError`] if the cache was tampered with.
    pub(crate) fn image_bytes(&self) -> Result<u64, FileError> {
        let image = self.image();
        Ok(fs::metadata(&image).map_err(FileError::at("read", &image))?.len())
    }

    /// The digests of all its files, as `sha256sum` writes them.
    ///
    /// # Errors
    ///
    /// [`FileError`] if the cache was tampered with.
    pub(crate) fn digests(&self) -> Result<String, FileError> {
        file::read_text(&self.folder.join(DIGESTS))
    }

    /// Whether every file is as it was when it was built.
    pub(super) fn is_whole(&self) -> bool {
        self.digests().is_ok_and(|kept| digests(&self.folder).is_ok_and(|found| found == kept))
    }

    /// The names of the files that are others in the kernel `other`.
    ///
    /// # Errors
    ///
    /// [`FileError`] for a file that cannot be read.
    pub(super) fn differences(&self, other: &Self) -> Result<Vec<&'static str>, FileError> {
        let mut differing = Vec::new();
        for name in names(&self.folder) {
            if digest(&self.folder, name)? != digest(&other.folder, name)? {
                differing.push(name);
            }
        }
        Ok(differing)
    }
}

/// Copies what the build left in `out` to `folder`, digests beside it.
///
/// # Errors
///
/// [`FileError`].
pub(super) fn collect(out: &Path, folder: &Path) -> Result<(), FileError> {
    let modules = out.join(MODULES).exists().then_some((MODULES, MODULES));
    for (from, to) in FILES.into_iter().chain(modules) {
        file::replace(&folder.join(to), &file::read(&out.join(from))?)?;
    }
    file::replace(&folder.join(DIGESTS), digests(folder)?.as_bytes())
}

/// The names of the files in `folder`.
fn names(folder: &Path) -> impl Iterator<Item = &'static str> {
    let modules = folder.join(MODULES).exists().then_some(MODULES);
    FILES.into_iter().map(|(_, name)| name).chain(modules)
}

fn digests(folder: &Path) -> Result<String, FileError> {
    let line = |name| Ok(format!("{}  {name}\n", digest(folder, name)?));
    names(folder).map(line).collect()
}

fn digest(folder: &Path, name: &str) -> Result<Digest, FileError> {
    let path = folder.join(name);
    Digest::of_file(&path).map_err(FileError::at("read", &path))
}
