//! Unified kernel images: kernel, initrd and command line in one program that firmware starts
//! (and, once it is signed, verifies as one).
//!
//! Source: UAPI.5 Unified Kernel Image,
//! <https://uapi-group.org/specifications/specs/unified_kernel_image/>.

use std::borrow::Cow;

use base::Explain;

use crate::pe::{self, Addition, AppendError, BadPe, Pe};

/// What a unified kernel image is made of.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// systemd's stub, `linuxx64.efi.stub`; its `.sbat` section is kept.
    pub stub: &'a [u8],
    /// The text of an os-release file; the boot menu shows what it says.
    pub os_release: &'a str,
    /// The kernel's command line.
    pub command_line: &'a str,
    /// The kernel's release, as `uname -r` prints it.
    pub release: &'a str,
    /// The initial file system: one or more cpio archives, perhaps compressed.
    pub initrd: &'a [u8],
    /// The kernel: a `bzImage` with an EFI stub.
    pub kernel: &'a [u8],
    /// Further entries of the boot menu.
    pub profiles: &'a [Profile<'a>],
}

/// Another entry in the boot menu for the same image.
#[derive(Clone, Copy, Debug)]
pub struct Profile<'a> {
    /// What the loader calls it, behind the image's name and `@`.
    pub id: &'a str,
    /// What people read behind the image's title.
    pub title: &'a str,
    /// The kernel's command line.
    pub command_line: &'a str,
}

/// Why no unified kernel image can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UkiError {
    /// The stub is none.
    #[error("cannot use the stub for a unified kernel image")]
    Stub(#[source] AppendError),
    /// The stub is a program, but not systemd's stub.
    #[error("the stub has no section .{0}: it is not systemd's")]
    NotAStub(&'static str),
    /// The kernel is no program for UEFI.
    #[error("the kernel cannot be started by firmware")]
    Kernel(#[source] BadPe),
    /// A text has a character that would end it.
    #[error("the {0} has a NUL character")]
    Nul(&'static str),
}

impl Explain for UkiError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Kernel(_) => Some("build it with CONFIG_EFI_STUB".into()),
            _ => None,
        }
    }
}

/// Makes a unified kernel image, not signed. The same parts give the same bytes.
///
/// # Errors
///
/// [`UkiError`] names the part that cannot be used.
pub fn assemble(parts: &Parts<'_>) -> Result<Vec<u8>, UkiError> {
    let stub = Pe::parse(parts.stub).map_err(|e| UkiError::Stub(AppendError::Program(e)))?;
    for (section, name) in [(".sdmagic", "sdmagic"), (".sbat", "sbat")] {
        if stub.section(section).is_none() {
            return Err(UkiError::NotAStub(name));
        }
    }
    Pe::parse(parts.kernel).map_err(UkiError::Kernel)?;
    let texts = [
        (".osrel", parts.os_release, "os-release text"),
        (".cmdline", parts.command_line, "command line"),
        (".uname", parts.release, "kernel's release"),
    ];
    if let Some((.., what)) = texts.iter().find(|(_, text, _)| text.contains('\0')) {
        return Err(UkiError::Nul(what));
    }
    let texts = texts.map(|(name, text, _)| Addition { name, content: text.as_bytes() });
    let binaries = [(".initrd", parts.initrd), (".linux", parts.kernel)];
    let binaries = binaries.map(|(name, content)| Addition { name, content });
    let profiles = profiles(parts.profiles)?;
    let profiles = profiles.iter().map(|(name, text)| Addition { name, content: text.as_bytes() });
    let sections: Vec<_> = texts.into_iter().chain(binaries).chain(profiles).collect();
    pe::append(parts.stub, &sections).map_err(UkiError::Stub)
}

/// The sections of further entries: what stands before the first `.profile` belongs to all of them.
///
/// Source: UAPI.5, "Multi-Profile UKIs".
fn profiles<'a>(profiles: &[Profile<'a>]) -> Result<Vec<(&'static str, Cow<'a, str>)>, UkiError> {
    if profiles.is_empty() {
        return Ok(Vec::new());
    }
    // No `ID=` for the first: systemd 257's loader leaves that out of the entry's name, and its other programs do not.
    let mut sections = vec![(".profile", Cow::Borrowed("# the image as it is\n"))];
    for Profile { id, title, command_line } in profiles {
        if [id, title, command_line].iter().any(|text| text.contains('\0')) {
            return Err(UkiError::Nul("profile"));
        }
        sections.push((".profile", format!("ID={id}\nTITLE=\"{title}\"\n").into()));
        sections.push((".cmdline", Cow::Borrowed(*command_line)));
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pe::tests::{objdump, program};

    fn stub() -> Vec<u8> {
        program(&[(".text", &[0x90; 700]), (".sbat", b"sbat,1"), (".sdmagic", b"#### ")])
    }

    #[test]
    fn every_part_is_found_in_the_image() {
        let (stub, kernel) = (stub(), program(&[(".text", b"kernel")]));
        let parts = Parts {
            stub: &stub,
            os_release: "ID=preon\n",
            command_line: "quiet",
            release: "6.12.0",
            initrd: &[7; 5000],
            kernel: &kernel,
            profiles: &[Profile { id: "old", title: "the old one", command_line: "old" }],
        };
        let image = assemble(&parts).unwrap();
        assert_eq!(image, assemble(&parts).unwrap());
        let pe = Pe::parse(&image).unwrap();
        let names: Vec<_> = pe.sections.iter().map(|section| section.name.as_str()).collect();
        let expected =
            [".text", ".sbat", ".sdmagic", ".osrel", ".cmdline", ".uname", ".initrd", ".linux"];
        assert_eq!(names[..8], expected);
        assert_eq!(names[8..], [".profile", ".profile", ".cmdline"]);
        let text = |at: usize| std::str::from_utf8(pe.sections[at].content(&image)).unwrap();
        let menu = [text(8), text(9), text(10)];
        assert_eq!(menu, ["# the image as it is\n", "ID=old\nTITLE=\"the old one\"\n", "old"]);
        let content = |name| pe.section(name).unwrap().content(&image);
        assert_eq!(content(".sbat"), b"sbat,1");
        assert_eq!(content(".cmdline"), b"quiet");
        assert_eq!(content(".initrd"), parts.initrd);
        assert_eq!(content(".linux"), parts.kernel);
        assert_eq!(objdump(&image).len(), names.len());
    }

    #[test]
    fn parts_that_cannot_be_used_are_named() {
        let (stub, kernel) = (stub(), program(&[(".text", b"kernel")]));
        let good = Parts {
            stub: &stub,
            os_release: "",
            command_line: "",
            release: "",
            initrd: &[],
            kernel: &kernel,
            profiles: &[],
        };
        #[rustfmt::skip]
        let cases = [
            (Parts { stub: b"MZ", ..good },          "cannot use the stub for a unified kernel image"),
            (Parts { stub: &kernel, ..good },        "the stub has no section .sdmagic: it is not systemd's"),
            (Parts { kernel: b"\x7fELF", ..good },   "the kernel cannot be started by firmware"),
            (Parts { command_line: "a\0b", ..good }, "the command line has a NUL character"),
        ];
        for (parts, message) in cases {
            assert_eq!(assemble(&parts).unwrap_err().to_string(), message);
        }
        assert!(assemble(&good).is_ok());
    }
}
