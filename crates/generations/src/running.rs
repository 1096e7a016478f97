//! Which generation the host runs: written by whoever made it visible.

use std::io::ErrorKind;
use std::path::Path;

use base::file::{self, FileError};

use crate::store::Generation;

/// The generation that the file at `path` ([`crate::RUNNING`]) names; `None` where there is no such file: not on a host.
///
/// # Errors
///
/// [`FileError`] naming `path`, also when it holds anything but a number.
pub fn read(path: &Path) -> Result<Option<Generation>, FileError> {
    match file::read_text(path) {
        Ok(text) => match text.trim().parse() {
            Ok(number) => Ok(Some(Generation(number))),
            Err(_) => Err(FileError::at("understand", path)(ErrorKind::InvalidData.into())),
        },
        Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the file at `path` name this generation.
///
/// # Errors
///
/// [`FileError`] naming `path`.
pub fn write(path: &Path, generation: Generation) -> Result<(), FileError> {
    file::replace(path, format!("{}\n", generation.0).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_knows_what_it_runs_and_another_machine_runs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("running");
        assert_eq!(read(&path).unwrap(), None);
        write(&path, Generation(7)).unwrap();
        assert_eq!(read(&path).unwrap(), Some(Generation(7)));
        std::fs::write(&path, "seven").unwrap();
        assert!(read(&path).unwrap_err().to_string().starts_with("cannot understand "));
    }
}
