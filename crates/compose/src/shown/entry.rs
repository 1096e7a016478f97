//! A node of a tree as it is written down.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base::Digest;
use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::path::{BadPath, UsrPath};
use crate::tree::{Content, Kind, Known, Node, Origin};

/// One line of an index: a folder, unless it says what else it is. What is usual is left out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// From the layer's root: `bin/sh`.
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<u32>,
    #[serde(default, skip_serializing_if = "is_zero")]
    uid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    gid: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, Vec<u8>>,
    /// A plain file has so many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// A plain file that is also known by this path, which came before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    same: Option<String>,
    /// A symbolic link leads here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Digest>,
    #[serde(default, skip_serializing_if = "Facts::is_empty")]
    facts: Facts,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands out references
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Why an entry is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadEntry {
    #[error(transparent)]
    Path(#[from] BadPath),
    #[error("{path} is to be the same as {same}, which did not come before it")]
    Same { path: String, same: String },
}

/// Whether digests of contents are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digests {
    Written,
    LeftOut,
}

/// Writes nodes down, names of one file as such.
pub(super) fn entries<'a>(
    nodes: impl Iterator<Item = (&'a UsrPath, &'a Node)>,
    digests: Digests,
) -> std::io::Result<Vec<Entry>> {
    let mut first: BTreeMap<*const Content, &UsrPath> = BTreeMap::new();
    let mut all = Vec::new();
    for (path, node) in nodes {
        let Node { mode, uid, gid, xattrs, .. } = node;
        let usual = Node::new(node.kind.clone(), Origin::Composed).mode;
        let mut entry = Entry {
            path: path.in_layer().to_owned(),
            mode: (*mode != usual).then_some(*mode),
            uid: *uid,
            gid: *gid,
            xattrs: xattrs.clone(),
            bytes: None,
            same: None,
            target: None,
            sha256: None,
            facts: Facts::default(),
        };
        match &node.kind {
            Kind::Folder | Kind::Whiteout => {}
            Kind::Symlink(target) => entry.target = Some(target.clone()),
            Kind::File(content) => match first.get(&Arc::as_ptr(content)) {
                Some(other) => entry.same = Some(other.in_layer().to_owned()),
                None => {
                    first.insert(Arc::as_ptr(content), path);
                    entry.bytes = Some(content.len());
                    entry.facts = content.facts().map_err(std::io::Error::other)?.clone();
                    if digests == Digests::Written {
                        entry.sha256 = Some(content.digest()?);
                    }
                }
            },
        }
        all.push(entry);
    }
    Ok(all)
}

/// The nodes that were written down; their contents are read from below `usr` when somebody wants them.
pub(super) fn nodes(
    entries: Vec<Entry>,
    origin: &Origin,
    usr: &Path,
) -> Result<Vec<(UsrPath, Node)>, BadEntry> {
    let mut contents: BTreeMap<String, Arc<Content>> = BTreeMap::new();
    let mut all = Vec::with_capacity(entries.len());
    for entry in entries {
        let Entry { path: name, mode, uid, gid, xattrs, bytes, same, target, sha256, facts } =
            entry;
        let path = UsrPath::new(&format!("usr/{name}"))?;
        let kind = match (bytes, same, target) {
            (_, Some(same), _) => match contents.get(&same) {
                Some(content) => Kind::File(Arc::clone(content)),
                None => return Err(BadEntry::Same { path: name, same }),
            },
            (Some(length), ..) => {
                let known = Known { length, digest: sha256, facts };
                let content = Arc::new(Content::shown(usr.join(&name), known));
                contents.insert(name, Arc::clone(&content));
                Kind::File(content)
            }
            (None, None, Some(target)) => Kind::Symlink(target),
            (None, None, None) => Kind::Folder,
        };
        let node = Node::new(kind, origin.clone());
        let mode = mode.unwrap_or(node.mode);
        all.push((path, Node { mode, uid, gid, xattrs, ..node }));
    }
    Ok(all)
}
