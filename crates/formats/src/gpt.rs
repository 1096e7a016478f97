//! The GUID partition table of a disk, in logical blocks of 512 bytes.
//!
//! Source: UEFI 2.10, section 5.

mod decode;
mod encode;

pub use decode::{ReadError, read};
pub use encode::Encoded;

use std::fmt;

use base::Explain;

use crate::Guid;

/// The bytes of a logical block.
pub const BLOCK: u64 = 512;

/// How many partitions a table of ours has room for.
const ENTRIES: usize = 128;
/// The bytes that describe one partition.
const ENTRY: usize = 128;
/// The blocks at each end of the disk that the table takes: header and entries. At the start the
/// protective MBR comes before them.
const TABLE_BLOCKS: u64 = 1 + (ENTRIES * ENTRY) as u64 / BLOCK;
/// The smallest disk that could hold a partition.
const SMALLEST: u64 = 2 * TABLE_BLOCKS + 2;

/// A position on a disk, in logical blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lba(pub u64);

impl Lba {
    /// The position in bytes from the start of the disk.
    pub fn bytes(self) -> u64 {
        self.0.saturating_mul(BLOCK)
    }
}

impl fmt::Display for Lba {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The partition table of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Names the disk.
    pub disk: Guid,
    /// How many blocks the disk has, as far as the table knows.
    pub blocks: u64,
    /// The partitions in the order of their numbers, from 1. `None` is an unused number.
    pub partitions: Vec<Option<Partition>>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// What it is for: a type that all its kind share. Not [`Guid::NIL`].
    pub kind: Guid,
    /// Names this partition alone (`PARTUUID`).
    pub id: Guid,
    /// What people call it, at most 36 UTF-16 units.
    pub name: String,
    /// Its first block.
    pub first: Lba,
    /// Its last block, which belongs to it.
    pub last: Lba,
    /// Attribute bits; 0 if there is no need for any.
    pub attributes: u64,
}

/// The type of an EFI system partition.
pub const EFI_SYSTEM: Guid = Guid::from_bytes([
    0xc1, 0x2a, 0x73, 0x28, 0xf8, 0x1f, 0x11, 0xd2, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
]);

/// A table contradicts itself or the disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The disk is too small for any partition.
    #[error("a disk of {blocks} blocks is too small for a partition table")]
    DiskTooSmall {
        /// Its blocks.
        blocks: u64,
    },
    /// There are more partitions than numbers.
    #[error("{0} partitions are more than {ENTRIES}")]
    TooMany(usize),
    /// A partition has no type.
    #[error("partition {number} has no type")]
    NoType {
        /// Its number.
        number: usize,
    },
    /// A name is too long.
    #[error("the name `{name}` of partition {number} is longer than 36 UTF-16 units")]
    Name {
        /// The number of the partition.
        number: usize,
        /// The name.
        name: String,
    },
    /// A partition ends before it starts, or lies where it must not.
    #[error("partition {number} ({first} to {last}) is not within {} to {}", usable.0, usable.1)]
    Outside {
        /// The number of the partition.
        number: usize,
        /// Its first block.
        first: Lba,
        /// Its last block.
        last: Lba,
        /// The first and the last block that a partition may use.
        usable: (Lba, Lba),
    },
    /// Two partitions share a block.
    #[error("partitions {one} and {other} overlap")]
    Overlap {
        /// The number of the one that starts first.
        one: usize,
        /// The number of the other.
        other: usize,
    },
    /// There is nothing that could grow.
    #[error("the partition table has no partition that could grow")]
    NothingToGrow,
}

impl Explain for TableError {}

impl Table {
    /// The first block that a partition may use.
    pub fn first_usable(&self) -> Lba {
        Lba(1 + TABLE_BLOCKS)
    }

    /// The last block that a partition may use.
    pub fn last_usable(&self) -> Lba {
        Lba(self.blocks.saturating_sub(TABLE_BLOCKS + 1))
    }

    /// The partitions with their numbers, from 1.
    pub fn numbered(&self) -> impl Iterator<Item = (usize, &Partition)> {
        let numbered = self.partitions.iter().enumerate();
        numbered.filter_map(|(at, partition)| Some((at + 1, partition.as_ref()?)))
    }

    /// Checks that the table can be written and makes sense.
    ///
    /// # Errors
    ///
    /// All of [`TableError`] but `NothingToGrow`.
    pub fn check(&self) -> Result<(), TableError> {
        if self.blocks < SMALLEST {
            return Err(TableError::DiskTooSmall { blocks: self.blocks });
        }
        if self.partitions.len() > ENTRIES {
            return Err(TableError::TooMany(self.partitions.len()));
        }
        let usable = (self.first_usable(), self.last_usable());
        for (number, &Partition { kind, ref name, first, last, .. }) in self.numbered() {
            if kind == Guid::NIL {
                return Err(TableError::NoType { number });
            }
            if name.encode_utf16().count() > 36 {
                return Err(TableError::Name { number, name: name.clone() });
            }
            if first < usable.0 || last > usable.1 || first > last {
                return Err(TableError::Outside { number, first, last, usable });
            }
        }
        let mut sorted: Vec<_> = self.numbered().collect();
        sorted.sort_by_key(|(_, partition)| partition.first);
        let overlap = sorted.windows(2).find(|pair| pair[1].1.first <= pair[0].1.last);
        match overlap {
            None => Ok(()),
            Some(pair) => Err(TableError::Overlap { one: pair[0].0, other: pair[1].0 }),
        }
    }

    /// The table for the same disk after it has become `blocks` long: the partition `number`,
    /// counted from 1, ends at the last usable block if no other one lies behind it. It is the same
    /// table if nothing changes.
    ///
    /// # Errors
    ///
    /// [`TableError::Outside`] if a partition would lie beyond the end, and
    /// [`TableError::NothingToGrow`] if there is no such partition.
    pub fn grown(&self, blocks: u64, number: u32) -> Result<Self, TableError> {
        let mut grown = Self { blocks, ..self.clone() };
        grown.check()?;
        let end = grown.last_usable();
        let furthest = grown.partitions.iter().flatten().map(|other| other.last).max();
        let index = (number as usize).checked_sub(1);
        let entry = index.and_then(|index| grown.partitions.get_mut(index)?.as_mut());
        let entry = entry.ok_or(TableError::NothingToGrow)?;
        if Some(entry.last) == furthest {
            entry.last = end;
        }
        Ok(grown)
    }
}

/// The checksum of headers and entries.
///
/// Source: UEFI 2.10, section 4.2: the CRC-32 of ISO 3309 (polynomial 0x04C11DB7, reflected).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[cfg(test)]
mod tests;
