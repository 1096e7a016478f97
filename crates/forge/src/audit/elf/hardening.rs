//! How an ELF file is hardened, read off its headers, its dynamic section and its symbols. Pure.
//!
//! Source: System V gABI, "Program Loading and Dynamic Linking"; ld(1), `-z`; Linux Extensions to gABI,
//! "Program Property"; Intel CET, "Control-flow Enforcement Technology".

use std::collections::BTreeSet;

use goblin::elf::dynamic::{
    DF_1_NOW, DF_1_PIE, DF_BIND_NOW, DF_TEXTREL, DT_BIND_NOW, DT_RPATH, DT_RUNPATH, DT_TEXTREL,
};
use goblin::elf::header::{
    EI_CLASS, EI_VERSION, ELFCLASS32, ELFCLASS64, ELFDATA2LSB, ELFMAG, EM_386, EM_X86_64, ET_DYN,
    ET_EXEC, EV_CURRENT,
};
use goblin::elf::note::NT_GNU_PROPERTY_TYPE_0;
use goblin::elf::program_header::{PF_W, PF_X, PT_GNU_RELRO, PT_GNU_STACK, PT_INTERP, PT_LOAD};
use goblin::elf::{Elf, dynamic::DT_FLAGS_1};
use serde::Serialize;

use super::fortify;
use crate::recipe::Shortcoming;

/// `GNU_PROPERTY_X86_FEATURE_1_AND`, and its bits for indirect branch tracking and shadow stacks.
const X86_FEATURES: u32 = 0xc000_0002;
const IBT: u32 = 1;
const SHSTK: u32 = 2;

/// What an ELF file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// It is started.
    Program,
    /// It is loaded by a program.
    Library,
}

/// What it was written in, as far as it shows: what protects it follows from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    /// C, C++ or assembler.
    C,
    /// Go: bounds are checked and stacks grow, without canaries.
    Go,
    /// Rust: bounds are checked, without canaries.
    Rust,
}

/// Which of its data nobody can write once it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Relro {
    /// None.
    No,
    /// What the loader has finished at the start, but not the table of functions that are bound late.
    Partial,
    /// That table too: all is bound at the start.
    Full,
}

/// How a file is hardened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Hardening {
    /// What it is.
    pub(crate) kind: Kind,
    /// What it was written in.
    pub(crate) language: Language,
    /// Whether it can lie anywhere in memory.
    pub(crate) pie: bool,
    /// Which of its data is read-only.
    pub(crate) relro: Relro,
    /// Whether stack, and whatever can be written, cannot be executed.
    pub(crate) nx: bool,
    /// Whether functions look after their stack (`__stack_chk_fail`).
    pub(crate) canary: bool,
    /// How many functions of the C library it calls in the checked form.
    pub(crate) fortified: usize,
    /// How many it calls that have a checked form, unchecked.
    pub(crate) unfortified: usize,
    /// Whether its indirect branches have marked targets.
    pub(crate) ibt: bool,
    /// Whether its returns can be checked by a shadow stack.
    pub(crate) shstk: bool,
    /// Whether the loader must write into its code.
    pub(crate) text_relocations: bool,
    /// Where it looks for libraries before all other places, in the order of search.
    pub(crate) search: Vec<String>,
}

impl Hardening {
    /// Reads `bytes`; `None` where they are no program or library for x86.
    ///
    /// # Errors
    ///
    /// Why a file that begins like one cannot be read.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, goblin::error::Error> {
        if !bytes.starts_with(ELFMAG) {
            return Ok(None);
        }
        if is_run_otherwise(bytes) {
            let why = "the kernel would run it as another file than its header says";
            return Err(goblin::error::Error::Malformed(why.into()));
        }
        let elf = Elf::parse(bytes)?;
        let loadable = matches!(elf.header.e_type, ET_EXEC | ET_DYN);
        if !loadable || !matches!(elf.header.e_machine, EM_X86_64 | EM_386) {
            return Ok(None); // object files and modules are judged with what they are linked into
        }
        let kind = kind(&elf);
        let features = features(&elf, bytes);
        let (fortified, unfortified) = fortify::calls(&imports(&elf));
        Ok(Some(Self {
            kind,
            language: language(&elf, bytes),
            pie: elf.header.e_type == ET_DYN,
            relro: relro(&elf),
            nx: nx(&elf),
            canary: has_canary(&elf),
            fortified,
            unfortified,
            ibt: features & IBT != 0,
            shstk: features & SHSTK != 0,
            text_relocations: flag(&elf, DT_TEXTREL) || flags(&elf) & DF_TEXTREL != 0,
            search: search(&elf),
        }))
    }

    /// What falls short, but for [`Shortcoming::Runpath`], which is a matter of policy.
    pub(crate) fn shortcomings(&self) -> Vec<Shortcoming> {
        let checks = [
            (!self.pie, Shortcoming::NotPie),
            (self.relro != Relro::Full, Shortcoming::NotFullRelro),
            (!self.nx, Shortcoming::NotNx),
            (self.text_relocations, Shortcoming::TextRelocations),
        ];
        checks.into_iter().filter(|(falls_short, _)| *falls_short).map(|(_, what)| what).collect()
    }
}

/// Whether class, byte order or version of a program are not those of its machine. The kernel does not look at
/// these three bytes; readers do, and see another file than it runs.
fn is_run_otherwise(bytes: &[u8]) -> bool {
    const TYPE: usize = 16;
    const MACHINE: usize = 18;
    let half = |at: usize| Some(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let class = match half(MACHINE) {
        Some(EM_X86_64) => ELFCLASS64,
        Some(EM_386) => ELFCLASS32,
        _ => return false,
    };
    matches!(half(TYPE), Some(ET_EXEC | ET_DYN))
        && bytes.get(EI_CLASS..=EI_VERSION) != Some(&[class, ELFDATA2LSB, EV_CURRENT])
}

/// A library has no start of its own; the C library and the loader have one, and a name to be loaded by.
fn kind(elf: &Elf<'_>) -> Kind {
    let starts = elf.program_headers.iter().any(|segment| segment.p_type == PT_INTERP);
    let position = flags_1(elf) & DF_1_PIE != 0;
    match elf.header.e_type {
        ET_EXEC => Kind::Program,
        _ if position || starts && elf.soname.is_none() => Kind::Program,
        _ => Kind::Library,
    }
}

fn language(elf: &Elf<'_>, bytes: &[u8]) -> Language {
    let section = |name: &str| {
        elf.section_headers
            .iter()
            .find(|header| elf.shdr_strtab.get_at(header.sh_name) == Some(name))
    };
    if section(".go.buildinfo").is_some() || section(".note.go.buildid").is_some() {
        return Language::Go;
    }
    let comment = section(".comment").and_then(|header| bytes.get(header.file_range()?));
    match comment {
        Some(comment) if comment.windows(5).any(|word| word == b"rustc") => Language::Rust,
        _ => Language::C,
    }
}

fn flag(elf: &Elf<'_>, tag: u64) -> bool {
    value(elf, tag).is_some()
}

fn value(elf: &Elf<'_>, tag: u64) -> Option<u64> {
    let dynamic = elf.dynamic.as_ref()?;
    dynamic.dyns.iter().find(|entry| entry.d_tag == tag).map(|entry| entry.d_val)
}

fn flags(elf: &Elf<'_>) -> u64 {
    elf.dynamic.as_ref().map_or(0, |dynamic| dynamic.info.flags)
}

fn flags_1(elf: &Elf<'_>) -> u64 {
    value(elf, DT_FLAGS_1).unwrap_or(0)
}

/// Without a dynamic section nothing is bound late, so what is protected is all.
fn relro(elf: &Elf<'_>) -> Relro {
    let mut headers = elf.program_headers.iter();
    if !headers.any(|segment| segment.p_type == PT_GNU_RELRO && segment.p_memsz > 0) {
        return Relro::No;
    }
    let now =
        flag(elf, DT_BIND_NOW) || flags(elf) & DF_BIND_NOW != 0 || flags_1(elf) & DF_1_NOW != 0;
    if now || elf.dynamic.is_none() { Relro::Full } else { Relro::Partial }
}

/// Without the header for the stack the loader makes it executable; of several the kernel takes the last.
fn nx(elf: &Elf<'_>) -> bool {
    let mut stack = elf.program_headers.iter().filter(|segment| segment.p_type == PT_GNU_STACK);
    let mut loaded = elf.program_headers.iter().filter(|segment| segment.p_type == PT_LOAD);
    stack.next_back().is_some_and(|segment| segment.p_flags & PF_X == 0)
        && loaded.all(|segment| segment.p_flags & (PF_W | PF_X) != PF_W | PF_X)
}

/// The functions that it takes from other files.
fn imports<'a>(elf: &'a Elf<'_>) -> BTreeSet<&'a str> {
    let undefined = elf.dynsyms.iter().filter(goblin::elf::Sym::is_import);
    undefined.filter_map(|symbol| elf.dynstrtab.get_at(symbol.st_name)).collect()
}

/// Its own or another's: static programs and the C library define it.
fn has_canary(elf: &Elf<'_>) -> bool {
    let is = |name: Option<&str>| {
        matches!(name, Some("__stack_chk_fail" | "__stack_chk_fail_local" | "__stack_chk_guard"))
    };
    elf.dynsyms.iter().any(|symbol| is(elf.dynstrtab.get_at(symbol.st_name)))
        || elf.syms.iter().any(|symbol| is(elf.strtab.get_at(symbol.st_name)))
}

fn search(elf: &Elf<'_>) -> Vec<String> {
    let path = value(elf, DT_RUNPATH).or_else(|| value(elf, DT_RPATH));
    let text = path.and_then(|at| elf.dynstrtab.get_at(usize::try_from(at).ok()?));
    let folders = text.into_iter().flat_map(|text| text.split(':'));
    folders.filter(|folder| !folder.is_empty()).map(str::to_owned).collect()
}

/// The bits of the note that says which processor features all of its code knows.
fn features(elf: &Elf<'_>, bytes: &[u8]) -> u32 {
    let notes = elf.iter_note_sections(bytes, Some(".note.gnu.property")).into_iter().flatten();
    let properties = notes.filter_map(Result::ok);
    let properties = properties.filter(|note| note.n_type == NT_GNU_PROPERTY_TYPE_0);
    properties.filter_map(|note| feature_bits(note.desc)).fold(0, |all, bits| all | bits)
}

/// Properties are pairs of type and length, padded to 8 bytes.
fn feature_bits(mut properties: &[u8]) -> Option<u32> {
    loop {
        let (head, rest) = properties.split_at_checked(8)?;
        let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap_or_default());
        let length = usize::try_from(word(4)).ok()?;
        if word(0) == X86_FEATURES {
            return Some(u32::from_le_bytes(rest.get(..4)?.try_into().ok()?));
        }
        properties = rest.get(length.next_multiple_of(8)..)?;
    }
}

#[cfg(test)]
mod tests;
