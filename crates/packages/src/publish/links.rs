//! Symbolic links where a repository has none: through one, what is published would be written elsewhere, and what is
//! removed would be somebody else's.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use base::file::FileError;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::PublishError;
use super::layout::Layout;

/// Opens the file at `path`, or makes it; never what a link there leads to.
///
/// # Errors
///
/// [`PublishError::Link`], or [`FileError`].
pub(super) fn open(path: &Path) -> Result<File, PublishError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::from_raw_mode(0o644)) {
        Ok(file) => Ok(File::from(file)),
        Err(Errno::LOOP) => Err(PublishError::Link(path.to_owned())),
        Err(error) => Err(FileError::at("open", path)(error.into()).into()),
    }
}

/// Refuses links among the folders that are published to. Those in `targets` are ours: nothing is written through them.
///
/// # Errors
///
/// [`PublishError::Link`] with the first, or [`FileError`].
pub(super) fn refuse(layout: &Layout) -> Result<(), PublishError> {
    for folder in [layout.targets(), layout.dists(), layout.suite()] {
        if folder.is_symlink() {
            return Err(PublishError::Link(folder));
        }
    }
    refuse_below(&layout.pool())
}

/// Refuses the link at `path`, or the first below it.
fn refuse_below(path: &Path) -> Result<(), PublishError> {
    let kind = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(FileError::at("read", path))?.file_type(),
    };
    if kind.is_symlink() {
        return Err(PublishError::Link(path.to_owned()));
    }
    if kind.is_dir() {
        for entry in fs::read_dir(path).map_err(FileError::at("read", path))? {
            refuse_below(&entry.map_err(FileError::at("read", path))?.path())?;
        }
    }
    Ok(())
}
