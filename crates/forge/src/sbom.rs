//! `forge sbom`: the bill of materials of an image, in the formats that others read.

mod package;

use std::io::Write;
use std::path::PathBuf;

use base::Failure;
use base::file::{self, FileError};
use base::progress::Unit;
use compose::bill::{Bill, cyclonedx, spdx};
use rayon::prelude::*;

use crate::context::Context;
use crate::layer;

/// Write what an image is made of: packages, files, digests, licences
///
/// The bill is made of the same packages as the image, and the same image gives the same bytes.
#[derive(Debug, clap::Args)]
pub(crate) struct Sbom {
    /// The image's name: `minimal`
    image: String,
    /// The format of the bill
    #[arg(long, value_enum, default_value_t = Format::Spdx)]
    format: Format,
    /// Write to this file rather than to standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A format of bills of materials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// SPDX 2.3, as JSON
    Spdx,
    /// CycloneDX 1.6, as JSON
    Cyclonedx,
}

impl Sbom {
    /// Writes the bill to the file, or to `out`.
    ///
    /// # Errors
    ///
    /// What fetching, curating and reading the packages fails with.
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        let bill = bill(context, &self.image)?;
        let text = match self.format {
            Format::Spdx => spdx::document(&bill, spdx::Detail::Full),
            Format::Cyclonedx => cyclonedx::document(&bill),
        };
        match self.output {
            Some(path) => file::replace(&path, text.as_bytes())?,
            None => out
                .write_all(text.as_bytes())
                .map_err(FileError::at("write to", "standard output"))?,
        }
        Ok(())
    }
}

/// The bill of the image `name`, with all files.
///
/// # Errors
///
/// What fetching, curating and reading the packages fails with.
pub(crate) fn bill(context: &Context, name: &str) -> Result<Bill, Failure> {
    let request = layer::described(context, name)?.request;
    let total = Some(request.packages.len() as u64);
    let task = context.progress.begin("reading packages", total, Unit::Count("packages"));
    let parts = request.packages.par_iter().map(|input| {
        let part = package::read(input);
        task.advance(1);
        part
    });
    let parts = parts.collect::<Result<_, _>>()?;
    Ok(Bill::new(&request.product, request.epoch, parts)?)
}
