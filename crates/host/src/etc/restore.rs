//! Bringing back files of `/etc`, through its mount: a default, or what a snapshot holds.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base::file::FileError;
use generations::etc::{Copies, Digests};

use super::drift::{self, Difference, What};
use super::snapshot::{self, Name};
use super::view::lay;
use super::{EtcError, Sides, select};
use crate::Host;

/// What comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// The image's default.
    Default,
    /// What a snapshot holds.
    Snapshot(Name),
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Restored {
    /// How what was there differed from what is there now.
    pub differences: Vec<Difference>,
    /// The snapshot that holds what was there; missing for a dry run, and where nothing differed.
    pub kept: Option<Name>,
}

/// Brings back these files, below `/etc`, and what is in these folders; all for none. What was there is in a snapshot of
/// the running generation then.
///
/// A default that comes back is followed by later ones again: at the next boot the copy that is made now is dropped.
///
/// # Errors
///
/// [`EtcError`]; what came back by then stays, and what was there is in the snapshot.
pub fn restore(
    host: &Host,
    names: &[PathBuf],
    to: To,
    dry_run: bool,
) -> Result<Restored, EtcError> {
    let _lock = host.store.lock()?;
    let generation = host.running.ok_or(EtcError::Asleep)?;
    let mut sides = Sides::read(host)?;
    let (target, then) = match to {
        To::Default => (sides.image(), Digests::default()),
        To::Snapshot(name) => {
            let snapshot = snapshot::find(&host.store, name)?;
            (lay(&sides.defaults, &snapshot.tree()?), snapshot.edited()?)
        }
    };
    let now = sides.now();
    let known = |name: &Path| target.keys().chain(now.keys()).any(|it| it.starts_with(name));
    if let Some(name) = names.iter().find(|name| !known(name)) {
        return Err(EtcError::Unknown(name.clone()));
    }
    let differences = chosen(drift::differences(&target, &now), names);
    if dry_run || differences.is_empty() {
        return Ok(Restored { differences, kept: None });
    }
    let why = "etc restore";
    let kept = snapshot::keep(&host.store, generation, why, (&sides.upper, &sides.notes.edited))?;
    note(&mut sides, &differences, &then)?;
    let etc = host.root.below("/etc");
    for gone in differences.iter().rev().filter(|it| it.before.is_none()) {
        remove(&etc.join(&gone.path))?;
    }
    for difference in &differences {
        if let (Some(entry), Some(from)) = (&difference.before, &difference.before_at) {
            entry.place(from, &etc.join(&difference.path))?;
        }
    }
    Ok(Restored { differences, kept: Some(kept.name) })
}

/// What to bring back: what was named, and the folders above it that are missing.
fn chosen(all: Vec<Difference>, names: &[PathBuf]) -> Vec<Difference> {
    let named: Vec<_> = select(all.clone(), names, |it| &it.path);
    let comes = named.iter().filter(|it| it.before.is_some());
    let above: BTreeSet<PathBuf> =
        comes.flat_map(|it| it.path.ancestors().skip(1)).map(Path::to_owned).collect();
    let lacks = |it: &Difference| matches!(it.what, What::Removed | What::Changed);
    let needed = |it: &Difference| lacks(it) && above.contains(&it.path);
    let is_named = |it: &Difference| named.iter().any(|named| named.path == it.path);
    all.into_iter().filter(|it| is_named(it) || needed(it)).collect()
}

/// Notes, before it is done, which files are copies of defaults then, and which ones are edits of which default.
fn note(sides: &mut Sides, differences: &[Difference], then: &Digests) -> Result<(), FileError> {
    let mut copies: Copies = sides.copies.clone();
    for difference in differences {
        let path = &difference.path;
        copies.forget(path);
        sides.notes.edited.0.remove(path);
        if let Some(base) = then.0.get(path) {
            sides.notes.edited.0.insert(path.clone(), *base);
        }
        // What hides the defaults would hide this one, too, once its copy is dropped.
        let followed = difference.to_default && !sides.upper.hides_above(path);
        let digest = difference.before.as_ref().and_then(super::Entry::digest);
        if let (true, Some(_), Some(from)) = (followed, digest, &difference.before_at) {
            copies.note(path, from)?;
        }
    }
    sides.notes.write(&sides.defaults)?;
    copies.write(&sides.data)
}

/// Removes a file or an empty folder; none is as good, and a folder with something in it stays.
fn remove(path: &Path) -> Result<(), FileError> {
    let folder = path.symlink_metadata().is_ok_and(|about| about.is_dir());
    let removed = if folder { fs::remove_dir(path) } else { fs::remove_file(path) };
    match removed {
        Err(error)
            if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) =>
        {
            Err(FileError::at("remove", path)(error))
        }
        _ => Ok(()),
    }
}
