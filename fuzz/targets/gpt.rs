#![no_main]
//! A partition table is read or refused; what is read survives writing.

use std::io::Cursor;

use formats::gpt::read;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|disk: &[u8]| {
    let mut disk = disk.to_owned();
    let _ = correct_checksums(&mut disk);
    let Ok(table) = read(Cursor::new(disk)) else { return };
    let encoded = table.encode().expect("a table that was checked");
    let again = read(Cursor::new(encoded.start)).expect("what was written");
    assert_eq!(again, table);
    let _ = table.grown(table.blocks.saturating_add(1), 1);
});

/// Puts the right checksums into the header at the start; nobody would guess them.
fn correct_checksums(disk: &mut [u8]) -> Option<()> {
    let number = |disk: &[u8], at: usize| {
        let bytes = disk.get(512 + at..512 + at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let entries = number(disk, 72)?.checked_mul(512)?;
    let length = number(disk, 80)?.checked_mul(number(disk, 84)?)?;
    let entries = crc32fast::hash(disk.get(entries..entries.checked_add(length)?)?);
    disk.get_mut(600..604)?.copy_from_slice(&entries.to_le_bytes());
    disk.get_mut(528..532)?.fill(0);
    let size = number(disk, 12)?;
    let header = crc32fast::hash(disk.get(512..512 + size)?);
    disk.get_mut(528..532)?.copy_from_slice(&header.to_le_bytes());
    Some(())
}
