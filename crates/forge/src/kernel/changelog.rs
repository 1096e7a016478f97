//! Debian's changelog of the kernel's source.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use base::Explain;
use flate2::read::GzDecoder;

use super::build::Source;

/// The changelog in the source's package cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the changelog {}", path.display())]
pub(crate) struct NoChangelog {
    path: PathBuf,
    source: io::Error,
}

impl Explain for NoChangelog {}

/// The text of the changelog of `source`.
///
/// # Errors
///
/// [`NoChangelog`].
pub(crate) fn read(source: &Source) -> Result<String, NoChangelog> {
    let path = &source.changelog;
    let unpack = || io::read_to_string(GzDecoder::new(File::open(path)?));
    unpack().map_err(|source| NoChangelog { path: path.clone(), source })
}
