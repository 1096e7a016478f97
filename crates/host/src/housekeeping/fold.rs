//! Deltas over a base become one delta over it, with the bytes that a host would compose that made all of these changes at
//! once. Where that one is large beside the base, both become a new base.

use std::collections::{BTreeMap, BTreeSet};

use base::progress::Progress;
use base::{Digest, Failure};
use compose::shown::{self, Description, Shown};
use compose::{Algorithm, Base, Beneath, Composed, Compression, Product, Request, Workshop};
use formats::manifest::{Change, Layer, Manifest, Package};
use generations::Generation;
use generations::stack::live::View;
use generations::stage::NewLayer;
use generations::store::LayerFiles;

use super::Folded;
use crate::Host;
use crate::activate::{self, Activation};
use crate::automatic::Memory;
use crate::transaction::{layer, now};

/// What a generation's change is called that only folds layers.
pub(crate) const WORDS: &str = "gc";

/// From how many percent of the base on the delta is large.
const LARGE: u64 = 30;

/// A generation whose layers are to become fewer.
pub(super) struct Due {
    pub(super) from: Generation,
    manifest: Manifest,
    /// How many of its layers, from the lowest on, are the image's.
    base: usize,
}

/// The generation that runs, if it has several deltas, or a large one; nothing while another one waits for a boot, or while
/// a fleet waits for what this host says of a restart: the new generation would seem to be somebody's answer.
/// `unattended`: only where it was found good.
pub(super) fn due(host: &Host, unattended: bool) -> Result<Option<Due>, Failure> {
    let wanted = host.store.wanted()?;
    let from = wanted.generation;
    let is_proven = wanted.good == from && wanted.attempts == 0;
    let restart = Memory::read(&host.root)?.restart;
    let is_asked_for = restart.is_some_and(|restart| restart.slot);
    if host.running != Some(from) || is_asked_for || unattended && !is_proven {
        return Ok(None);
    }
    let manifest = host.store.manifest(from)?;
    let base = manifest.layers.iter().take_while(|it| !layer::is_delta(&it.name)).count();
    let due = Due { from, manifest, base };
    let many = match due.deltas() {
        [] => false,
        [only] => due.is_large(only),
        _ => true,
    };
    Ok((base > 0 && many).then_some(due))
}

/// What layers take.
fn bytes(layers: &[Layer]) -> u64 {
    layers.iter().map(|layer| layer.erofs_bytes + layer.verity_bytes).sum()
}

/// What becomes of the layers.
struct Made {
    /// The layers of the generation from now on.
    layers: Vec<Layer>,
    /// The uppermost of them, if it is new.
    new: Option<NewLayer>,
    /// All packages, each with its layer.
    packages: Vec<Package>,
    build_id: String,
}

impl Due {
    fn beneath(&self) -> &[Layer] {
        &self.manifest.layers[..self.base]
    }

    fn deltas(&self) -> &[Layer] {
        &self.manifest.layers[self.base..]
    }

    /// Whether a delta is large beside the base.
    fn is_large(&self, delta: &Layer) -> bool {
        let base: u64 = self.beneath().iter().map(|layer| layer.erofs_bytes).sum();
        delta.erofs_bytes.saturating_mul(100) > base.saturating_mul(LARGE)
    }

    /// The layers that the folded generation does not have, as far as anybody knows before it is made.
    pub(super) fn needless(&self) -> &[Layer] {
        if self.is_base_due() { &self.manifest.layers } else { self.deltas() }
    }

    /// Whether the base is to be made anew in any case.
    fn is_base_due(&self) -> bool {
        self.deltas().len() == 1
    }

    /// What would be done.
    pub(super) fn told(&self, host: &Host) -> Folded {
        Folded {
            from: self.from.0,
            generation: None,
            deltas: self.deltas().len(),
            base: self.is_base_due(),
            before_bytes: bytes(&self.manifest.layers),
            after_bytes: None,
            activation: if host.is_here() { Activation::AtOnce } else { Activation::NextBoot },
        }
    }

    /// Makes the generation with fewer layers, and shows it: its files are those that are seen already.
    pub(super) fn make(self, host: &Host, progress: &dyn Progress) -> Result<Folded, Failure> {
        layer::clean(host);
        let made = self.compose(host, progress).inspect_err(|_| layer::clean(host))?;
        let base = !made.layers.starts_with(self.beneath());
        let new: Vec<_> = made.new.clone().into_iter().collect();
        let next = self.next(made);
        let added = host.store.add(&next, &new);
        layer::clean(host); // also of what was not moved
        let generation = added?;
        host.boots_next(generation)?;
        Ok(Folded {
            generation: Some(generation.0),
            base,
            after_bytes: Some(bytes(&next.layers)),
            activation: activate::show(host, generation, &next, progress),
            ..self.told(host)
        })
    }

    fn compose(&self, host: &Host, progress: &dyn Progress) -> Result<Made, Failure> {
        let all = Shown::read(&host.usr)?;
        layer::demand_truth(host, &self.manifest, &all)?;
        let view = View::of(self.beneath(), &host.root.below(generations::RUN))?;
        let beneath = Shown::read(view.folder())?;
        if digests(&beneath) == digests(&all) {
            // All that was changed was changed back.
            let packages = self.packages_beneath(&beneath);
            let build_id = beneath.description.product.build_id;
            return Ok(Made { layers: self.beneath().to_vec(), new: None, packages, build_id });
        }
        let workshop = Workshop { folder: layer::workshop(host), mkfs: host.mkfs.clone() };
        let compose = |beneath: &[Layer], request: Request| -> Result<_, Failure> {
            let composed = compose::compose(&request, &workshop, progress)?;
            Ok(Made::of(beneath, composed, request))
        };
        if self.deltas().len() > 1 {
            layer::demand_room(host, bytes(self.deltas()))?;
            let made = compose(self.beneath(), self.delta(beneath, &all)?)?;
            if !made.layers.last().is_some_and(|delta| self.is_large(delta)) {
                return Ok(made);
            }
        }
        layer::demand_room(host, bytes(&self.manifest.layers))?;
        compose(&[], self.new_base(all)?)
    }

    /// One delta over the base that shows `all`.
    fn delta(&self, beneath: Shown, all: &Shown) -> Result<Request, Failure> {
        let packages = from_beneath(&beneath, all);
        let homes =
            Beneath { inputs: self.top().inputs, packages: self.packages_beneath(&beneath) };
        let description = beneath.description.clone();
        let name = layer::name(&homes, &[], &packages);
        let base = Some(Base::Shown(Box::new(beneath), homes));
        Ok(Request { base, ..self.request((name, layer::algorithm()?), description, packages) }
            .named())
    }

    /// All in one layer, as the build machine composes it.
    fn new_base(&self, all: Shown) -> Result<Request, Failure> {
        let algorithm = Algorithm::try_from(self.top().compression.clone())?;
        let name = self.top().name.clone();
        Ok(self.request((name, algorithm), all.description, all.packages).named())
    }

    fn request(
        &self,
        (name, algorithm): (String, Algorithm),
        description: Description,
        packages: Vec<shown::Package>,
    ) -> Request {
        Request {
            name,
            base: None,
            packages: Vec::new(),
            shown: packages,
            image: description.image,
            product: Product {
                not_rebuilt: self.manifest.not_rebuilt.clone(),
                ..description.product
            },
            epoch: description.epoch,
            compression: Compression { algorithm, cluster_bytes: description.cluster_bytes },
        }
    }

    /// The uppermost layer of the base.
    fn top(&self) -> &Layer {
        &self.manifest.layers[self.base - 1] // whoever has none is not due
    }

    /// Those packages of the generation that its base has, each in a layer of the base, also where it went and came back.
    fn packages_beneath(&self, beneath: &Shown) -> Vec<Package> {
        let there = digests(beneath);
        let homes: BTreeSet<_> = self.beneath().iter().map(|it| it.name.as_str()).collect();
        let mut packages = self.manifest.packages.clone();
        packages.retain(|package| there.contains(&package.deb));
        let strangers = packages.iter_mut().filter(|it| !homes.contains(it.layer.as_str()));
        strangers.for_each(|package| package.layer.clone_from(&self.top().name));
        packages
    }

    /// The manifest of the generation with fewer layers; what was asked for stays asked for.
    fn next(&self, made: Made) -> Manifest {
        let Made { layers, mut packages, build_id, .. } = made;
        let before = self.manifest.packages.iter().filter(|package| package.automatic);
        let automatic: BTreeSet<_> = before.map(|package| &package.name).collect();
        for package in &mut packages {
            package.automatic = automatic.contains(&package.name);
        }
        let change = Some(Change { from: self.from.0, at: now(), asked: WORDS.into() });
        let mut next = Manifest { layers, packages, build_id, change, ..self.manifest.clone() };
        layer::name_maker(&mut next, &self.manifest);
        next
    }
}

impl Made {
    fn of(beneath: &[Layer], composed: Composed, request: Request) -> Self {
        let Composed { erofs, verity, layer, packages, .. } = composed;
        let digest = layer.erofs;
        Self {
            layers: beneath.iter().cloned().chain([layer]).collect(),
            new: Some(NewLayer { digest, files: LayerFiles { erofs, verity } }),
            packages,
            build_id: request.product.build_id,
        }
    }
}

fn digests(shown: &Shown) -> BTreeSet<Digest> {
    shown.packages.iter().map(shown::Package::digest).collect()
}

/// All packages that are seen; those that the base has are the base's, so that nobody has to compare their contents.
fn from_beneath(beneath: &Shown, all: &Shown) -> Vec<shown::Package> {
    let there: BTreeMap<_, _> = beneath.packages.iter().map(|it| (it.digest(), it)).collect();
    let packages = all.packages.iter();
    packages.map(|it| there.get(&it.digest()).map_or(it, |it| *it).clone()).collect()
}
