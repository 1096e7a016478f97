//! The bill of materials and the list of fixed flaws on the host, below `/usr/lib/preon`.

use base::Explain;
use packages::fixes::BadFixes;

use super::{Bill, Part, sources, spdx};
use crate::Request;
use crate::gather::Gathered;
use crate::path::UsrPath;
use crate::tree::{Conflict, Node, Origin, Tree};

/// The bill cannot be placed.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A package's list of fixes is broken.
    #[error(transparent)]
    Fixes(#[from] BadFixes),
    /// Somebody else has its place.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

impl Explain for PlaceError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Fixes(error) => error.hint(),
            Self::Conflict(error) => error.hint(),
        }
    }
}

/// Texts by where they belong.
pub(crate) type Documents = [(UsrPath, String); 2];

/// Writes `sbom.spdx.json` and `advisories.json` for `packages`.
///
/// # Errors
///
/// [`BadFixes`] if a package's list of fixes is broken.
pub(crate) fn documents(packages: &[Gathered], request: &Request) -> Result<Documents, BadFixes> {
    let parts = packages.iter().map(part).collect();
    let bill = Bill::new(&request.product, request.epoch, parts)?;
    let host = spdx::document(&bill, spdx::Detail::Host);
    Ok([
        (UsrPath::fixed("usr/lib/preon/sbom.spdx.json"), host),
        (UsrPath::fixed("usr/lib/preon/advisories.json"), sources::summary(&bill)),
    ])
}

/// Adds the documents to `tree`.
///
/// # Errors
///
/// [`Conflict`] if somebody else has their place.
pub(crate) fn place(tree: &mut Tree, documents: Documents) -> Result<(), Conflict> {
    let mut all = documents.into_iter();
    all.try_for_each(|(path, text)| tree.add(path, Node::file(text, Origin::Composed)))
}

fn part(package: &Gathered) -> Part {
    let Gathered { control, digest, suite, licences, .. } = package;
    Part {
        control: control.clone(),
        digest: *digest,
        suite: suite.clone(),
        licences: licences.clone(),
        files: Vec::new(),
    }
}
