//! The OpenPGP certificates that sign `InRelease`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sequoia_openpgp as openpgp;

use openpgp::Cert;
use openpgp::cert::{CertBuilder, CertRevocationBuilder, CipherSuite};
use openpgp::crypto::KeyPair;
use openpgp::parse::Parse;
use openpgp::policy::StandardPolicy;
use openpgp::serialize::SerializeInto;
use openpgp::serialize::stream::{Message, Signer};
use openpgp::types::{KeyFlags, ReasonForRevocation, RevocationStatus};

use super::{KeyError, Role, secret};

/// What the certificate says whose it is.
const OWNER: &str = "Preon OS repository";

/// A certificate with its secret keys.
pub(super) struct Certificate {
    path: PathBuf,
    cert: Cert,
}

fn refused(attempt: &'static str) -> impl FnOnce(openpgp::anyhow::Error) -> KeyError {
    move |error| KeyError::OpenPgp { attempt, reason: error.to_string() }
}

fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

impl Certificate {
    /// The file of the certificate `number`, from 1.
    pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
        folder.join(format!("{}-{number}.asc", Role::OpenPgp))
    }

    /// The number of the next certificate.
    pub(super) fn next_number(folder: &Path) -> Result<u64, KeyError> {
        let numbers = secret::numbers(folder, Role::OpenPgp, ".asc")?;
        Ok(numbers.last().map_or(1, |last| last + 1))
    }

    /// Makes one that lives from `now` for `life` seconds.
    pub(super) fn generate(now: u64, life: u64) -> Result<Self, KeyError> {
        let (cert, _) = CertBuilder::new()
            .add_userid(OWNER)
            .set_cipher_suite(CipherSuite::Cv25519)
            .set_creation_time(time(now))
            .set_validity_period(Duration::from_secs(life))
            .set_primary_key_flags(KeyFlags::empty().set_certification().set_signing())
            .generate()
            .map_err(refused("make"))?;
        Ok(Self { path: PathBuf::new(), cert })
    }

    /// All in `folder`, in the order in which they were made.
    pub(super) fn load_all(folder: &Path) -> Result<Vec<Self>, KeyError> {
        let mut all = Vec::new();
        for number in secret::numbers(folder, Role::OpenPgp, ".asc")? {
            let path = Self::path(folder, number);
            let bytes = secret::read(&path)?;
            let cert = Cert::from_bytes(&bytes).map_err(|error| KeyError::Malformed {
                path: path.clone(),
                reason: error.to_string(),
            })?;
            all.push(Self { path, cert });
        }
        Ok(all)
    }

    pub(super) fn file(&self) -> &Path {
        &self.path
    }

    pub(super) fn fingerprint(&self) -> String {
        self.cert.fingerprint().to_hex()
    }

    /// When it ends, in seconds since 1970.
    pub(super) fn until(&self) -> Option<u64> {
        let policy = StandardPolicy::new();
        let valid = self.cert.with_policy(&policy, None).ok()?;
        let end = valid.primary_key().key_expiration_time()?;
        Some(end.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
    }

    /// Why it cannot sign `now`, if it cannot.
    pub(super) fn unusable(&self, now: u64) -> Option<String> {
        let policy = StandardPolicy::new();
        if let RevocationStatus::Revoked(_) = self.cert.revocation_status(&policy, time(now)) {
            return Some("is revoked".into());
        }
        match self.cert.with_policy(&policy, time(now)).and_then(|valid| valid.alive()) {
            Ok(()) => self.pair(now).err().map(|error| error.to_string()),
            Err(_) if self.until().is_some_and(|until| until <= now) => Some("has expired".into()),
            Err(error) => Some(format!("is not valid: {error}")),
        }
    }

    fn pair(&self, now: u64) -> Result<KeyPair, KeyError> {
        let policy = StandardPolicy::new();
        let keys = self.cert.keys().with_policy(&policy, time(now)).for_signing().alive();
        let key = keys.revoked(false).secret().next().ok_or_else(|| KeyError::OpenPgp {
            attempt: "sign with",
            reason: "it has no secret key for that".into(),
        })?;
        key.key().clone().into_keypair().map_err(refused("open"))
    }

    /// The same, but it ends at `until`, as of `now`.
    pub(super) fn ending(&self, now: u64, until: u64) -> Result<Self, KeyError> {
        if self.until().is_some_and(|end| end <= until) {
            return Ok(Self { path: self.path.clone(), cert: self.cert.clone() });
        }
        let policy = StandardPolicy::new();
        let mut pair = self.pair(now)?;
        let end = Some(time(until));
        let signatures = self.cert.set_expiration_time(&policy, time(now), &mut pair, end);
        self.with(signatures.map_err(refused("end"))?)
    }

    /// The same, but revoked for ever, because somebody else may have it.
    pub(super) fn revoked(&self, now: u64) -> Result<Self, KeyError> {
        let mut pair = self.pair(now)?;
        let reason = ReasonForRevocation::KeyCompromised;
        let signature = CertRevocationBuilder::new()
            .set_signature_creation_time(time(now))
            .and_then(|builder| builder.set_reason_for_revocation(reason, b"replaced"))
            .and_then(|builder| builder.build(&mut pair, &self.cert, None))
            .map_err(refused("revoke"))?;
        self.with(vec![signature])
    }

    fn with(&self, signatures: Vec<openpgp::packet::Signature>) -> Result<Self, KeyError> {
        let inserted = self.cert.clone().insert_packets(signatures);
        let (cert, _) = inserted.map_err(refused("change"))?;
        Ok(Self { path: self.path.clone(), cert })
    }

    /// The whole of it, armoured.
    pub(super) fn secret(&self) -> Result<Vec<u8>, KeyError> {
        self.cert.as_tsk().armored().to_vec().map_err(refused("write"))
    }

    /// What everybody may know of it, not armoured.
    pub(super) fn public(&self) -> Result<Vec<u8>, KeyError> {
        self.cert.to_vec().map_err(refused("write"))
    }
}

/// `text`, signed by all of `certificates`, of which there is at least one.
///
/// sequoia puts random bytes into each signature, so that two of the same text differ.
///
/// Source: RFC 9580, section 7.
pub(super) fn clear_sign(
    certificates: &[&Certificate],
    text: &str,
    now: u64,
) -> Result<Vec<u8>, KeyError> {
    let mut pairs = Vec::new();
    for certificate in certificates {
        pairs.push(certificate.pair(now)?);
    }
    let sign = |pairs: Vec<KeyPair>| -> openpgp::Result<Vec<u8>> {
        let mut signed = Vec::new();
        let mut pairs = pairs.into_iter();
        let Some(first) = pairs.next() else { return Ok(signed) };
        let mut signer = Signer::new(Message::new(&mut signed), first)?;
        for pair in pairs {
            signer = signer.add_signer(pair)?;
        }
        let mut message = signer.creation_time(time(now)).cleartext().build()?;
        message.write_all(text.as_bytes())?;
        message.finalize()?;
        Ok(signed)
    };
    sign(pairs).map_err(refused("sign with"))
}
