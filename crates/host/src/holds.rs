//! Who does not want this host to restart now: files that people and programs put there, and systemd's inhibitors.
//!
//! ```text
//! /run/preon/holds/NAME    gone when the machine restarts; kept over a soft reboot
//! /etc/preon/holds/NAME    stays
//! ```
//!
//! The text of such a file is the reason, for people. A first line `until: 2026-12-01T06:00:00Z` ends the hold by
//! itself. Any program may write one: `echo "a backup runs" >/run/preon/holds/backup`.

mod inhibitors;

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base::Explain;
use base::file::{self, FileError};
use base::output::plain;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Root;

pub use inhibitors::inhibitors;

/// Where a hold is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A file in `/etc`.
    Kept,
    /// A file in `/run`.
    Runtime,
    /// An inhibitor of systemd.
    Inhibitor,
}

impl Source {
    fn folder(self) -> Option<&'static str> {
        match self {
            Self::Kept => Some("/etc/preon/holds"),
            Self::Runtime => Some("/run/preon/holds"),
            Self::Inhibitor => None,
        }
    }
}

/// Somebody does not want a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What it is called.
    pub name: String,
    /// Why, in words.
    pub reason: String,
    /// When it ends by itself, seconds since 1970.
    pub until: Option<u64>,
    /// Where it is from.
    pub source: Source,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({})", self.reason) }
    }
}

/// A hold cannot be taken or given up.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// None can be called so.
    #[error("`{0}` is no name for a hold")]
    Name(String),
    /// None is called so.
    #[error("there is no hold {0}")]
    Unknown(String),
    /// Another one is called so.
    #[error("there is a hold {name} already: {reason}")]
    There {
        /// Its name.
        name: String,
        /// Its reason.
        reason: String,
    },
    /// It would be over.
    #[error("the end of the hold is past")]
    Past,
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for HoldError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Name(_) => Some("take letters, digits, hyphens and underscores".into()),
            Self::Unknown(_) => Some("`preon hold list` names all".into()),
            Self::There { name, .. } => {
                Some(format!("give it up first: `preon hold remove {name}`"))
            }
            Self::Past => None,
            Self::File(error) => error.hint(),
        }
    }
}

/// The holds of a host that are files.
#[derive(Clone, Copy, Debug)]
pub struct Holds<'a>(pub &'a Root);

impl Holds<'_> {
    /// Those that hold at `now`, seconds since 1970, sorted by name.
    ///
    /// # Errors
    ///
    /// [`HoldError::File`].
    pub fn list(&self, now: u64) -> Result<Vec<Hold>, HoldError> {
        let mut all = Vec::new();
        for source in [Source::Kept, Source::Runtime] {
            for path in self.files(source)? {
                all.extend(
                    read(&path, source)?.filter(|hold| hold.until.is_none_or(|end| now < end)),
                );
            }
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// Adds one; one of the same name must not hold at `now`.
    ///
    /// # Errors
    ///
    /// [`HoldError`].
    pub fn add(&self, now: u64, hold: &Hold) -> Result<(), HoldError> {
        let Some(path) = self.path(hold.source, &hold.name)? else { return Ok(()) };
        if hold.until.is_some_and(|until| until <= now) {
            return Err(HoldError::Past);
        }
        if let Some(other) = self.list(now)?.into_iter().find(|other| other.name == hold.name) {
            let Hold { name, reason, .. } = other;
            return Err(HoldError::There { name, reason });
        }
        let until =
            hold.until.and_then(|until| Timestamp::from_second(until.try_into().ok()?).ok());
        let until = until.map_or_else(String::new, |until| format!("{UNTIL} {until}\n"));
        Ok(file::replace(&path, format!("{until}{}\n", hold.reason).as_bytes())?)
    }

    /// Gives one up, wherever it is.
    ///
    /// # Errors
    ///
    /// [`HoldError`].
    pub fn remove(&self, name: &str) -> Result<(), HoldError> {
        let mut found = false;
        for source in [Source::Kept, Source::Runtime] {
            let Some(path) = self.path(source, name)? else { continue };
            match fs::remove_file(&path) {
                Ok(()) => found = true,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(FileError::at("remove", path)(error).into()),
            }
        }
        if found { Ok(()) } else { Err(HoldError::Unknown(name.to_owned())) }
    }

    fn files(&self, source: Source) -> Result<Vec<PathBuf>, FileError> {
        let Some(folder) = source.folder() else { return Ok(Vec::new()) };
        let folder = self.0.below(folder);
        let entries = match folder.read_dir() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(FileError::at("read", &folder))?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(FileError::at("read", &folder))?;
            // What is hidden is being written, or is nobody's.
            if !entry.file_name().as_encoded_bytes().starts_with(b".") {
                files.push(entry.path());
            }
        }
        Ok(files)
    }

    fn path(&self, source: Source, name: &str) -> Result<Option<PathBuf>, HoldError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.starts_with(['.', '-']) || !name.bytes().all(good) {
            return Err(HoldError::Name(name.to_owned()));
        }
        Ok(source.folder().map(|folder| self.0.below(folder).join(name)))
    }
}

/// What the first line begins with in a hold that ends by itself.
const UNTIL: &str = "until:";

/// Reads one; nothing if it is gone meanwhile. What is not text, or no file, holds too.
fn read(path: &Path, source: Source) -> Result<Option<Hold>, FileError> {
    let name = line(&path.file_name().unwrap_or_default().to_string_lossy());
    let found = match path.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found.map_err(FileError::at("read", path))?,
    };
    let bytes = match found.is_file().then(|| file::read(path)) {
        None => Vec::new(), // a pipe would keep us waiting for who writes to it
        Some(Ok(bytes)) => bytes,
        Some(Err(error)) if error.source.kind() == ErrorKind::NotFound => return Ok(None),
        Some(Err(error)) => return Err(error),
    };
    let (until, reason) = parse(&String::from_utf8_lossy(&bytes));
    Ok(Some(Hold { name, reason, until, source }))
}

/// When a hold ends, and why there is one. An end that is not understood is none, and stays to be seen.
fn parse(text: &str) -> (Option<u64>, String) {
    let first = text.lines().next().unwrap_or_default();
    let until = first.strip_prefix(UNTIL).and_then(|until| until.trim().parse::<Timestamp>().ok());
    let until = until.and_then(|until| u64::try_from(until.as_second()).ok());
    let reason =
        if until.is_some() { text.split_once('\n').map_or("", |(_, rest)| rest) } else { text };
    (until, line(reason))
}

/// What somebody else has written, on one line, and with nothing that a terminal could obey: root reads it.
fn line(text: &str) -> String {
    plain(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root(dir.path().into());
        (dir, root)
    }

    fn hold(name: &str, until: Option<u64>, source: Source) -> Hold {
        Hold { name: name.into(), reason: "a backup runs".into(), until, source }
    }

    #[test]
    fn what_any_program_writes_holds_with_its_text_as_the_reason() {
        let (_dir, root) = host();
        assert_eq!(Holds(&root).list(0).unwrap(), []);
        for (path, bytes) in [
            ("/run/preon/holds/backup", &b"a backup\nruns\n"[..]),
            ("/run/preon/holds/.hidden", b"x"),
            ("/run/preon/holds/empty", b""),
            ("/etc/preon/holds/bytes", b"\xff"),
            ("/etc/preon/holds/clears", b"it's \x1b[2J"),
            ("/etc/preon/holds/never", b"until: doomsday\n"),
        ] {
            file::replace(&root.below(path), bytes).unwrap();
        }
        fs::create_dir(root.below("/run/preon/holds/folder")).unwrap();
        let pipe = root.below("/run/preon/holds/pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, pipe, rustix::fs::Mode::RWXU).unwrap();
        let all = Holds(&root).list(0).unwrap();
        let told: Vec<_> = all.iter().map(ToString::to_string).collect();
        let expected = [
            "backup (a backup runs)",
            "bytes (\u{fffd})",
            "clears (it's \\u{1b}[2J)",
            "empty",
            "folder",
            "never (until: doomsday)",
            "pipe",
        ];
        assert_eq!(told, expected);
        assert_eq!((all[0].source, all[1].source), (Source::Runtime, Source::Kept));
    }

    #[test]
    fn a_hold_is_taken_once_seen_by_all_and_given_up() {
        let (_dir, root) = host();
        let holds = Holds(&root);
        for source in [Source::Kept, Source::Runtime] {
            let mine = hold("mine", None, source);
            holds.add(0, &mine).unwrap();
            assert_eq!(holds.list(0).unwrap(), [mine]);
            let again = holds.add(0, &hold("mine", None, Source::Kept)).unwrap_err();
            assert_eq!(again.to_string(), "there is a hold mine already: a backup runs");
            holds.remove("mine").unwrap();
            assert_eq!(holds.list(0).unwrap(), []);
            assert!(holds.remove("mine").unwrap_err().hint().is_some());
        }
    }

    #[test]
    fn a_hold_ends_by_itself_and_can_be_taken_anew_then() {
        let (_dir, root) = host();
        let holds = Holds(&root);
        let mine = hold("mine", Some(1_800_000_000), Source::Kept);
        holds.add(1_700_000_000, &mine).unwrap();
        assert_eq!(holds.list(1_799_999_999).unwrap(), std::slice::from_ref(&mine));
        assert_eq!(holds.list(1_800_000_000).unwrap(), []);
        assert!(matches!(holds.add(1_800_000_000, &mine), Err(HoldError::Past)));
        holds.add(1_800_000_000, &hold("mine", None, Source::Kept)).unwrap();
    }

    #[test]
    fn what_is_no_name_writes_nowhere() {
        let (_dir, root) = host();
        for name in ["", "..", ".a", "-a", "a/b", "a b"] {
            let error = Holds(&root).add(0, &hold(name, None, Source::Kept)).unwrap_err();
            assert!(matches!(error, HoldError::Name(_)), "{name}: {error}");
            assert!(matches!(Holds(&root).remove(name), Err(HoldError::Name(_))), "{name}");
        }
        assert!(!root.below("/etc").exists());
    }
}
