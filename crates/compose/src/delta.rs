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
    let is_folder = |tree: &Tree, path: &UsrPath| {
        tree.get(path.as_str()).is_some_and(|node| matches!(node.kind, Kind::Folder))
    };
    let mut hidden = Vec::new();
    let mut below = base.iter().peekable();
    for (path, node) in whole.iter() {
        while let Some((gone, _)) = below.next_if(|(below, _)| *below < path) {
            hidden.push(gone);
        }
        let below = below.next_if(|(below, _)| *below == path).map(|(_, node)| node);
        let same_names = names.get(path) == names_below.get(path);
        if !same_names || !below.map_or(Ok(false), |below| same(below, node))? {
            // A file of several names is shown by all of them, or it would be two files.
            shown.extend(names.get(path).into_iter().flatten().copied().chain([path]));
        }
    }
    hidden.extend(below.map(|(gone, _)| gone));
    // Below what is hidden or replaced by a file, nothing is seen anyway.
    hidden.retain(|path| path.parent().is_some_and(|above| is_folder(whole, &above)));
    let mut delta = Tree::default();
    let all: BTreeSet<_> = shown.into_iter().chain(hidden).flat_map(with_above).collect();
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
    let content = |(path, node)| Some((Arc::as_ptr(content_of(node)?), path));
    let mut names: Vec<(*const Content, &UsrPath)> = tree.iter().filter_map(content).collect();
    names.sort_by_key(|(content, _)| *content); // stable: the paths of one file stay sorted
    let mut links = BTreeMap::new();
    for several in names.chunk_by(|(one, _), (other, _)| one == other).filter(|it| it.len() > 1) {
        let all: Vec<_> = several.iter().map(|(_, path)| *path).collect();
        links.extend(all.iter().map(|path| (*path, all.clone())));
    }
    links
}

fn content_of(node: &Node) -> Option<&Arc<Content>> {
    match &node.kind {
        Kind::File(content) => Some(content),
        _ => None,
    }
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
