//! What a host shows at `/usr` as packages: their files with all that composing wants to know of them, written down
//! when the layers were composed, so that a host composes over them without reading them.
//!
//! ```text
//! /usr/lib/preon/index.json           what the image is, and all that was worked out for it
//! /usr/lib/preon/index/NAME.json      a package: its control file, and what it brought
//! ```

mod entry;
mod place;
mod read;

use std::sync::{Arc, OnceLock};

use base::{Digest, parallel};
use packages::control::Control;
use packages::copyright::Licences;
use serde::{Deserialize, Serialize};

use crate::integrate::os_release::Product;
use crate::integrate::{self, Image};
use crate::path::UsrPath;
use crate::tree::{Conflict, Kind, Node, Tree};

pub use place::IndexError;
pub(crate) use place::{keep_written, package_texts, place};
pub use read::ShownError;

/// Where packages are written down.
const FOLDER: &str = "usr/lib/preon/index";
/// Where all else is.
const WHOLE: &str = "usr/lib/preon/index.json";

/// What was asked for when the layers were composed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// What the image adds to its packages.
    pub image: Image,
    /// What the product says about itself.
    pub product: Product,
    /// The time of every file, seconds since 1970.
    pub epoch: u64,
    /// How many bytes are compressed together, at most.
    pub cluster_bytes: u32,
}

/// A package whose files are seen already.
#[derive(Clone, Debug)]
pub struct Package(pub(crate) Arc<Parts>);

/// What a package is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) control: Control,
    pub(crate) digest: Digest,
    pub(crate) suite: String,
    pub(crate) bytes: u64,
    pub(crate) licences: Option<Licences>,
    pub(crate) nodes: Vec<(UsrPath, Node)>,
}

/// All that is seen.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What was asked for.
    pub description: Description,
    /// The packages, by name.
    pub packages: Vec<Package>,
    /// What no package brought, or what takes the place of what one brought.
    composed: Vec<(UsrPath, Node)>,
    tree: OnceLock<Tree>,
}

impl Package {
    /// Its control file, as that of the curated `.deb`.
    pub fn control(&self) -> &Control {
        &self.0.control
    }

    /// The digest of the curated `.deb`.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// All that it brought but folders, each by its path from `/usr` on: `bin/sh`.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let nodes = self.0.nodes.iter().filter(|(_, node)| !matches!(node.kind, Kind::Folder));
        nodes.map(|(path, _)| path.in_layer())
    }

    /// Adds its files to `tree`.
    ///
    /// # Errors
    ///
    /// All that contradicts what `tree` has.
    pub(crate) fn add_to(&self, tree: &mut Tree) -> Result<(), Vec<Conflict>> {
        let nodes = self.0.nodes.iter().cloned();
        let conflicts: Vec<_> =
            nodes.filter_map(|(path, node)| tree.add(path, node).err()).collect();
        if conflicts.is_empty() { Ok(()) } else { Err(conflicts) }
    }
}

impl Shown {
    /// Works out what composing over this begins with, and reads what it is going to look into, several files at once:
    /// one after another, each would be waited for.
    pub fn read_ahead(&self) {
        let _ = self.tree(); // conflicts are told to whoever wants it
        let nodes = self.packages.iter().flat_map(|package| &package.0.nodes);
        let looked_into = nodes.filter(|(path, _)| integrate::looks_into(path.as_str()));
        let contents: Vec<_> = looked_into.filter_map(|(_, node)| node.content()).collect();
        // What cannot be read is reported by whoever wants it.
        parallel::each(&contents, read::READERS, |content| drop(content.bytes()));
    }

    /// The tree that is seen.
    ///
    /// # Errors
    ///
    /// What packages disagree about: never what this code composed.
    pub(crate) fn tree(&self) -> Result<&Tree, Vec<Conflict>> {
        if let Some(tree) = self.tree.get() {
            return Ok(tree);
        }
        let mut tree = Tree::default();
        for package in &self.packages {
            package.add_to(&mut tree)?;
        }
        for (path, node) in &self.composed {
            // For the folders above; a package's own file may be there.
            let _ = tree.replace(path.clone(), node.clone());
            tree.put(path.clone(), node.clone());
        }
        Ok(self.tree.get_or_init(|| tree))
    }
}

#[cfg(test)]
mod tests;
