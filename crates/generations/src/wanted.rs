//! The file that says which generation boots, and how often that was tried.
//!
//! It is written before anything else works and perhaps during a power cut, so it is never
//! renamed, grown or truncated: it has two slots of one disk block each, and a write goes to the
//! slot that does not count. A torn write leaves a slot whose checksum is wrong, and the other one
//! counts as before.
//!
//! | bytes of a slot | |
//! | --- | --- |
//! | 0..8 | `PREONGEN` |
//! | 8..16 | sequence number: of two good slots the higher counts |
//! | 16..24 | the generation |
//! | 24..28 | attempts |
//! | 28..60 | SHA-256 of what is before |
//!
//! Numbers are little-endian; the rest of a slot is zero and not looked at.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use base::{Digest, Explain};

use crate::store::Generation;

/// A slot is one block, so that writing it cannot tear the other one.
const SLOT: usize = 4096;
const MAGIC: &[u8; 8] = b"PREONGEN";
const CHECKED: usize = 28;
const USED: usize = CHECKED + 32;

/// Which generation is to boot, and how many boots of it were begun since it was wanted or since
/// one was found to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The generation.
    pub generation: Generation,
    /// Boots that were begun.
    pub attempts: u32,
}

/// Why the wanted generation is not known.
#[derive(Debug, thiserror::Error)]
pub enum WantedError {
    /// The file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Neither of its slots is good.
    #[error("{} does not say which generation is wanted: both its slots are damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl Explain for WantedError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Damaged { .. } => Some("say which generation is wanted anew".into()),
        }
    }
}

/// What the file at `path` says.
///
/// # Errors
///
/// [`WantedError`] naming `path`.
pub fn read(path: &Path) -> Result<Wanted, WantedError> {
    let bytes = file::read(path)?;
    let current = current(&bytes).ok_or_else(|| WantedError::Damaged { path: path.to_owned() })?;
    Ok(current.wanted)
}

/// Makes the file at `path` say this; makes it where it is missing.
///
/// # Errors
///
/// [`WantedError`] naming `path`; it says what it said before, or this.
pub fn write(path: &Path, wanted: Wanted) -> Result<(), WantedError> {
    let bytes = match file::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    match next(&bytes, wanted) {
        Next::Slot { offset, slot } => {
            let write = || -> io::Result<()> {
                let file = OpenOptions::new().write(true).open(path)?;
                file.write_all_at(&slot[..], offset)?;
                file.sync_data()
            };
            write().map_err(FileError::at("write", path))?;
        }
        Next::Whole(bytes) => file::replace(path, &bytes)?,
    }
    Ok(())
}

/// What has to be written to make a file with these bytes say `wanted`.
enum Next {
    /// One slot of it.
    Slot { offset: u64, slot: Box<[u8; SLOT]> },
    /// All of it: there was no usable file. Both slots say the same, so that both have their
    /// place on the disk from the start (an empty block would have none).
    Whole(Vec<u8>),
}

fn next(bytes: &[u8], wanted: Wanted) -> Next {
    match current(bytes) {
        Some(current) if bytes.len() == 2 * SLOT => {
            let slot = slot(current.sequence.wrapping_add(1), wanted);
            Next::Slot { offset: if current.first { SLOT as u64 } else { 0 }, slot: slot.into() }
        }
        _ => Next::Whole([slot(1, wanted), slot(2, wanted)].concat()),
    }
}

/// The slot that counts.
struct Current {
    sequence: u64,
    wanted: Wanted,
    first: bool,
}

fn current(bytes: &[u8]) -> Option<Current> {
    let (first, second) = bytes.split_at_checked(SLOT).unwrap_or((bytes, &[]));
    let slots = [(true, parse(first)), (false, parse(second))];
    let good = slots.into_iter().filter_map(|(first, slot)| {
        slot.map(|(sequence, wanted)| Current { sequence, wanted, first })
    });
    good.max_by_key(|current| current.sequence)
}

fn slot(sequence: u64, wanted: Wanted) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(MAGIC);
    slot[8..16].copy_from_slice(&sequence.to_le_bytes());
    slot[16..24].copy_from_slice(&wanted.generation.0.to_le_bytes());
    slot[24..CHECKED].copy_from_slice(&wanted.attempts.to_le_bytes());
    let digest = Digest::of(&slot[..CHECKED]);
    slot[CHECKED..USED].copy_from_slice(digest.as_bytes());
    slot
}

fn parse(slot: &[u8]) -> Option<(u64, Wanted)> {
    let (checked, rest) = slot.split_at_checked(CHECKED)?;
    if rest.first_chunk::<32>()? != Digest::of(checked).as_bytes() {
        return None;
    }
    let (magic, rest) = checked.split_first_chunk::<8>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (generation, attempts) = rest.split_first_chunk::<8>()?;
    let generation = Generation(u64::from_le_bytes(*generation));
    let attempts = u32::from_le_bytes(*attempts.first_chunk::<4>()?);
    (magic == MAGIC).then(|| (u64::from_le_bytes(*sequence), Wanted { generation, attempts }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(generation: u64, attempts: u32) -> Wanted {
        Wanted { generation: Generation(generation), attempts }
    }

    fn bytes_after(writes: &[Wanted]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wanted");
        for wanted in writes {
            write(&path, *wanted).unwrap();
        }
        std::fs::read(&path).unwrap()
    }

    fn says(bytes: &[u8]) -> Option<Wanted> {
        current(bytes).map(|current| current.wanted)
    }

    #[test]
    fn the_file_says_what_was_written_last_and_keeps_its_length() {
        for count in 1..5 {
            let writes: Vec<_> = (1..=count).map(|n| wanted(u64::from(n), n)).collect();
            let bytes = bytes_after(&writes);
            assert_eq!(says(&bytes), writes.last().copied(), "{count} writes");
            assert_eq!(bytes.len(), 2 * SLOT);
        }
    }

    #[test]
    fn a_write_that_is_torn_anywhere_leaves_the_old_or_the_new_value() {
        let (old, new) = (wanted(7, 3), wanted(8, 0));
        for history in [vec![old], vec![wanted(6, 1), old]] {
            let before = bytes_after(&history);
            let Next::Slot { offset, slot } = next(&before, new) else { panic!("a slot") };
            for written in 0..=SLOT {
                let mut torn = before.clone();
                let start = offset as usize;
                torn[start..start + written].copy_from_slice(&slot[..written]);
                let value = says(&torn).unwrap();
                assert!(value == old || value == new, "{written} bytes: {value:?}");
                assert!(written < USED || value == new, "{written} bytes");
            }
        }
    }

    #[test]
    fn damage_to_any_one_byte_leaves_one_of_the_two_last_values() {
        let good = bytes_after(&[wanted(1, 0), wanted(2, 0), wanted(3, 0)]);
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            let value = says(&bytes).map(|wanted| wanted.generation.0);
            assert!(matches!(value, Some(2 | 3)), "byte {at}: {value:?}");
        }
    }

    #[test]
    fn a_truncated_file_says_something_that_was_written_or_nothing() {
        let good = bytes_after(&[wanted(1, 0), wanted(2, 0), wanted(3, 0)]);
        for length in 0..good.len() {
            let value = says(&good[..length]).map(|wanted| wanted.generation.0);
            assert!(matches!(value, None | Some(2 | 3)), "{length} bytes: {value:?}");
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_until_it_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wanted");
        for damaged in [vec![], vec![0; 2 * SLOT], vec![0xff; 100]] {
            std::fs::write(&path, &damaged).unwrap();
            assert!(matches!(read(&path), Err(WantedError::Damaged { .. })));
            write(&path, wanted(4, 0)).unwrap();
            assert_eq!(read(&path).unwrap(), wanted(4, 0));
        }
    }
}
