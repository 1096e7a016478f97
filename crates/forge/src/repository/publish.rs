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

/// Add the packages of images to a repository and sign it
///
/// Nothing is published if one of the packages falls short of `forge audit elf`. What was published stays: a
/// package of the same version with other content is refused. Without an image only the repository's dates are
/// renewed; do that at least every two weeks.
#[derive(Debug, clap::Args)]
pub(crate) struct Publish {
    /// Images whose packages are added: `minimal`
    images: Vec<String>,
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
        let mut packages: BTreeMap<PathBuf, Curated> = BTreeMap::new();
        for image in &self.images {
            for package in layer::packages(context, image)? {
                packages.insert(package.path.clone(), package);
            }
        }
        let packages: Vec<_> = packages.into_values().collect();
        elf::check(context, &self.images.join(" and "), &packages)?;
        let folder = self.folder.path(context);
        let published = put(context, &folder, &keys, &packages)?;
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

/// Adds `packages`, which the audit has let through, to the repository in `folder`.
///
/// # Errors
///
/// What publishing fails with; the repository is then as it was.
pub(super) fn put(
    context: &Context,
    folder: &Path,
    keys: &Keys,
    packages: &[Curated],
) -> Result<Published, Failure> {
    let debs: Vec<_> = packages.iter().map(|package| package.path.clone()).collect();
    let request = Request { folder, suite: SUITE, debs: &debs, keys, now: key::clock() };
    Ok(publish(&request, context.progress.as_ref())?)
}

fn print(published: &Published, out: &mut dyn Write) -> std::io::Result<()> {
    for name in &published.added {
        writeln!(out, "new: {name}")?;
    }
    let Published { version, added, packages, valid_until } = published;
    let (added, until) = (added.len(), key::day(*valid_until));
    writeln!(out, "publication {version}: {packages} packages, {added} of them new, until {until}")
}
