//! The packages of kernels, kept in the cache beside the curated ones.

use std::path::{Path, PathBuf};

use base::file;
use base::{Digest, Failure};
use packages::fixes::Fixes;

use crate::cache::Kind;
use crate::context::Context;
use crate::curate::Curated;
use crate::kernel::package::{self, Papers};
use crate::kernel::{self, Built, Flavour, Need, Workshop, changelog};
use crate::recipe::ImageDefinition;
use crate::workshop::KernelShop;

/// The kernels of an image; a container image has none.
pub(super) fn of_image(definition: &ImageDefinition) -> Vec<Flavour> {
    let kernels = definition.kernels.iter();
    kernels.filter(|_| definition.container.is_none()).collect()
}

/// The packages of these kernels, built if need be, and the suite that their source comes from.
///
/// # Errors
///
/// What building a kernel or its package fails with.
pub(super) fn kernels(
    context: &Context,
    flavours: &[Flavour],
) -> Result<Vec<(Curated, String)>, Failure> {
    let shop = KernelShop::new(context);
    let pack = |&flavour: &Flavour| {
        let (path, digest) =
            packed(&shop, &context.cache.kind(Kind::Curated), &kernel::kernel(&shop, flavour)?)?;
        let name = package::name(flavour).parse()?;
        Ok((Curated { name, path, digest, warnings: Vec::new() }, shop.suite()?))
    };
    flavours.iter().map(pack).collect()
}

/// The package of `built` and its digest; made unless the cache holds it undamaged.
fn packed(shop: &dyn Workshop, folder: &Path, built: &Built) -> Result<(PathBuf, Digest), Failure> {
    let path = folder.join(format!("{}.deb", package::key(built)?));
    let note = path.with_extension("sha256");
    let noted = file::read_text(&note).ok().and_then(|text| text.trim().parse::<Digest>().ok());
    if let (Ok(found), Some(noted)) = (Digest::of_file(&path), noted)
        && found == noted
    {
        return Ok((path, found));
    }
    let source = shop.source(Need::Files)?;
    let papers = Papers {
        fixes: Fixes::of_changelog(&changelog::read(&source)?),
        copyright: file::read(&source.copyright)?,
    };
    let bytes = package::write(built, &papers)?;
    file::create_dir_all(folder)?;
    file::replace(&path, &bytes)?;
    // Last, because the note says that the package is there.
    let digest = Digest::of(&bytes);
    file::replace(&note, format!("{digest}\n").as_bytes())?;
    Ok((path, digest))
}
