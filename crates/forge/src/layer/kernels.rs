//! The packages of kernels, kept in the cache beside the curated ones.

use std::path::{Path, PathBuf};

use base::file;
use base::{Digest, Failure};
use formats::PackageName;
use packages::fixes::Fixes;

use crate::cache::Kind;
use crate::context::Context;
use crate::curate::Curated;
use crate::kernel::package::{self, Papers};
use crate::kernel::{self, Built, Flavour, Need, Workshop, changelog};
use crate::recipe::ImageDefinition;
use crate::uki::{self, Uki};
use crate::workshop::KernelShop;

/// The kernels of an image; a container image has none.
pub(super) fn of_image(definition: &ImageDefinition) -> Vec<Flavour> {
    let kernels = definition.kernels.iter();
    kernels.filter(|_| definition.container.is_none()).collect()
}

/// The kernels of an image.
#[derive(Default)]
pub(super) struct Kernels {
    /// Their packages and those of their unified kernel images, with the suite that their source comes from.
    pub(super) packages: Vec<(Curated, String)>,
    /// The first one boots by default.
    pub(super) ukis: Vec<Uki>,
}

/// The kernels of the image `name`, built if need be.
///
/// # Errors
///
/// What building a kernel or a package of it fails with.
pub(super) fn kernels(
    context: &Context,
    (name, definition): (&str, &ImageDefinition),
) -> Result<Kernels, Failure> {
    let shop = KernelShop::new(context);
    let folder = context.cache.kind(Kind::Curated);
    let mut all = Kernels::default();
    for flavour in of_image(definition) {
        let mut add = |name: PackageName, (path, digest)| -> Result<(), Failure> {
            let curated = Curated { name, path, digest, warnings: Vec::new() };
            all.packages.push((curated, shop.suite()?));
            Ok(())
        };
        let built = kernel::kernel(&shop, flavour)?;
        add(package::name(flavour).parse()?, packed(&shop, &folder, &built)?)?;
        let uki = uki::assemble(context, (name, definition), flavour)?;
        let key = uki.key();
        let made = kept(&folder, &key, || uki::package(context, (&uki, flavour)))?;
        add(uki.kernel.package.clone(), made)?;
        all.ukis.push(uki);
    }
    Ok(all)
}

/// The package of `built` and its digest; made unless the cache holds it undamaged.
fn packed(shop: &dyn Workshop, folder: &Path, built: &Built) -> Result<(PathBuf, Digest), Failure> {
    kept(folder, &package::key(built)?, || {
        let source = shop.source(Need::Files)?;
        let papers = Papers {
            fixes: Fixes::of_changelog(&changelog::read(&source)?),
            copyright: file::read(&source.copyright)?,
        };
        Ok(package::write(built, &papers)?)
    })
}

/// The package that the cache keeps under this key, and its digest; made unless it is there undamaged.
fn kept(
    folder: &Path,
    key: &Digest,
    make: impl FnOnce() -> Result<Vec<u8>, Failure>,
) -> Result<(PathBuf, Digest), Failure> {
    let path = folder.join(format!("{key}.deb"));
    let note = path.with_extension("sha256");
    let noted = file::read_text(&note).ok().and_then(|text| text.trim().parse::<Digest>().ok());
    if let (Ok(found), Some(noted)) = (Digest::of_file(&path), noted)
        && found == noted
    {
        return Ok((path, found));
    }
    let bytes = make()?;
    file::create_dir_all(folder)?;
    file::replace(&path, &bytes)?;
    // Last, because the note says that the package is there.
    let digest = Digest::of(&bytes);
    file::replace(&note, format!("{digest}\n").as_bytes())?;
    Ok((path, digest))
}
