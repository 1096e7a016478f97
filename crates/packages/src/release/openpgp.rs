//! Signatures of Debian's archive keys, judged by sequoia's policy: expiry, revocation, weak hashes.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base::Explain;
use base::file::{self, FileError};
use sequoia_openpgp as openpgp;

use openpgp::cert::CertParser;
use openpgp::parse::Parse;
use openpgp::parse::stream::{
    MessageLayer, MessageStructure, VerificationError, VerificationHelper, VerifierBuilder,
};
use openpgp::policy::StandardPolicy;
use openpgp::{Cert, KeyHandle};

use super::{BadSignature, Verify};

/// The keys that may sign an archive.
pub struct Keyring {
    certificates: Vec<Cert>,
}

/// A keyring cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It holds something that is no key.
    #[error("cannot read the keys in {}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It holds no key.
    #[error("there is no key in {}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl Explain for KeyringError {
    fn hint(&self) -> Option<String> {
        Some("install the package debian-archive-keyring".into())
    }
}

impl Keyring {
    /// Reads the keys of a keyring file, binary or armoured.
    ///
    /// # Errors
    ///
    /// [`KeyringError`] if it cannot be read or holds no key.
    pub fn load(path: &Path) -> Result<Self, KeyringError> {
        Self::load_all(&[path])
    }

    /// Reads the keys of several keyring files.
    ///
    /// # Errors
    ///
    /// [`KeyringError`] if one cannot be read or holds no key.
    pub fn load_all(paths: &[&Path]) -> Result<Self, KeyringError> {
        let mut certificates = Vec::new();
        for path in paths {
            certificates.extend(Self::certificates(path)?);
        }
        Ok(Self { certificates })
    }

    fn certificates(path: &Path) -> Result<Vec<Cert>, KeyringError> {
        let bytes = file::read(path)?;
        let parsed = CertParser::from_bytes(&bytes).and_then(Iterator::collect);
        let certificates: Vec<Cert> = parsed.map_err(|error| KeyringError::Malformed {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        if certificates.is_empty() {
            return Err(KeyringError::Empty { path: path.to_owned() });
        }
        Ok(certificates)
    }
}

impl Verify for Keyring {
    fn verify(&self, signed: &[u8], now: u64) -> Result<String, BadSignature> {
        let policy = StandardPolicy::new();
        let helper = Helper { certificates: &self.certificates, verdict: None };
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
        let mut verifier = VerifierBuilder::from_bytes(signed)
            .and_then(|builder| builder.with_policy(&policy, time, helper))
            .map_err(|error| BadSignature::NotSigned(error.to_string()))?;
        let mut text = Vec::new();
        let read = verifier.read_to_end(&mut text);
        match verifier.into_helper().verdict {
            Some(Ok(())) => {}
            Some(Err(reasons)) => return Err(BadSignature::NoneGood(reasons)),
            None => return Err(BadSignature::NotSigned("there is no signature".into())),
        }
        read.map_err(|error| BadSignature::NotSigned(error.to_string()))?;
        String::from_utf8(text).map_err(|_| BadSignature::NotText)
    }
}

/// Gives sequoia the keys, and takes its verdict on each signature.
struct Helper<'a> {
    certificates: &'a [Cert],
    /// Good, or why each signature is not. `None` until the signatures were judged.
    verdict: Option<Result<(), Vec<String>>>,
}

impl VerificationHelper for Helper<'_> {
    fn get_certs(&mut self, handles: &[KeyHandle]) -> openpgp::Result<Vec<Cert>> {
        let is_meant = |cert: &&Cert| {
            cert.keys()
                .any(|key| handles.iter().any(|handle| handle.aliases(key.key().key_handle())))
        };
        Ok(self.certificates.iter().filter(is_meant).cloned().collect())
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> openpgp::Result<()> {
        let mut reasons = Vec::new();
        let mut good = false;
        for layer in structure {
            let MessageLayer::SignatureGroup { results } = layer else {
                reasons.push("it is more than a signed text".to_owned());
                continue;
            };
            for result in results {
                match result {
                    Ok(_) => good = true,
                    Err(error) => reasons.push(reason(&error)),
                }
            }
        }
        self.verdict = Some(if good { Ok(()) } else { Err(reasons) });
        Ok(())
    }
}

fn reason(error: &VerificationError<'_>) -> String {
    match error {
        VerificationError::MissingKey { sig } => match sig.get_issuers().first() {
            Some(key) => format!("the key {key} is not in the keyring"),
            None => "it does not say by which key it is".to_owned(),
        },
        other => other.to_string(),
    }
}
