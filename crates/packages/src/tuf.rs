//! TUF metadata: what hosts verify, so that nobody who stands between them and us can give them old
//! packages, hold new ones back, or mix them.
//!
//! The files are canonical JSON, so that the same content gives the same bytes. They are written here and not by
//! the crate `tough`, whose editor keeps targets in a hash map and so writes them in another order each
//! time; `tough` reads them in `remote`.
//!
//! Source: The Update Framework Specification 1.0.34, sections 4 (formats) and 3.1.2.2 (what lies where).

use std::collections::{BTreeMap, BTreeSet};

use base::Digest;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use jiff::Timestamp;
use olpc_cjson::CanonicalFormatter;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of the specification that the files follow.
const SPECIFICATION: &str = "1.0.34";

/// Signed metadata: what a file holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Signed<T> {
    signatures: Vec<RoleSignature>,
    /// What is signed, in its canonical form.
    pub(crate) signed: T,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct RoleSignature {
    keyid: String,
    sig: String,
}

/// What every role's metadata begins with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    #[serde(rename = "_type")]
    kind: String,
    spec_version: String,
    /// Counts from 1.
    pub(crate) version: u64,
    expires: String,
}

/// Which keys may sign which role.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Root {
    #[serde(flatten)]
    pub(crate) head: Head,
    consistent_snapshot: bool,
    keys: BTreeMap<String, Key>,
    roles: BTreeMap<String, RoleKeys>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    keytype: String,
    keyval: KeyValue,
    scheme: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KeyValue {
    public: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct RoleKeys {
    keyids: Vec<String>,
    threshold: u32,
}

/// The files that hosts may use, by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Targets {
    #[serde(flatten)]
    pub(crate) head: Head,
    pub(crate) targets: BTreeMap<String, Target>,
}

/// What a file must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) length: u64,
    pub(crate) hashes: Hashes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Hashes {
    pub(crate) sha256: Digest,
}

/// Which metadata belongs together: a snapshot names the targets, a timestamp the snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Meta {
    #[serde(flatten)]
    pub(crate) head: Head,
    pub(crate) meta: BTreeMap<String, MetaFile>,
}

/// Another file of metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MetaFile {
    pub(crate) version: u64,
    length: u64,
    hashes: Hashes,
}

/// Metadata is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum TufError {
    /// It is no metadata.
    #[error("it is malformed: {0}")]
    Malformed(String),
    /// No key that may sign it has signed it.
    #[error("nobody who may sign it as {0} has signed it")]
    Unsigned(&'static str),
    /// Other metadata says that it is another file.
    #[error("it is not the file that the signed metadata names")]
    Other,
}

impl Target {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { length: bytes.len() as u64, hashes: Hashes { sha256: Digest::of(bytes) } }
    }
}

impl MetaFile {
    fn of(version: u64, bytes: &[u8]) -> Self {
        let Target { length, hashes } = Target::of(bytes);
        Self { version, length, hashes }
    }

    /// Whether `bytes` are the file.
    ///
    /// # Errors
    ///
    /// [`TufError::Other`].
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), TufError> {
        if *self == Self::of(self.version, bytes) { Ok(()) } else { Err(TufError::Other) }
    }
}

impl Head {
    fn new(kind: &str, version: u64, expires: u64) -> Self {
        let (kind, spec_version) = (kind.to_owned(), SPECIFICATION.to_owned());
        Self { kind, spec_version, version, expires: date(expires) }
    }

    /// The second since 1970 until which it may be used.
    pub(crate) fn expires(&self) -> u64 {
        let parsed: Option<Timestamp> = self.expires.parse().ok();
        parsed.and_then(|time| u64::try_from(time.as_second()).ok()).unwrap_or(0)
    }
}

/// The form that TUF wants: `2026-11-27T08:00:00Z`.
fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|time| Timestamp::from_second(time).ok());
    time.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The metadata of one publication, as files.
pub(crate) struct Files {
    pub(crate) targets: Vec<u8>,
    pub(crate) snapshot: Vec<u8>,
    pub(crate) timestamp: Vec<u8>,
}

/// What a publication says: its number, and until when it may be used.
#[derive(Clone, Copy)]
pub(crate) struct Edition {
    pub(crate) version: u64,
    pub(crate) expires: u64,
}

/// Who signs what.
#[derive(Clone, Copy)]
pub(crate) struct Signers<'a> {
    pub(crate) targets: &'a SigningKey,
    pub(crate) snapshot: &'a SigningKey,
    pub(crate) timestamp: &'a SigningKey,
}

impl Files {
    /// Describes `targets` and signs.
    pub(crate) fn new(
        targets: BTreeMap<String, Target>,
        edition: Edition,
        signers: Signers<'_>,
    ) -> Self {
        let Edition { version, expires } = edition;
        let head = |kind| Head::new(kind, version, expires);
        let meta = |kind, name: &str, bytes: &[u8]| Meta {
            head: head(kind),
            meta: [(name.to_owned(), MetaFile::of(version, bytes))].into(),
        };
        let targets = sign(&Targets { head: head("targets"), targets }, &[signers.targets]);
        let snapshot = sign(&meta("snapshot", "targets.json", &targets), &[signers.snapshot]);
        let timestamp = sign(&meta("timestamp", "snapshot.json", &snapshot), &[signers.timestamp]);
        Self { targets, snapshot, timestamp }
    }
}

impl Root {
    /// A root that lets one key each sign the roles that are named.
    pub(crate) fn new(
        edition: Edition,
        roles: impl IntoIterator<Item = (&'static str, VerifyingKey)>,
    ) -> Self {
        let head = Head::new("root", edition.version, edition.expires);
        let (mut keys, mut by_role) = (BTreeMap::new(), BTreeMap::new());
        for (role, key) in roles {
            let keyid = key_id(&key);
            keys.insert(keyid.clone(), Key::of(&key));
            by_role.insert(role.to_owned(), RoleKeys { keyids: vec![keyid], threshold: 1 });
        }
        Self { head, consistent_snapshot: true, keys, roles: by_role }
    }

    /// The key that signs `role`, as [`key_id`] gives it.
    pub(crate) fn key_of(&self, role: &str) -> Option<&str> {
        self.roles.get(role)?.keyids.first().map(String::as_str)
    }

    /// Whether one of the keys of `role` has signed `text`.
    fn has_signed(&self, role: &str, text: &[u8], signatures: &[RoleSignature]) -> bool {
        let Some(allowed) = self.roles.get(role) else { return false };
        let good = |signature: &&RoleSignature| {
            allowed.keyids.contains(&signature.keyid)
                && self.keys.get(&signature.keyid).is_some_and(|key| key.verifies(text, signature))
        };
        let signers: BTreeSet<_> = signatures.iter().filter(good).map(|it| &it.keyid).collect();
        signers.len() >= allowed.threshold as usize
    }
}

impl Key {
    fn of(key: &VerifyingKey) -> Self {
        let keyval = KeyValue { public: hexadecimal(key.as_bytes()) };
        Self { keytype: "ed25519".into(), keyval, scheme: "ed25519".into() }
    }

    fn verifies(&self, text: &[u8], signature: &RoleSignature) -> bool {
        let key = bytes_of(&self.keyval.public).and_then(|key| VerifyingKey::from_bytes(&key).ok());
        let signature = bytes_of(&signature.sig).map(|bytes| Signature::from_bytes(&bytes));
        match (key, signature) {
            (Some(key), Some(signature)) => key.verify_strict(text, &signature).is_ok(),
            _ => false,
        }
    }
}

/// What roots call a key: the digest of its canonical form.
pub(crate) fn key_id(key: &VerifyingKey) -> String {
    Digest::of(&canonical(&Key::of(key))).to_string()
}

/// The file that holds `signed` and the signatures of `signers`.
pub(crate) fn sign(signed: &impl Serialize, signers: &[&SigningKey]) -> Vec<u8> {
    let text = canonical(signed);
    let signature = |signer: &&SigningKey| RoleSignature {
        keyid: key_id(&signer.verifying_key()),
        sig: hexadecimal(&signer.sign(&text).to_bytes()),
    };
    let signatures = signers.iter().map(signature).collect();
    canonical(&Signed { signatures, signed })
}

/// Reads what one of `roots` lets somebody sign as `role`.
///
/// # Errors
///
/// [`TufError`]: malformed or unsigned. When it expires is the caller's matter.
pub(crate) fn read<'a, T: DeserializeOwned>(
    bytes: &[u8],
    role: &'static str,
    roots: impl IntoIterator<Item = &'a Root>,
) -> Result<T, TufError> {
    let malformed = |error: serde_json::Error| TufError::Malformed(error.to_string());
    let file: Signed<serde_json::Value> = serde_json::from_slice(bytes).map_err(malformed)?;
    let text = canonical(&file.signed);
    if !roots.into_iter().any(|root| root.has_signed(role, &text, &file.signatures)) {
        return Err(TufError::Unsigned(role));
    }
    serde_json::from_value(file.signed).map_err(malformed)
}

/// Reads a root that has signed itself; whether to believe it is the caller's matter.
///
/// # Errors
///
/// [`TufError`]: malformed, or not signed by its own keys.
pub(crate) fn read_root(bytes: &[u8]) -> Result<Root, TufError> {
    let malformed = |error: serde_json::Error| TufError::Malformed(error.to_string());
    let file: Signed<Root> = serde_json::from_slice(bytes).map_err(malformed)?;
    read(bytes, "root", [&file.signed])
}

/// Canonical JSON. What is written here has string keys and whole numbers only, so nothing fails.
fn canonical(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let formatter = CanonicalFormatter::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    let written = value.serialize(&mut serializer);
    debug_assert!(written.is_ok(), "{written:?}");
    bytes
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn root(seed: u8) -> Root {
        let keys = ["root", "targets", "snapshot", "timestamp"];
        let keys = keys.into_iter().map(|role| (role, key(seed).verifying_key()));
        Root::new(Edition { version: 1, expires: 1_800_000_000 }, keys)
    }

    fn files() -> Files {
        let targets = [("a".to_owned(), Target::of(b"a")), ("B".to_owned(), Target::of(b"b"))];
        let edition = Edition { version: 7, expires: 1_800_000_000 };
        let one = key(1);
        let signers = Signers { targets: &one, snapshot: &one, timestamp: &one };
        Files::new(targets.into(), edition, signers)
    }

    #[test]
    fn the_same_content_gives_the_same_bytes_in_canonical_form() {
        assert_eq!(files().timestamp, files().timestamp);
        let text = String::from_utf8(files().targets).unwrap();
        let body = "\"signed\":{\"_type\":\"targets\",\"expires\":\"2027-01-15T08:00:00Z\",\
                    \"spec_version\":\"1.0.34\",\"targets\":{\"B\":";
        assert!(text.contains(body), "{text}");
    }

    #[test]
    fn only_what_a_key_of_the_role_has_signed_is_read() {
        let bytes = files().targets;
        let (mine, other) = (root(1), root(2));
        let read = |bytes: &[u8], roots: &[&Root]| {
            read::<Targets>(bytes, "targets", roots.iter().copied()).map(|it| it.targets.len())
        };
        assert_eq!(read(&bytes, &[&other, &mine]).unwrap(), 2);
        assert!(matches!(read(&bytes, &[&other]), Err(TufError::Unsigned("targets"))));
        let text = String::from_utf8(bytes).unwrap();
        let changed = text.replace("\"length\":1", "\"length\":2");
        assert_ne!(text, changed);
        assert!(matches!(read(changed.as_bytes(), &[&mine]), Err(TufError::Unsigned("targets"))));
        assert!(matches!(read(b"{}", &[&mine]), Err(TufError::Malformed(_))));
    }

    #[test]
    fn a_timestamp_names_its_snapshot_byte_for_byte() {
        let Files { snapshot, timestamp, .. } = files();
        let timestamp: Meta = read(&timestamp, "timestamp", [&root(1)]).unwrap();
        let named = timestamp.meta["snapshot.json"];
        named.check(&snapshot).unwrap();
        assert!(named.check(&[&snapshot[..], b" "].concat()).is_err());
        assert_eq!((named.version, timestamp.head.expires()), (7, 1_800_000_000));
    }
}
