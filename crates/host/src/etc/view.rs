//! Trees of files, and what is seen where one lies over another.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base::file::FileError;
use generations::etc::Copies;

use super::entry::{Entry, Kind};

/// The files below one folder.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) root: PathBuf,
    /// By path below the root; a folder before what is in it.
    pub(super) entries: BTreeMap<PathBuf, Entry>,
    /// What is there and is no configuration: sockets, pipes, devices.
    pub(super) odd: Vec<PathBuf>,
}

impl Tree {
    /// What is in the folder `root`: nothing where there is none.
    pub(super) fn read(root: &Path) -> Result<Self, FileError> {
        let mut tree = Self { root: root.to_owned(), entries: BTreeMap::new(), odd: Vec::new() };
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let path = root.join(&folder);
            let found = match path.read_dir() {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                found => found.map_err(FileError::at("read", &path))?,
            };
            for item in found {
                let name = folder.join(item.map_err(FileError::at("read", &path))?.file_name());
                match Entry::read(&root.join(&name)) {
                    Err(error) if error.source.kind() == ErrorKind::NotFound => {} // gone since
                    entry => tree.add(name, entry?, &mut folders),
                }
            }
        }
        tree.odd.sort();
        Ok(tree)
    }

    fn add(&mut self, name: PathBuf, entry: Entry, folders: &mut Vec<PathBuf>) {
        if entry.kind == Kind::Other {
            self.odd.push(name);
            return;
        }
        if entry.kind == Kind::Folder {
            folders.push(name.clone());
        }
        self.entries.insert(name, entry);
    }

    /// The same without untouched copies of defaults: these are no edits.
    pub(super) fn without(mut self, copies: &Copies) -> Self {
        self.entries
            .retain(|name, entry| !entry.digest().is_some_and(|digest| copies.is(name, &digest)));
        self
    }

    /// Whether something above `name` hides all that is beneath.
    pub(super) fn hides_above(&self, name: &Path) -> bool {
        let above = name.ancestors().skip(1).filter_map(|it| self.entries.get(it));
        above.into_iter().any(|it| it.opaque || it.kind != Kind::Folder)
    }
}

/// What is seen at a place, and where its bytes are.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) entry: Entry,
    pub(super) at: PathBuf,
    /// Whether it is of the upper tree.
    pub(super) edited: bool,
}

/// What is seen, by path.
pub(super) type View = BTreeMap<PathBuf, Seen>;

/// What is seen where `upper` lies over `defaults`, as overlayfs shows it.
pub(super) fn lay(defaults: &Tree, upper: &Tree) -> View {
    let seen = |tree: &Tree, name: &PathBuf, entry: &Entry, edited| {
        let entry = Entry { opaque: false, ..entry.clone() };
        (name.clone(), Seen { entry, at: tree.root.join(name), edited })
    };
    let mut view: View =
        defaults.entries.iter().map(|(name, entry)| seen(defaults, name, entry, false)).collect();
    for (name, entry) in &upper.entries {
        let merges = |it: &Seen| it.entry.kind == Kind::Folder;
        let merged = entry.kind == Kind::Folder && !entry.opaque;
        if !merged || !view.get(name).is_some_and(merges) {
            view.retain(|it, _| !it.starts_with(name));
        }
        if entry.kind != Kind::Whiteout {
            view.extend([seen(upper, name, entry, true)]);
        }
    }
    view
}
