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

/// The keyrings of those who may upload to Debian: developers, maintainers, and the service that turns a tag
/// which one of them has signed into a source package, and signs that.
///
/// Source: <https://wiki.debian.org/DebianKeyring>, <https://wiki.debian.org/tag2upload>; `debian-nonupload.gpg` is
/// left out on purpose.
const KEYRINGS: [&str; 3] =
    ["debian-keyring.gpg", "debian-maintainers.gpg", "debian-tag2upload.pgp"];

/// The archive has a source package without the file that a developer signed.
#[derive(Debug, thiserror::Error)]
#[error("the archive has no .dsc of {0}, so no developer's signature can be seen")]
struct NoDsc(PackageName);

impl Explain for NoDsc {
    fn hint(&self) -> Option<String> {
        Some(
            "use an archive that has it (--archive), or say in the recipe why the archive's own \
             signature is enough: `unsigned` in [build]"
                .into(),
        )
    }
}

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

/// Fetches and verifies a source package; `unsigned` says why its `.dsc` may be missing.
///
/// # Errors
///
/// What fetching fails with, [`NoDsc`], [`Unsigned`], or [`packages::source::SourceError`] where the `.dsc` and
/// the archive disagree.
pub(crate) fn fetch(
    context: &Context,
    (name, source): (&PackageName, &Source),
    unsigned: Option<&str>,
) -> Result<Verified, Failure> {
    let files = supply::archive(context)?.download_source(source)?;
    let dsc = source.files.iter().zip(&files).find(|(file, _)| file.is_dsc());
    let Some((file, Some(path))) = dsc else {
        let reason = unsigned.ok_or_else(|| NoDsc(name.clone()))?;
        context.progress.note(&format!(
            "note: no developer's signature of the source of {name} was seen, only the archive's: {reason}"
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use sequoia_openpgp as openpgp;

    use openpgp::cert::{Cert, CertBuilder};
    use openpgp::policy::StandardPolicy;
    use openpgp::serialize::SerializeInto;
    use openpgp::serialize::stream::{Message, Signer};

    use super::*;

    const TEXT: &str = "Source: a\nVersion: 1\n";
    const YEAR: Duration = Duration::from_secs(365 * 86400);

    /// Somebody who has had a key for two years, valid for so long from then.
    fn developer(valid: Duration) -> Cert {
        let builder = CertBuilder::new().add_userid("dev@example.org").add_signing_subkey();
        let builder = builder.set_creation_time(SystemTime::now() - 2 * YEAR);
        builder.set_validity_period(valid).generate().unwrap().0
    }

    /// The text, signed by `key` so long ago.
    fn signed(key: &Cert, ago: Duration) -> Vec<u8> {
        let (policy, time) = (StandardPolicy::new(), SystemTime::now() - ago);
        let keys = key.keys().with_policy(&policy, time).for_signing().secret();
        let pair = keys.into_iter().next().unwrap().key().clone().into_keypair().unwrap();
        let mut signed = Vec::new();
        let signer = Signer::new(Message::new(&mut signed), pair).unwrap();
        let mut message = signer.creation_time(time).cleartext().build().unwrap();
        message.write_all(TEXT.as_bytes()).unwrap();
        message.finalize().unwrap();
        signed
    }

    fn keyring_of(keys: &[&Cert]) -> Keyring {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = keys
            .iter()
            .enumerate()
            .map(|(at, key)| {
                let path = folder.path().join(at.to_string());
                std::fs::write(&path, key.to_vec().unwrap()).unwrap();
                path
            })
            .collect();
        Keyring::load_all(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn only_what_a_developer_signed_is_a_source() {
        let (one, other, stranger) =
            (developer(10 * YEAR), developer(10 * YEAR), developer(10 * YEAR));
        let keyring = keyring_of(&[&one, &other]);
        let good = signed(&other, YEAR / 365);
        assert_eq!(verify(&keyring, "a.dsc", &good).unwrap(), TEXT);
        let changed = String::from_utf8(good).unwrap().replace("Version: 1", "Version: 2");
        #[rustfmt::skip]
        let cases = [
            (TEXT.as_bytes().to_vec(),         "it is not a signed text"),
            (signed(&stranger, YEAR / 365),    "is not in the keyring"),
            (changed.into_bytes(),             "no signature is good"),
            (b"-----BEGIN PGP".to_vec(),       "it is not a signed text"),
        ];
        for (bytes, message) in cases {
            let error = verify(&keyring, "a.dsc", &bytes).unwrap_err();
            assert_eq!(error.to_string(), "a.dsc is not signed by a developer of Debian");
            assert!(error.source.to_string().contains(message), "{message}: {}", error.source);
        }
    }

    #[test]
    fn a_key_counts_that_was_valid_when_it_signed() {
        let expired = developer(YEAR);
        let keyring = keyring_of(&[&expired]);
        assert_eq!(verify(&keyring, "a.dsc", &signed(&expired, YEAR + YEAR / 2)).unwrap(), TEXT);
    }
}
