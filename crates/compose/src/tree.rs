//! The merged tree of a layer, in memory: which file comes from where, and who owns it.

mod content;
mod resolve;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;

use base::Explain;
use formats::PackageName;

pub use content::{Content, Reader, Spool};
pub(crate) use content::{IN_MEMORY, Known, SpoolError};

use crate::path::UsrPath;

/// Everything that a layer will hold. Folders above a path are always there.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: BTreeMap<UsrPath, Node>,
    /// A folder of it: most often the next node lies there, too.
    folder: Option<UsrPath>,
}

/// A file, folder or link with its attributes.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, at most `0o7777`.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Extended attributes by full name (`security.capability`).
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// Where it comes from.
    pub origin: Origin,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A plain file. Nodes that share one content are names of one file (hard links).
    File(Arc<Content>),
    /// A symbolic link to this text.
    Symlink(String),
    /// Says that a lower layer's file of this name is gone.
    Whiteout,
}

/// Where a node comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is a folder above something; nobody has said what it is like.
    Implied,
    /// A package holds it.
    Package(PackageName),
    /// The image definition says so.
    Image,
    /// It was worked out from the others.
    Composed,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Implied => write!(f, "a file below it"),
            Self::Package(name) => write!(f, "the package {name}"),
            Self::Image => write!(f, "the image definition"),
            Self::Composed => write!(f, "composing itself"),
        }
    }
}

/// Two sources want different things at one path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Both have a file or link there.
    #[error("{path} is in {first} and in {second}")]
    Twice {
        /// Where.
        path: UsrPath,
        /// One of them.
        first: Origin,
        /// The other.
        second: Origin,
    },
    /// Both have the folder, with another mode or owner.
    #[error(
        "the folder {path} is {first_attributes} in {first}, but {second_attributes} in {second}"
    )]
    Attributes {
        /// Where.
        path: UsrPath,
        /// One of them.
        first: Origin,
        /// Mode and owner there.
        first_attributes: String,
        /// The other.
        second: Origin,
        /// Mode and owner there.
        second_attributes: String,
    },
    /// One has something below what is no folder in the other.
    #[error("{path} is in {second}, but {above} is no folder in {first}")]
    BelowFile {
        /// What is below.
        path: UsrPath,
        /// What is no folder.
        above: UsrPath,
        /// Who has `above`.
        first: Origin,
        /// Who has `path`.
        second: Origin,
    },
}

impl Explain for Conflict {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Twice { path, second: Origin::Composed, .. } => Some(format!(
                "drop {} in the recipe of that package: it is worked out from the others",
                path.on_host()
            )),
            Self::Twice { path, .. } | Self::BelowFile { above: path, .. } => {
                Some(format!("drop {} in the recipe of one of the two", path.on_host()))
            }
            Self::Attributes { path, .. } => Some(format!(
                "drop {} in the recipe of one of the two, or give it one owner by `tmpfiles`",
                path.on_host()
            )),
        }
    }
}

impl Node {
    /// A node of `kind` that belongs to root, with the usual mode of its kind.
    pub fn new(kind: Kind, origin: Origin) -> Self {
        let mode = match kind {
            Kind::Folder => 0o755,
            Kind::File(_) => 0o644,
            Kind::Symlink(_) => 0o777,
            Kind::Whiteout => 0,
        };
        Self { kind, mode, uid: 0, gid: 0, xattrs: BTreeMap::new(), origin }
    }

    /// A small file that belongs to root and that all may read.
    pub fn file(bytes: impl Into<Vec<u8>>, origin: Origin) -> Self {
        Self::new(Kind::File(Arc::new(Content::of_bytes(bytes))), origin)
    }

    /// A symbolic link to `target`.
    pub fn symlink(target: impl Into<String>, origin: Origin) -> Self {
        Self::new(Kind::Symlink(target.into()), origin)
    }

    /// The content, if it is a plain file.
    pub fn content(&self) -> Option<&Content> {
        match &self.kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }

    fn attributes(&self) -> String {
        let names: Vec<_> = self.xattrs.keys().map(String::as_str).collect();
        let xattrs = if names.is_empty() { String::new() } else { format!(" {}", names.join(" ")) };
        format!("{:04o} {}:{}{xattrs}", self.mode, self.uid, self.gid)
    }

    pub(crate) fn same_attributes(&self, other: &Self) -> bool {
        (self.mode, self.uid, self.gid, &self.xattrs)
            == (other.mode, other.uid, other.gid, &other.xattrs)
    }
}

impl Default for Tree {
    fn default() -> Self {
        let root = Node::new(Kind::Folder, Origin::Implied);
        Self { nodes: [(UsrPath::fixed("usr"), root)].into(), folder: None }
    }
}

impl Tree {
    /// Adds what one source has. Folders merge; the order of adding does not matter.
    ///
    /// # Errors
    ///
    /// [`Conflict`] with what another source has; the tree is then as before.
    pub fn add(&mut self, path: UsrPath, node: Node) -> Result<(), Conflict> {
        if self.folder.as_ref().map(UsrPath::as_str) != path.above() {
            self.imply_above(&path, &node.origin)?;
            self.folder = path.parent();
        }
        let old = match self.nodes.entry(path) {
            Entry::Occupied(old) => old,
            Entry::Vacant(place) => {
                place.insert(node);
                return Ok(());
            }
        };
        let (path, old) = (old.key().clone(), old.into_mut());
        match (&old.kind, &node.kind) {
            (Kind::Folder, Kind::Folder) if node.origin == Origin::Implied => {}
            (Kind::Folder, Kind::Folder) if old.origin == Origin::Implied => *old = node,
            (Kind::Folder, Kind::Folder) if old.same_attributes(&node) => {}
            (Kind::Folder, Kind::Folder) => {
                return Err(Conflict::Attributes {
                    path,
                    first: old.origin.clone(),
                    first_attributes: old.attributes(),
                    second_attributes: node.attributes(),
                    second: node.origin,
                });
            }
            _ => {
                return Err(Conflict::Twice {
                    path,
                    first: old.origin.clone(),
                    second: node.origin,
                });
            }
        }
        Ok(())
    }

    /// Adds what takes precedence over whatever file or link is there.
    ///
    /// # Errors
    ///
    /// [`Conflict`] if a folder is there, or a file above it.
    pub fn replace(&mut self, path: UsrPath, node: Node) -> Result<(), Conflict> {
        match self.nodes.get(&path).map(|old| &old.kind) {
            Some(Kind::Folder) | None => self.add(path, node),
            Some(_) => {
                self.nodes.insert(path, node);
                Ok(())
            }
        }
    }

    /// Puts a node in its place, whatever was there. The caller has put the folders above.
    pub(crate) fn put(&mut self, path: UsrPath, node: Node) {
        self.folder = None;
        self.nodes.insert(path, node);
    }

    fn imply_above(&mut self, path: &UsrPath, origin: &Origin) -> Result<(), Conflict> {
        let Some(above) = path.above() else { return Ok(()) };
        let found = self.nodes.get(above);
        if matches!(found, Some(Node { kind: Kind::Folder, .. })) {
            return Ok(());
        }
        let Some(above) = path.parent() else { return Ok(()) };
        match found {
            Some(node) => Err(Conflict::BelowFile {
                path: path.clone(),
                above,
                first: node.origin.clone(),
                second: origin.clone(),
            }),
            None => {
                self.imply_above(&above, origin)?;
                self.nodes.insert(above, Node::new(Kind::Folder, Origin::Implied));
                Ok(())
            }
        }
    }

    /// What is at `path`, written without a slash in front.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Everything, folders before what is in them.
    pub fn iter(&self) -> impl Iterator<Item = (&UsrPath, &Node)> {
        self.nodes.iter()
    }

    /// Everything below the folder `path`, in order.
    pub fn below(&self, path: &str) -> impl Iterator<Item = (&UsrPath, &Node)> {
        let prefix = format!("{path}/");
        self.nodes
            .range::<str, _>((
                std::ops::Bound::Included(prefix.as_str()),
                std::ops::Bound::Unbounded,
            ))
            .take_while(move |(path, _)| path.as_str().starts_with(&prefix))
    }

    /// What is right in the folder `path`: name, path and node, in order of names.
    pub fn children<'a>(
        &'a self,
        path: &str,
    ) -> impl Iterator<Item = (&'a str, &'a UsrPath, &'a Node)> {
        let skip = path.len() + 1;
        self.below(path).filter_map(move |(path, node)| {
            let name = &path.as_str()[skip..];
            (!name.contains('/')).then_some((name, path, node))
        })
    }
}

#[cfg(test)]
mod tests;
