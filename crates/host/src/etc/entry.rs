//! One file, link or folder of `/etc`: what it is, and how a copy of it is made.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use base::Digest;
use base::file::{self, FileError};
use generations::etc::digest_of_link;
use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use rustix::io::Errno;
use serde::Serialize;

/// Marks a folder that hides the default of its name. All others of overlay's own attributes say what holds for one
/// mount only.
const OPAQUE: &str = "trusted.overlay.opaque";
const OVERLAY: &str = "trusted.overlay.";

/// What is at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A plain file.
    File(Digest),
    /// A link, and where it leads.
    Link(PathBuf),
    /// A folder.
    Folder,
    /// In the upper side of an overlay: what is beneath is not seen.
    Whiteout,
    /// A socket, a pipe, a device: no configuration.
    Other,
}

/// What is at a place, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, at most `0o7777`; those of a link are always the same.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// In the upper side of an overlay, of a folder: what is beneath is not seen.
    #[serde(skip)]
    pub(super) opaque: bool,
    #[serde(skip)]
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Entry {
    /// What is at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self, FileError> {
        Self::try_read(path).map_err(FileError::at("read", path))
    }

    fn try_read(path: &Path) -> io::Result<Self> {
        let about = path.symlink_metadata()?;
        let kind = match about.file_type() {
            it if it.is_file() => Kind::File(Digest::of_file(path)?),
            it if it.is_symlink() => Kind::Link(fs::read_link(path)?),
            it if it.is_dir() => Kind::Folder,
            it if it.is_char_device() && about.rdev() == 0 => Kind::Whiteout,
            _ => Kind::Other,
        };
        let mut xattrs = match kind {
            Kind::File(_) | Kind::Folder => xattrs(path)?,
            _ => BTreeMap::new(),
        };
        let opaque = xattrs.remove(OPAQUE.as_bytes()).is_some_and(|it| it == b"y");
        xattrs.retain(|name, _| !name.starts_with(OVERLAY.as_bytes()));
        let mode = about.mode() & 0o7777;
        Ok(Self { kind, mode, uid: about.uid(), gid: about.gid(), opaque, xattrs })
    }

    /// The digest of what it holds, as [`generations::etc::Digests`] have it; `None` for folders.
    pub(super) fn digest(&self) -> Option<Digest> {
        match &self.kind {
            Kind::File(digest) => Some(*digest),
            Kind::Link(target) => Some(digest_of_link(target)),
            _ => None,
        }
    }

    /// Makes a copy of what is at `from` at `to`, where nothing is.
    pub(super) fn copy(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        let made = match &self.kind {
            Kind::File(_) => fs::copy(from, to).map(drop),
            Kind::Link(target) => symlink(target, to),
            Kind::Folder => fs::create_dir(to),
            Kind::Whiteout => {
                rustix::fs::mknodat(CWD, to, FileType::CharacterDevice, Mode::empty(), 0)
                    .map_err(Into::into)
            }
            Kind::Other => return Ok(()),
        };
        made.and_then(|()| self.give(to)).map_err(FileError::at("copy to", to))?;
        if self.opaque {
            set_xattr(to, OPAQUE.as_bytes(), b"y").map_err(FileError::at("copy to", to))?;
        }
        Ok(())
    }

    /// Puts a copy of what is at `from` at `to`, whatever is there; files and links from one moment to the next. A folder
    /// keeps what is in it.
    pub(crate) fn place(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        make_way(self, to)?;
        let folder = to.parent().unwrap_or(to);
        file::create_dir_all(folder)?;
        match &self.kind {
            Kind::File(_) => {
                let mut staged = file::Staged::create(to)?;
                let mut reader = fs::File::open(from).map_err(FileError::at("read", from))?;
                let only_ours = fs::Permissions::from_mode(0o600);
                let file = staged.file();
                file.set_permissions(only_ours)
                    .and_then(|()| io::copy(&mut reader, file))
                    .map_err(FileError::at("write", to))?;
                self.give(staged.path()).map_err(FileError::at("write", to))?;
                staged.commit()
            }
            Kind::Link(target) => {
                let name = to.file_name().unwrap_or_default().to_string_lossy();
                let beside = folder.join(format!(".{name}.{}.part", std::process::id()));
                symlink(target, &beside)
                    .and_then(|()| self.give(&beside))
                    .and_then(|()| fs::rename(&beside, to))
                    .map_err(FileError::at("create the link", to))
            }
            Kind::Folder => {
                let made = if to.exists() { Ok(()) } else { fs::create_dir(to) };
                made.and_then(|()| self.give(to)).map_err(FileError::at("create the folder", to))
            }
            Kind::Whiteout | Kind::Other => Ok(()),
        }
    }

    /// Makes what is at `path` belong to whom this belongs, and gives it the same permissions and attributes.
    fn give(&self, path: &Path) -> io::Result<()> {
        lchown(path, Some(self.uid), Some(self.gid))?;
        if !matches!(self.kind, Kind::File(_) | Kind::Folder) {
            return Ok(());
        }
        let there = xattrs(path)?;
        let foreign = there.keys().filter(|it| !it.starts_with(OVERLAY.as_bytes()));
        for name in foreign.filter(|it| !self.xattrs.contains_key(*it)) {
            rustix::fs::lremovexattr(path, name.as_slice())?;
        }
        for (name, value) in &self.xattrs {
            set_xattr(path, name, value)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(self.mode))
    }
}

/// Removes what is at `path` where `entry` cannot simply take its place.
fn make_way(entry: &Entry, path: &Path) -> Result<(), FileError> {
    let Ok(there) = path.symlink_metadata() else { return Ok(()) };
    let folder = entry.kind == Kind::Folder;
    let removed = match there.is_dir() {
        true if !folder => fs::remove_dir(path),
        false if folder => fs::remove_file(path),
        _ => Ok(()),
    };
    removed.map_err(FileError::at("replace", path))
}

fn set_xattr(path: &Path, name: &[u8], value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())?)
}

/// The extended attributes of a file or folder; none where the filesystem has no such thing.
fn xattrs(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut names = Vec::new();
    match rustix::fs::llistxattr_query(path) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(BTreeMap::new()),
        Ok(length) => names.resize(length, 0),
        Err(error) => return Err(error.into()),
    }
    let length = rustix::fs::llistxattr(path, names.as_mut_slice())?;
    let mut found = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; rustix::fs::lgetxattr_query(path, name)?];
        let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice())?;
        value.truncate(length);
        found.insert(name.to_owned(), value);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(from: &Path, to: &Path) {
        Entry::read(from).unwrap().place(from, to).unwrap();
    }

    #[test]
    fn a_copy_has_bytes_mode_and_attributes_and_links_stay_links() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("from"), "new").unwrap();
        fs::set_permissions(path("from"), fs::Permissions::from_mode(0o640)).unwrap();
        set_xattr(&path("from"), b"user.kept", b"1").unwrap();
        fs::write(path("to"), "old").unwrap();
        set_xattr(&path("to"), b"user.old", b"1").unwrap();
        place(&path("from"), &path("to"));
        assert_eq!(fs::read_to_string(path("to")).unwrap(), "new");
        assert_eq!(Entry::read(&path("to")).unwrap(), Entry::read(&path("from")).unwrap());
        symlink("/nowhere", path("link")).unwrap();
        place(&path("link"), &path("to"));
        assert_eq!(fs::read_link(path("to")).unwrap(), Path::new("/nowhere"));
        fs::create_dir(path("folder")).unwrap();
        place(&path("from"), &path("folder"));
        assert!(path("folder").is_file());
        fs::create_dir(path("other")).unwrap();
        place(&path("other"), &path("to"));
        assert!(path("to").is_dir());
        assert_eq!(dir.path().read_dir().unwrap().count(), 5, "something is left over");
    }
}
