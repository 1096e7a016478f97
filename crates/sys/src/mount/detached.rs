//! A mount that is made but seen nowhere yet: so that what it replaces is never missing.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags};

use super::MountError;

/// A mount that is not seen anywhere yet; it goes away with this value.
#[derive(Debug)]
pub struct Detached {
    pub(super) mount: OwnedFd,
    /// What it is, for errors.
    pub(super) kind: String,
    /// Where it is to appear.
    pub(super) target: PathBuf,
}

impl Detached {
    /// What is mounted at `source`, once more, with the same limits; mounts below it are not taken along.
    ///
    /// # Errors
    ///
    /// [`MountError`].
    pub fn copy_of(source: &Path, target: &Path) -> Result<Self, MountError> {
        let kind = format!("a copy of {}", source.display());
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        match rustix::mount::open_tree(CWD, source, flags) {
            Ok(mount) => Ok(Self { mount, kind, target: target.to_owned() }),
            Err(errno) => Err(MountError {
                kind,
                target: target.to_owned(),
                explanation: String::new(),
                source: errno.into(),
            }),
        }
    }

    /// Shows it at its target, on top of what is seen there.
    ///
    /// # Errors
    ///
    /// [`MountError`].
    pub fn attach(&self) -> Result<(), MountError> {
        self.move_in(MoveMountFlags::empty())
    }

    /// Shows it at its target instead of the mount that is seen there, at no instant without one of the two. Whoever
    /// has files of the old mount open, or stands in a folder of it, keeps it until then.
    ///
    /// The new one is put beneath the old one, which is then taken away. In mount namespaces that take over what
    /// happens in this one the same happens.
    ///
    /// # Errors
    ///
    /// [`MountError`]; the old mount is still seen then.
    ///
    /// Source: move_mount(2), `MOVE_MOUNT_BENEATH`, since Linux 6.5.
    pub fn replace(&self) -> Result<(), MountError> {
        self.move_in(MoveMountFlags::MOVE_MOUNT_BENEATH)?;
        let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        rustix::mount::unmount(&self.target, flags).map_err(|errno| self.failed(errno))
    }

    fn move_in(&self, how: MoveMountFlags) -> Result<(), MountError> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | how;
        rustix::mount::move_mount(self.mount.as_fd(), "", CWD, &self.target, flags)
            .map_err(|errno| self.failed(errno))
    }

    fn failed(&self, errno: rustix::io::Errno) -> MountError {
        MountError {
            kind: self.kind.clone(),
            target: self.target.clone(),
            explanation: String::new(),
            source: errno.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Read;
    use std::sync::mpsc::channel;

    use rustix::mount::MountPropagationFlags;
    use rustix::thread::UnshareFlags;

    use super::*;
    use crate::mount::{Filesystem, Limits, detach, is_mounted};
    use crate::namespace::with_private_mounts;

    /// A folder with a mount that has one file with this text.
    fn mounted(at: &Path, text: &str) {
        fs::create_dir_all(at).unwrap();
        Filesystem::new("tmpfs").mount(at).unwrap();
        fs::write(at.join("file"), text).unwrap();
    }

    /// How many mounts this thread sees.
    fn count() -> usize {
        fs::read_to_string("/proc/thread-self/mountinfo").unwrap().lines().count()
    }

    #[test]
    fn a_mount_takes_the_place_of_another_one_while_open_files_keep_working() {
        with_private_mounts(|| {
            let dir = tempfile::tempdir().unwrap();
            mounted(dir.path(), "");
            let (source, target) = (dir.path().join("source"), dir.path().join("target"));
            mounted(&source, "new");
            mounted(&target, "old");
            let before = count();
            let mut open = File::open(target.join("file")).unwrap();
            for _ in 0..10 {
                Detached::copy_of(&source, &target).unwrap().replace().unwrap();
                assert_eq!(fs::read_to_string(target.join("file")).unwrap(), "new");
            }
            let mut text = String::new();
            open.read_to_string(&mut text).unwrap();
            assert_eq!(text, "old");
            assert_eq!(count(), before);
            detach(dir.path()).unwrap();
        });
    }

    #[test]
    fn a_service_with_mounts_of_its_own_sees_the_new_one_too() {
        with_private_mounts(|| {
            let dir = tempfile::tempdir().unwrap();
            mounted(dir.path(), "");
            let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
            rustix::mount::mount_change(dir.path(), shared).unwrap();
            let (source, target) = (dir.path().join("source"), dir.path().join("target"));
            mounted(&source, "new");
            mounted(&target, "old");
            std::thread::scope(|scope| {
                let (ready, wait_ready) = channel();
                let (go, wait_go) = channel();
                let file = target.join("file");
                let service = scope.spawn(move || {
                    // As systemd does for a service with `PrivateTmp=`.
                    // SAFETY: `unshare_unsafe` is unsafe only for CLONE_FILES, which is not asked for.
                    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
                    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
                    rustix::mount::mount_change("/", slave).unwrap();
                    let before = count();
                    ready.send(()).unwrap();
                    wait_go.recv().unwrap();
                    assert_eq!(fs::read_to_string(file).unwrap(), "new");
                    assert_eq!(count(), before);
                });
                wait_ready.recv().unwrap();
                Detached::copy_of(&source, &target).unwrap().replace().unwrap();
                go.send(()).unwrap();
                service.join().unwrap();
            });
            detach(dir.path()).unwrap();
        });
    }

    #[test]
    fn a_copy_has_the_limits_of_its_source() {
        with_private_mounts(|| {
            let dir = tempfile::tempdir().unwrap();
            mounted(dir.path(), "");
            let (source, target) = (dir.path().join("source"), dir.path().join("target"));
            mounted(&source, "x");
            crate::mount::restrict(&source, Limits { read_only: true, ..Limits::NONE }).unwrap();
            mounted(&target, "y");
            Detached::copy_of(&source, &target).unwrap().replace().unwrap();
            let refused = fs::write(target.join("new"), "x").unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
            detach(dir.path()).unwrap();
        });
    }

    #[test]
    fn nothing_is_replaced_where_nothing_is_mounted() {
        with_private_mounts(|| {
            let dir = tempfile::tempdir().unwrap();
            mounted(dir.path(), "");
            let (source, target) = (dir.path().join("source"), dir.path().join("target"));
            mounted(&source, "x");
            fs::create_dir(&target).unwrap();
            assert!(is_mounted(&source).unwrap() && !is_mounted(&target).unwrap());
            assert!(!is_mounted(&target.join("missing")).unwrap());
            let copy = Detached::copy_of(&source, &target).unwrap();
            let error = copy.replace().unwrap_err().to_string();
            assert!(error.starts_with("cannot mount a copy of "), "{error}");
            detach(dir.path()).unwrap();
        });
    }
}
