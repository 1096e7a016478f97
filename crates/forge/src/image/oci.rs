//! `forge image oci`: a base container image from the same curated packages as the host.

use std::io::Write;

use base::file::{self, FileError};
use base::{ByteSize, Failure};

use super::kind;
use crate::context::Context;
use crate::{layer, oci};

/// The definition in `os/images` that the container image is made from.
pub(super) const DEFINITION: &str = "oci";
/// What containers call it.
const NAME: &str = "preon-base";

/// Build the base container image, into `out/oci`
#[derive(Debug, clap::Args)]
pub(crate) struct Oci {}

impl Oci {
    #[expect(clippy::unused_self, reason = "commands are called alike")]
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        kind::expect_container(context, DEFINITION)?;
        let request = layer::described(context, DEFINITION)?;
        let folder = context.out(DEFINITION);
        file::create_dir_all(&folder)?;
        let path = folder.join(format!("{NAME}.tar"));
        let order = oci::Request {
            definition: &request.definition,
            packages: &request.request.packages,
            product: &request.request.product,
            name: NAME,
            epoch: request.request.epoch,
        };
        let (made, findings) = oci::make(&order, &path, context.progress.as_ref())?;
        for finding in &findings {
            context.progress.note(&format!("note: {finding}"));
        }
        let oci::Made { reference, manifest, layer_bytes } = made;
        let (path, size) = (path.display(), ByteSize(layer_bytes));
        writeln!(out, "{path}: {reference} ({size}), manifest sha256:{manifest}")
            .map_err(FileError::at("write to", "standard output"))?;
        Ok(())
    }
}
