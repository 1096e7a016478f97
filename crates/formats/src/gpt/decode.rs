//! A table from the bytes of a disk.

use std::io::{self, Read, Seek, SeekFrom};

use base::Explain;

use super::{BLOCK, ENTRIES, ENTRY, Lba, Partition, Table, TableError, crc32};
use crate::Guid;
use crate::bytes::{array, put, u32_at, u64_at};

/// Why no table could be read from a disk.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Reading failed.
    #[error("cannot read the partition table")]
    Read(#[source] io::Error),
    /// Neither copy is good.
    #[error("no good GUID partition table: at the start {start}, at the end {end}")]
    NoTable {
        /// What is wrong with the copy at the start.
        start: Flaw,
        /// What is wrong with the copy at the end.
        end: Flaw,
    },
    /// The checksums are right, but the content makes no sense.
    #[error("the partition table contradicts itself")]
    Contradiction(#[source] TableError),
}

impl Explain for ReadError {}

/// What is wrong with one copy of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// There is none.
    #[error("there is no header")]
    Absent,
    /// The header was changed or damaged.
    #[error("the header's checksum is wrong")]
    HeaderChecksum,
    /// The header has values that this code cannot use.
    #[error("the header has a bad {0}")]
    Header(&'static str),
    /// The entries were changed or damaged.
    #[error("the checksum of the entries is wrong")]
    EntriesChecksum,
}

/// Reads the table of a disk: the copy at the start if it is good, else the one in the last
/// block. [`Table::blocks`] is what the table says; a disk that was made longer has more.
///
/// # Errors
///
/// [`ReadError`].
pub fn read(mut disk: impl Read + Seek) -> Result<Table, ReadError> {
    let length = disk.seek(SeekFrom::End(0)).map_err(ReadError::Read)?;
    let start = match copy(&mut disk, Lba(1)).map_err(ReadError::Read)? {
        Ok(table) => return checked(table),
        Err(flaw) => flaw,
    };
    let last = Lba((length / BLOCK).saturating_sub(1));
    match copy(&mut disk, last).map_err(ReadError::Read)? {
        Ok(table) => checked(table),
        Err(end) => Err(ReadError::NoTable { start, end }),
    }
}

fn checked(table: Table) -> Result<Table, ReadError> {
    table.check().map_err(ReadError::Contradiction)?;
    Ok(table)
}

/// The copy of the table whose header lies at `at`.
fn copy(disk: &mut (impl Read + Seek), at: Lba) -> io::Result<Result<Table, Flaw>> {
    let Some(header) = bytes(disk, at, BLOCK as usize)? else {
        return Ok(Err(Flaw::Absent));
    };
    let header = match Header::parse(&header, at) {
        Ok(header) => header,
        Err(flaw) => return Ok(Err(flaw)),
    };
    let Some(entries) = bytes(disk, header.entries, header.count * ENTRY)? else {
        return Ok(Err(Flaw::Header("place of the entries")));
    };
    if crc32(&entries) != header.entries_crc {
        return Ok(Err(Flaw::EntriesChecksum));
    }
    let mut partitions: Vec<_> = entries.chunks_exact(ENTRY).map(partition).collect();
    let used = partitions.iter().rposition(Option::is_some).map_or(0, |at| at + 1);
    partitions.truncate(used);
    Ok(Ok(Table { disk: header.disk, blocks: header.blocks, partitions }))
}

/// `length` bytes from `at`, or `None` if the disk ends before.
fn bytes(disk: &mut (impl Read + Seek), at: Lba, length: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; length];
    disk.seek(SeekFrom::Start(at.bytes()))?;
    match disk.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

struct Header {
    disk: Guid,
    /// The length of the disk: the later of the two headers is in its last block.
    blocks: u64,
    entries: Lba,
    count: usize,
    entries_crc: u32,
}

impl Header {
    fn parse(block: &[u8], at: Lba) -> Result<Self, Flaw> {
        if !block.starts_with(b"EFI PART") {
            return Err(Flaw::Absent);
        }
        let u32_of = |offset| u32_at(block, offset).ok_or(Flaw::Absent);
        let u64_of = |offset| u64_at(block, offset).ok_or(Flaw::Absent);
        let size = usize::try_from(u32_of(12)?).unwrap_or(usize::MAX);
        let covered = block.get(..size).filter(|covered| covered.len() >= 92);
        let mut covered = covered.ok_or(Flaw::Header("size"))?.to_owned();
        put(&mut covered, 16, &[0; 4]);
        if crc32(&covered) != u32_of(16)? {
            return Err(Flaw::HeaderChecksum);
        }
        let (own, other) = (u64_of(24)?, u64_of(32)?);
        if own != at.0 {
            return Err(Flaw::Header("place"));
        }
        if u32_of(84)? as usize != ENTRY {
            return Err(Flaw::Header("entry size"));
        }
        let count = u32_of(80)? as usize;
        if !(1..=ENTRIES).contains(&count) {
            return Err(Flaw::Header("number of entries"));
        }
        let entries = Lba(u64_of(72)?);
        if entries.0 > u64::MAX / BLOCK / 2 {
            return Err(Flaw::Header("place of the entries")); // beyond what `seek` can take
        }
        let blocks = own.max(other).checked_add(1).ok_or(Flaw::Header("other place"))?;
        let disk = Guid::from_efi(array(block, 56).ok_or(Flaw::Absent)?);
        Ok(Self { disk, blocks, entries, count, entries_crc: u32_of(88)? })
    }
}

fn partition(entry: &[u8]) -> Option<Partition> {
    let kind = Guid::from_efi(array(entry, 0)?);
    if kind == Guid::NIL {
        return None;
    }
    let units = entry[56..].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    Some(Partition {
        kind,
        id: Guid::from_efi(array(entry, 16)?),
        name: String::from_utf16_lossy(&units),
        first: Lba(u64_at(entry, 32)?),
        last: Lba(u64_at(entry, 40)?),
        attributes: u64_at(entry, 48)?,
    })
}
