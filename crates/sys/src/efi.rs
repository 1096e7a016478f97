//! EFI variables, as efivarfs shows them.

use std::io;
use std::path::{Path, PathBuf};

use base::Explain;
use base::file::FileError;

/// Where efivarfs is mounted on a running system.
pub const FOLDER: &str = "/sys/firmware/efi/efivars";

/// The GUID below which boot loaders leave word for the operating system.
///
/// Source: UAPI, "Boot Loader Interface", <https://systemd.io/BOOT_LOADER_INTERFACE/>.
pub const LOADER: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// Why an EFI variable has no value for us.
#[derive(Debug, thiserror::Error)]
pub enum VariableError {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] FileError),
    /// It is not text.
    #[error("the EFI variable {} is not UTF-16 text", path.display())]
    NotText {
        /// The variable's file.
        path: PathBuf,
    },
}

impl Explain for VariableError {}

/// The text in the variable `name` of `vendor` (a GUID in lower case); `None` when there is no such
/// variable, or no EFI at all. `folder` is where efivarfs is mounted.
///
/// # Errors
///
/// [`VariableError`] when it is there but cannot be read, or is not text.
pub fn read_text(folder: &Path, name: &str, vendor: &str) -> Result<Option<String>, VariableError> {
    let path = folder.join(format!("{name}-{vendor}"));
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::at("read", path)(error).into()),
    };
    text_of(&bytes).map(Some).ok_or(VariableError::NotText { path })
}

/// The text in a variable's file: four bytes of attributes, then UTF-16LE that may end with a NUL.
/// `None` when it is not that. Pure.
///
/// Source: Linux, `Documentation/filesystems/efivarfs.rst`; UEFI 2.10, "CHAR16".
pub fn text_of(file: &[u8]) -> Option<String> {
    let (_attributes, value) = file.split_at_checked(4)?;
    let (pairs, rest) = value.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let units = pairs.iter().map(|pair| u16::from_le_bytes(*pair));
    let text: Result<String, _> = char::decode_utf16(units.take_while(|unit| *unit != 0)).collect();
    text.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variables_text_is_what_follows_its_attributes() {
        #[rustfmt::skip]
        let cases: [(&[u8], Option<&str>); 8] = [
            (b"\x06\0\0\0a\0b\0\0\0",      Some("ab")),
            (b"\x06\0\0\0a\0b\0",          Some("ab")), // no NUL at its end
            (b"\x06\0\0\0a\0\0\0b\0",      Some("a")),  // nothing counts after the NUL
            (b"\x06\0\0\0",                Some("")),
            (b"\x06\0\0\0\xac\x20",        Some("€")),
            (b"\x06\0\0\0a",               None),       // half a unit
            (b"\x06\0\0\0\x00\xd8a\0",     None),       // half a surrogate pair
            (b"\x06\0\0",                  None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(text_of(bytes).as_deref(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_machine_without_the_variable_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_text(dir.path(), "LoaderDevicePartUUID", LOADER).unwrap(), None);
    }
}
