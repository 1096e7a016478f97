//! One file of a package, as its tar archive describes it, and what no such file may be.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;

use tar::{EntryType, Header};

use super::ahead::Ahead;

/// One file, folder or link of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it goes: from the root, without a slash at either end (`usr/bin/sh`). Never empty,
    /// never with `.` or `..` in it.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-user-id, set-group-id and sticky: at most `0o7777`.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// When it was last changed: seconds since 1970.
    pub mtime: u64,
    /// Extended attributes, by full name (`security.capability`).
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// Bytes of content; 0 for all but plain files.
    pub size: u64,
}

impl Entry {
    /// A folder that is there because something is in it: dpkg makes none by itself. It is root's, has the
    /// usual mode and no time; whoever merges packages lets any other description of it win.
    pub fn implied_folder(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            kind: Kind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: Vec::new(),
            size: 0,
        }
    }

    /// Whether it is what [`Entry::implied_folder`] makes.
    pub fn is_implied_folder(&self) -> bool {
        *self == Self::implied_folder(self.path.clone())
    }
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A plain file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link to this text.
    Symlink(String),
    /// Another name of the plain file at this path, which came earlier.
    HardLink(String),
    /// A character device.
    CharacterDevice {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// Why an entry of a package is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// The path would leave the root, or names nothing.
    #[error("the path `{0}` leads outside of the package")]
    Outside(String),
    /// The path is not UTF-8, or holds a control character.
    #[error("the path `{0}` holds bytes that are no plain text")]
    NotText(String),
    /// The same path came before.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// Something above it is no folder.
    #[error("`{path}` lies below `{above}`, which is no folder")]
    BelowFile {
        /// The path.
        path: String,
        /// What is above it.
        above: String,
    },
    /// A hard link to what is no earlier plain file.
    #[error("`{path}` is a hard link to `{target}`, which is no earlier plain file")]
    DanglingHardLink {
        /// The path.
        path: String,
        /// The path that the link gives.
        target: String,
    },
    /// A kind that no package needs.
    #[error("`{path}` is of the unknown kind {kind:?}")]
    UnknownKind {
        /// The path.
        path: String,
        /// The tar header's letter.
        kind: char,
    },
    /// A link without a target.
    #[error("`{0}` is a link without a target")]
    NoTarget(String),
    /// More files than the limit allows.
    #[error("it holds more than {0} files")]
    TooMany(usize),
    /// An extended header is broken.
    #[error("an extended header in it is broken")]
    Record,
    /// An extended header says something that no package needs.
    #[error("an extended header in it sets `{0}`")]
    Key(String),
    /// An extended header or a name of this many bytes.
    #[error("a header in it is {0} bytes long")]
    LongHeader(u64),
}

/// Reads what the tar header says, and what went `ahead` of it. `None` for the root folder itself.
pub(super) fn read(header: &Header, ahead: Ahead) -> io::Result<Option<Entry>> {
    let Ahead { path: longer, target, mut xattrs } = ahead;
    let bytes = longer.map_or_else(|| header.path_bytes(), Cow::Owned);
    let Some(path) = path(&bytes).map_err(io::Error::other)? else { return Ok(None) };
    let target = target.map(Cow::Owned).or_else(|| header.link_name_bytes());
    let kind = kind(header, &path, &target.unwrap_or_default())?;
    xattrs.sort();
    let number = |value: u64| u32::try_from(value).map_err(io::Error::other);
    Ok(Some(Entry {
        mode: header.mode()? & 0o7777,
        uid: number(header.uid()?)?,
        gid: number(header.gid()?)?,
        mtime: header.mtime()?,
        size: if kind == Kind::File { header.entry_size()? } else { 0 },
        path,
        kind,
        xattrs,
    }))
}

/// Checks a path of the archive and takes `./` off it. `None` is the root folder.
fn path(bytes: &[u8]) -> Result<Option<String>, BadEntry> {
    let shown = || String::from_utf8_lossy(bytes).escape_debug().to_string();
    let text = std::str::from_utf8(bytes).map_err(|_| BadEntry::NotText(shown()))?;
    if text.chars().any(char::is_control) {
        return Err(BadEntry::NotText(shown()));
    }
    let inner = text.strip_prefix("./").unwrap_or(text);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.is_empty() && text.starts_with('.') || text == "." {
        return Ok(None);
    }
    if inner.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(BadEntry::Outside(shown()));
    }
    Ok(Some(inner.to_owned()))
}

fn kind(header: &Header, path: &str, target: &[u8]) -> io::Result<Kind> {
    let target = || match std::str::from_utf8(target) {
        Ok("") => Err(BadEntry::NoTarget(path.to_owned())),
        Ok(text) if text.chars().any(char::is_control) => Err(BadEntry::NotText(path.into())),
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(BadEntry::NotText(path.to_owned())),
    };
    let device = || -> io::Result<(u32, u32)> {
        Ok((header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0)))
    };
    Ok(match header.entry_type() {
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink(target().map_err(io::Error::other)?),
        EntryType::Link => {
            let target = target().map_err(io::Error::other)?;
            let inside = self::path(target.as_bytes()).map_err(io::Error::other)?;
            Kind::HardLink(inside.unwrap_or_default())
        }
        EntryType::Char => {
            let (major, minor) = device()?;
            Kind::CharacterDevice { major, minor }
        }
        EntryType::Block => {
            let (major, minor) = device()?;
            Kind::BlockDevice { major, minor }
        }
        EntryType::Fifo => Kind::Fifo,
        other => {
            let kind = char::from(other.as_byte());
            return Err(io::Error::other(BadEntry::UnknownKind { path: path.into(), kind }));
        }
    })
}

/// The paths that came so far, to judge the next one by.
#[derive(Default)]
pub(super) struct Seen {
    kinds: HashMap<String, Shape>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Directory,
    File,
    Other,
}

impl Seen {
    /// Refuses what a package must not do: a path twice, below a file or link, a hard link to
    /// anything but an earlier file, more than `limit` entries.
    pub(super) fn admit(&mut self, entry: &Entry, limit: usize) -> Result<(), BadEntry> {
        let path = &entry.path;
        if self.kinds.len() >= limit {
            return Err(BadEntry::TooMany(limit));
        }
        for (at, _) in path.match_indices('/') {
            let above = &path[..at];
            if self.kinds.get(above).is_some_and(|shape| *shape != Shape::Directory) {
                let (path, above) = (path.clone(), above.to_owned());
                return Err(BadEntry::BelowFile { path, above });
            }
        }
        if let Kind::HardLink(target) = &entry.kind
            && self.kinds.get(target) != Some(&Shape::File)
        {
            let (path, target) = (path.clone(), target.clone());
            return Err(BadEntry::DanglingHardLink { path, target });
        }
        let shape = match entry.kind {
            Kind::Directory => Shape::Directory,
            Kind::File | Kind::HardLink(_) => Shape::File,
            _ => Shape::Other,
        };
        match self.kinds.insert(path.clone(), shape) {
            None => Ok(()),
            Some(_) => Err(BadEntry::Twice(path.clone())),
        }
    }
}
