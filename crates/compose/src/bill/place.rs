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

/// Places `sbom.spdx.json` and `advisories.json` for `packages`, whose files are in `tree`.
///
/// # Errors
///
/// [`PlaceError`].
pub(crate) fn place(
    tree: &mut Tree,
    packages: &[Gathered],
    request: &Request,
) -> Result<(), PlaceError> {
    let parts = packages.iter().map(part).collect();
    let bill = Bill::new(&request.product, request.epoch, parts)?;
    let all = [
        ("usr/lib/preon/sbom.spdx.json", spdx::document(&bill, spdx::Detail::Host)),
        ("usr/lib/preon/advisories.json", sources::summary(&bill)),
    ];
    for (path, text) in all {
        tree.add(UsrPath::fixed(path), Node::file(text, Origin::Composed))?;
    }
    Ok(())
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
