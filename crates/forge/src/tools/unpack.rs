//! Unpacking a package into a folder, owned by whoever does it: for tools, not for images.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use base::Explain;
use base::file::FileError;
use packages::deb::{Deb, DebError, Entry, Kind, Limits};

/// A package could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    #[error(transparent)]
    Deb(#[from] DebError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for UnpackError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Deb(error) => error.hint(),
            Self::File(error) => error.hint(),
        }
    }
}

/// Unpacks the files of the package at `deb` below `folder`. Devices and pipes are left out.
///
/// # Errors
///
/// [`UnpackError`] names the file that cannot be read or written.
pub(crate) fn unpack(deb: &Path, folder: &Path) -> Result<(), UnpackError> {
    Deb::open(deb)?.visit(Limits::default(), |entry, content| {
        let path = folder.join(&entry.path);
        place(entry, content, &Place { folder, path: &path })
            .map_err(FileError::at("unpack", &path))?;
        Ok(())
    })
}

struct Place<'a> {
    folder: &'a Path,
    path: &'a Path,
}

fn place(entry: &Entry, content: &mut dyn Read, place: &Place<'_>) -> io::Result<()> {
    let Place { folder, path } = *place;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match &entry.kind {
        // A folder may lie behind a link of the root (`/lib`), and belongs to several packages.
        Kind::Directory if path.is_dir() => Ok(()),
        Kind::Directory => fs::create_dir_all(path),
        Kind::File => {
            remove(path)?;
            let mut file = File::create(path)?;
            io::copy(content, &mut file)?;
            // Owner may write, so that the cache can be cleared by whoever made it.
            file.set_permissions(Permissions::from_mode(entry.mode & 0o777 | 0o200))
        }
        Kind::Symlink(target) => {
            if path.is_dir() && !path.is_symlink() {
                return Ok(());
            }
            remove(path)?;
            symlink(target, path)
        }
        Kind::HardLink(target) => {
            remove(path)?;
            fs::hard_link(folder.join(target), path)
        }
        Kind::CharacterDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => Ok(()),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
