//! `forge image compose`: the layer of an image alone.

use std::io::Write;
use std::path::{Path, PathBuf};

use ::compose::{Algorithm, BadAlgorithm, Workshop};
use base::file::{self, FileError};
use base::{ByteSize, Failure};

use crate::context::Context;
use crate::layer::{self, Described};
use crate::tools::ToolRoot;

/// Compose only an image's own layer, into a folder: an EROFS file and its hash tree
///
/// Always anew from the curated packages, whatever the cache has of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Compose {
    /// The image's name: `minimal`
    name: String,
    /// Where the two files go; made if it is not there
    #[arg(long, value_name = "FOLDER")]
    output: PathBuf,
    /// Compress so, rather than as the image says: `zstd,12`, `lz4hc,9`, `lz4`
    #[arg(long, value_name = "ALGORITHM", value_parser = algorithm)]
    compression: Option<Algorithm>,
}

fn algorithm(text: &str) -> Result<Algorithm, BadAlgorithm> {
    Algorithm::try_from(text.to_owned())
}

impl Compose {
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        let tools = ToolRoot::open(context, "image")?;
        let Described { mut request, .. } = layer::described(context, &self.name)?;
        if let Some(algorithm) = self.compression {
            request.compression.algorithm = algorithm;
        }
        file::create_dir_all(&self.output)?;
        let workshop = Workshop { folder: self.output, mkfs: tools.program("mkfs.erofs") };
        let composed = ::compose::compose(&request, &workshop, context.progress.as_ref())?;
        let line = |file: &Path, bytes| format!("{}: {}\n", file.display(), ByteSize(bytes));
        let text = line(&composed.erofs, composed.layer.erofs_bytes)
            + &line(&composed.verity, composed.layer.verity_bytes);
        out.write_all(text.as_bytes()).map_err(FileError::at("write to", "standard output"))?;
        Ok(())
    }
}
