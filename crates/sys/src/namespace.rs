//! Mounts that nobody else sees.

use std::io;
use std::path::Path;
use std::thread;

use base::file::FileError;
use rustix::thread::UnshareFlags;

use crate::mount::make_private;

/// Gives the calling thread a copy of all mounts; from now on its changes are seen by nobody else.
///
/// Needs root. Programs that this thread starts see its mounts, too.
///
/// # Errors
///
/// [`FileError`] when the kernel refuses, for example for want of privileges.
pub fn leave_shared_mounts() -> Result<(), FileError> {
    let refused = |source: io::Error| FileError::at("leave the shared mounts at", "/")(source);
    // SAFETY: `unshare_unsafe` is unsafe only for CLONE_FILES, which is not among these flags.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
        .map_err(|errno| refused(errno.into()))?;
    make_private(Path::new("/"))
}

/// Runs `work` on a thread with mounts of its own, and removes these with it. For tests that mount.
///
/// # Panics
///
/// If `work` panics, or if the kernel refuses (it wants root); nothing was mounted then.
pub fn with_private_mounts<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let outcome = thread::scope(|scope| {
        let inside = || {
            leave_shared_mounts().unwrap_or_else(|error| {
                panic!("tests of mounts run as root: {error}: {}", error.source)
            });
            work()
        };
        scope.spawn(inside).join()
    });
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::mount::Filesystem;

    #[test]
    fn a_mount_in_a_namespace_is_invisible_outside() {
        let dir = tempfile::tempdir().unwrap();
        with_private_mounts(|| {
            Filesystem::new("tmpfs").mount(dir.path()).unwrap();
            fs::write(dir.path().join("inside"), "x").unwrap();
        });
        assert!(!dir.path().join("inside").exists());
    }
}
