//! `forge repo publish`: what the audit lets through goes into the repository.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use base::Failure;
use base::file::FileError;
use packages::keys::Keys;
use packages::publish::{Published, Request, publish};
use serde_json::json;

use super::{Folder, SUITE};
use crate::audit::elf;
use crate::context::Context;
use crate::curate::Curated;
use crate::key::{self, KeysFolder};
use crate::layer;
use crate::recipe::ImageDefinition;

/// Add packages to a repository and sign it
///
/// Nothing is published if one of the packages falls short of `forge audit elf`, or a kernel of `forge audit
/// kernel`. What was published stays: a package of the same version with other content is refused. Without an
/// image or `--all` only the repository's dates are renewed; do that at least every two weeks.
#[derive(Debug, clap::Args)]
pub(crate) struct Publish {
    /// Images whose packages and kernels are added: `minimal`
    images: Vec<String>,
    /// Add all that recipes cover, and all kernels
    #[arg(long, conflicts_with = "images")]
    all: bool,
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    keys: KeysFolder,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Publish {
    /// Audits, publishes, and prints what is new.
    ///
    /// # Errors
    ///
    /// A package that does not pass, keys that cannot be used, or what publishing fails with.
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        let keys = self.keys.open(context)?; // before the long work
        let debs = match self.all {
            true => everything(context)?,
            false => of_images(context, &self.images)?,
        };
        let folder = self.folder.path(context);
        let published = put(context, &folder, &keys, &debs)?;
        let printed = if self.json {
            let Published { version, added, packages, valid_until } = published;
            let value = json!({
                "folder": folder, "version": version, "added": added, "packages": packages,
                "valid_until": valid_until,
            });
            writeln!(out, "{value}")
        } else {
            print(&published, out)
        };
        Ok(printed.map_err(FileError::at("write to", "standard output"))?)
    }
}

/// Adds the files `debs`, which the audits have let through, to the repository in `folder`.
///
/// # Errors
///
/// What publishing fails with; the repository is then as it was.
pub(super) fn put(
    context: &Context,
    folder: &Path,
    keys: &Keys,
    debs: &[PathBuf],
) -> Result<Published, Failure> {
    let request = Request { folder, suite: SUITE, debs, keys, now: key::clock() };
    Ok(publish(&request, context.progress.as_ref())?)
}

/// The files of all that recipes cover and of the kernels of all images, which pass the audits.
///
/// # Errors
///
/// What falls short, or what curating and building kernels fail with.
fn everything(context: &Context) -> Result<Vec<PathBuf>, Failure> {
    let packages = layer::everything(context)?;
    elf::check(context, elf::EVERYTHING, &packages)?;
    let kernels = all_kernels(context)?;
    Ok(packages.into_iter().map(|package| package.path).chain(kernels).collect())
}

/// The packages of the kernels that any image has.
///
/// # Errors
///
/// What building kernels fails with.
pub(super) fn all_kernels(context: &Context) -> Result<Vec<PathBuf>, Failure> {
    let images: Vec<_> =
        ImageDefinition::names(&context.root.join("os/images"))?.into_iter().collect();
    let kernels = layer::kernels(context, &images)?;
    Ok(kernels.into_iter().map(|package| package.path).collect())
}

/// The same of `images`.
fn of_images(context: &Context, images: &[String]) -> Result<Vec<PathBuf>, Failure> {
    let mut packages: BTreeMap<PathBuf, Curated> = BTreeMap::new();
    for image in images {
        let of_image = layer::packages(context, image)?.into_iter();
        packages.extend(of_image.map(|package| (package.path.clone(), package)));
    }
    let (mut debs, packages): (Vec<_>, Vec<_>) = packages.into_iter().unzip();
    elf::check(context, &images.join(" and "), &packages)?;
    let kernels = layer::kernels(context, images)?;
    debs.extend(kernels.into_iter().map(|package| package.path));
    Ok(debs)
}

fn print(published: &Published, out: &mut dyn Write) -> std::io::Result<()> {
    for name in &published.added {
        writeln!(out, "new: {name}")?;
    }
    let Published { version, added, packages, valid_until } = published;
    let (added, until) = (added.len(), key::day(*valid_until));
    writeln!(out, "publication {version}: {packages} packages, {added} of them new, until {until}")
}
