//! What a host does not need any more goes, and layers that became many become one.
//!
//! First what nobody keeps goes: generations, then layers that no other one names, then what was fetched and is of no use
//! any more. That makes room for folding the deltas of the generation that runs ([`fold`]), which gives a new generation
//! of the same packages. At each instant, what is wanted is in the store with all of its layers.
//!
//! A timer does it each week, when nobody watches ([`Asked::unattended`]).

mod cached;
mod fold;

use std::collections::BTreeSet;
use std::path::PathBuf;

use base::file::{self, FileError};
use base::progress::Progress;
use base::{Digest, Failure};
use formats::manifest::{Kernel, Layer};
use generations::stack::live;
use generations::{Generation, Store, StoreError, running};
use serde::Serialize;

use crate::Host;
use crate::activate::Activation;
use crate::loader::Loader;
use crate::transaction::layer;

pub(crate) use fold::WORDS;

/// How to clean up.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// How many generations stay, beside the one that runs, the one that boots next and the one that was good last.
    pub keep: usize,
    /// Whether only to say what would happen.
    pub dry_run: bool,
    /// Whether nobody watches: layers are folded only where a boot has shown that what runs is good. Of the same packages then
    /// both are there, what was folded, to boot next, and what is known to be good, to fall back to.
    pub unattended: bool,
}

/// What was done, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The generations that stay, oldest first, and the new one.
    pub kept: Vec<u64>,
    /// Those that go.
    pub removed: Vec<u64>,
    /// The layers that only they had.
    pub layers: BTreeSet<Digest>,
    /// What interrupted work left.
    pub leftovers: Vec<PathBuf>,
    /// What was fetched, and neither a generation that stays nor a repository names.
    pub fetched: Vec<PathBuf>,
    /// The kernels on the boot loader's partition that none of the generations that stay needs.
    pub kernels: Vec<PathBuf>,
    /// What all of that takes.
    pub freed_bytes: u64,
    /// The layers that become one; missing where they are few.
    pub folded: Option<Folded>,
}

/// Layers that become one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Folded {
    /// The generation that they are of.
    pub from: u64,
    /// The one that has the new layer; missing where that was only to be told.
    pub generation: Option<u64>,
    /// How many deltas there were over the base.
    pub deltas: usize,
    /// Whether the base, too, was made anew, because the deltas were large beside it.
    pub base: bool,
    /// What the generation's layers took.
    pub before_bytes: u64,
    /// What they take now.
    pub after_bytes: Option<u64>,
    /// How the new generation is seen.
    pub activation: Activation,
}

impl Outcome {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let Self { removed, layers, leftovers, fetched, kernels, folded, .. } = self;
        let nothing = removed.is_empty() && layers.is_empty() && kernels.is_empty();
        nothing && leftovers.is_empty() && fetched.is_empty() && folded.is_none()
    }

    /// Adds what was done after this.
    fn then(&mut self, later: Self) {
        self.kept = later.kept;
        self.removed.extend(later.removed);
        self.layers.extend(later.layers);
        self.leftovers.extend(later.leftovers);
        self.fetched.extend(later.fetched);
        self.kernels.extend(later.kernels);
        self.freed_bytes += later.freed_bytes;
    }

    /// Adds that `folded` goes, with those of its `needless` layers that are not among those that stay.
    fn then_without(&mut self, folded: Generation, needless: &[Layer], staying: &BTreeSet<Digest>) {
        self.kept.retain(|number| *number != folded.0);
        self.removed.push(folded.0);
        for layer in needless.iter().filter(|layer| !staying.contains(&layer.erofs)) {
            self.layers.insert(layer.erofs);
            self.freed_bytes += layer.erofs_bytes + layer.verity_bytes;
        }
    }
}

/// Cleans up, or says what that would be.
///
/// # Errors
///
/// If the store is locked, cannot be read, or the new layer cannot be composed: then what boots and what is seen is as
/// before, and what was not needed may be gone already.
pub fn run(host: &Host, asked: Asked, progress: &dyn Progress) -> Result<Outcome, Failure> {
    let _lock = if asked.dry_run { None } else { Some(host.store.lock()?) };
    let due = fold::due(host, asked.unattended)?;
    // The one that is folded runs no more afterwards, where the new one is seen at once.
    let leaves = due.as_ref().filter(|_| host.is_here()).map(|due| due.from);
    let mut outcome = tidy(host, asked, leaves)?;
    match due {
        Some(due) if asked.dry_run => {
            let stay = kept(host, asked.keep, leaves)?;
            if !stay.contains(&due.from) {
                outcome.then_without(due.from, due.needless(), &layers(&host.store, &stay)?);
            }
            outcome.folded = Some(due.told(host));
        }
        Some(due) => {
            outcome.folded = Some(due.make(host, progress)?);
            outcome.then(tidy(host, asked, None)?);
        }
        None => {}
    }
    Ok(outcome)
}

/// Removes what nobody keeps, or says what it is. What `leaves` does so later.
fn tidy(host: &Host, asked: Asked, leaves: Option<Generation>) -> Result<Outcome, Failure> {
    let mut keep = kept(host, asked.keep, leaves)?;
    keep.extend(leaves);
    let work = Some(layer::workshop(host)).filter(|folder| folder.exists());
    let fetched = cached::unneeded(host, &keep)?;
    let kernels = kernels(host, &keep)?;
    let more = work.iter().chain(&fetched).chain(&kernels).map(|path| file::length(path));
    let more: u64 = more.sum::<Result<_, _>>()?;
    let collected = if asked.dry_run {
        host.store.garbage(&keep)?
    } else {
        // Kernels first: one that starts without any generation that fits it would boot what is made for another one.
        for path in kernels.iter().chain(&fetched) {
            std::fs::remove_file(path).map_err(FileError::at("remove", path))?;
        }
        let collected = host.store.collect(&keep)?;
        layer::clean(host);
        collected
    };
    let digest = |path: &PathBuf| path.file_stem()?.to_str()?.parse().ok();
    Ok(Outcome {
        kept: keep.iter().map(|it| it.0).collect(),
        removed: collected.generations.iter().map(|it| it.0).collect(),
        layers: collected.layers.iter().filter_map(digest).collect(),
        leftovers: collected.leftovers.into_iter().chain(work).collect(),
        fetched,
        kernels,
        freed_bytes: collected.freed.0 + more,
        folded: None,
    })
}

/// The generations that stay in the end: those that are needed, `more` of the others with the highest numbers, and those
/// that have a layer that is mounted. What `leaves` is needed no longer then, nor are its layers mounted.
fn kept(
    host: &Host,
    more: usize,
    leaves: Option<Generation>,
) -> Result<BTreeSet<Generation>, Failure> {
    let wanted = host.store.wanted()?;
    let running = running::read(&host.root.below(generations::RUNNING))?;
    let needed = [running.unwrap_or(Generation::NONE), wanted.generation];
    let needed = needed.into_iter().filter(|it| leaves != Some(*it)).chain([wanted.good]);
    let mut keep = staying(&host.store.generations()?, &needed.collect(), more);
    let mut mounted = live::in_use(&host.root.below(generations::RUN))?;
    if let Some(leaves) = leaves {
        for layer in host.store.manifest(leaves)?.layers {
            mounted.remove(&layer.erofs);
        }
    }
    hold(&host.store, mounted, &mut keep)?;
    Ok(keep)
}

/// The kernels that go: those that neither run nor belong to a generation that stays.
fn kernels(host: &Host, keep: &BTreeSet<Generation>) -> Result<Vec<PathBuf>, Failure> {
    // A partition that cannot be seen is no reason to keep everything else.
    let Ok(Some(loader)) = Loader::of(&host.root) else { return Ok(Vec::new()) };
    let mut needed: BTreeSet<_> = host.kernel()?.image().map(str::to_owned).into_iter().collect();
    for generation in keep {
        let manifest = host.store.manifest(*generation)?;
        needed.extend(manifest.kernels().map(Kernel::entry_id));
    }
    Ok(loader.unneeded(&needed)?)
}

/// Of `all`: those that are `needed`, and `more` others with the highest numbers.
fn staying(all: &[Generation], needed: &BTreeSet<Generation>, more: usize) -> BTreeSet<Generation> {
    let others = all.iter().filter(|it| !needed.contains(it)).rev().take(more);
    others.chain(all.iter().filter(|it| needed.contains(it))).copied().collect()
}

/// The layers of these generations.
fn layers(
    store: &Store,
    generations: &BTreeSet<Generation>,
) -> Result<BTreeSet<Digest>, StoreError> {
    let mut found = BTreeSet::new();
    for generation in generations {
        found.extend(store.manifest(*generation)?.layers.iter().map(|layer| layer.erofs));
    }
    Ok(found)
}

/// Keeps also what has one of these layers: of several generations the one with the highest number.
fn hold(
    store: &Store,
    mut layers: BTreeSet<Digest>,
    keep: &mut BTreeSet<Generation>,
) -> Result<(), StoreError> {
    let mut all = store.generations()?;
    all.sort_by_key(|generation| (!keep.contains(generation), std::cmp::Reverse(*generation)));
    for generation in all {
        let Ok(manifest) = store.manifest(generation) else { continue };
        let before = layers.len();
        layers.retain(|digest| manifest.layers.iter().all(|layer| layer.erofs != *digest));
        if layers.len() < before {
            keep.insert(generation);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
