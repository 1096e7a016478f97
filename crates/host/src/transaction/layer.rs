//! The next generation's own layer, and its manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::{self, Scope, ScopedJoinHandle};

use base::digest::Hasher;
use base::file;
use base::progress::Progress;
use base::{ByteSize, Digest, Failure};
use compose::shown::ShownError;
use compose::{
    Algorithm, Base, Beneath, Composed, Compression, Input, Product, Request, Shown, Workshop,
};
use formats::manifest::{Change, Layer, Manifest};
use generations::stage::NewLayer;
use generations::store::LayerFiles;
use packages::fetch::Wanted;

use super::prepare::Prepared;
use super::{ChangeError, kernels};
use crate::Host;
use crate::loader::Image;

/// How the names of layers begin that a host has made of changes.
const DELTA: &str = "delta-";

/// The package with mkfs.erofs.
const MKFS: &str = "erofs-utils";
/// How `tools` of a manifest names what has made a host's own layer; the layer's name follows.
const MAKER: &str = "mkfs.erofs of ";

/// Whether a host has made the layer of this name of a change.
pub(crate) fn is_delta(name: &str) -> bool {
    name.starts_with(DELTA)
}

/// Where layers are made: on the store's filesystem, so that they can be moved into it.
pub(crate) fn workshop(host: &Host) -> PathBuf {
    host.root.below(generations::STORE).join("work")
}

/// Removes what making layers has left.
pub(crate) fn clean(host: &Host) {
    // The next change tries again; until then it only takes room.
    let _ = file::remove_folder(&workshop(host));
}

/// What is shown, while it is read.
pub(super) type Reading<'scope> = ScopedJoinHandle<'scope, Result<Shown, ShownError>>;

/// Begins to read what is shown, with what composing over it looks into.
pub(super) fn read<'scope>(
    scope: &'scope Scope<'scope, '_>,
    host: &'scope Host,
) -> Reading<'scope> {
    scope.spawn(|| read_now(host))
}

fn read_now(host: &Host) -> Result<Shown, ShownError> {
    Shown::read(&host.usr).inspect(Shown::read_ahead)
}

/// What makes the next generation.
pub(super) struct Next {
    pub(super) manifest: Manifest,
    /// Its layer, if it has one of its own.
    pub(super) layers: Vec<NewLayer>,
    /// The kernels that it brings.
    pub(super) images: Vec<Image>,
}

/// The manifest of the next generation, and what is new in it.
pub(super) fn next(
    host: &Host,
    (before, change): (&Manifest, Change),
    (prepared, reading): (&Prepared, Option<Reading<'_>>),
    progress: &dyn Progress,
) -> Result<Next, Failure> {
    let mut next = before.clone();
    next.change = Some(change);
    next.pins.clone_from(&prepared.pins);
    let (mut layers, mut images) = (Vec::new(), Vec::new());
    if !prepared.transaction.same_files() {
        clean(host);
        let request = request(host, before, (prepared, reading))?;
        let composed = compose(host, prepared, &request, progress)?;
        for finding in &composed.findings {
            progress.note(&format!("note: {finding}"));
        }
        next.build_id.clone_from(&request.product.build_id);
        next.not_rebuilt = request.product.not_rebuilt;
        layers.push(NewLayer {
            digest: composed.layer.erofs,
            files: LayerFiles { erofs: composed.erofs, verity: composed.verity },
        });
        next.layers.push(composed.layer);
        name_maker(&mut next, before);
        next.packages = composed.packages;
        let fetched = request.packages.into_iter().map(|input| (input.digest, input.deb));
        images = kernels::name(&mut next, &fetched.collect::<BTreeMap<_, _>>())?;
    }
    for package in &mut next.packages {
        package.automatic = prepared.automatic.contains(&package.name);
    }
    Ok(Next { manifest: next, layers, images })
}

/// Fetches the packages of `request`, and composes its layer of them while they arrive.
fn compose(
    host: &Host,
    prepared: &Prepared,
    request: &Request,
    progress: &dyn Progress,
) -> Result<Composed, Failure> {
    let places: Vec<_> = prepared.downloads.iter().map(|(places, _)| places.clone()).collect();
    let workshop = Workshop { folder: workshop(host), mkfs: host.mkfs.clone() };
    let (arrived, arrivals) = mpsc::channel();
    let tell = move |at| {
        let _ = arrived.send(at); // who composes may have failed, which is told below
    };
    thread::scope(|scope| {
        let fetching =
            scope.spawn(move || prepared.sources.fetcher.fetch_anywhere(&places, progress, &tell));
        let composed = compose::compose_arriving(request, arrivals, &workshop, progress);
        fetching.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        Ok(composed?)
    })
}

/// What to compose, of packages that are still to be fetched.
fn request(
    host: &Host,
    before: &Manifest,
    (prepared, reading): (&Prepared, Option<Reading<'_>>),
) -> Result<Request, Failure> {
    let first =
        |(places, suite): &(Vec<Wanted>, String)| Some((places.first()?.clone(), suite.clone()));
    let wanted: Vec<_> = prepared.downloads.iter().filter_map(first).collect();
    let room: u64 = wanted.iter().map(|(wanted, _)| wanted.size).sum();
    let grows = u64::try_from(prepared.transaction.installed_bytes).unwrap_or_default();
    demand_room(host, room.saturating_mul(2).saturating_add(grows))?;
    let shown = match reading {
        Some(reading) => reading.join().unwrap_or_else(|panic| resume_unwind(panic))?,
        None => read_now(host)?,
    };
    let cache = prepared.sources.fetcher.cache();
    let inputs = wanted.into_iter().map(|(wanted, suite)| Input {
        deb: cache.path(&wanted.digest),
        digest: wanted.digest,
        suite,
    });
    demand_truth(host, before, &shown)?;
    let kept = shown.packages.iter().filter(|it| prepared.kept.contains(it.control().name()));
    let kept: Vec<_> = kept.cloned().collect();
    let names: BTreeSet<_> = kept.iter().map(|it| it.control().name().clone()).collect();
    let description = shown.description.clone();
    let inputs: Vec<_> = inputs.collect();
    let beneath = Beneath {
        inputs: before.layers.last().map_or_else(|| Digest::of(b""), |layer| layer.inputs),
        packages: before.packages.clone(),
    };
    let product = Product {
        not_rebuilt: before.not_rebuilt.intersection(&names).cloned().collect(),
        ..description.product
    };
    let request = Request {
        name: name(&beneath, &inputs, &kept),
        base: Some(Base::Shown(Box::new(shown), beneath)),
        packages: inputs,
        shown: kept,
        image: description.image,
        product,
        epoch: description.epoch,
        compression: Compression {
            algorithm: algorithm()?,
            cluster_bytes: description.cluster_bytes,
        },
    };
    Ok(request.named())
}

/// How a host compresses deltas: for speed, here and at each read.
pub(crate) fn algorithm() -> Result<Algorithm, Failure> {
    Ok(Algorithm::try_from("lz4".to_owned())?)
}

/// What the layer is called: the same for the same packages over the same layers.
pub(crate) fn name(
    beneath: &Beneath,
    inputs: &[Input],
    kept: &[compose::shown::Package],
) -> String {
    let fresh = inputs.iter().map(|input| input.digest);
    let mut digests: Vec<_> =
        fresh.chain(kept.iter().map(compose::shown::Package::digest)).collect();
    digests.sort_unstable();
    let mut hasher = Hasher::default();
    hasher.field(beneath.inputs.as_bytes());
    for digest in digests {
        hasher.field(digest.as_bytes());
    }
    format!("{DELTA}{}", hasher.finish().short())
}

/// What `tools` of a manifest calls the program that has made a host's own layer.
fn maker(layer: &Layer) -> String {
    format!("{MAKER}{}", layer.name)
}

/// Notes which mkfs.erofs has made the uppermost layer, if that is new: that of `before`, which runs. What made layers that
/// are not there any more is forgotten.
pub(crate) fn name_maker(next: &mut Manifest, before: &Manifest) {
    let there: BTreeSet<_> = before.layers.iter().map(|layer| layer.erofs).collect();
    if let Some(layer) = next.layers.last().filter(|layer| !there.contains(&layer.erofs)) {
        let mut packages = before.packages.iter();
        let version = packages.find(|it| it.name.as_str() == MKFS).map(|it| it.version.to_string());
        next.tools.insert(maker(layer), version.unwrap_or_else(|| "unknown".into()));
    }
    let makers: BTreeSet<_> = next.layers.iter().map(maker).collect();
    // The image's own tools have made the others.
    let all_ours = makers.iter().all(|maker| next.tools.contains_key(maker));
    next.tools.retain(|tool, _| makers.contains(tool) || !all_ours && !tool.starts_with(MAKER));
}

/// Refuses a manifest that contradicts what is seen, which the kernel has verified: somebody has edited it.
pub(crate) fn demand_truth(host: &Host, manifest: &Manifest, shown: &Shown) -> Result<(), Failure> {
    let said: BTreeMap<_, _> = manifest.packages.iter().map(|it| (&it.name, it)).collect();
    for package in &shown.packages {
        let control = package.control();
        let said = said.get(control.name());
        if !said.is_some_and(|it| it.version == *control.version() && it.deb == package.digest()) {
            let (generation, package) = (host.current()?, control.name().clone());
            return Err(ChangeError::Edited { generation, package }.into());
        }
    }
    Ok(())
}

/// Refuses what the disk has no room for, before it is begun.
pub(crate) fn demand_room(host: &Host, needed: u64) -> Result<(), Failure> {
    let free = file::free_bytes(&host.root.below(generations::STORE))?;
    if free < needed {
        return Err(ChangeError::NoRoom { needed: ByteSize(needed), free: ByteSize(free) }.into());
    }
    Ok(())
}
