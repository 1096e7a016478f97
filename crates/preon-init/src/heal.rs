//! A data filesystem that the kernel refuses is looked at by e2fsck. A power cut may leave one: a superblock that was
//! written in part, or one that is on the disk while the descriptors of a filesystem that has just grown are only in the
//! journal, which the kernel would replay later than it looks at them.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use sys::mount::MountError;

use crate::log;

/// Where the initrd has it.
pub(crate) const E2FSCK: &str = "/e2fsck";

/// Whether a filesystem that could not be mounted for this reason may be torn.
///
/// Source: Linux, `fs/ext4/ext4.h`: `EFSCORRUPTED` is EUCLEAN, `EFSBADCRC` is EBADMSG; a bad magic number is EINVAL.
pub(crate) fn is_torn(error: &MountError) -> bool {
    const TORN: [i32; 3] = [117, 74, 22];
    error.source.raw_os_error().is_some_and(|number| TORN.contains(&number))
}

/// How e2fsck is called, until it is content: what it may do without asking, then all that it can. Twice, because having
/// replayed the journal beside damaged descriptors it gives up ("unable to set superblock flags").
const HOW: [&str; 3] = ["-p", "-y", "-y"];

/// Has `program` heal the filesystem on `device`. Whether it is whole then.
///
/// Source: e2fsck(8), "EXIT CODE": 1 and 2 say that errors were corrected.
pub(crate) fn heal(program: &Path, device: &Path) -> io::Result<bool> {
    for how in HOW {
        let mut e2fsck = Command::new(program);
        let output = e2fsck.args(["-f", how]).arg(device).stdin(Stdio::null()).output()?;
        let text = [output.stdout, output.stderr].concat();
        log::warning(&String::from_utf8_lossy(&text).trim_end());
        if output.status.code().is_some_and(|code| code & !3 == 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_cannot_be_healed_without_asking_is_healed_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("e2fsck");
        let healed = |script: &str| {
            std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(&program, mode).unwrap();
            heal(&program, "/dev/sda2".as_ref()).unwrap()
        };
        assert!(healed("test \"$*\" = \"-f -p /dev/sda2\" && exit 1; exit 8"));
        assert!(healed("test \"$2\" = -y && exit 1; exit 4"));
        assert!(healed(
            "test \"$2\" = -p && exit 4; test -e $0.again && exit 1; touch $0.again; exit 12"
        ));
        assert!(!healed("exit 4"));
        assert!(heal(&dir.path().join("none"), "/dev/sda2".as_ref()).is_err());
    }
}
