//! The kernel's log: where PID 1 speaks before there is a journal.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use base::file::FileError;

/// How important a line is, in syslog's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something failed; on the console even when the kernel was told to be quiet.
    Error = 3,
    /// Something is odd.
    Warning = 4,
    /// What happens.
    Info = 6,
}

/// The kernel's log, open for writing.
#[derive(Debug)]
pub struct KernelLog {
    file: File,
    speaker: &'static str,
}

impl KernelLog {
    /// Opens the log at `/dev/kmsg`; each line will start with the name of the `speaker`.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming the device.
    pub fn open(speaker: &'static str) -> Result<Self, FileError> {
        let path = Path::new("/dev/kmsg");
        let file = OpenOptions::new().write(true).open(path);
        Ok(Self { file: file.map_err(FileError::at("open", path))?, speaker })
    }

    /// Writes `text`, one entry for each of its lines. Says nothing when that fails: there is
    /// nobody left to tell.
    pub fn write(&mut self, level: Level, text: &dyn fmt::Display) {
        for line in text.to_string().lines() {
            // One write is one entry, so it must not be split.
            let _ = self.file.write_all(entry(level, self.speaker, line).as_bytes());
        }
    }
}

/// One entry as the kernel wants it; longer ones would be refused whole.
fn entry(level: Level, speaker: &str, line: &str) -> String {
    const LONGEST: usize = 900; // the kernel takes 976 with everything
    let line = &line[..line.floor_char_boundary(LONGEST)];
    format!("<{}>{speaker}: {line}\n", level as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_starts_with_its_level_and_is_never_too_long() {
        assert_eq!(entry(Level::Error, "preon-init", "x"), "<3>preon-init: x\n");
        assert!(entry(Level::Info, "preon-init", &"ü".repeat(2000)).len() < 976);
    }
}
