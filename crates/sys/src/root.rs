//! A new root for PID 1.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use base::file::FileError;

use crate::mount;

/// Makes the mount at `new_root` the root of this process, over the old root.
///
/// The old root stays below it, out of reach. (`pivot_root` is refused when the old root is the
/// kernel's first, which is where an initrd runs.)
///
/// # Errors
///
/// [`FileError`] naming the folder that the kernel refused.
///
/// Source: Linux, `Documentation/filesystems/ramfs-rootfs-initramfs.rst`, "What is rootfs?".
pub fn switch(new_root: &Path) -> Result<(), FileError> {
    let failed = || FileError::at("make the root of", new_root);
    rustix::process::chdir(new_root).map_err(|errno| failed()(errno.into()))?;
    mount::move_to(Path::new("."), Path::new("/"))?;
    rustix::process::chroot(".").map_err(|errno| failed()(errno.into()))?;
    rustix::process::chdir("/").map_err(|errno| failed()(errno.into()))
}

/// Deletes the program that runs us, so that the initrd's memory is freed once another one runs.
///
/// # Errors
///
/// [`FileError`] naming it.
pub fn forget_program(path: &Path) -> Result<(), FileError> {
    fs::remove_file(path).map_err(FileError::at("delete", path))
}

/// Runs `program` in place of this process, with only these variables in its environment.
///
/// Returns only when that fails: the error names `program`.
pub fn become_program(program: &Path, environment: &[(&str, &str)]) -> FileError {
    let source = Command::new(program).env_clear().envs(environment.iter().copied()).exec();
    FileError::at("execute", program)(source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::Filesystem;
    use crate::namespace::with_private_mounts;

    #[test]
    fn after_a_switch_only_the_new_root_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        with_private_mounts(|| {
            Filesystem::new("tmpfs").mount(dir.path()).unwrap();
            fs::write(dir.path().join("mark"), "x").unwrap();
            switch(dir.path()).unwrap();
            let names: Vec<_> =
                fs::read_dir("/").unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(names, ["mark"]);
        });
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let error = become_program(Path::new("/no/such/program"), &[]);
        assert_eq!(error.to_string(), "cannot execute /no/such/program");
    }
}
