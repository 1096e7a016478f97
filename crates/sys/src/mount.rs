//! Mounts: new ones with the kernel's own explanation when they fail, binds, moves, removal.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use base::Explain;
use base::file::FileError;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, UnmountFlags,
};

mod detached;

pub use detached::Detached;

/// What a mount does not allow, whatever the files on it say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Nothing can be written (`ro`).
    pub read_only: bool,
    /// Set-user-id bits and file capabilities have no effect (`nosuid`).
    pub no_set_uid: bool,
    /// Device nodes cannot be opened (`nodev`).
    pub no_devices: bool,
    /// Programs cannot be executed (`noexec`).
    pub no_programs: bool,
}

impl Limits {
    /// Everything is allowed.
    pub const NONE: Self =
        Self { read_only: false, no_set_uid: false, no_devices: false, no_programs: false };
    /// For data: neither set-user-id programs nor device nodes have an effect.
    pub const DATA: Self = Self { no_set_uid: true, no_devices: true, ..Self::NONE };

    fn attributes(self) -> MountAttrFlags {
        let table = [
            (self.read_only, MountAttrFlags::MOUNT_ATTR_RDONLY),
            (self.no_set_uid, MountAttrFlags::MOUNT_ATTR_NOSUID),
            (self.no_devices, MountAttrFlags::MOUNT_ATTR_NODEV),
            (self.no_programs, MountAttrFlags::MOUNT_ATTR_NOEXEC),
        ];
        table.into_iter().filter(|(wanted, _)| *wanted).map(|(_, flag)| flag).collect()
    }

    fn flags(self) -> MountFlags {
        let table = [
            (self.read_only, MountFlags::RDONLY),
            (self.no_set_uid, MountFlags::NOSUID),
            (self.no_devices, MountFlags::NODEV),
            (self.no_programs, MountFlags::NOEXEC),
        ];
        table.into_iter().filter(|(wanted, _)| *wanted).map(|(_, flag)| flag).collect()
    }
}

/// A filesystem could not be mounted.
#[derive(Debug, thiserror::Error)]
#[error("cannot mount {kind} at {}{explanation}", target.display())]
pub struct MountError {
    /// The filesystem and where it comes from: `erofs from /dev/dm-0`.
    pub kind: String,
    /// Where it was to appear.
    pub target: PathBuf,
    /// What the kernel said about it: empty, or `: ` and its words.
    pub explanation: String,
    /// Why.
    pub source: io::Error,
}

impl Explain for MountError {}

/// A filesystem that is to be mounted.
#[derive(Clone, Debug)]
pub struct Filesystem<'a> {
    kind: &'a str,
    source: Option<&'a Path>,
    options: Vec<(&'a str, &'a OsStr)>,
    limits: Limits,
}

impl<'a> Filesystem<'a> {
    /// A filesystem of this kind (`erofs`, `ext4`, `tmpfs`, `overlay` …).
    pub fn new(kind: &'a str) -> Self {
        Self { kind, source: None, options: Vec::new(), limits: Limits::NONE }
    }

    /// The device that holds it.
    #[must_use]
    pub fn on(mut self, device: &'a Path) -> Self {
        self.source = Some(device);
        self
    }

    /// One option of the filesystem, as in `mount -o key=value`. A key may come more than once
    /// (`lowerdir+` of overlay).
    #[must_use]
    pub fn option(mut self, key: &'a str, value: &'a (impl AsRef<OsStr> + ?Sized)) -> Self {
        self.options.push((key, value.as_ref()));
        self
    }

    /// What the mount does not allow. Read-only holds for the filesystem itself, too.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Mounts it at `target`, an existing folder.
    ///
    /// # Errors
    ///
    /// [`MountError`] with what the kernel had to say.
    pub fn mount(&self, target: &Path) -> Result<(), MountError> {
        self.detached(target)?.attach()
    }

    /// Makes the mount, for `target`, without showing it there yet.
    ///
    /// # Errors
    ///
    /// [`MountError`] with what the kernel had to say.
    pub fn detached(&self, target: &Path) -> Result<Detached, MountError> {
        let failed = |explanation: String, source: io::Error| MountError {
            kind: self.to_string(),
            target: target.to_owned(),
            explanation,
            source,
        };
        let context = rustix::mount::fsopen(self.kind, FsOpenFlags::FSOPEN_CLOEXEC)
            .map_err(|errno| failed(String::new(), errno.into()))?;
        match self.make(&context) {
            Ok(mount) => Ok(Detached { mount, kind: self.to_string(), target: target.to_owned() }),
            Err(source) => Err(failed(complaints(context), source)),
        }
    }

    fn make(&self, context: &OwnedFd) -> io::Result<OwnedFd> {
        use rustix::mount as kernel;
        kernel::fsconfig_set_string(
            context,
            "source",
            self.source.unwrap_or(Path::new(self.kind)),
        )?;
        if self.limits.read_only {
            kernel::fsconfig_set_flag(context, "ro")?;
        }
        for (key, value) in &self.options {
            kernel::fsconfig_set_string(context, *key, *value)?;
        }
        kernel::fsconfig_create(context)?;
        let flags = FsMountFlags::FSMOUNT_CLOEXEC;
        Ok(kernel::fsmount(context.as_fd(), flags, self.limits.attributes())?)
    }
}

impl fmt::Display for Filesystem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        self.source.map_or(Ok(()), |device| write!(f, " from {}", device.display()))
    }
}

/// What the kernel logged about a mount in the making: its errors and warnings.
///
/// Source: Linux, `Documentation/filesystems/mount_api.rst`: each read yields one message that
/// starts with `e `, `w ` or `i `.
fn complaints(context: OwnedFd) -> String {
    const MOST: usize = 16; // the kernel keeps eight
    let mut log = File::from(context);
    let mut text = String::new();
    let mut message = [0; 1024];
    for _ in 0..MOST {
        let Ok(length @ 1..) = log.read(&mut message) else { break };
        let line = String::from_utf8_lossy(&message[..length]);
        if let Some(words) = line.strip_prefix("e ").or_else(|| line.strip_prefix("w ")) {
            text.push_str(": ");
            text.push_str(words.trim_end());
        }
    }
    text
}

/// Shows the folder or file `source` at `target`, too, with exactly these limits, whatever those at
/// `source` are.
///
/// Mounts below `source` are not taken along.
///
/// # Errors
///
/// [`FileError`] naming `target`.
pub fn bind(source: &Path, target: &Path, limits: Limits) -> Result<(), FileError> {
    let attempt = || FileError::at("show a folder of another filesystem at", target);
    rustix::mount::mount_bind(source, target).map_err(|errno| attempt()(errno.into()))?;
    rustix::mount::mount_remount(target, MountFlags::BIND | limits.flags(), "")
        .map_err(|errno| attempt()(errno.into()))
}

/// Changes what an existing mount allows; its filesystem becomes read-only with it.
///
/// # Errors
///
/// [`FileError`] naming `target`; read-only is refused while files are open for writing.
pub fn restrict(target: &Path, limits: Limits) -> Result<(), FileError> {
    rustix::mount::mount_remount(target, limits.flags(), "")
        .map_err(|errno| FileError::at("restrict the mount at", target)(errno.into()))
}

/// Moves the mount at `source` to `target`, with all mounts below it.
///
/// # Errors
///
/// [`FileError`] naming `target`.
pub fn move_to(source: &Path, target: &Path) -> Result<(), FileError> {
    rustix::mount::mount_move(source, target)
        .map_err(|errno| FileError::at("move a mount to", target)(errno.into()))
}

/// Removes the mount at `target`.
///
/// # Errors
///
/// [`FileError`] naming `target`, for example when it is in use.
pub fn unmount(target: &Path) -> Result<(), FileError> {
    rustix::mount::unmount(target, UnmountFlags::NOFOLLOW)
        .map_err(|errno| FileError::at("unmount", target)(errno.into()))
}

/// Takes the mount at `target` out of the tree at once; it goes away when its last user does.
///
/// # Errors
///
/// [`FileError`] naming `target`.
pub fn detach(target: &Path) -> Result<(), FileError> {
    rustix::mount::unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .map_err(|errno| FileError::at("detach the mount at", target)(errno.into()))
}

/// Whether something is mounted right at `path`; not if there is no such path.
///
/// # Errors
///
/// [`FileError`] naming `path`.
pub fn is_mounted(path: &Path) -> Result<bool, FileError> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
    match rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE) {
        Ok(found) => Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(false),
        Err(errno) => Err(FileError::at("look for a mount at", path)(errno.into())),
    }
}

/// Keeps mounts below `target` from showing up in other mount namespaces, and theirs in ours.
///
/// # Errors
///
/// [`FileError`] naming `target`.
pub fn make_private(target: &Path) -> Result<(), FileError> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(target, flags)
        .map_err(|errno| FileError::at("make private the mounts below", target)(errno.into()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;

    use super::*;
    use crate::namespace::with_private_mounts;

    fn tmpfs(target: &Path, limits: Limits) {
        Filesystem::new("tmpfs").option("mode", "755").limits(limits).mount(target).unwrap();
    }

    #[test]
    fn what_is_written_to_a_tmpfs_goes_away_with_it() {
        with_private_mounts(|| {
            let dir = tempfile::tempdir().unwrap();
            tmpfs(dir.path(), Limits::DATA);
            fs::write(dir.path().join("file"), "x").unwrap();
            unmount(dir.path()).unwrap();
            assert!(!dir.path().join("file").exists());
        });
    }

    #[test]
    fn a_read_only_bind_refuses_writes_while_its_source_takes_them() {
        with_private_mounts(|| {
            let dir = tempfile::tempdir().unwrap();
            tmpfs(dir.path(), Limits::NONE);
            let (source, target) = (dir.path().join("source"), dir.path().join("target"));
            fs::create_dir(&source).unwrap();
            fs::create_dir(&target).unwrap();
            bind(&source, &target, Limits { read_only: true, ..Limits::NONE }).unwrap();

            fs::write(source.join("motd"), "x").unwrap();
            let refused = fs::write(target.join("motd"), "y").unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem);
            assert_eq!(fs::read(target.join("motd")).unwrap(), b"x");
            detach(dir.path()).unwrap();
        });
    }

    #[test]
    fn a_restricted_mount_refuses_writes_from_then_on() {
        with_private_mounts(|| {
            let dir = tempfile::tempdir().unwrap();
            tmpfs(dir.path(), Limits::NONE);
            fs::write(dir.path().join("before"), "x").unwrap();
            restrict(dir.path(), Limits { read_only: true, ..Limits::DATA }).unwrap();
            let refused = fs::write(dir.path().join("after"), "x").unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem);
            unmount(dir.path()).unwrap();
        });
    }

    #[test]
    fn an_overlay_shows_the_first_of_its_lower_folders_on_top() {
        with_private_mounts(|| {
            let dir = tempfile::tempdir().unwrap();
            tmpfs(dir.path(), Limits::NONE);
            let folder = |name: &str| {
                let path = dir.path().join(name);
                fs::create_dir(&path).unwrap();
                path
            };
            let (upper, lower, target) = (folder("upper"), folder("lower"), folder("target"));
            fs::write(lower.join("both"), "lower").unwrap();
            fs::write(upper.join("both"), "upper").unwrap();
            fs::write(lower.join("one"), "lower").unwrap();
            Filesystem::new("overlay")
                .option("lowerdir+", &upper)
                .option("lowerdir+", &lower)
                .mount(&target)
                .unwrap();
            assert_eq!(fs::read(target.join("both")).unwrap(), b"upper");
            assert_eq!(fs::read(target.join("one")).unwrap(), b"lower");
            unmount(&target).unwrap();
            detach(dir.path()).unwrap();
        });
    }

    #[test]
    fn a_moved_mount_is_only_at_its_new_place() {
        with_private_mounts(|| {
            let dir = tempfile::tempdir().unwrap();
            tmpfs(dir.path(), Limits::NONE);
            let (old, new) = (dir.path().join("old"), dir.path().join("new"));
            fs::create_dir(&old).unwrap();
            fs::create_dir(&new).unwrap();
            tmpfs(&old, Limits::NONE);
            fs::write(old.join("file"), "x").unwrap();
            move_to(&old, &new).unwrap();
            assert!(!old.join("file").exists());
            assert!(new.join("file").exists());
            detach(dir.path()).unwrap();
        });
    }

    #[test]
    fn a_refused_mount_says_what_was_wrong() {
        with_private_mounts(|| {
            let dir = tempfile::tempdir().unwrap();
            let error = Filesystem::new("tmpfs").option("mode", "x").mount(dir.path()).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with("cannot mount tmpfs at "), "{text}");
            assert!(text.contains("mode"), "the kernel names the option: {text}");
        });
    }
}
