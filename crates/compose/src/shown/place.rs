//! Writing down what a tree is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use base::Explain;
use base::file::FileError;
use formats::PackageName;
use serde::Serialize;

use super::entry::{self, Digests, Entry};
use super::{Description, FOLDER, Shown, WHOLE};
use crate::Request;
use crate::gather::Gathered;
use crate::integrate::status;
use crate::path::{BadPath, UsrPath};
use crate::tree::{Conflict, Content, Kind, Node, Origin, Tree};

/// What a tree is made of cannot be written down.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A package's name makes no path.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// Somebody else has the place.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

impl Explain for IndexError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Conflict(error) => error.hint(),
            Self::Path(_) => None,
        }
    }
}

/// What is written down about packages, by their names.
pub(crate) type Texts = BTreeMap<PackageName, String>;

/// Where a package is written down.
fn text_path(name: &PackageName) -> String {
    format!("{FOLDER}/{name}.json")
}

/// Adds to `tree` what `beneath` shows as written down of those packages that it has, too: the same text follows from
/// the same package.
///
/// # Errors
///
/// [`Conflict`]: a package brought a file of that name.
pub(crate) fn keep_written(
    tree: &mut Tree,
    packages: &mut [Gathered],
    beneath: &Shown,
) -> Result<(), Conflict> {
    let there: BTreeSet<_> =
        beneath.packages.iter().map(|it| (it.digest(), it.0.suite.as_str())).collect();
    let composed: BTreeMap<_, _> =
        beneath.composed.iter().map(|(path, node)| (path.as_str(), (path, node))).collect();
    let is_there = |it: &&mut Gathered| there.contains(&(it.digest, it.suite.as_str()));
    for package in packages.iter_mut().filter(is_there) {
        let paths = [text_path(package.control.name()), status::list_path(package)];
        if let [Some(text), Some(list)] = paths.map(|path| composed.get(path.as_str())) {
            for (path, node) in [text, list] {
                tree.add((*path).clone(), (*node).clone())?;
            }
            package.written = true;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Package<'a> {
    control: String,
    digest: base::Digest,
    suite: &'a str,
    bytes: u64,
    licences: Option<&'a packages::copyright::Licences>,
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct Whole<'a> {
    format: u32,
    description: &'a Description,
    composed: Vec<Entry>,
}

/// What to write down about `packages`. `tree` must hold nothing but their files.
///
/// # Errors
///
/// [`IndexError`] if a file cannot be read.
pub(crate) fn package_texts(tree: &Tree, packages: &[Gathered]) -> Result<Texts, IndexError> {
    let mut texts = Texts::new();
    for package in packages.iter().filter(|package| !package.written) {
        let Gathered { control, digest, suite, paths, bytes, licences, .. } = package;
        let nodes = paths.iter().filter_map(|path| Some((path, tree.get(path.as_str())?)));
        let text = json(&Package {
            control: control.to_string(),
            digest: *digest,
            suite,
            bytes: *bytes,
            licences: licences.as_ref(),
            entries: entry::entries(nodes, Digests::LeftOut).map_err(unread)?,
        });
        texts.insert(control.name().clone(), text);
    }
    Ok(texts)
}

/// Writes into `tree`, which is complete but for this, what it is made of.
///
/// # Errors
///
/// [`IndexError`].
pub(crate) fn place(tree: &mut Tree, texts: Texts, request: &Request) -> Result<(), IndexError> {
    for (name, text) in texts {
        tree.add(UsrPath::new(&text_path(&name))?, Node::file(text, Origin::Composed))?;
    }
    let made = |node: &Node| matches!(node.origin, Origin::Composed | Origin::Image);
    let composed = tree.iter().filter(|(_, node)| made(node));
    let whole = Whole {
        format: super::read::FORMAT,
        description: &Description {
            image: request.image.clone(),
            product: request.product.clone(),
            epoch: request.epoch,
            cluster_bytes: request.compression.cluster_bytes,
        },
        composed: entry::entries(composed, Digests::Written).map_err(unread)?,
    };
    let whole = Kind::File(Content::of_bytes(json(&whole)).into());
    Ok(tree.add(UsrPath::fixed(WHOLE), Node::new(whole, Origin::Composed))?)
}

fn unread(error: io::Error) -> IndexError {
    FileError::at("read", "the files of the packages")(error).into()
}

fn json(value: &impl Serialize) -> String {
    // Fails only for keys that are no text, or for a `Serialize` that fails: neither is here.
    serde_json::to_string(value).unwrap_or_default() + "\n"
}
