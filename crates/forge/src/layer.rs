//! From the lock to a layer: fetch, curate, compose, each step kept in the cache.

mod curated;
mod kernels;
mod needed;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base::digest::Hasher;
use base::file::{self, FileError};
use base::{Digest, Explain, Failure};
use compose::{Algorithm, Base, Compression, Finding, Image, Input, Product, Request, Workshop};
use formats::PackageName;
use formats::manifest;
use serde::{Deserialize, Serialize};

pub(crate) use curated::{CuratedSet, curate_all, of_recipes};

use crate::audit;
use crate::cache::Kind;
use crate::context::Context;
use crate::curate::Curated;
use crate::kernel;
use crate::recipe::{ImageDefinition, Preset};
use crate::supply::Supply;
use crate::tools::ToolRoot;
use crate::uki::Uki;
use crate::workshop::KernelShop;

/// A composed layer in the cache, with what the manifest says beside it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Layer {
    /// VERSION_ID of the product.
    pub(crate) version: String,
    /// BUILD_ID: follows from what the image is made of.
    pub(crate) build_id: String,
    /// The time of everything, seconds since 1970.
    pub(crate) epoch: u64,
    /// What the manifest says about the layer.
    pub(crate) layer: manifest::Layer,
    /// What the manifest says about the packages.
    pub(crate) packages: Vec<manifest::Package>,
    /// The packages that are Debian's build although they are to be built from source.
    #[serde(default)]
    pub(crate) not_rebuilt: BTreeSet<PackageName>,
    /// Which tools decided the bytes.
    pub(crate) tools: BTreeMap<String, String>,
    /// Where the files are.
    #[serde(skip)]
    pub(crate) folder: PathBuf,
}

/// A layer in the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerError {
    #[error("the cached layer {} is broken", path.display())]
    Cached { path: PathBuf, source: serde_json::Error },
    #[error("cannot describe the layer")]
    Describe(#[source] serde_json::Error),
}

impl Explain for LayerError {
    fn hint(&self) -> Option<String> {
        Some("run `forge cache clear layers`".into())
    }
}

impl Layer {
    /// The EROFS file.
    pub(crate) fn erofs(&self) -> PathBuf {
        self.folder.join(format!("{}.erofs", self.layer.name))
    }

    /// Its hash tree.
    pub(crate) fn verity(&self) -> PathBuf {
        self.folder.join(format!("{}.erofs.verity", self.layer.name))
    }

    /// Whether both files are as they were when they were made.
    fn is_whole(&self) -> bool {
        let is = |path: &Path, digest| Digest::of_file(path).is_ok_and(|found| found == digest);
        is(&self.erofs(), self.layer.erofs) && is(&self.verity(), self.layer.verity)
    }
}

/// The curated packages of the image `name`, without its kernels.
///
/// # Errors
///
/// What reading recipes and lock, fetching and curating fail with.
pub(crate) fn packages(context: &Context, name: &str) -> Result<Vec<Curated>, Failure> {
    let (_, curated) = curated::of_image(context, name)?;
    Ok(curated.packages.into_iter().map(|(package, _)| package).collect())
}

/// The names of the packages of the image `name`, without its kernels.
///
/// # Errors
///
/// What reading recipes and lock fail with.
pub(crate) fn package_names(
    context: &Context,
    name: &str,
) -> Result<BTreeSet<PackageName>, Failure> {
    curated::names_of_image(context, name)
}

/// The curated packages of all that recipes cover, whether an image has them or not; without kernels.
///
/// # Errors
///
/// As [`packages`].
pub(crate) fn everything(context: &Context) -> Result<Vec<Curated>, Failure> {
    let curated = of_recipes(context)?;
    Ok(curated.packages.into_iter().map(|(package, _)| package).collect())
}

/// The packages of the kernels of `images` and of their unified kernel images, which are built if need be; the kernels
/// meet the policy with every command line.
///
/// # Errors
///
/// What building a kernel or a package of it fails with, or a kernel that does not meet the policy.
pub(crate) fn kernels(context: &Context, images: &[String]) -> Result<Vec<Curated>, Failure> {
    let (mut flavours, mut packages) = (BTreeSet::new(), BTreeMap::new());
    for name in images {
        let definition = definition(context, name)?;
        flavours.extend(kernels::of_image(&definition));
        let of_image = kernels::kernels(context, (name, &definition))?.packages.into_iter();
        packages.extend(of_image.map(|(package, _)| (package.path.clone(), package)));
    }
    for flavour in flavours {
        let built = kernel::kernel(&KernelShop::new(context), flavour)?;
        audit::kernel::image::demand_always(&context.root, &built)?;
    }
    Ok(packages.into_values().collect())
}

/// What `os/images` says about the image `name`.
///
/// # Errors
///
/// If there is none, or it is malformed.
pub(crate) fn definition(context: &Context, name: &str) -> Result<ImageDefinition, Failure> {
    Ok(ImageDefinition::named(&context.root.join("os/images"), name)?)
}

/// An image's definition, and what composing it asks for.
pub(crate) struct Described {
    /// What `os/images` says.
    pub(crate) definition: ImageDefinition,
    /// The curated packages and all that decides the bytes.
    pub(crate) request: Request,
    /// Its unified kernel images; the first one boots by default.
    pub(crate) ukis: Vec<Uki>,
}

/// Fetches and curates the packages of the image `name`.
///
/// # Errors
///
/// What reading recipes and lock, fetching and curating fail with.
pub(crate) fn described(context: &Context, name: &str) -> Result<Described, Failure> {
    let (definition, mut curated) = curated::of_image(context, name)?;
    let kernels = kernels::kernels(context, (name, &definition))?;
    curated.packages.extend(kernels.packages);
    let epoch = Supply::open(context)?.lock.epoch();
    let mut request = request(name, &definition, &curated, epoch);
    if let Some(over) = &definition.over {
        request.base = Some(Base::Composed(Box::new(described(context, over)?.request)));
    }
    Ok(Described { definition, request, ukis: kernels.ukis })
}

/// The layers of an image that is described so, lowest first; each is composed now unless the cache has it. The last
/// one describes the whole.
///
/// # Errors
///
/// What composing fails with.
pub(crate) fn layers(
    context: &Context,
    tools: &ToolRoot,
    request: &Request,
) -> Result<Vec<Layer>, Failure> {
    let mut next = Some(request);
    let mut layers = Vec::new();
    while let Some(request) = next {
        layers.insert(0, layer(context, tools, request)?);
        next = match &request.base {
            Some(Base::Composed(base)) => Some(&**base),
            _ => None, // nothing is seen yet where images are built
        };
    }
    Ok(layers)
}

/// Notes what somebody should look at.
fn note(context: &Context, findings: &[Finding]) {
    for finding in findings {
        context.progress.note(&format!("note: {finding}"));
    }
}

/// What decided the bytes of a layer beside what it is made of.
fn tool_versions(tools: &ToolRoot) -> BTreeMap<String, String> {
    [("image-root".to_owned(), tools.identity().to_string())].into()
}

/// Composes one layer of `packages` and writes it into `folder` as an image's: below `layers`, and what a manifest
/// says of it into `manifest.json`.
///
/// # Errors
///
/// What composing and writing fail with.
pub(crate) fn alone(
    context: &Context,
    tools: &ToolRoot,
    packages: &CuratedSet,
    folder: &Path,
) -> Result<(), Failure> {
    let definition = definition(context, "minimal")?;
    let mut request =
        request("repository", &definition, packages, Supply::open(context)?.lock.epoch());
    request.compression.algorithm = Algorithm::try_from("lz4".to_owned())?;
    let layers = folder.join("layers");
    file::create_dir_all(&layers)?;
    let workshop = Workshop { folder: layers.clone(), mkfs: tools.program("mkfs.erofs") };
    let composed = compose::compose(&request, &workshop, context.progress.as_ref())?;
    note(context, &composed.findings);
    for (from, ending) in [(composed.erofs, "erofs"), (composed.verity, "verity")] {
        let to = layers.join(format!("{}.{ending}", composed.layer.erofs));
        std::fs::rename(&from, &to).map_err(FileError::at("rename", &from))?;
    }
    let manifest = serde_json::json!({
        "version": request.product.version,
        "build_id": request.product.build_id,
        "layers": [composed.layer],
        "packages": composed.packages,
        "tools": tool_versions(tools),
    });
    Ok(file::replace(&folder.join("manifest.json"), manifest.to_string().as_bytes())?)
}

/// The layer that `request` describes.
fn layer(context: &Context, tools: &ToolRoot, request: &Request) -> Result<Layer, Failure> {
    let mut hasher = Hasher::default();
    hasher.field(tools.identity().as_bytes());
    hasher.field(compose::inputs_digest(request).as_bytes());
    let key = hasher.finish();
    let kept = context.cache.path(Kind::Layers, &key);
    if kept.is_dir() && !load(kept.clone()).is_ok_and(|layer| layer.is_whole()) {
        context.progress.note(&format!("{} is damaged and made anew", kept.display()));
        file::remove_folder(&kept)?;
    }
    let make = |folder: &Path| make(context, tools, request, folder);
    load(context.cache.folder(Kind::Layers, &key, make)?)
}

/// Reads the description of the layer in `folder`.
fn load(folder: PathBuf) -> Result<Layer, Failure> {
    let path = folder.join(DESCRIPTION);
    let layer: Layer = serde_json::from_slice(&file::read(&path)?)
        .map_err(|source| LayerError::Cached { path, source })?;
    Ok(Layer { folder, ..layer })
}

/// The file in the cache that describes the layer beside it.
const DESCRIPTION: &str = "layer.json";

fn make(
    context: &Context,
    tools: &ToolRoot,
    request: &Request,
    folder: &Path,
) -> Result<(), Failure> {
    let mkfs = tools.program("mkfs.erofs");
    let workshop = Workshop { folder: folder.to_owned(), mkfs };
    let composed = compose::compose(request, &workshop, context.progress.as_ref())?;
    note(context, &composed.findings);
    let layer = Layer {
        version: request.product.version.clone(),
        build_id: request.product.build_id.clone(),
        epoch: request.epoch,
        layer: composed.layer,
        packages: composed.packages,
        not_rebuilt: request.product.not_rebuilt.clone(),
        tools: tool_versions(tools),
        folder: PathBuf::new(),
    };
    let text = serde_json::to_vec_pretty(&layer).map_err(LayerError::Describe)?;
    Ok(file::replace(&folder.join(DESCRIPTION), &text)?)
}

fn request(name: &str, definition: &ImageDefinition, curated: &CuratedSet, epoch: u64) -> Request {
    let CuratedSet { packages, not_rebuilt } = curated;
    let input = |(package, suite): &(Curated, String)| Input {
        deb: package.path.clone(),
        digest: package.digest,
        suite: suite.clone(),
    };
    let presets = &definition.presets;
    let request = Request {
        name: name.to_owned(),
        base: None,
        packages: packages.iter().map(input).collect(),
        shown: Vec::new(),
        image: Image {
            presets: presets.iter().map(|(u, p)| (u.clone(), *p == Preset::Enable)).collect(),
            etc: definition.etc.iter().map(|(p, t)| (p.as_str().to_owned(), t.clone())).collect(),
            missing_libraries: BTreeSet::new(),
        },
        product: Product {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build_id: String::new(),
            image: name.to_owned(),
            not_rebuilt: not_rebuilt.clone(),
        },
        epoch,
        compression: Compression {
            algorithm: definition.compression.algorithm().clone(),
            cluster_bytes: definition.cluster_bytes.get(),
        },
    };
    request.named()
}

#[cfg(test)]
mod tests;
