//! What a tree has over another one: the layer that lies on the other's, so that both together show the tree.
//!
//! Source: the kernel's Documentation/filesystems/overlayfs.rst, "Upper and Lower", "whiteouts and opaque directories":
//! folders of both sides merge with the upper one's attributes, anything else hides what lies below it, and a
//! character device 0/0 hides without showing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::Arc;

use base::file::FileError;

use crate::path::UsrPath;
use crate::tree::{Content, Kind, Node, Origin, Tree};

/// The tree to lay over `base` for `whole` to be seen. Folders above what differs are in it.
///
/// # Errors
///
/// [`FileError`] if a content cannot be read.
pub(crate) fn over(base: &Tree, whole: &Tree) -> Result<Tree, FileError> {
    let mut shown = BTreeSet::new();
    let (names, names_below) = (links(whole), links(base));
    for (path, node) in whole.iter() {
        let same_names = names.get(path) == names_below.get(path);
        let below = base.get(path.as_str());
        if !same_names || !below.map_or(Ok(false), |below| same(below, node))? {
            // A file of several names is shown by all of them, or it would be two files.
            shown.extend(names.get(path).into_iter().flatten().copied().chain([path]));
        }
    }
    let is_folder = |tree: &Tree, path: &UsrPath| {
        tree.get(path.as_str()).is_some_and(|node| matches!(node.kind, Kind::Folder))
    };
    let mut hidden = Vec::new();
    for (path, _) in base.iter().filter(|(path, _)| whole.get(path.as_str()).is_none()) {
        // Below what is hidden or replaced by a file, nothing is seen anyway.
        if path.parent().is_some_and(|above| is_folder(whole, &above)) {
            hidden.push(path.clone());
        }
    }
    let mut delta = Tree::default();
    let all: BTreeSet<_> = shown.into_iter().chain(&hidden).flat_map(with_above).collect();
    for path in all {
        let node = match whole.get(path.as_str()) {
            Some(node) => node.clone(),
            None => Node::new(Kind::Whiteout, Origin::Composed),
        };
        delta.put(path, node);
    }
    Ok(delta)
}

/// `path` and the folders above it.
fn with_above(path: &UsrPath) -> Vec<UsrPath> {
    let mut all = vec![path.clone()];
    while let Some(above) = all.last().and_then(UsrPath::parent) {
        all.push(above);
    }
    all
}

/// The names of each file that has several, by each of them.
fn links(tree: &Tree) -> BTreeMap<&UsrPath, Vec<&UsrPath>> {
    let mut names: BTreeMap<*const Content, Vec<&UsrPath>> = BTreeMap::new();
    for (path, node) in tree.iter() {
        if let Kind::File(content) = &node.kind {
            names.entry(Arc::as_ptr(content)).or_default().push(path);
        }
    }
    let several = names.into_values().filter(|names| names.len() > 1);
    several
        .flat_map(|names| names.clone().into_iter().map(move |path| (path, names.clone())))
        .collect()
}

/// Whether nobody could tell the two apart, but for what a folder holds.
fn same(one: &Node, other: &Node) -> Result<bool, FileError> {
    if !one.same_attributes(other) {
        return Ok(false);
    }
    match (&one.kind, &other.kind) {
        (Kind::Folder, Kind::Folder) => Ok(true),
        (Kind::Symlink(one), Kind::Symlink(other)) => Ok(one == other),
        (Kind::File(one), Kind::File(other)) => {
            let read = FileError::at("compare", "the contents of two layers");
            same_bytes(one, other).map_err(read)
        }
        _ => Ok(false),
    }
}

fn same_bytes(one: &Content, other: &Content) -> io::Result<bool> {
    if std::ptr::eq(one, other) {
        return Ok(true);
    }
    if one.len() != other.len() {
        return Ok(false);
    }
    if one.has_digest() || other.has_digest() {
        return Ok(one.digest()? == other.digest()?);
    }
    let (mut one, mut other) = (one.reader(), other.reader());
    let (mut buffer, mut against) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let count = one.read(&mut buffer)?;
        if count == 0 {
            return Ok(true);
        }
        other.read_exact(&mut against[..count])?;
        if buffer[..count] != against[..count] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests;
