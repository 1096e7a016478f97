//! What a machine wrote to its disk, in its order: disks as a power cut would have left them are made of that.
//!
//! QEMU's filter `blklogwrites` writes the log. Source: the kernel's Documentation/admin-guide/device-mapper/log-writes.rst;
//! QEMU's block/blklogwrites.c. All numbers are little-endian:
//!
//! | bytes | |
//! | --- | --- |
//! | 0..8, 8..16, 16..24, 24..28 | magic, version 1, entries (not kept up to date), bytes of a sector; one sector in all |
//! | then for each entry, a sector | first sector on the disk, sectors, flags; what was written follows, unless it is a discard |

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const DURABLE: u64 = 2; // "force unit access"
const DISCARD: u64 = 4;

/// What a disk writes as a whole or not at all: a physical sector, as disks of today have it and as hypervisors pass it on.
/// ext4 relies on more than 512 bytes: its superblock has 1024, with a checksum at the end, and is written in place.
const ATOMIC: u64 = 4096;

/// All that a machine wrote.
#[derive(Debug)]
pub struct WriteLog {
    file: File,
    entries: Vec<Entry>,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// Where it ends in the log.
    end: u64,
    /// Where it wrote on the disk.
    at: u64,
    length: u64,
    flags: u64,
}

impl WriteLog {
    /// Reads the log at `path`, whose machine has ended.
    ///
    /// # Errors
    ///
    /// If it cannot be read or is none.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut head = [0; 28];
        file.read_exact_at(&mut head, 0)?;
        let sector = u64::from(u32::from_le_bytes([head[24], head[25], head[26], head[27]]));
        if number(&head, 0) != MAGIC || number(&head, 1) != 1 || sector < 512 {
            return Err(io::Error::new(ErrorKind::InvalidData, "no log of writes"));
        }
        let mut entries = Vec::new();
        let mut position = sector;
        while position + sector <= length {
            let mut head = [0; 24];
            file.read_exact_at(&mut head, position)?;
            let flags = number(&head, 2);
            let bytes = number(&head, 1).saturating_mul(sector);
            let data = if flags & DISCARD == 0 { bytes } else { 0 };
            position = position.saturating_add(sector).saturating_add(data);
            if position > length {
                break; // the machine ended before it was written
            }
            let at = number(&head, 0).saturating_mul(sector);
            entries.push(Entry { end: position, at, length: bytes, flags });
        }
        Ok(Self { file, entries })
    }

    /// How many requests there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many requests a log of this length holds.
    pub fn requests_within(&self, log_bytes: u64) -> usize {
        self.entries.partition_point(|entry| entry.end <= log_bytes)
    }

    /// How many of the first `cut` requests are durable, because the machine asked for that: those before the last flush.
    pub fn durable(&self, cut: usize) -> usize {
        let is_flush = |entry: &Entry| entry.flags & FLUSH != 0;
        self.entries[..cut].iter().rposition(is_flush).map_or(0, |last| last + 1)
    }

    /// Does these requests to `disk`, all of them and in their order.
    ///
    /// # Errors
    ///
    /// If the log cannot be read or the disk cannot be written.
    pub fn replay(&self, requests: Range<usize>, disk: &File) -> io::Result<()> {
        for entry in &self.entries[requests] {
            self.apply(*entry, disk, |_| true)?;
        }
        Ok(())
    }

    /// Does to `disk`, which has all that is durable, what may have come of the other requests when power fails after
    /// the first `cut`: some of them, whole or in part, in any order. `chance` is asked for numbers below the given one.
    ///
    /// # Errors
    ///
    /// As [`WriteLog::replay`].
    pub fn tear(
        &self,
        cut: usize,
        disk: &File,
        chance: &mut dyn FnMut(usize) -> usize,
    ) -> io::Result<()> {
        let mut open: Vec<Entry> = self.entries[self.durable(cut)..cut].to_vec();
        for index in (1..open.len()).rev() {
            open.swap(index, chance(index + 1));
        }
        for entry in open {
            let luck = if entry.flags & DURABLE == 0 { chance(4) } else { 3 };
            self.apply(entry, disk, |_| match luck {
                0 => false,
                1 => chance(2) == 0,
                _ => true,
            })?;
        }
        Ok(())
    }

    /// Does one request, but for those parts that `wanted` refuses.
    fn apply(
        &self,
        entry: Entry,
        disk: &File,
        mut wanted: impl FnMut(u64) -> bool,
    ) -> io::Result<()> {
        if entry.flags & DISCARD != 0 {
            return Ok(()); // what a disk shows there from then on is its own business
        }
        let mut data = vec![0; usize::try_from(entry.length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut data, entry.end - entry.length)?;
        let parts = data.chunks(ATOMIC as usize).zip((entry.at..).step_by(ATOMIC as usize));
        let mut run: Option<(u64, usize)> = None; // where the parts begin that are written together
        for (part, at) in parts {
            match (wanted(at), run) {
                (true, None) => run = Some((at, part.len())),
                (true, Some((start, length))) => run = Some((start, length + part.len())),
                (false, Some((start, length))) => {
                    write(disk, &data, entry.at, (start, length))?;
                    run = None;
                }
                (false, None) => {}
            }
        }
        run.map_or(Ok(()), |part| write(disk, &data, entry.at, part))
    }
}

/// Writes the part of `data`, which belongs at `base`, that begins at `part.0` of the disk.
fn write(disk: &File, data: &[u8], base: u64, part: (u64, usize)) -> io::Result<()> {
    let (at, length) = part;
    let from = usize::try_from(at - base).map_err(io::Error::other)?;
    disk.write_all_at(&data[from..from + length], at)
}

/// The little-endian number `index` of `bytes`.
fn number(bytes: &[u8], index: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[index * 8..index * 8 + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A log of requests: first sector, what is written, flags.
    fn log(requests: &[(u64, &[u8], u64)], folder: &Path) -> WriteLog {
        let mut bytes = [MAGIC, 1, 0].map(u64::to_le_bytes).concat();
        bytes.extend(512u32.to_le_bytes());
        bytes.resize(512, 0);
        for (sector, data, flags) in requests {
            let start = bytes.len();
            bytes.extend(
                [*sector, data.len() as u64 / 512, *flags, 0].map(u64::to_le_bytes).concat(),
            );
            bytes.resize(start + 512, 0);
            bytes.extend(*data);
        }
        bytes.extend([7; 300]); // the machine died here
        let path = folder.join("log");
        fs::write(&path, bytes).unwrap();
        WriteLog::read(&path).unwrap()
    }

    fn disk(folder: &Path) -> File {
        let path = folder.join("disk");
        fs::write(&path, vec![0; 8 * 4096]).unwrap();
        File::options().read(true).write(true).open(path).unwrap()
    }

    fn sectors(disk: &File) -> [u8; 8] {
        let mut bytes = [0; 4096];
        disk.read_exact_at(&mut bytes, 0).unwrap();
        std::array::from_fn(|sector| bytes[sector * 512 + 511])
    }

    #[test]
    fn what_is_before_the_last_flush_is_durable_and_the_rest_may_be_lost() {
        let dir = tempfile::tempdir().unwrap();
        let requests: [(u64, &[u8], u64); 4] =
            [(0, &[1; 1024], 0), (0, &[], FLUSH), (4, &[2; 1024], 0), (6, &[3; 512], DURABLE)];
        let log = log(&requests, dir.path());
        assert_eq!((log.len(), log.durable(1), log.durable(4)), (4, 0, 2));
        assert_eq!(log.requests_within(512 + 1536), 1);
        let disk = disk(dir.path());
        log.replay(0..2, &disk).unwrap();
        log.tear(4, &disk, &mut |_| 0).unwrap(); // whatever may be lost is
        assert_eq!(sectors(&disk), [1, 1, 0, 0, 0, 0, 3, 0]);
        log.replay(0..4, &disk).unwrap();
        assert_eq!(sectors(&disk), [1, 1, 0, 0, 2, 2, 3, 0]);
    }

    #[test]
    fn requests_are_reordered_and_torn_at_physical_sectors() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(&[(0, &[1; 4 * 4096], 0), (0, &[2; 4096], 0)], dir.path());
        let disk = disk(dir.path());
        // The order turns around; the first written is whole, the second has its second and fourth sector only.
        let mut luck = [0, 3, 1, 1, 0, 1, 0].into_iter();
        log.tear(2, &disk, &mut |_| luck.next().unwrap()).unwrap();
        let at = |sector: u64| {
            let mut byte = [0];
            disk.read_exact_at(&mut byte, sector * 4096 + 4095).unwrap();
            byte[0]
        };
        assert_eq!([at(0), at(1), at(2), at(3)], [2, 1, 0, 1]);
    }

    #[test]
    fn a_log_of_qemus_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        fs::write(file("image"), [0; 4096]).unwrap();
        fs::write(file("log"), "").unwrap();
        let (image, log) = (file("image"), file("log"));
        let filter = format!(
            "driver=blklogwrites,file.driver=raw,file.file.driver=file,file.file.filename={},log.driver=file,log.filename={}",
            image.display(),
            log.display()
        );
        let mut qemu = std::process::Command::new("qemu-io");
        qemu.args(["--image-opts", &filter, "-c", "write -P 5 512 1k", "-c", "flush"]);
        qemu.args(["-c", "discard 0 512", "-c", "write -P 6 2k 512"]);
        let output = qemu.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let log = WriteLog::read(&log).unwrap();
        let disk = disk(dir.path());
        let first = (1..=log.len()).find(|&cut| log.durable(cut) > 0).unwrap();
        log.replay(0..first, &disk).unwrap();
        assert_eq!(sectors(&disk), [0, 5, 5, 0, 0, 0, 0, 0]);
        log.replay(first..log.len(), &disk).unwrap();
        assert_eq!(sectors(&disk), [0, 5, 5, 0, 6, 0, 0, 0]);
    }

    #[test]
    fn other_files_are_no_logs() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x"), [0; 4096]).unwrap();
        assert_eq!(
            WriteLog::read(&dir.path().join("x")).unwrap_err().kind(),
            ErrorKind::InvalidData
        );
    }
}
