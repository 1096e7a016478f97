//! Defaults that were copied into `/etc` while the host ran, because `/etc` is laid over the defaults once a boot only.
//!
//! A list beside the upper side of `/etc` says which files are such copies and what they held. At boot, those that
//! nobody has touched since are dropped, so that the defaults of the generation that boots are seen again; with a
//! rollback, those of the older one.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use base::Digest;
use base::file::{self, FileError};

/// The defaults for `/etc`, below `/usr`.
pub const DEFAULTS: &str = "share/preon/etc";

/// The files of the host's own `/etc`, on the data filesystem that is mounted at `data`.
pub fn upper(data: &Path) -> PathBuf {
    data.join("etc/upper")
}

/// Files below `/etc`, each with a digest of what it held once.
///
/// In a file: a line each, the digest, a space, the path below `/etc`. Names that no line can hold are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests(pub BTreeMap<PathBuf, Digest>);

impl Digests {
    /// The list in the file at `path`; `None` where there is no such file. Lines that make no sense are left out.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn read(path: &Path) -> Result<Option<Self>, FileError> {
        let bytes = match file::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.source.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&bytes);
        let line = |line: &str| {
            let (digest, path) = line.split_once(' ')?;
            let plain = |it| matches!(it, std::path::Component::Normal(_));
            let path = Path::new(path);
            path.components().all(plain).then_some((path.to_owned(), digest.parse().ok()?))
        };
        Ok(Some(Self(text.lines().filter_map(line).collect())))
    }

    /// Writes the list to the file at `path`.
    ///
    /// # Errors
    ///
    /// [`FileError`]; the list is as before then.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        let line = |(path, digest): (&PathBuf, _)| {
            let path = path.to_str().filter(|it| !it.contains(['\n', '\r']))?;
            Some(format!("{digest} {path}\n"))
        };
        let text: String = self.0.iter().filter_map(line).collect();
        file::replace(path, text.as_bytes())
    }
}

/// Which files of the upper side of `/etc` are copies of defaults, with a digest of what was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies(Digests);

impl Copies {
    /// The list on the data filesystem; empty where there is none. What its damaged lines are about is taken for an
    /// edit of the host's.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn read(data: &Path) -> Result<Self, FileError> {
        Ok(Self(Digests::read(&list(data))?.unwrap_or_default()))
    }

    /// Writes the list.
    ///
    /// # Errors
    ///
    /// [`FileError`]; the list is as before then.
    pub fn write(&self, data: &Path) -> Result<(), FileError> {
        self.0.write(&list(data))
    }

    /// Notes that `name`, below `/etc`, is a copy of the default at `from`.
    ///
    /// # Errors
    ///
    /// [`FileError`] if that cannot be read.
    pub fn note(&mut self, name: &Path, from: &Path) -> Result<(), FileError> {
        self.0.0.insert(name.to_owned(), digest(from).map_err(FileError::at("read", from))?);
        Ok(())
    }

    /// Notes that `name` is an edit from now on, whatever it holds.
    pub fn forget(&mut self, name: &Path) {
        self.0.0.remove(name);
    }

    /// Whether `name` was copied, and what it holds, by its digest, is still the same.
    pub fn is(&self, name: &Path, held: &Digest) -> bool {
        self.0.0.get(name) == Some(held)
    }

    /// Whether `name` is still what was copied.
    ///
    /// # Errors
    ///
    /// [`FileError`] if it cannot be read.
    pub fn holds(&self, data: &Path, name: &Path) -> Result<bool, FileError> {
        if !self.0.0.contains_key(name) {
            return Ok(false);
        }
        let path = upper(data).join(name);
        match digest(&path) {
            Ok(found) => Ok(self.is(name, &found)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(FileError::at("read", &path)(error)),
        }
    }
}

/// Removes the copies that nobody has touched, before `/etc` is mounted.
///
/// # Errors
///
/// [`FileError`]; what is left is tried again at the next boot.
pub fn drop_copies(data: &Path) -> Result<(), FileError> {
    let copies = Copies::read(data)?;
    if copies == Copies::default() {
        return Ok(());
    }
    for name in copies.0.0.keys() {
        if copies.holds(data, name)? {
            let path = upper(data).join(name);
            fs::remove_file(&path).map_err(FileError::at("remove", &path))?;
        }
    }
    Copies::default().write(data)
}

fn list(data: &Path) -> PathBuf {
    data.join("etc/copied")
}

/// What a file holds, or where a link leads.
fn digest(path: &Path) -> io::Result<Digest> {
    if path.symlink_metadata()?.is_symlink() {
        return Ok(digest_of_link(&fs::read_link(path)?));
    }
    Digest::of_file(path)
}

/// The digest that stands in [`Digests`] for a link that leads to `target`.
pub fn digest_of_link(target: &Path) -> Digest {
    Digest::of(format!("-> {}", target.display()).as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn copies_that_nobody_touched_are_dropped_and_edits_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (data, default) = (dir.path(), dir.path().join("default"));
        let etc = |name: &str| upper(data).join(name);
        file::replace(&etc("same"), b"copied").unwrap();
        file::replace(&etc("edited"), b"copied").unwrap();
        file::replace(&etc("own"), b"copied").unwrap();
        symlink("/there", etc("link")).unwrap();
        fs::write(&default, "copied").unwrap();
        let mut copies = Copies::read(data).unwrap();
        for name in ["same", "edited", "gone"] {
            copies.note(Path::new(name), &default).unwrap();
        }
        copies.note(Path::new("link"), &etc("link")).unwrap();
        copies.write(data).unwrap();
        fs::write(etc("edited"), "by hand").unwrap();
        assert_eq!(Copies::read(data).unwrap(), copies);

        drop_copies(data).unwrap();
        let mut left: Vec<_> =
            upper(data).read_dir().unwrap().map(|it| it.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["edited", "own"]);
        assert_eq!(fs::read(etc("edited")).unwrap(), b"by hand");
        assert_eq!(Copies::read(data).unwrap(), Copies::default(), "nothing is a copy any more");
        fs::write(etc("edited"), "copied").unwrap();
        drop_copies(data).unwrap();
        assert!(etc("edited").exists(), "what was an edit stays one");
    }

    #[test]
    fn a_damaged_list_drops_nothing_and_never_leaves_etc() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path();
        let victim = data.join("victim");
        fs::write(&victim, "x").unwrap();
        let digest = Digest::of(b"x");
        let text =
            format!("{digest} ../../victim\n{digest} {}\nrubbish\n\u{fffd}", victim.display());
        file::replace(&list(data), text.as_bytes()).unwrap();
        drop_copies(data).unwrap();
        assert!(victim.exists());
    }
}
