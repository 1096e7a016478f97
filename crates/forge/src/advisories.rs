//! `forge repo advisories`: which known flaws the packages of images fix, in the formats that scanners read.

mod csaf;
mod osv;

use std::io::Write;
use std::path::{Path, PathBuf};

use base::Failure;
use base::file::{self, FileError};
use compose::bill::Bill;
use compose::bill::sources::Sources;
use packages::changelog::Cve;
use packages::fixes::Fixed;
use serde_json::Value;

use crate::context::Context;
use crate::supply::Supply;
use crate::{output, sbom};

/// Write which known flaws (CVE) the packages of images fix
///
/// What Debian's changelogs name as fixed, as OSV (a file for each flaw) and as CSAF 2.0 VEX (a file for each source
/// package and one for each image). The same packages give the same bytes.
#[derive(Debug, clap::Args)]
pub(crate) struct Advisories {
    /// Images whose packages to write about [default: all that os/packages.lock has]
    images: Vec<String>,
    /// The folder to write into; what an earlier run left there is replaced [default: out/advisories]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

/// What was written.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Written {
    /// Flaws that a package fixes: OSV files.
    flaws: usize,
    /// Source packages that fix any: CSAF files.
    sources: usize,
    /// Images: CSAF files.
    images: usize,
}

impl Advisories {
    /// Writes all files, and says how many.
    ///
    /// # Errors
    ///
    /// What reading the packages fails with, or a folder that cannot be written.
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        let folder = self.folder.unwrap_or_else(|| context.out("advisories"));
        output::may_replace(&folder, |name| ["osv", "csaf"].contains(&name))?; // before the long work
        let images = if self.images.is_empty() { locked(context)? } else { self.images };
        let bills = images.iter().map(|image| sbom::bill(context, image));
        let bills = bills.collect::<Result<Vec<_>, _>>()?;
        let written = write(&bills, &folder)?;
        let Written { flaws, sources, images } = written;
        let text = match self.json {
            // Numbers only: nothing in it can fail to be JSON.
            true => serde_json::to_string(&written).unwrap_or_default(),
            false => format!(
                "{flaws} flaws, {sources} source packages, {images} images: {}",
                folder.display()
            ),
        };
        Ok(writeln!(out, "{text}").map_err(FileError::at("write to", "standard output"))?)
    }
}

/// The images that the lock has packages for.
fn locked(context: &Context) -> Result<Vec<String>, Failure> {
    let lock = Supply::open(context)?.lock;
    let images = lock.sets.keys().filter_map(|name| name.strip_prefix("image/"));
    Ok(images.map(str::to_owned).collect())
}

/// Writes the advisories of `bills` into `folder`, in place of what is there.
///
/// # Errors
///
/// [`FileError`]; `folder` is then as it was.
fn write(bills: &[Bill], folder: &Path) -> Result<Written, FileError> {
    let sources = Sources::of(&bills.iter().collect::<Vec<_>>());
    let mut written = Written { flaws: 0, sources: 0, images: 0 };
    file::replace_folder(folder, |folder| {
        let (osv, csaf) = (folder.join("osv"), folder.join("csaf"));
        file::create_dir_all(&osv)?;
        file::create_dir_all(&csaf)?;
        for record in osv::records(&sources) {
            put(&osv.join(format!("{}.json", record.id)), &record.document)?;
            written.flaws += 1;
        }
        for (name, document) in csaf::of_sources(&sources) {
            put(&csaf.join(name), &document)?;
            written.sources += 1;
        }
        for bill in bills {
            if let Some((name, document)) = csaf::of_image(bill) {
                put(&csaf.join(name), &document)?;
                written.images += 1;
            }
        }
        Ok::<_, FileError>(())
    })?;
    Ok(written)
}

/// Writes a document that no one else has a hand on yet: the folder comes to its place as a whole.
fn put(path: &Path, document: &Value) -> Result<(), FileError> {
    std::fs::write(path, format!("{document:#}\n")).map_err(FileError::at("write", path))
}

/// What the changelog of `source` says about `cve`.
fn details(source: &str, cve: Cve, fixed: &Fixed) -> String {
    format!("Debian's changelog of {source} {} names {cve} as fixed.", fixed.version)
}

/// Where Debian tells more about `cve`.
fn tracker(cve: Cve) -> String {
    format!("https://security-tracker.debian.org/tracker/{cve}")
}

#[cfg(test)]
mod tests;
