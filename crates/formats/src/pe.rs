//! Programs for UEFI: PE32+ files, their sections, and adding sections to them.
//!
//! Source: Microsoft's "PE Format", <https://learn.microsoft.com/windows/win32/debug/pe-format>.

use base::Explain;

use crate::bytes::{array, put, u16_at, u32_at};

mod append;

pub use append::{Addition, AppendError, append};

const SECTION_HEADER: usize = 40;
/// Where the data directories start in the optional header.
const DIRECTORIES: usize = 112;

/// The headers of a PE32+ file, checked: every section's bytes lie in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pe {
    /// The sections in the order of the file.
    pub sections: Vec<Section>,
    /// Sections start at multiples of this in memory.
    pub section_alignment: u32,
    /// Sections start at multiples of this in the file.
    pub file_alignment: u32,
    /// How much memory the program takes once it is loaded.
    pub image_bytes: u32,
    /// How many bytes of the file are headers.
    pub header_bytes: u32,
    /// Where the optional header starts in the file.
    optional_header: usize,
    /// Where the section headers start in the file.
    section_headers: usize,
    /// Whether a signature is attached.
    signed: bool,
}

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The name, at most 8 bytes.
    pub name: String,
    /// Where it is loaded, from the start of the program.
    pub address: u32,
    /// How many bytes it takes in memory. The content may be shorter, then zeros follow, or
    /// longer, because it was filled up to the alignment.
    pub memory_bytes: u32,
    /// Where its content starts in the file.
    pub file_offset: u32,
    /// How many bytes of the file are its content.
    pub file_bytes: u32,
}

/// A file is not a PE32+ program, or one that is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPe {
    /// It is no PE file at all.
    #[error("not a PE file")]
    NotPe,
    /// It is a PE file, but not for 64 bits.
    #[error("not a PE32+ file: it is for other than 64 bits")]
    NotPlus,
    /// A field has a value that cannot be.
    #[error("the PE file has a bad {0}")]
    Field(&'static str),
    /// The content of a section lies beyond the end of the file.
    #[error("the section {0} of the PE file lies beyond its end")]
    Truncated(String),
}

impl Explain for BadPe {}

impl Pe {
    /// Reads the headers of `file`, which must be whole.
    ///
    /// # Errors
    ///
    /// [`BadPe`] names what cannot be.
    pub fn parse(file: &[u8]) -> Result<Self, BadPe> {
        if !file.starts_with(b"MZ") {
            return Err(BadPe::NotPe);
        }
        let at = u32_at(file, 0x3c).ok_or(BadPe::NotPe)? as usize;
        if array(file, at) != Some(*b"PE\0\0") {
            return Err(BadPe::NotPe);
        }
        let field = |value: Option<u32>, what| value.ok_or(BadPe::Field(what));
        let count = u16_at(file, at + 6).ok_or(BadPe::Field("number of sections"))?;
        let size = u16_at(file, at + 20).ok_or(BadPe::Field("header size"))?;
        let optional_header = at + 24;
        if u16_at(file, optional_header) != Some(0x20b) {
            return Err(BadPe::NotPlus);
        }
        let directories = field(u32_at(file, optional_header + 108), "header size")?;
        let section_headers = optional_header + usize::from(size);
        let certificates = DIRECTORIES + 4 * 8;
        let has_certificates = directories > 4 && usize::from(size) >= certificates + 8;
        let signature = u32_at(file, optional_header + certificates).filter(|_| has_certificates);
        let pe = Self {
            sections: sections(file, section_headers, usize::from(count))?,
            section_alignment: field(u32_at(file, optional_header + 32), "section alignment")?,
            file_alignment: field(u32_at(file, optional_header + 36), "file alignment")?,
            image_bytes: field(u32_at(file, optional_header + 56), "image size")?,
            header_bytes: field(u32_at(file, optional_header + 60), "header size")?,
            optional_header,
            section_headers,
            signed: signature.is_some_and(|offset| offset != 0),
        };
        pe.check()?;
        Ok(pe)
    }

    fn check(&self) -> Result<(), BadPe> {
        let headers = self.section_headers + self.sections.len() * SECTION_HEADER;
        #[rustfmt::skip]
        let checks = [
            ("section alignment", self.section_alignment.is_power_of_two()),
            ("file alignment",    self.file_alignment.is_power_of_two()
                                  && self.file_alignment <= 0x1_0000),
            ("header size",       self.section_headers >= self.optional_header + DIRECTORIES
                                  && headers <= self.header_bytes as usize),
        ];
        match checks.iter().find(|(_, good)| !good) {
            Some((what, _)) => Err(BadPe::Field(what)),
            None => Ok(()),
        }
    }

    /// The section `name`, the first if there are several.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }
}

impl Section {
    /// Its content in `file`, the one that the headers were read from, without what fills it up
    /// to the alignment. Empty if `file` is another, shorter one.
    pub fn content<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        let start = self.file_offset as usize;
        let length = self.memory_bytes.min(self.file_bytes) as usize;
        file.get(start..start + length).unwrap_or_default()
    }
}

fn sections(file: &[u8], start: usize, count: usize) -> Result<Vec<Section>, BadPe> {
    let headers = file.get(start..).unwrap_or_default();
    let headers = headers.get(..count * SECTION_HEADER).ok_or(BadPe::Field("section table"))?;
    headers.chunks_exact(SECTION_HEADER).map(|header| section(file, header)).collect()
}

fn section(file: &[u8], header: &[u8]) -> Result<Section, BadPe> {
    let length = header[..8].iter().position(|byte| *byte == 0).unwrap_or(8);
    let name = String::from_utf8_lossy(&header[..length]).into_owned();
    let field = |offset| u32_at(header, offset).ok_or(BadPe::Field("section table"));
    let (memory_bytes, address) = (field(8)?, field(12)?);
    let (file_bytes, file_offset) = (field(16)?, field(20)?);
    let end = u64::from(file_offset) + u64::from(file_bytes);
    if file_bytes > 0 && end > file.len() as u64 {
        return Err(BadPe::Truncated(name));
    }
    Ok(Section { name, address, memory_bytes, file_offset, file_bytes })
}

/// The checksum of `file`, whose checksum field holds zeros.
///
/// The format's text leaves it to a library of Windows: the sum of all 16-bit words with the
/// carry added back, plus the length.
fn checksum(file: &[u8]) -> u32 {
    let words =
        file.chunks(2).map(|pair| u64::from(pair[0]) | u64::from(*pair.get(1).unwrap_or(&0)) << 8);
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (sum as u32).wrapping_add(file.len() as u32) // a program is below 4 GiB
}

/// Puts the right checksum into the header of `file`, which `pe` describes.
fn put_checksum(file: &mut [u8], pe: &Pe) {
    let field = pe.optional_header + 64;
    put(file, field, &[0; 4]);
    let sum = checksum(file);
    put(file, field, &sum.to_le_bytes());
}

#[cfg(test)]
pub(crate) mod tests;
