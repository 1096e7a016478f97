//! The keys that sign a repository: an OpenPGP certificate for `apt`, and one ed25519 key for each role of
//! TUF, with the chain of roots that says which they were over time.
//!
//! All of it lies in one folder outside of the sources. Which key of a role is in use is said by the newest
//! root (TUF) or by the certificates themselves (OpenPGP: what has neither expired nor been
//! revoked). Files are only added, but for a certificate that is given an end.

mod certificate;
mod roots;
mod secret;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base::file::{self, FileError};
use base::{Explain, Lock};
use ed25519_dalek::SigningKey;

use crate::tuf::{self, Edition, Signers, TufError};
use certificate::Certificate;
use roots::Chain;

const DAY: u64 = 24 * 60 * 60;

/// How long a root and an OpenPGP certificate may be used when they are made, in seconds: a year and
/// three years.
const ROOT_LIFE: u64 = 365 * DAY;
const CERTIFICATE_LIFE: u64 = 3 * 365 * DAY;

/// How long an OpenPGP certificate still signs after another took its place, in seconds: hosts that
/// were not updated for half a year still find a signature that they know.
pub const OVERLAP: u64 = 180 * DAY;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Signs `InRelease`, for apt.
    OpenPgp,
    /// Says which keys sign the other roles of TUF.
    Root,
    /// Says which files there are.
    Targets,
    /// Says which metadata belongs together.
    Snapshot,
    /// Says what is newest.
    Timestamp,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::OpenPgp, Self::Root, Self::Targets, Self::Snapshot, Self::Timestamp];

    /// The roles of TUF.
    const TUF: [Self; 4] = [Self::Root, Self::Targets, Self::Snapshot, Self::Timestamp];

    /// Its name, in file names and in TUF's metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenPgp => "openpgp",
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// There is no such role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of openpgp, root, targets, snapshot, timestamp")]
pub struct BadRole(String);

impl FromStr for Role {
    type Err = BadRole;

    fn from_str(text: &str) -> Result<Self, BadRole> {
        let known = Self::ALL.into_iter().find(|role| role.name() == text);
        known.ok_or_else(|| BadRole(text.to_owned()))
    }
}

/// Keys cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// There are keys where new ones were to be made.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// There are none.
    #[error("there are no keys in {}", .0.display())]
    NoKeys(PathBuf),
    /// Others than their owner may read a secret key.
    #[error("{} can be read by others than its owner", .0.display())]
    Exposed(PathBuf),
    /// A file is no key.
    #[error("cannot read the key in {}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A root is no root.
    #[error("cannot use {}", path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TufError,
    },
    /// The newest root names a key that is not there.
    #[error("the key that signs as {role} is not in {}", folder.display())]
    Missing {
        /// As what.
        role: Role,
        /// Where it should be.
        folder: PathBuf,
    },
    /// The newest root has expired.
    #[error("the root of the TUF metadata expired on {}", crate::release::date(*.until))]
    RootExpired {
        /// Seconds since 1970.
        until: u64,
    },
    /// No certificate can sign.
    #[error("no OpenPGP key can sign: {}", .0.join("; "))]
    NoneCanSign(Vec<String>),
    /// The system gives no random bytes.
    #[error("cannot make a key: {0}")]
    Random(String),
    /// OpenPGP refuses.
    #[error("cannot {attempt} the OpenPGP key: {reason}")]
    OpenPgp {
        /// What was attempted.
        attempt: &'static str,
        /// Why not.
        reason: String,
    },
}

impl Explain for KeyError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Exists(_) => Some("replace single keys: `forge key rotate ROLE`".into()),
            Self::NoKeys(_) => {
                Some("make them (`forge key new`), or say where they are: --keys FOLDER".into())
            }
            Self::Exposed(path) => Some(format!(
                "if nobody has read it, `chmod 600 {}`; otherwise make a new one: `forge key rotate`",
                path.display()
            )),
            Self::Malformed { .. } | Self::Root { .. } | Self::Missing { .. } => {
                Some("put back the whole folder of keys from its copy".into())
            }
            Self::RootExpired { .. } => Some("make a new one: `forge key rotate root`".into()),
            Self::NoneCanSign(_) => Some("make a new one: `forge key rotate openpgp`".into()),
            Self::Random(_) | Self::OpenPgp { .. } => None,
        }
    }
}

/// All keys of a repository.
pub struct Keys {
    folder: PathBuf,
    /// In the order in which they were made.
    certificates: Vec<Certificate>,
    chain: Chain,
    /// Those that the newest root names; the root's own key may be elsewhere.
    signers: BTreeMap<Role, SigningKey>,
}

/// A key, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// What it is for.
    pub role: Role,
    /// OpenPGP fingerprint or TUF key identifier.
    pub id: String,
    /// Until when it may be used, in seconds since 1970; for roles below the root, the root's end.
    pub until: Option<u64>,
    /// Why it cannot sign now, if it cannot.
    pub unusable: Option<String>,
}

/// What to do about the key that is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// Nobody else has it: an OpenPGP key signs for [`OVERLAP`] seconds more.
    Retires,
    /// Somebody else may have it: it never signs again, and an OpenPGP key says so.
    IsCompromised,
}

impl Keys {
    /// Makes new keys in `folder`, which must not be there or be empty. `now` is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; nothing is left behind then.
    pub fn create(folder: &Path, now: u64) -> Result<Self, KeyError> {
        if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(KeyError::Exists(folder.to_owned()));
        }
        file::create_folder(folder, |temporary| {
            secret::restrict_folder(temporary)?;
            let certificate = Certificate::generate(now, CERTIFICATE_LIFE)?;
            secret::write(&Certificate::path(temporary, 1), &certificate.secret()?)?;
            let mut signers = BTreeMap::new();
            for role in Role::TUF {
                signers.insert(role, secret::generate(&secret::path(temporary, role, 1))?);
            }
            let edition = Edition { version: 1, expires: now + ROOT_LIFE };
            roots::write(temporary, edition, &signers, None)
        })?;
        Self::open(folder)
    }

    /// Reads the keys in `folder`. The root's secret key need not be there: only a new root needs it.
    ///
    /// # Errors
    ///
    /// [`KeyError`]: there are none, others may read them, or they do not fit together.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        let chain = Chain::load(folder)?.ok_or_else(|| KeyError::NoKeys(folder.to_owned()))?;
        let certificates = Certificate::load_all(folder)?;
        let mut signers = BTreeMap::new();
        for role in Role::TUF {
            let id = chain.newest().key_of(role.name());
            let all = secret::load_all(folder, role)?;
            let mut all = all.into_iter();
            let key = all.find(|key| Some(tuf::key_id(&key.verifying_key()).as_str()) == id);
            match key {
                Some(key) => _ = signers.insert(role, key),
                None if role == Role::Root => {}
                None => return Err(KeyError::Missing { role, folder: folder.to_owned() }),
            }
        }
        Ok(Self { folder: folder.to_owned(), certificates, chain, signers })
    }

    /// Replaces the key of `role` by a new one. A new root follows for the roles of TUF, which hosts
    /// that know only an older one come to by way of all between; it is valid for a year from `now`.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; what was there before is still in use then.
    pub fn rotate(self, role: Role, now: u64, replaced: Replaced) -> Result<Self, KeyError> {
        let _lock = Lock::after_others(&self.folder.join(".lock"))?;
        // Somebody else may have replaced one since these were read.
        let Self { folder, certificates, chain, mut signers } = Self::open(&self.folder)?;
        file::remove_unfinished(&folder)?;
        if role == Role::OpenPgp {
            let made = Certificate::generate(now, CERTIFICATE_LIFE)?;
            let number = Certificate::next_number(&folder)?;
            secret::write(&Certificate::path(&folder, number), &made.secret()?)?;
            for certificate in certificates.iter().filter(|old| old.unusable(now).is_none()) {
                let ended = match replaced {
                    Replaced::Retires => certificate.ending(now, now + OVERLAP)?,
                    Replaced::IsCompromised => certificate.revoked(now)?,
                };
                secret::replace(certificate.file(), &ended.secret()?)?;
            }
        } else {
            let missing = || KeyError::Missing { role: Role::Root, folder: folder.clone() };
            let old_root = signers.get(&Role::Root).ok_or_else(missing)?.clone();
            let number = secret::next_number(&folder, role)?;
            let made = secret::generate(&secret::path(&folder, role, number))?;
            signers.insert(role, made);
            let version = chain.newest().head.version + 1;
            let edition = Edition { version, expires: now + ROOT_LIFE };
            roots::write(&folder, edition, &signers, Some(&old_root))?;
        }
        Self::open(&folder)
    }

    /// Every key that may sign or once did, for people.
    pub fn described(&self, now: u64) -> Vec<Described> {
        let until = self.chain.newest().head.expires();
        let certificates = self.certificates.iter().map(|certificate| Described {
            role: Role::OpenPgp,
            id: certificate.fingerprint(),
            until: certificate.until(),
            unusable: certificate.unusable(now),
        });
        let signers = self.signers.iter().map(|(role, key)| Described {
            role: *role,
            id: tuf::key_id(&key.verifying_key()),
            until: Some(until),
            unusable: (until < now).then(|| "the root has expired".to_owned()),
        });
        let absent = Role::TUF.into_iter().filter(|role| !self.signers.contains_key(role));
        let absent = absent.map(|role| Described {
            role,
            id: self.chain.newest().key_of(role.name()).unwrap_or_default().to_owned(),
            until: Some(until),
            unusable: Some("its secret key is elsewhere, and has to come for a new root".into()),
        });
        certificates.chain(signers).chain(absent).collect()
    }

    /// The version of the newest root.
    pub fn root_version(&self) -> u64 {
        self.chain.newest().head.version
    }

    /// The public part of all OpenPGP certificates, as apt's `Signed-By` wants them in a `.gpg` file.
    ///
    /// # Errors
    ///
    /// None in practice: what was read can be written.
    pub fn keyring(&self) -> Result<Vec<u8>, KeyError> {
        let mut bytes = Vec::new();
        for certificate in &self.certificates {
            bytes.extend(certificate.public()?);
        }
        Ok(bytes)
    }

    /// The first and all later roots, by file name.
    pub(crate) fn root_files(&self) -> &BTreeMap<String, Vec<u8>> {
        self.chain.files()
    }

    /// All roots, the newest first.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &tuf::Root> {
        self.chain.roots().rev()
    }

    /// Who signs the metadata of a publication.
    ///
    /// # Errors
    ///
    /// [`KeyError::RootExpired`].
    pub(crate) fn signers(&self, now: u64) -> Result<Signers<'_>, KeyError> {
        let until = self.chain.newest().head.expires();
        if until < now {
            return Err(KeyError::RootExpired { until });
        }
        let key = |role| &self.signers[&role];
        let (targets, snapshot) = (key(Role::Targets), key(Role::Snapshot));
        Ok(Signers { targets, snapshot, timestamp: key(Role::Timestamp) })
    }

    /// Whether a publication can be signed `now`.
    ///
    /// # Errors
    ///
    /// [`KeyError`]: the root or all certificates have expired.
    pub(crate) fn check(&self, now: u64) -> Result<(), KeyError> {
        self.signers(now)?;
        self.usable(now).map(drop)
    }

    /// `text` as a clear-signed text, by all certificates that can sign `now`.
    ///
    /// # Errors
    ///
    /// [`KeyError::NoneCanSign`].
    pub(crate) fn clear_sign(&self, text: &str, now: u64) -> Result<Vec<u8>, KeyError> {
        certificate::clear_sign(&self.usable(now)?, text, now)
    }

    fn usable(&self, now: u64) -> Result<Vec<&Certificate>, KeyError> {
        let (mut usable, mut reasons) = (Vec::new(), Vec::new());
        for certificate in &self.certificates {
            match certificate.unusable(now) {
                None => usable.push(certificate),
                Some(why) => reasons.push(format!("{} {why}", certificate.fingerprint())),
            }
        }
        if usable.is_empty() { Err(KeyError::NoneCanSign(reasons)) } else { Ok(usable) }
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.folder.display())
    }
}

#[cfg(test)]
mod tests;
