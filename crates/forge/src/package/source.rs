//! Fetching a source package: the archive says which bytes, a developer has signed them.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base::file;
use base::{Explain, Failure};
use formats::PackageName;
use packages::release::{BadSignature, Keyring, Verify};
use packages::source::{self, Source};

use crate::context::Context;
use crate::supply;
use crate::tools::ToolRoot;

/// The keyrings of those who may upload to Debian.
///
/// Source: <https://wiki.debian.org/DebianKeyring>; `debian-nonupload.gpg` is left out on purpose.
const KEYRINGS: [&str; 2] = ["debian-keyring.gpg", "debian-maintainers.gpg"];

/// A source package that nobody in Debian has signed.
#[derive(Debug, thiserror::Error)]
#[error("{dsc} is not signed by a developer of Debian")]
pub(crate) struct Unsigned {
    dsc: String,
    source: BadSignature,
}

impl Explain for Unsigned {
    fn hint(&self) -> Option<String> {
        Some("if the key is new, `forge update` brings a newer debian-keyring; otherwise do not build it".into())
    }
}

/// A source package that was fetched and verified.
pub(crate) struct Verified {
    /// Its files, in the order of the lock; none in the place of a `.dsc` that the archive lacks.
    pub(crate) files: Vec<Option<PathBuf>>,
    /// Whether a developer's signature was seen; if not, the archive's alone vouches for it.
    pub(crate) by_developer: bool,
}

/// Fetches and verifies a source package.
///
/// # Errors
///
/// What fetching fails with, [`Unsigned`], or [`packages::source::SourceError`] where the `.dsc` and the
/// archive disagree.
pub(crate) fn fetch(
    context: &Context,
    name: &PackageName,
    source: &Source,
) -> Result<Verified, Failure> {
    let files = supply::archive(context)?.download_source(source)?;
    let dsc = source.files.iter().zip(&files).find(|(file, _)| file.is_dsc());
    let Some((file, Some(path))) = dsc else {
        context.progress.note(&format!(
            "note: the archive has the source of {name} without its .dsc: the archive's own signature \
             vouches for it, no developer's"
        ));
        return Ok(Verified { files, by_developer: false });
    };
    let text = verify(&keyring(context)?, file.name(), &file::read(path)?)?;
    source::check_dsc(name, source, &text)?;
    Ok(Verified { files, by_developer: true })
}

/// The signed text of a `.dsc`.
fn verify(keyring: &Keyring, dsc: &str, signed: &[u8]) -> Result<String, Unsigned> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    keyring.verify(signed, now).map_err(|source| Unsigned { dsc: dsc.to_owned(), source })
}

/// The keys of all who may upload.
fn keyring(context: &Context) -> Result<Keyring, Failure> {
    let root = ToolRoot::open(context, "keyring")?;
    let file = |name: &str| root.file(&format!("usr/share/keyrings/{name}"));
    let files = KEYRINGS.map(file);
    Ok(Keyring::load_all(&files.iter().map(PathBuf::as_path).collect::<Vec<&Path>>())?)
}
