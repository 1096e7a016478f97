//! Shared libraries: the loader's cache, and a check that nothing is missing.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use base::Explain;
use base::file::FileError;
use formats::ldcache::{self, CacheError, Library};

use crate::elf::Linkage;
use crate::path::{ETC, UsrPath};
use crate::tree::{Conflict, Kind, Node, Origin, Tree};

/// Where the loader looks without a configuration, on Debian amd64. Source: ld.so(8).
const USUAL_FOLDERS: [&str; 3] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib", "/usr/lib64"];

/// Libraries are not as they must be.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Programs or libraries need others that no package holds.
    #[error("{} libraries are missing{}", .0.len(), listed(.0))]
    Missing(Vec<Missing>),
    /// A library cannot be in the loader's cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Somebody else has the cache's place.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

/// A library that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The program or library that needs it.
    pub file: UsrPath,
    /// Who holds that.
    pub origin: Origin,
    /// The library, or the path of the loader.
    pub library: String,
}

impl Explain for LibraryError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Cache(error) => error.hint(),
            Self::Conflict(error) => error.hint(),
            Self::Missing(missing) => missing.first().map(|first| {
                format!(
                    "add the package that holds {}, drop {} in its recipe, or allow it to be missing",
                    first.library,
                    first.file.on_host()
                )
            }),
        }
    }
}

fn listed(missing: &[Missing]) -> String {
    let line = |it: &Missing| format!("\n  | {} ({}) needs {}", it.file, it.origin, it.library);
    missing.iter().take(20).map(line).collect()
}

/// Every dynamically linked file of a tree, by its path.
pub(crate) struct Libraries {
    linked: BTreeMap<UsrPath, Linkage>,
    /// The folders that the loader looks into, as they are named, in order.
    folders: Vec<String>,
}

/// What is known while files are loaded one after another.
#[derive(Default)]
struct Loading<'a> {
    reached: BTreeSet<&'a UsrPath>,
    /// What need not be loaded again.
    known: BTreeSet<&'a UsrPath>,
    missing: BTreeSet<(&'a UsrPath, &'a str)>,
    /// What the loader finds in the folders that it searches for everybody.
    usual: HashMap<&'a str, Option<&'a UsrPath>>,
}

impl Libraries {
    /// Reads all files of `tree`.
    pub(crate) fn read(tree: &Tree) -> Result<Self, FileError> {
        let mut linked = BTreeMap::new();
        for (path, node) in tree.iter() {
            let Kind::File(content) = &node.kind else { continue };
            if let Some(linkage) = &content.facts()?.linkage {
                linked.insert(path.clone(), linkage.clone());
            }
        }
        Ok(Self { linked, folders: folders(tree)? })
    }

    /// Finds what is needed and not there. `allowed` names libraries that may be missing.
    ///
    /// Each program is loaded as the loader would: breadth first, and a library that is loaded
    /// already is not looked for again, so that what a program finds serves its libraries too.
    /// Then what no program loads by itself (plugins) must find what it needs alone.
    pub(crate) fn check(
        &self,
        tree: &Tree,
        allowed: &BTreeSet<String>,
    ) -> Result<(), LibraryError> {
        let mut work = Loading::default();
        let is_program = |linkage: &Linkage| linkage.interpreter.is_some();
        for (path, linkage) in self.linked.iter().filter(|(_, linkage)| is_program(linkage)) {
            let loader = linkage.interpreter.iter().filter(|path| tree.resolve(path).is_none());
            work.missing.extend(loader.map(|loader| (path, loader.as_str())));
            self.load(tree, path, &mut work);
        }
        work.known = std::mem::take(&mut work.reached);
        for path in self.linked.keys() {
            if !work.known.contains(path) {
                self.load(tree, path, &mut work);
            }
        }
        let missing = work.missing.into_iter().filter(|(_, name)| !allowed.contains(*name));
        let missing: Vec<_> = missing
            .map(|(path, library)| Missing {
                file: path.clone(),
                origin: tree.get(path.as_str()).map_or(Origin::Implied, |it| it.origin.clone()),
                library: library.to_owned(),
            })
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(LibraryError::Missing(missing)) }
    }

    /// Loads the file at `first` with all that it needs.
    fn load<'a>(&'a self, tree: &'a Tree, first: &'a UsrPath, work: &mut Loading<'a>) {
        let mut names = BTreeSet::new();
        let mut queue = VecDeque::from([first]);
        while let Some(path) = queue.pop_front() {
            let Some(linkage) = self.linked.get(path) else { continue };
            work.reached.insert(path);
            for name in &linkage.needed {
                if !names.insert(name.as_str()) {
                    continue;
                }
                match self.find(tree, (path, name), &mut work.usual) {
                    None => {
                        work.missing.insert((path, name));
                    }
                    Some(found) => {
                        names.extend(self.linked.get(found).and_then(|it| it.soname.as_deref()));
                        if !work.known.contains(found) {
                            queue.push_back(found);
                        }
                    }
                }
            }
        }
    }

    /// What the loader finds as `library` for the file at `path`. Source: ld.so(8).
    fn find<'a>(
        &'a self,
        tree: &'a Tree,
        (path, library): (&UsrPath, &'a str),
        usual: &mut HashMap<&'a str, Option<&'a UsrPath>>,
    ) -> Option<&'a UsrPath> {
        let there = |at: &str| {
            let found = tree.resolve(at).map(|(found, _)| found);
            found.filter(|found| self.linked.contains_key(*found))
        };
        if library.contains('/') {
            return there(library);
        }
        let origin = path.parent().map_or(String::new(), |folder| folder.to_string());
        let own = self.linked.get(path).into_iter().flat_map(|linkage| &linkage.search);
        let own = own.map(|folder| {
            ["$ORIGIN", "${ORIGIN}"]
                .iter()
                .fold(folder.clone(), |folder, name| folder.replace(name, &origin))
                .replace("$LIB", "lib/x86_64-linux-gnu")
        });
        let in_folder = |folder: &str| there(&format!("{folder}/{library}"));
        own.into_iter().find_map(|folder| in_folder(&folder)).or_else(|| {
            let search = || self.folders.iter().find_map(|folder| in_folder(folder));
            *usual.entry(library).or_insert_with(search)
        })
    }

    /// What the loader's cache must hold: the name of each library and where it is, the first
    /// folder that has it.
    fn cached(&self, tree: &Tree) -> BTreeMap<String, String> {
        let mut cached = BTreeMap::new();
        for folder in &self.folders {
            let Some((place, _)) = tree.resolve(folder) else { continue };
            for (name, path, _) in tree.children(place.as_str()) {
                let found = tree.resolve(&path.to_string());
                let linkage = found.and_then(|(found, _)| self.linked.get(found));
                if linkage.is_some_and(|it| it.soname.as_deref() == Some(name)) {
                    cached.entry(name.to_owned()).or_insert_with(|| path.to_string());
                }
            }
        }
        cached
    }

    /// Places the loader's cache below `/usr`, and its link in `/etc`.
    pub(crate) fn place_cache(&self, tree: &mut Tree) -> Result<(), LibraryError> {
        let libraries =
            self.cached(tree).into_iter().map(|(soname, path)| Library { soname, path });
        let bytes = ldcache::encode(&libraries.collect::<Vec<_>>())?;
        let file = Node::file(bytes, Origin::Composed);
        tree.add(UsrPath::fixed("usr/lib/preon/ld.so.cache"), file)?;
        let link = Node::symlink("../usr/lib/preon/ld.so.cache", Origin::Composed);
        Ok(tree.add(UsrPath::fixed("usr/share/preon/etc/ld.so.cache"), link)?)
    }
}

/// The folders of `/etc/ld.so.conf.d`, then the usual ones; each folder once.
fn folders(tree: &Tree) -> Result<Vec<String>, FileError> {
    let mut named = Vec::new();
    for (name, _, node) in tree.children(&format!("{ETC}/ld.so.conf.d")) {
        if let (Some(content), true) = (node.content(), name.ends_with(".conf")) {
            let text = content.text()?;
            let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
            named.extend(lines.filter(|line| line.starts_with('/')).map(str::to_owned));
        }
    }
    named.extend(USUAL_FOLDERS.map(str::to_owned));
    let mut seen = BTreeSet::new();
    let places = named.iter().filter_map(|folder| tree.resolve(folder));
    Ok(places
        .filter(|(path, node)| matches!(node.kind, Kind::Folder) && seen.insert((*path).clone()))
        .map(|(path, _)| path.to_string())
        .collect())
}

#[cfg(test)]
mod tests;
