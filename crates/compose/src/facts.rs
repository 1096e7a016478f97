//! What composing wants to know of a file's bytes, so that they need not be read again.

use base::file::FileError;
use serde::{Deserialize, Serialize};

use crate::elf::{self, Linkage};
use crate::tree::Content;

/// How much of a script is looked at for its first line. Source: execve(2), "Interpreter scripts".
const FIRST_LINE: u64 = 256;

/// What kind of program or library a file is, if it is one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Facts {
    /// How it is linked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) linkage: Option<Linkage>,
    /// The program that its `#!` line names, which would run it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) interpreter: Option<String>,
}

impl Facts {
    /// Reads what there is to know about `content`.
    ///
    /// # Errors
    ///
    /// [`FileError`] if it cannot be read.
    pub(crate) fn of(content: &Content) -> Result<Self, FileError> {
        let start = content.range(0, FIRST_LINE)?;
        let interpreter = interpreter(&start);
        let linkage = if start.len() < 64 { None } else { elf::linkage(content)? };
        Ok(Self { linkage, interpreter })
    }

    /// Whether there is nothing to know.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The program that a `#!` line names; what `env` would look for, where it names that.
fn interpreter(start: &[u8]) -> Option<String> {
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_ascii_whitespace();
    match (words.next()?, words.next()) {
        ("/usr/bin/env" | "/bin/env", Some(name)) if !name.contains('/') => {
            Some(format!("/usr/bin/{name}"))
        }
        ("/usr/bin/env" | "/bin/env", Some(path)) => Some(path.to_owned()),
        (path, _) => Some(path.to_owned()),
    }
}
