//! Packages to layers: one merged tree, integration without maintainer scripts, EROFS, verity.
//!
//! [`compose`] is the one door. The same request gives the same bytes, whatever the machine, the
//! umask, the locale, the time or the order of the packages.

pub mod bill;
mod delta;
mod elf;
mod facts;
pub mod finding;
pub mod gather;
mod inputs;
pub mod integrate;
pub mod layer;
pub mod path;
#[cfg(test)]
mod sample;
pub mod shown;
pub mod tree;
mod unit;
mod words;

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread;

use base::child::Program;
use base::file::{self, FileError};
use base::progress::Progress;
use base::{Digest, Explain};
use formats::manifest;
use formats::version::BadVersion;
use packages::control::BUILD_FLAGS;

pub use finding::Finding;
pub use gather::{Arrivals, Input};
pub use inputs::inputs_digest;
pub use integrate::Image;
pub use integrate::os_release::Product;
pub use layer::{Algorithm, BadAlgorithm, Compression};
pub use shown::Shown;

use bill::place::PlaceError;
use gather::{GatherError, Gathered};
use integrate::IntegrateError;
use layer::{LayerError, Order};
use shown::IndexError;
use tree::{Spool, Tree};

/// All that a layer is made of.
#[derive(Clone, Debug)]
pub struct Request {
    /// The layer's name, and its files'.
    pub name: String,
    /// What lies beneath; the layer then holds only what differs.
    pub base: Option<Base>,
    /// The curated packages, in any order: all that are to be seen in the end, those of `base` included.
    pub packages: Vec<Input>,
    /// Packages that are to be seen, too, and whose files are seen already: need not be unpacked.
    pub shown: Vec<shown::Package>,
    /// What the image adds to them.
    pub image: Image,
    /// What the product says about itself.
    pub product: Product,
    /// The time of every file, seconds since 1970.
    pub epoch: u64,
    /// How to compress.
    pub compression: Compression,
}

/// The layers beneath another one.
#[derive(Clone, Debug)]
pub enum Base {
    /// Those that this request describes.
    Composed(Box<Request>),
    /// Those that a host shows.
    Shown(Box<Shown>, Beneath),
}

/// What a manifest says about layers that are seen.
#[derive(Clone, Debug)]
pub struct Beneath {
    /// What the uppermost was composed of: [`manifest::Layer::inputs`].
    pub inputs: Digest,
    /// The packages in them.
    pub packages: Vec<manifest::Package>,
}

/// Where and with what to make it; nothing here changes the bytes.
#[derive(Clone, Debug)]
pub struct Workshop {
    /// The folder for the two files, and for temporary ones (as large as all files together).
    pub folder: PathBuf,
    /// mkfs.erofs of the product's own suite: another version may give other bytes.
    pub mkfs: Program,
}

/// A composed layer.
#[derive(Clone, Debug)]
pub struct Composed {
    /// The EROFS file, `NAME.erofs`.
    pub erofs: PathBuf,
    /// Its hash tree, `NAME.erofs.verity`.
    pub verity: PathBuf,
    /// What the manifest says about the layer.
    pub layer: manifest::Layer,
    /// What the manifest says about the packages in it, sorted by name.
    pub packages: Vec<manifest::Package>,
    /// What somebody should look at.
    pub findings: Vec<Finding>,
}

/// A layer cannot be composed.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The output folder cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The packages do not go into one tree.
    #[error("cannot merge the packages")]
    Gather(#[from] GatherError),
    /// The tree does not make a system.
    #[error("cannot make a system of the packages")]
    Integrate(#[source] Box<IntegrateError>),
    /// What it is made of cannot be put into it.
    #[error("cannot write the bill of materials")]
    Bill(#[from] PlaceError),
    /// What it is made of cannot be written down.
    #[error("cannot write the index")]
    Index(#[from] IndexError),
    /// The layer cannot be written.
    #[error("cannot write the layer")]
    Layer(#[from] LayerError),
    /// A package's source has no usable version.
    #[error("the package {package} has a bad source version")]
    SourceVersion {
        /// The package.
        package: formats::PackageName,
        /// What is wrong with it.
        source: BadVersion,
    },
}

impl From<IntegrateError> for ComposeError {
    fn from(error: IntegrateError) -> Self {
        Self::Integrate(Box::new(error))
    }
}

impl Explain for ComposeError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Gather(error) => error.hint(),
            Self::Integrate(error) => error.hint(),
            Self::Bill(error) => error.hint(),
            Self::Index(error) => error.hint(),
            Self::Layer(error) => error.hint(),
            Self::SourceVersion { .. } => None,
        }
    }
}

/// Makes a layer: merges the packages, integrates them, writes the EROFS file and its hash tree into
/// the workshop's folder. Over a base, integration is worked out for the whole, and what the base shows
/// already is left out.
///
/// # Errors
///
/// [`ComposeError`]; no file is left behind then.
pub fn compose(
    request: &Request,
    workshop: &Workshop,
    progress: &dyn Progress,
) -> Result<Composed, ComposeError> {
    compose_arriving(request, gather::at_hand(&request.packages), workshop, progress)
}

/// As [`compose`], while the request's packages arrive.
///
/// # Errors
///
/// [`ComposeError`], also if `arrivals` ends before all of them are there; no file is left behind then.
pub fn compose_arriving(
    request: &Request,
    arrivals: Arrivals,
    workshop: &Workshop,
    progress: &dyn Progress,
) -> Result<Composed, ComposeError> {
    file::create_dir_all(&workshop.folder)?;
    let spool = Spool::create(&workshop.folder)?;
    let Whole { mut tree, gathered, findings } = whole(request, arrivals, &spool, progress)?;
    match &request.base {
        None => {}
        Some(Base::Composed(base)) => {
            let arrivals = gather::at_hand(&base.packages);
            tree = delta::over(&whole(base, arrivals, &spool, progress)?.tree, &tree)?;
        }
        Some(Base::Shown(shown, _)) => {
            tree = delta::over(shown.tree().map_err(GatherError::Conflicts)?, &tree)?;
        }
    }
    let order = Order {
        name: &request.name,
        folder: &workshop.folder,
        mkfs: &workshop.mkfs,
        compression: &request.compression,
        epoch: request.epoch,
        identity: inputs_digest(request),
    };
    let packages: Result<_, _> = gathered
        .into_iter()
        .map(|package| {
            let layer = home(package.digest, request).to_owned();
            listed(package, &layer)
        })
        .collect();
    let packages = packages?;
    let made = layer::make(&tree, order, progress)?;
    let layer::Made { layer, erofs, verity } = made;
    Ok(Composed { erofs, verity, layer, packages, findings })
}

/// All that is seen in the end.
struct Whole {
    tree: Tree,
    gathered: Vec<Gathered>,
    findings: Vec<Finding>,
}

/// The tree that `request` describes, composed at once.
fn whole(
    request: &Request,
    arrivals: Arrivals,
    spool: &Spool,
    progress: &dyn Progress,
) -> Result<Whole, ComposeError> {
    let (mut tree, mut gathered) =
        gather::gather_arriving(&request.packages, arrivals, spool, progress)?;
    gather::add_shown((&mut tree, &mut gathered), &request.shown)?;
    if let Some(Base::Shown(beneath, _)) = &request.base {
        shown::keep_written(&mut tree, &mut gathered, beneath).map_err(IndexError::from)?;
    }
    let texts = shown::package_texts(&tree, &gathered)?;
    let (findings, documents) = thread::scope(|scope| {
        let documents = scope.spawn(|| bill::place::documents(&gathered, request));
        let Request { image, product, .. } = request;
        let findings = integrate::integrate(&mut tree, &gathered, image, product);
        (findings, documents.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    let findings = findings?;
    bill::place::place(&mut tree, documents.map_err(PlaceError::from)?)
        .map_err(PlaceError::from)?;
    shown::place(&mut tree, texts, request)?;
    Ok(Whole { tree, gathered, findings })
}

/// The name of the lowest layer that the package lies in.
fn home(package: Digest, request: &Request) -> &str {
    let beneath = match &request.base {
        None => None,
        Some(Base::Composed(base)) => {
            let there = base.packages.iter().any(|input| input.digest == package);
            there.then(|| home(package, base))
        }
        Some(Base::Shown(_, beneath)) => {
            let mut packages = beneath.packages.iter();
            packages.find(|it| it.deb == package).map(|it| it.layer.as_str())
        }
    };
    beneath.unwrap_or(&request.name)
}

fn listed(gathered: Gathered, layer: &str) -> Result<manifest::Package, ComposeError> {
    let Gathered { control, digest, suite, bytes, .. } = gathered;
    let (source, source_version) = control.source();
    let source_version: formats::Version = source_version.parse().map_err(|source| {
        ComposeError::SourceVersion { package: control.name().clone(), source }
    })?;
    Ok(manifest::Package {
        name: control.name().clone(),
        version: control.version().clone(),
        debian_version: control.version().without_preon(),
        source: source.to_owned(),
        source_version: source_version.without_preon(),
        architecture: control.architecture().to_owned(),
        suite,
        rebuilt: control.get(BUILD_FLAGS).is_some(),
        automatic: true, // who composes does not know what was asked for
        installed_bytes: bytes,
        layer: layer.to_owned(),
        deb: digest,
    })
}

#[cfg(test)]
mod tests;
