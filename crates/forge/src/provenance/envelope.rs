//! A signed envelope around bytes: DSSE, with Ed25519.
//!
//! Source: Dead Simple Signing Envelope 1.0.2 (protocol and envelope); RFC 8032; RFC 8410 for keys in PEM.

use base::Digest;
use base64ct::{Base64, Encoding};
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// What is in the envelope.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A private key.
pub(super) struct Signer(SigningKey);

/// A public key.
pub(super) struct Verifier(VerifyingKey);

/// A text holds no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("it is no private key of Ed25519 in PEM (PKCS #8)")]
    Private(#[source] ed25519_dalek::pkcs8::Error),
    #[error("it is no public key of Ed25519 in PEM")]
    Public(#[source] ed25519_dalek::pkcs8::spki::Error),
}

/// An envelope that nobody should trust.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadEnvelope {
    #[error("it is no DSSE envelope")]
    Json(#[source] serde_json::Error),
    #[error("it holds `{0}`, not an in-toto statement")]
    Type(String),
    #[error("its {0} is not Base64")]
    Base64(&'static str),
    #[error("the key {0} has not signed it")]
    NotSigned(String),
    #[error("its signature is not of what it holds")]
    Signature(#[source] ed25519_dalek::SignatureError),
}

/// An envelope as it lies in a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<Signed>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    /// Which key to try; nothing is trusted because of it.
    keyid: String,
    sig: String,
}

fn key_id(key: &VerifyingKey) -> String {
    Digest::of(key.as_bytes()).to_string()
}

impl Signer {
    /// Reads the key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Private`].
    pub(super) fn from_pem(pem: &str) -> Result<Self, KeyError> {
        Ok(Self(SigningKey::from_pkcs8_pem(pem).map_err(KeyError::Private)?))
    }

    /// The name of the key: the SHA-256 of its public half's 32 bytes.
    pub(super) fn key_id(&self) -> String {
        key_id(&self.0.verifying_key())
    }
}

impl Verifier {
    /// Reads the key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Public`].
    pub(super) fn from_pem(pem: &str) -> Result<Self, KeyError> {
        Ok(Self(VerifyingKey::from_public_key_pem(pem).map_err(KeyError::Public)?))
    }
}

impl Envelope {
    /// Puts `payload` into an envelope that `signer` signs.
    pub(super) fn sign(payload: &str, signer: &Signer) -> Self {
        let signature = signer.0.sign(&signed_bytes(PAYLOAD_TYPE, payload.as_bytes()));
        Self {
            payload_type: PAYLOAD_TYPE.into(),
            payload: Base64::encode_string(payload.as_bytes()),
            signatures: vec![Signed {
                keyid: signer.key_id(),
                sig: Base64::encode_string(&signature.to_bytes()),
            }],
        }
    }

    /// The envelope as the text of a file.
    pub(super) fn to_json(&self) -> String {
        // Text only: nothing in it can fail to be JSON.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Reads an envelope; nothing is checked yet.
    ///
    /// # Errors
    ///
    /// [`BadEnvelope::Json`].
    pub(super) fn parse(json: &[u8]) -> Result<Self, BadEnvelope> {
        serde_json::from_slice(json).map_err(BadEnvelope::Json)
    }

    /// What is in it, if `verifier` has signed just that.
    ///
    /// # Errors
    ///
    /// [`BadEnvelope`].
    pub(super) fn payload(&self, verifier: &Verifier) -> Result<Vec<u8>, BadEnvelope> {
        if self.payload_type != PAYLOAD_TYPE {
            return Err(BadEnvelope::Type(self.payload_type.clone()));
        }
        let payload =
            Base64::decode_vec(&self.payload).map_err(|_| BadEnvelope::Base64("payload"))?;
        let id = key_id(&verifier.0);
        let signed = self.signatures.iter().find(|signed| signed.keyid == id);
        let signed = signed.ok_or(BadEnvelope::NotSigned(id))?;
        let bytes =
            Base64::decode_vec(&signed.sig).map_err(|_| BadEnvelope::Base64("signature"))?;
        let signature = Signature::from_slice(&bytes).map_err(BadEnvelope::Signature)?;
        let message = signed_bytes(&self.payload_type, &payload);
        verifier.0.verify_strict(&message, &signature).map_err(BadEnvelope::Signature)?;
        Ok(payload)
    }
}

/// The bytes that are signed: the type is among them, so that no signature serves for two purposes.
fn signed_bytes(kind: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
    [head.as_bytes(), payload].concat()
}
