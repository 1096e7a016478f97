//! Adding sections at the end of a program.

use base::{ByteSize, Explain};

use super::{BadPe, Pe, SECTION_HEADER, put_checksum};
use crate::bytes::put;

/// `IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ`
const READ_ONLY_DATA: u32 = 0x4000_0040;

/// A section to add: read-only data.
#[derive(Clone, Copy, Debug)]
pub struct Addition<'a> {
    /// The name, 1 to 8 bytes of ASCII, that no section of the program has.
    pub name: &'a str,
    /// The content.
    pub content: &'a [u8],
}

/// Why sections cannot be added to a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The program cannot be read.
    #[error("cannot add sections to the program")]
    Program(#[source] BadPe),
    /// A signature would break.
    #[error("cannot add sections to the program: it is signed")]
    Signed,
    /// No room for more section headers.
    #[error("the program has room for {room} more sections, but {wanted} are to be added")]
    NoRoom {
        /// How many headers fit.
        room: usize,
        /// How many are to be added.
        wanted: usize,
    },
    /// The name is none, or is taken.
    #[error("a section cannot be called `{0}`: the name is taken, empty or too long")]
    Name(String),
    /// A program is at most 4 GiB long.
    #[error("the section {name} with {size} makes the program too long")]
    TooLong {
        /// The section.
        name: String,
        /// The length of its content.
        size: ByteSize,
    },
}

impl Explain for AppendError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Signed => Some("add the sections first, then sign".into()),
            _ => None,
        }
    }
}

/// The program `file` with more sections after its own, in this order, aligned as its headers
/// ask. The same input gives the same bytes; what followed the last section is left out.
///
/// # Errors
///
/// [`AppendError`].
pub fn append(file: &[u8], additions: &[Addition<'_>]) -> Result<Vec<u8>, AppendError> {
    let pe = Pe::parse(file).map_err(AppendError::Program)?;
    if pe.signed {
        return Err(AppendError::Signed);
    }
    check_names(&pe, additions)?;
    let room = room(&pe, file);
    if additions.len() > room {
        return Err(AppendError::NoRoom { room, wanted: additions.len() });
    }
    let mut end = End::of(&pe, file)?;
    let mut place_of_header = end_of_headers(&pe);
    let mut new = file[..(end.file as usize).min(file.len())].to_owned();
    new.resize(end.file as usize, 0);
    for addition in additions {
        let next = end.after(&pe, addition).ok_or_else(|| AppendError::TooLong {
            name: addition.name.to_owned(),
            size: ByteSize(addition.content.len() as u64),
        })?;
        put(&mut new, place_of_header, &header(&end, &next, addition));
        new.extend_from_slice(addition.content);
        new.resize(next.file as usize, 0);
        place_of_header += SECTION_HEADER;
        end = next;
    }
    let count = (pe.sections.len() + additions.len()) as u16; // `room` saw to it
    put(&mut new, pe.optional_header - 18, &count.to_le_bytes());
    put(&mut new, pe.optional_header + 56, &end.memory.to_le_bytes()); // SizeOfImage
    put_checksum(&mut new, &pe);
    Ok(new)
}

fn check_names(pe: &Pe, additions: &[Addition<'_>]) -> Result<(), AppendError> {
    for Addition { name, .. } in additions {
        let taken = pe.section(name).is_some();
        let fits =
            (1..=8).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        if taken || !fits {
            return Err(AppendError::Name((*name).to_owned()));
        }
    }
    Ok(())
}

fn end_of_headers(pe: &Pe) -> usize {
    pe.section_headers + pe.sections.len() * SECTION_HEADER
}

/// How many section headers fit before the first content, with nothing but zeros there now.
fn room(pe: &Pe, file: &[u8]) -> usize {
    let contents = pe.sections.iter().filter(|section| section.file_bytes > 0);
    let first = contents.map(|section| section.file_offset).min().unwrap_or(u32::MAX);
    let end = first.min(pe.header_bytes) as usize;
    let free = file.get(end_of_headers(pe)..end.min(file.len())).unwrap_or_default();
    let zeros = free.iter().position(|byte| *byte != 0).unwrap_or(free.len());
    let most = usize::from(u16::MAX) - pe.sections.len();
    (zeros / SECTION_HEADER).min(most)
}

/// Where the next section goes.
#[derive(Clone, Copy)]
struct End {
    memory: u32,
    file: u32,
}

impl End {
    /// The end of the sections that are there.
    fn of(pe: &Pe, file: &[u8]) -> Result<Self, AppendError> {
        let bad = |what| AppendError::Program(BadPe::Field(what));
        let mut end = Self { memory: pe.header_bytes, file: pe.header_bytes };
        for section in &pe.sections {
            let memory = section.address.checked_add(section.memory_bytes);
            end.memory = end.memory.max(memory.ok_or(bad("section address"))?);
            if section.file_bytes > 0 {
                // `Pe::parse` saw that this lies in the file.
                end.file = end.file.max(section.file_offset.saturating_add(section.file_bytes));
            }
        }
        if end.file as usize > file.len() {
            return Err(bad("header size"));
        }
        end.aligned(pe).ok_or(bad("section address"))
    }

    fn aligned(self, pe: &Pe) -> Option<Self> {
        Some(Self {
            memory: self.memory.checked_next_multiple_of(pe.section_alignment)?,
            file: self.file.checked_next_multiple_of(pe.file_alignment)?,
        })
    }

    fn after(self, pe: &Pe, addition: &Addition<'_>) -> Option<Self> {
        let size = u32::try_from(addition.content.len()).ok()?;
        let end =
            Self { memory: self.memory.checked_add(size)?, file: self.file.checked_add(size)? };
        end.aligned(pe)
    }
}

fn header(start: &End, next: &End, addition: &Addition<'_>) -> [u8; SECTION_HEADER] {
    let mut header = [0; SECTION_HEADER];
    put(&mut header, 0, addition.name.as_bytes());
    put(&mut header, 8, &(addition.content.len() as u32).to_le_bytes());
    put(&mut header, 12, &start.memory.to_le_bytes());
    put(&mut header, 16, &(next.file - start.file).to_le_bytes());
    put(&mut header, 20, &start.file.to_le_bytes());
    put(&mut header, 36, &READ_ONLY_DATA.to_le_bytes());
    header
}
