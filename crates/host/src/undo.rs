//! Which generation the last change was made from.

use base::{Explain, Failure};
use formats::manifest::{Change, Manifest, Package};
use generations::{Generation, StoreError};

use crate::Host;
use crate::housekeeping::WORDS;

/// A change that can be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undoable {
    /// The change.
    pub change: Change,
    /// The generation that it was made from.
    pub before: Generation,
}

/// A change cannot be taken back.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// There was none.
    #[error("{0} came with the image: no change led to it")]
    Image(Generation),
    /// Of the generation that was folded nothing is left, and so nobody knows how it came about.
    #[error(
        "{before}, whose layers were folded, is not in the store any more: it is not known which change led to it"
    )]
    Folded {
        /// What was folded.
        before: Generation,
    },
    /// What it was made from is not there any more.
    #[error("{before}, from which `{asked}` was made, is not in the store any more")]
    Gone {
        /// The change, as it was asked for.
        asked: String,
        /// What it was made from.
        before: Generation,
    },
}

impl Explain for UndoError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Image(_) => Some("`preon history` lists all generations".into()),
            Self::Gone { .. } | Self::Folded { .. } => Some(
                "make the opposite change; `preon gc --keep N` says how many generations stay"
                    .into(),
            ),
        }
    }
}

/// The change that led to the generation that boots next, and what it was made from. A generation that only folds
/// layers ([`crate::housekeeping`]) is no change: the one before it counts.
///
/// # Errors
///
/// [`UndoError`], or if a manifest cannot be read.
pub fn last(host: &Host) -> Result<Undoable, Failure> {
    let mut at = host.store.wanted()?.generation;
    loop {
        let manifest = host.store.manifest(at)?;
        // Numbers only rise; another one was written by hand, and could lead in a circle.
        let change = manifest.change.clone().filter(|change| change.from < at.0);
        let change = change.ok_or(UndoError::Image(at))?;
        let before = Generation(change.from);
        match host.store.manifest(before) {
            Ok(older) if asks_the_same(&older, &manifest) => at = before,
            Ok(_) => return Ok(Undoable { change, before }),
            Err(StoreError::NoSuchGeneration { .. }) => {
                return Err(match change.asked {
                    asked if asked == WORDS => UndoError::Folded { before },
                    asked => UndoError::Gone { asked, before },
                }
                .into());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether two generations differ in nothing that anybody could have asked for.
fn asks_the_same(one: &Manifest, other: &Manifest) -> bool {
    let told = |package: &Package| (package.name.clone(), package.deb, package.automatic);
    let (packages, others) = (one.packages.iter().map(told), other.packages.iter().map(told));
    one.pins == other.pins && packages.eq(others)
}
