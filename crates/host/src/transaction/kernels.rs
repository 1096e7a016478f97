//! The kernels that a change brings.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::{Digest, Failure};
use formats::loader::PACKAGES;
use formats::manifest::{Kernel, Manifest};

use crate::Host;
use crate::loader::{Image, Loader, LoaderError};

/// Makes the next manifest name the kernels of its packages: those that are among the `fetched` files, by their digest,
/// and those that stay. The one that starts by itself stays the first, in whichever version.
///
/// # Errors
///
/// If a package has no kernel that can be used.
pub(super) fn name(
    next: &mut Manifest,
    fetched: &BTreeMap<Digest, PathBuf>,
) -> Result<Vec<Image>, Failure> {
    let (mut images, mut kernels) = (Vec::new(), Vec::<Kernel>::new());
    for package in next.packages.iter().filter(|it| it.name.as_str().starts_with(PACKAGES)) {
        match fetched.get(&package.deb) {
            Some(path) => {
                let image = Image::of_package(path, package.deb)?;
                kernels.push(image.kernel.clone());
                images.push(image);
            }
            None => kernels.extend(next.kernels().find(|it| it.package == package.name).cloned()),
        }
    }
    kernels.sort_by_key(|kernel| kernel.package != next.kernel.package);
    let mut kernels = kernels.into_iter();
    if let Some(first) = kernels.next() {
        next.kernel = first;
        next.other_kernels = kernels.collect();
    }
    Ok(images)
}

/// Puts the images on the boot loader's partition, where they do not start yet.
///
/// # Errors
///
/// [`LoaderError`]; nothing of them is there then.
pub(super) fn place(host: &Host, images: &[Image]) -> Result<(), LoaderError> {
    if images.is_empty() {
        return Ok(());
    }
    let loader = Loader::of(&host.root)?.ok_or(LoaderError::Foreign)?;
    let placed = images.iter().try_for_each(|image| loader.place(image));
    placed.inspect_err(|_| take_back(host, images))
}

/// Removes what nothing starts yet, but for what a generation waits with.
pub(super) fn take_back(host: &Host, images: &[Image]) {
    let (Ok(Some(loader)), Ok(all)) = (Loader::of(&host.root), host.store.generations()) else {
        return;
    };
    let manifests: Vec<_> = all.iter().filter_map(|it| host.store.manifest(*it).ok()).collect();
    let is_of_none =
        |image: &&Image| manifests.iter().flat_map(Manifest::kernels).all(|it| *it != image.kernel);
    images.iter().filter(is_of_none).for_each(|image| loader.take_back(image));
}
