//! cpio archives in the `newc` format: what the kernel unpacks as its initial file system.
//!
//! Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.

use std::io::{self, Write};

/// Writes an archive: the same entries give the same bytes (time 0, owner 0, numbered in turn).
///
/// Folders must come before what is in them.
#[derive(Debug)]
pub struct Writer<W> {
    inner: W,
    entries: u32,
}

/// What kind of thing an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A folder.
    Folder,
    /// A file with this content.
    File(&'a [u8]),
    /// A symbolic link to this path.
    Link(&'a str),
    /// A character device.
    CharacterDevice {
        /// Its driver.
        major: u32,
        /// Which one of the driver's.
        minor: u32,
    },
}

/// What is written of an entry beside its path.
struct Record<'a> {
    /// With the bits that say what it is.
    mode: u32,
    content: &'a [u8],
    device: (u32, u32),
}

impl<W: Write> Writer<W> {
    /// Starts an archive.
    pub fn new(inner: W) -> Self {
        Self { inner, entries: 0 }
    }

    /// Adds an entry at `path` (without `/` at the start) with the permission bits `mode`. For a
    /// link they do not matter and are written as 0777.
    ///
    /// # Errors
    ///
    /// What writing fails with, and [`io::ErrorKind::InvalidInput`] for an empty or absolute
    /// path, for the name of the archive's end, and for 4 GiB or more of content.
    pub fn entry(&mut self, path: &str, mode: u16, kind: Kind<'_>) -> io::Result<()> {
        let invalid = path.is_empty() || path.starts_with('/') || path.contains('\0');
        if invalid || path == "TRAILER!!!" || mode > 0o7777 {
            let text = format!("`{path}` with mode {mode:o} cannot be an entry of a cpio archive");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mode = u32::from(mode);
        let mut record = Record { mode, content: &[], device: (0, 0) };
        match kind {
            Kind::Folder => record.mode |= 0o040000,
            Kind::File(content) => {
                record.mode |= 0o100000;
                record.content = content;
            }
            Kind::Link(target) => {
                record.mode = 0o120777;
                record.content = target.as_bytes();
            }
            Kind::CharacterDevice { major, minor } => {
                record.mode |= 0o020000;
                record.device = (major, minor);
            }
        }
        self.write(path, &record)
    }

    /// Ends the archive and gives back what it was written to.
    ///
    /// # Errors
    ///
    /// What writing fails with.
    pub fn finish(mut self) -> io::Result<W> {
        self.write("TRAILER!!!", &Record { mode: 0, content: &[], device: (0, 0) })?;
        Ok(self.inner)
    }

    fn write(&mut self, path: &str, record: &Record<'_>) -> io::Result<()> {
        let Record { mode, content, device } = *record;
        let size = |length: usize| {
            let error =
                |_| io::Error::new(io::ErrorKind::InvalidInput, format!("{path}: too long"));
            u32::try_from(length).map_err(error)
        };
        self.entries += 1;
        let links = if mode & 0o170000 == 0o040000 { 2 } else { 1 };
        #[rustfmt::skip]
        let fields = [
            self.entries, mode, 0, 0, links, 0, // number, mode, owner, group, links, time
            size(content.len())?, 0, 0,         // and the device that it lies on
            device.0, device.1, size(path.len() + 1)?, 0, // and a checksum that newc leaves 0
        ];
        let mut header = String::from("070701");
        header.extend(fields.map(|field| format!("{field:08x}")));
        header.push_str(path);
        header.push('\0');
        for part in [header.as_bytes(), content] {
            self.inner.write_all(part)?;
            self.inner.write_all(&[0; 3][..part.len().next_multiple_of(4) - part.len()])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base::child::{Program, run};

    use super::*;

    fn archive() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        writer.entry("dev", 0o755, Kind::Folder).unwrap();
        let console = Kind::CharacterDevice { major: 5, minor: 1 };
        writer.entry("dev/console", 0o600, console).unwrap();
        writer.entry("init", 0o755, Kind::File(b"#!/bin/sh\n")).unwrap();
        writer.entry("sbin", 0o777, Kind::Link("usr/sbin")).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn entries_have_the_bytes_that_the_kernel_wants() {
        let bytes = archive();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap();
        #[rustfmt::skip]
        let expected = concat!(
            "070701", "00000003", "000081ed", "00000000", "00000000", "00000001", "00000000",
            "0000000a", "00000000", "00000000", "00000000", "00000000", "00000005", "00000000",
            "init\0\0", "#!/bin/sh\n\0\0",
        );
        assert!(text.contains(expected), "{text:?}");
    }

    #[test]
    fn a_foreign_reader_finds_the_entries() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archive");
        std::fs::write(&path, archive()).unwrap();
        let mut command = Program::new("cpio").command();
        let output = run(command.args(["-itv", "--quiet", "-F"]).arg(&path)).unwrap();
        let listing = String::from_utf8(output).unwrap();
        let lines: Vec<Vec<_>> =
            listing.lines().map(|line| line.split_whitespace().collect()).collect();
        let modes: Vec<_> = lines.iter().map(|words| words[0]).collect();
        assert_eq!(modes, ["drwxr-xr-x", "crw-------", "-rwxr-xr-x", "lrwxrwxrwx"], "{listing}");
        assert!(listing.contains("sbin -> usr/sbin") && listing.contains("5,   1"), "{listing}");
    }

    #[test]
    fn what_the_format_cannot_hold_is_refused() {
        for (path, mode) in [("", 0), ("/init", 0), ("TRAILER!!!", 0), ("a\0b", 0), ("a", 0o10000)]
        {
            assert!(Writer::new(io::sink()).entry(path, mode, Kind::Folder).is_err(), "{path:?}");
        }
    }
}
