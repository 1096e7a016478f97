//! Which defaults changed underneath the host's edits of them.
//!
//! Nothing in a file says from which default it was edited, so the host notes it: at each boot, before each change and
//! before each rollback. What is edited between the last of these and the next boot was edited from the defaults that
//! were noted last.
//!
//! ```text
//! etc/defaults          the digests of all defaults, as they were the last time
//! etc/edited            for each edited file the digest of the default that it was edited from, or was accepted for it
//! etc/edited-from/      those defaults, named by their digests, as far as they were still there to be copied
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base::Digest;
use base::file::{self, FileError};
use generations::etc::Digests;
use serde::Serialize;

use super::entry::Kind;
use super::view::Tree;

/// What became of the default of an edited file since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Underneath {
    /// It is another; the digest is that of the former one.
    Changed(Digest),
    /// There was none.
    Appeared,
    /// There is none any more.
    Gone,
}

/// What stands for no default.
fn absent() -> Digest {
    Digest::of(b"no default")
}

/// The notes of a host.
#[derive(Clone, Debug)]
pub(super) struct Notes {
    folder: PathBuf,
    /// The default that each edited file was edited from.
    pub(super) edited: Digests,
    /// All defaults as of the last note; `None` before the first one.
    last: Option<Digests>,
}

impl Notes {
    /// The notes on the data filesystem.
    pub(super) fn read(data: &Path) -> Result<Self, FileError> {
        let folder = data.join("etc");
        let edited = Digests::read(&folder.join("edited"))?.unwrap_or_default();
        let last = Digests::read(&folder.join("defaults"))?;
        Ok(Self { folder, edited, last })
    }

    /// Brings the notes up to date with what is edited (`upper`, without copies) over which defaults.
    pub(super) fn update(&mut self, defaults: &Tree, upper: &Tree) {
        let present = digests(defaults);
        let base = |name: &PathBuf| {
            if let Some(noted) = self.edited.0.get(name) {
                return Some(*noted).filter(|it| *it != absent() || present.0.contains_key(name));
            }
            match &self.last {
                None => present.0.get(name).copied(),
                Some(last) => {
                    let former = last.0.get(name).copied();
                    former.or_else(|| present.0.contains_key(name).then(absent))
                }
            }
        };
        let edits = upper.entries.iter().filter(|(_, entry)| entry.kind != Kind::Folder);
        let edited = edits.filter_map(|(name, _)| Some((name.clone(), base(name)?))).collect();
        self.edited = Digests(edited);
        self.last = Some(present);
    }

    /// Writes what changed, and keeps the defaults that were edited.
    pub(super) fn write(&self, defaults: &Tree) -> Result<(), FileError> {
        let kept = self.folder.join("edited-from");
        let needed: BTreeSet<_> = self.edited.0.values().copied().collect();
        for (name, base) in &self.edited.0 {
            let entry = defaults.entries.get(name);
            let copy = kept.join(base.to_string());
            if entry.is_some_and(|it| it.kind == Kind::File(*base)) && !copy.exists() {
                file::replace(&copy, &file::read(&defaults.root.join(name))?)?;
            }
        }
        write(&self.edited, &self.folder.join("edited"))?;
        if let Some(last) = &self.last {
            write(last, &self.folder.join("defaults"))?;
        }
        remove_others(&kept, &needed)
    }

    /// What became of the defaults of edited files.
    pub(super) fn judge(&self, defaults: &Tree) -> BTreeMap<PathBuf, Underneath> {
        let present = digests(defaults);
        let judge = |(name, base): (&PathBuf, &Digest)| {
            let judged = match present.0.get(name) {
                Some(digest) if digest == base => None,
                Some(_) if *base == absent() => Some(Underneath::Appeared),
                Some(_) => Some(Underneath::Changed(*base)),
                None => Some(Underneath::Gone),
            };
            Some((name.clone(), judged?))
        };
        self.edited.0.iter().filter_map(judge).collect()
    }

    /// Takes the present default of `name` for the one that it was edited from.
    pub(super) fn accept(&mut self, name: &Path, defaults: &Tree) {
        match defaults.entries.get(name).and_then(super::entry::Entry::digest) {
            Some(digest) => drop(self.edited.0.insert(name.to_owned(), digest)),
            None => drop(self.edited.0.remove(name)),
        }
    }
}

/// Where the default with this digest is, if it was kept.
pub(super) fn kept(data: &Path, digest: &Digest) -> PathBuf {
    data.join("etc/edited-from").join(digest.to_string())
}

fn digests(tree: &Tree) -> Digests {
    let digest =
        |(name, entry): (&PathBuf, &super::entry::Entry)| Some((name.clone(), entry.digest()?));
    Digests(tree.entries.iter().filter_map(digest).collect())
}

/// Writes a list where it is another: spares the disk.
fn write(list: &Digests, path: &Path) -> Result<(), FileError> {
    if Digests::read(path)?.as_ref() == Some(list) { Ok(()) } else { list.write(path) }
}

/// Removes the files that have none of these names.
fn remove_others(folder: &Path, needed: &BTreeSet<Digest>) -> Result<(), FileError> {
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(FileError::at("read", folder))?,
    };
    for entry in entries {
        let path = entry.map_err(FileError::at("read", folder))?.path();
        let digest = path.file_name().and_then(|it| it.to_str()).and_then(|it| it.parse().ok());
        if !digest.is_some_and(|it: Digest| needed.contains(&it)) {
            fs::remove_file(&path).map_err(FileError::at("remove", &path))?;
        }
    }
    Ok(())
}
