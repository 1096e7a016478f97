//! The root itself: a small tmpfs with mount points and links, read-only once it is complete.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use base::file::FileError;
use sys::{Filesystem, Limits, mount};

use super::Cause;

/// Mount points and their modes, below mounts that come later.
const FOLDERS: [(&str, u32); 14] = [
    ("boot", 0o755),
    ("dev", 0o755),
    ("efi", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("media", 0o755),
    ("mnt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var", 0o755),
];

/// Links, for Debian's merged `/usr` and for what is state by its nature.
const LINKS: [(&str, &str); 6] = [
    ("bin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("opt", "var/opt"),
    ("sbin", "usr/sbin"),
    ("srv", "var/srv"),
];

/// Mounts an empty root at `target`: folders to mount on, and links. It can be written until
/// [`super::Stack::mount`] has filled it.
///
/// # Errors
///
/// [`Cause`] naming what could not be made.
pub fn make(target: &Path) -> Result<(), Cause> {
    Filesystem::new("tmpfs").option("mode", "755").option("size", "1m").mount(target)?;
    for (name, mode) in FOLDERS {
        let path = target.join(name);
        fs::create_dir(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .map_err(FileError::at("create the folder", &path))?;
    }
    for (name, aim) in LINKS {
        let path = target.join(name);
        symlink(aim, &path).map_err(FileError::at("create the link", &path))?;
    }
    Ok(())
}

/// Makes the root read-only; mounts on it are not affected. There is nothing to execute on it.
pub(super) fn seal(target: &Path) -> Result<(), FileError> {
    let limits = Limits { read_only: true, no_programs: true, ..Limits::DATA };
    mount::restrict(target, limits)
}
