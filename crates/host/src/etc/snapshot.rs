//! Snapshots of the upper side of `/etc`, in the folder of the generation that ran: what the host was configured to be
//! when it was left, or before something was brought back.
//!
//! ```text
//! generations/N/etc.K/about.json    when and why; K counts from 1
//! generations/N/etc.K/edited        the digests of the defaults that the files were edited from
//! generations/N/etc.K/upper/        the files; those that are as in an earlier snapshot are the same files
//! ```
//!
//! They go with the generation.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base::Explain;
use base::file::{self, FileError};
use generations::etc::Digests;
use generations::{Generation, Store};
use serde::{Deserialize, Serialize};

use super::EtcError;
use super::entry::Kind;
use super::view::Tree;
use crate::transaction::now;

/// What a snapshot is called: `3` for the newest one of generation 3, `3.1` for its first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The generation that ran.
    pub generation: Generation,
    /// Which of its snapshots, from 1; the newest one where it is missing.
    pub number: Option<u64>,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "{}.{number}", self.generation.0),
            None => write!(f, "{}", self.generation.0),
        }
    }
}

/// It is no name of a snapshot.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither a generation, such as 3, nor one of its snapshots, such as 3.1")]
pub struct BadName(String);

impl Explain for BadName {}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| BadName(text.to_owned()));
        let (generation, of) = match text.split_once('.') {
            Some((generation, of)) => (generation, Some(number(of)?)),
            None => (text, None),
        };
        Ok(Self { generation: Generation(number(generation)?), number: of })
    }
}

/// A snapshot.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What it is called, with its number.
    pub name: Name,
    /// When and why it was made.
    pub about: About,
    folder: PathBuf,
}

/// When and why a snapshot was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// When, seconds since 1970.
    pub at: u64,
    /// Before what: `install git`.
    pub why: String,
    /// What no copy was made of: sockets, pipes, devices.
    #[serde(default)]
    pub left_out: Vec<PathBuf>,
}

impl Snapshot {
    pub(super) fn tree(&self) -> Result<Tree, FileError> {
        Tree::read(&self.folder.join("upper"))
    }

    pub(super) fn edited(&self) -> Result<Digests, FileError> {
        Ok(Digests::read(&self.folder.join("edited"))?.unwrap_or_default())
    }
}

/// A snapshot that was asked for.
#[derive(Debug)]
pub struct Kept {
    /// The snapshot.
    pub name: Name,
    /// Where it is, if it is new.
    new: Option<PathBuf>,
}

impl Kept {
    /// Takes it back, if it was made for what did not come about.
    pub fn undo(&self) {
        if let Some(folder) = &self.new {
            let _ = file::remove_folder(folder); // it would only take room
        }
    }
}

/// All snapshots, oldest generation first.
///
/// # Errors
///
/// [`EtcError`].
pub fn all(store: &Store) -> Result<Vec<Snapshot>, EtcError> {
    let mut found = Vec::new();
    for generation in store.generations()? {
        found.extend(of(store, generation)?);
    }
    Ok(found)
}

/// The snapshots of a generation, oldest first.
fn of(store: &Store, generation: Generation) -> Result<Vec<Snapshot>, EtcError> {
    let folder = store.generation_folder(generation);
    let mut found = Vec::new();
    for entry in folder.read_dir().map_err(FileError::at("read", &folder))? {
        let folder = entry.map_err(FileError::at("read", &folder))?.path();
        let number = folder.file_name().and_then(|it| it.to_str()?.strip_prefix("etc."));
        let Some(number) = number.and_then(|it| it.parse().ok()) else { continue };
        let about = fs::read(folder.join("about.json")).unwrap_or_default();
        let about = serde_json::from_slice(&about).unwrap_or_default(); // damaged: the files count
        found.push(Snapshot { name: Name { generation, number: Some(number) }, about, folder });
    }
    found.sort_by_key(|it| it.name);
    Ok(found)
}

/// The snapshot `name`.
pub(super) fn find(store: &Store, name: Name) -> Result<Snapshot, EtcError> {
    let known = store.generations()?.contains(&name.generation);
    let all = if known { of(store, name.generation)? } else { Vec::new() };
    let is = |it: &Snapshot| name.number.is_none() || it.name == name;
    all.into_iter().rfind(is).ok_or(EtcError::NoSnapshot(name))
}

/// Makes a snapshot of `upper`, unless the newest one of `generation` is the same.
pub(super) fn keep(
    store: &Store,
    generation: Generation,
    why: &str,
    (upper, edited): (&Tree, &Digests),
) -> Result<Kept, EtcError> {
    let mut number = 1;
    if let Some(newest) = of(store, generation)?.pop() {
        if newest.tree()?.entries == upper.entries && newest.edited()? == *edited {
            return Ok(Kept { name: newest.name, new: None });
        }
        number += newest.name.number.unwrap_or_default();
    }
    let earlier = match all(store)?.pop() {
        Some(snapshot) => Some(snapshot.tree()?),
        None => None,
    };
    let about = About { at: now(), why: why.to_owned(), left_out: upper.odd.clone() };
    let target = store.generation_folder(generation).join(format!("etc.{number}"));
    file::create_folder(&target, |folder| {
        let only_ours = fs::Permissions::from_mode(0o700);
        fs::set_permissions(folder, only_ours).map_err(FileError::at("protect", folder))?;
        let json = serde_json::to_vec_pretty(&about).unwrap_or_default(); // our types always can
        file::replace(&folder.join("about.json"), &json)?;
        edited.write(&folder.join("edited"))?;
        copy(upper, earlier.as_ref(), &folder.join("upper"))
    })?;
    Ok(Kept { name: Name { generation, number: Some(number) }, new: Some(target) })
}

/// Copies a tree; files that are in `earlier`, too, are linked: nobody ever changes one in a snapshot.
fn copy(tree: &Tree, earlier: Option<&Tree>, to: &Path) -> Result<(), FileError> {
    file::create_dir_all(to)?;
    for (name, entry) in &tree.entries {
        let same = earlier.filter(|it| it.entries.get(name) == Some(entry));
        let same = same.filter(|_| matches!(entry.kind, Kind::File(_)));
        let linked =
            same.is_some_and(|it| fs::hard_link(it.root.join(name), to.join(name)).is_ok());
        if !linked {
            entry.copy(&tree.root.join(name), &to.join(name))?;
        }
    }
    Ok(())
}
