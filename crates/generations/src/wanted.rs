//! The file that says which generation boots, how often that was tried, and what was good before.
//!
//! It is written before anything else works and perhaps during a power cut, so it is never
//! renamed, grown or truncated: it has two slots of one disk block each, and a write goes to the
//! slot that does not count. A torn write leaves a slot whose checksum is wrong, and the other one
//! counts as before.
//!
//! | bytes of a slot | |
//! | --- | --- |
//! | 0..8 | `PREONGN2` |
//! | 8..16 | sequence number: of two good slots the higher counts |
//! | 16..24 | the generation that is to boot |
//! | 24..32 | the good one |
//! | 32..40 | the one that was given up |
//! | 40..48 | the one that was asked for |
//! | 48..56 | the one that stands in |
//! | 56..60 | attempts |
//! | 60..64 | attempts of the one that stands in |
//! | 64..96 | SHA-256 of what is before |
//! | 96..104 | the highest number that was given, as far as nothing else says it |
//! | 104..136 | SHA-256 of what is before |
//!
//! Numbers are little-endian, 0 is no generation; the rest of a slot is zero and not looked at. What is after byte 96 came
//! later: code that does not know it reads the rest, and writes zeros there. So it has a checksum of its own, and the higher
//! one of both slots counts: that number never falls.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use base::{Digest, Explain};

use crate::store::Generation;

/// A slot is one block, so that writing it cannot tear the other one.
const SLOT: usize = 4096;
const MAGIC: &[u8; 8] = b"PREONGN2";
const CHECKED: usize = 64;
const COUNTED: usize = CHECKED + 32;
const NUMBERED: usize = COUNTED + 8;
const USED: usize = NUMBERED + 32;

/// Which generation is to boot, and how that went. What each number is for: [`crate::choose`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What is to boot.
    pub generation: Generation,
    /// Boots of it that were begun since it was wanted or since one was found to be good.
    pub attempts: u32,
    /// The one that was blessed last; [`Generation::NONE`] if none was yet.
    pub good: Generation,
    /// The one that was given up last; [`Generation::NONE`] if none was.
    pub failed: Generation,
    /// The one that somebody asked for, or that was blessed since: others fall in for it.
    pub asked: Generation,
    /// The one that booted last in place of `generation` because that needs another kernel;
    /// [`Generation::NONE`] if none did.
    pub stand_in: Generation,
    /// Boots of that one that were begun since then or since one was found to be good.
    pub stand_in_attempts: u32,
    /// The highest number that was ever given, once its generation was removed; none up to it is given again.
    /// [`Generation::NONE`] as long as what is there says as much.
    pub highest: Generation,
}

impl Wanted {
    /// This generation is asked for, and nothing is known of any other.
    pub fn first(generation: Generation) -> Self {
        Self { generation, asked: generation, ..Self::default() }
    }
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

/// Changes what the file at `path` says; returns what it says then.
///
/// # Errors
///
/// [`WantedError`] naming `path`; it says what it said before, or what was to be written.
pub fn update(path: &Path, change: impl FnOnce(&mut Wanted)) -> Result<Wanted, WantedError> {
    let mut wanted = read(path)?;
    change(&mut wanted);
    write(path, wanted)?;
    Ok(wanted)
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
    let highest = highest(first).max(highest(second));
    let slots = [(true, parse(first)), (false, parse(second))];
    let good = slots.into_iter().filter_map(|(first, slot)| {
        let (sequence, wanted) = slot?;
        Some(Current { sequence, wanted: Wanted { highest, ..wanted }, first })
    });
    good.max_by_key(|current| current.sequence)
}

/// The highest number that this slot notes, if that part of it is whole.
fn highest(slot: &[u8]) -> Generation {
    let note = || {
        let (checked, rest) = slot.split_at_checked(NUMBERED)?;
        let (_, mut noted) = checked.split_at_checked(COUNTED)?;
        let is_whole = rest.first_chunk::<32>()? == Digest::of(checked).as_bytes();
        number(&mut noted).filter(|_| is_whole)
    };
    note().map_or(Generation::NONE, Generation)
}

fn slot(sequence: u64, wanted: Wanted) -> [u8; SLOT] {
    let Wanted { generation, good, failed, asked, stand_in, .. } = wanted;
    let numbers = [sequence, generation.0, good.0, failed.0, asked.0, stand_in.0];
    let counts = [wanted.attempts, wanted.stand_in_attempts];
    let mut bytes = MAGIC.to_vec();
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    bytes.extend(counts.iter().flat_map(|count| count.to_le_bytes()));
    bytes.extend_from_slice(Digest::of(&bytes).as_bytes());
    bytes.extend_from_slice(&wanted.highest.0.to_le_bytes());
    bytes.extend_from_slice(Digest::of(&bytes).as_bytes());
    let mut slot = [0; SLOT];
    slot[..USED].copy_from_slice(&bytes);
    slot
}

fn parse(slot: &[u8]) -> Option<(u64, Wanted)> {
    let (checked, rest) = slot.split_at_checked(CHECKED)?;
    if rest.first_chunk::<32>()? != Digest::of(checked).as_bytes() {
        return None;
    }
    let mut rest = checked.strip_prefix(MAGIC)?;
    let sequence = number(&mut rest)?;
    let mut generation = || number(&mut rest).map(Generation);
    let mut wanted = Wanted {
        generation: generation()?,
        good: generation()?,
        failed: generation()?,
        asked: generation()?,
        stand_in: generation()?,
        ..Wanted::default()
    };
    wanted.attempts = count(&mut rest)?;
    wanted.stand_in_attempts = count(&mut rest)?;
    Some((sequence, wanted))
}

/// Takes eight bytes off `bytes`.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}

/// Takes four bytes off `bytes`.
fn count(bytes: &mut &[u8]) -> Option<u32> {
    let (count, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*count))
}

#[cfg(test)]
mod tests;
