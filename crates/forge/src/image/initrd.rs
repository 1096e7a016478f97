//! The initrd: one program and a console for it to speak to.

use std::io;

use formats::cpio::{Kind, Writer};

/// The initrd that starts `init`, compressed with zstd.
///
/// # Errors
///
/// Writing to memory fails only where `init` is larger than a cpio archive can hold.
pub(crate) fn make(init: &[u8]) -> io::Result<Vec<u8>> {
    let mut archive = Writer::new(Vec::new());
    archive.entry("dev", 0o755, Kind::Folder)?;
    // The kernel opens it for PID 1 before anything is mounted.
    archive.entry("dev/console", 0o600, Kind::CharacterDevice { major: 5, minor: 1 })?;
    for mount_point in ["proc", "sys", "run", "sysroot"] {
        archive.entry(mount_point, 0o755, Kind::Folder)?;
    }
    archive.entry("init", 0o755, Kind::File(init))?;
    zstd::encode_all(archive.finish()?.as_slice(), 19)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_initrd_holds_init_and_a_console() {
        let initrd = make(b"#!/bin/true\n").unwrap();
        let archive = zstd::decode_all(initrd.as_slice()).unwrap();
        let text = String::from_utf8_lossy(&archive);
        for name in ["init\0", "dev/console\0", "#!/bin/true\n"] {
            assert!(text.contains(name), "{name}");
        }
    }
}
