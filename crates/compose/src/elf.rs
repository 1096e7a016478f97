//! What a program or library needs in order to be loaded.
//!
//! Only the headers and the dynamic section are read, never the whole file: a Go program has a
//! hundred megabytes.
//!
//! Source: System V gABI, "Dynamic Linking"; ld.so(8).

use base::file::FileError;
use goblin::elf::dynamic::{DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ, DT_STRTAB};
use goblin::elf::header::{ELFMAG, EM_X86_64, ET_DYN, ET_EXEC};
use goblin::elf::program_header::{PT_DYNAMIC, PT_INTERP, PT_LOAD};
use serde::{Deserialize, Serialize};

use crate::tree::Content;

/// The largest piece of a file that is taken for a table of it.
const MOST_BYTES: u64 = 16 << 20;

/// How a 64-bit x86 program or library is linked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Linkage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) interpreter: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) soname: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) needed: Vec<String>,
    /// Folders to search before all others: `DT_RUNPATH`, or else `DT_RPATH`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) search: Vec<String>,
}

/// Reads how `content` is linked. `None` if it is no dynamically linked x86-64 program or
/// library, or one whose tables make no sense.
pub(crate) fn linkage(content: &Content) -> Result<Option<Linkage>, FileError> {
    let header = content.range(0, 64)?;
    let Some(program_headers) = program_headers(&header) else { return Ok(None) };
    let (offset, count) = program_headers;
    let table = content.range(offset, u64::from(count) * 56)?;
    let segments: Vec<Segment> = table.chunks_exact(56).filter_map(Segment::parse).collect();
    let find = |kind| segments.iter().find(|segment| segment.kind == kind);
    let mut linkage = Linkage::default();
    if let Some(segment) = find(PT_INTERP) {
        linkage.interpreter = text_at(&content.range(segment.offset, 4096.min(segment.length))?, 0);
    }
    let Some(dynamic) = find(PT_DYNAMIC).filter(|segment| segment.length <= MOST_BYTES) else {
        return Ok(linkage.interpreter.is_some().then_some(linkage));
    };
    let entries = entries(&content.range(dynamic.offset, dynamic.length)?);
    let value = |tag| entries.iter().find(|(known, _)| *known == tag).map(|(_, value)| *value);
    let strings = value(DT_STRTAB).zip(value(DT_STRSZ).filter(|size| *size <= MOST_BYTES));
    let Some((address, size)) = strings else { return Ok(None) };
    let Some(offset) = segments.iter().find_map(|segment| segment.file_offset(address)) else {
        return Ok(None);
    };
    let strings = content.range(offset, size)?;
    let text = |at: u64| text_at(&strings, usize::try_from(at).ok()?);
    linkage.soname = value(DT_SONAME).and_then(text);
    linkage.needed = entries
        .iter()
        .filter(|(tag, _)| *tag == DT_NEEDED)
        .filter_map(|(_, at)| text(*at))
        .collect();
    let search = value(DT_RUNPATH).or(value(DT_RPATH)).and_then(text).unwrap_or_default();
    linkage.search = search.split(':').filter(|s| !s.is_empty()).map(str::to_owned).collect();
    Ok(Some(linkage))
}

/// Where the program headers are and how many.
fn program_headers(header: &[u8]) -> Option<(u64, u16)> {
    /// 64 bits, little endian, version 1.
    const CLASS: [u8; 3] = [2, 1, 1];
    if header.len() < 64 || &header[..4] != ELFMAG || header[4..7] != CLASS {
        return None;
    }
    let (kind, machine) = (u16_at(header, 16)?, u16_at(header, 18)?);
    let size = u16_at(header, 54)?;
    let ours = matches!(kind, ET_EXEC | ET_DYN) && machine == EM_X86_64 && size == 56;
    ours.then_some((u64_at(header, 32)?, u16_at(header, 56)?))
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    length: u64,
}

impl Segment {
    fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            kind: u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?),
            offset: u64_at(bytes, 8)?,
            address: u64_at(bytes, 16)?,
            length: u64_at(bytes, 32)?,
        })
    }

    /// Where in the file the byte is that is loaded at `address`.
    fn file_offset(&self, address: u64) -> Option<u64> {
        let into = address.checked_sub(self.address)?;
        (self.kind == PT_LOAD && into < self.length).then(|| self.offset.checked_add(into))?
    }
}

/// The entries of a dynamic section, up to the one that ends it.
fn entries(bytes: &[u8]) -> Vec<(u64, u64)> {
    let entry = |bytes: &[u8]| Some((u64_at(bytes, 0)?, u64_at(bytes, 8)?));
    bytes.chunks_exact(16).filter_map(entry).take_while(|(tag, _)| *tag != 0).collect()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn text_at(strings: &[u8], at: usize) -> Option<String> {
    let text = strings.get(at..)?.split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
pub(crate) mod sample;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_says_what_it_is_and_what_it_needs() {
        let expected = Linkage {
            interpreter: Some("/lib64/ld-linux-x86-64.so.2".into()),
            soname: Some("liba.so.1".into()),
            needed: vec!["libb.so.2".into(), "libc.so.6".into()],
            search: vec!["$ORIGIN/x".into(), "/usr/lib/y".into()],
        };
        let bytes = sample::elf(&expected);
        assert_eq!(linkage(&Content::of_bytes(bytes)).unwrap(), Some(expected));
    }

    #[test]
    fn what_is_cut_short_or_something_else_is_not_taken_for_a_library() {
        let whole = sample::elf(&Linkage { soname: Some("liba.so".into()), ..Linkage::default() });
        for length in 0..whole.len() {
            // Never a panic, never an error.
            let _ = linkage(&Content::of_bytes(&whole[..length])).unwrap();
        }
        assert_eq!(linkage(&Content::of_bytes("#!/bin/sh\n")).unwrap(), None);
        for at in 0..64 {
            let mut broken = whole.clone();
            broken[at] ^= 0xff;
            let _ = linkage(&Content::of_bytes(broken)).unwrap();
        }
    }
}
