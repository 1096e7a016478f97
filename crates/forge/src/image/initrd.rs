//! The initrd: our program, a console for it to speak to, and what heals a filesystem.

use std::io;

use formats::cpio::{Kind, Writer};

/// The initrd that starts `init`, which may call `e2fsck`, compressed with zstd.
///
/// # Errors
///
/// Writing to memory fails only where a program is larger than a cpio archive can hold.
pub(crate) fn make(init: &[u8], e2fsck: &[u8]) -> io::Result<Vec<u8>> {
    let mut archive = Writer::new(Vec::new());
    archive.entry("dev", 0o755, Kind::Folder)?;
    // The kernel opens it for PID 1 before anything is mounted.
    archive.entry("dev/console", 0o600, Kind::CharacterDevice { major: 5, minor: 1 })?;
    for mount_point in ["proc", "sys", "run", "sysroot"] {
        archive.entry(mount_point, 0o755, Kind::Folder)?;
    }
    archive.entry("init", 0o755, Kind::File(init))?;
    archive.entry("e2fsck", 0o755, Kind::File(e2fsck))?;
    zstd::encode_all(archive.finish()?.as_slice(), 19)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_initrd_holds_init_a_console_and_e2fsck() {
        let initrd = make(b"#!/bin/true\n", b"#!/bin/e2fsck\n").unwrap();
        let archive = zstd::decode_all(initrd.as_slice()).unwrap();
        let text = String::from_utf8_lossy(&archive);
        for name in ["init\0", "dev/console\0", "#!/bin/true\n", "e2fsck\0", "#!/bin/e2fsck\n"] {
            assert!(text.contains(name), "{name}");
        }
    }
}
