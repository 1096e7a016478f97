//! A table as bytes.

use super::{BLOCK, ENTRIES, ENTRY, Lba, Partition, TABLE_BLOCKS, Table, TableError, crc32};
use crate::bytes::put;

/// The bytes of a table, to be written to a disk.
///
/// Write and flush `end` first: a power cut then leaves one good copy at any instant. One within
/// the writing of `start` leaves only the copy at the end, which [`super::read`] and firmware
/// find, but Linux only with `gpt` on its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// For block 0: the protective MBR, the header, the entries.
    pub start: Vec<u8>,
    /// For the blocks from [`Encoded::end_at`]: the entries and the header once more.
    pub end: Vec<u8>,
    /// Where `end` belongs.
    pub end_at: Lba,
}

impl Table {
    /// The table as bytes.
    ///
    /// # Errors
    ///
    /// What [`Table::check`] finds.
    pub fn encode(&self) -> Result<Encoded, TableError> {
        self.check()?;
        let entries = self.entries();
        let last = Lba(self.blocks - 1);
        let end_at = Lba(self.blocks - TABLE_BLOCKS);
        let primary = self.header(&entries, &Place { own: Lba(1), other: last, entries: Lba(2) });
        let backup = self.header(&entries, &Place { own: last, other: Lba(1), entries: end_at });
        let start = [&self.protective_mbr(), &primary, &entries[..]].concat();
        Ok(Encoded { start, end: [&entries, &backup[..]].concat(), end_at })
    }

    fn entries(&self) -> Vec<u8> {
        let mut bytes = vec![0; ENTRIES * ENTRY];
        for (number, partition) in self.numbered() {
            put(&mut bytes, (number - 1) * ENTRY, &entry(partition));
        }
        bytes
    }

    fn header(&self, entries: &[u8], place: &Place) -> [u8; BLOCK as usize] {
        let mut header = [0; BLOCK as usize];
        put(&mut header, 0, b"EFI PART");
        put(&mut header, 8, &0x0001_0000_u32.to_le_bytes()); // revision 1.0
        put(&mut header, 12, &92_u32.to_le_bytes()); // header size
        put(&mut header, 24, &place.own.0.to_le_bytes());
        put(&mut header, 32, &place.other.0.to_le_bytes());
        put(&mut header, 40, &self.first_usable().0.to_le_bytes());
        put(&mut header, 48, &self.last_usable().0.to_le_bytes());
        put(&mut header, 56, &self.disk.to_efi());
        put(&mut header, 72, &place.entries.0.to_le_bytes());
        put(&mut header, 80, &(ENTRIES as u32).to_le_bytes());
        put(&mut header, 84, &(ENTRY as u32).to_le_bytes());
        put(&mut header, 88, &crc32(entries).to_le_bytes());
        let crc = crc32(&header[..92]); // with zeros in its own place
        put(&mut header, 16, &crc.to_le_bytes());
        header
    }

    /// One partition of type 0xEE over the whole disk, so that old tools see no free space.
    ///
    /// Source: UEFI 2.10, section 5.2.3.
    fn protective_mbr(&self) -> [u8; BLOCK as usize] {
        let mut mbr = [0; BLOCK as usize];
        let length = u32::try_from(self.blocks - 1).unwrap_or(u32::MAX);
        put(&mut mbr, 446, &[0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff]);
        put(&mut mbr, 454, &1_u32.to_le_bytes());
        put(&mut mbr, 458, &length.to_le_bytes());
        put(&mut mbr, 510, &[0x55, 0xaa]);
        mbr
    }
}

/// Where a header and its relatives lie.
struct Place {
    own: Lba,
    other: Lba,
    entries: Lba,
}

fn entry(partition: &Partition) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    put(&mut entry, 0, &partition.kind.to_efi());
    put(&mut entry, 16, &partition.id.to_efi());
    put(&mut entry, 32, &partition.first.0.to_le_bytes());
    put(&mut entry, 40, &partition.last.0.to_le_bytes());
    put(&mut entry, 48, &partition.attributes.to_le_bytes());
    for (at, unit) in partition.name.encode_utf16().take(36).enumerate() {
        put(&mut entry, 56 + 2 * at, &unit.to_le_bytes());
    }
    entry
}
