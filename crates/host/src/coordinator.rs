//! At most so many hosts of a group restart at once, by a list of them in etcd that all share.
//!
//! The list is one key, `preon/reboot/GROUP`, and every change of it is a transaction that compares the revision at
//! which it was read: two hosts that take the last slot at once cannot both have it, however often a message is lost or
//! repeated. A slot has no lease: it stays taken by a host that does not come back, and by one that came back and is
//! not well, so that a bad update stops at as many hosts as there are slots. An operator gives it up for them.

mod config;
mod etcd;
mod slots;

use base::Explain;

pub use config::{BadConfig, Config};
pub use etcd::EtcdError;
pub use slots::{Holder, Holders};

use crate::Root;
use etcd::{Etcd, Read};

/// How often a change is begun anew because somebody else was faster. Each time somebody has got what he wanted, so a
/// group of this many hosts comes to an end.
const ATTEMPTS: usize = 100;

/// The slots of a group.
#[derive(Debug)]
pub struct Coordinator {
    etcd: Etcd,
    key: String,
    slots: usize,
}

/// What became of the wish for a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// This host has one now, or had it already.
    Granted,
    /// Others have them all.
    Full(Holders),
}

/// Nobody knows whether there is a slot.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// The store does not answer.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// The store did not say what became of a change: perhaps it came about.
    #[error("nobody knows whether etcd has changed {key}")]
    Unsure {
        /// The key.
        key: String,
        /// Why.
        source: EtcdError,
    },
    /// The key has something else in it.
    #[error("what etcd has at {key} is no list of hosts that restart")]
    Malformed {
        /// The key.
        key: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Others were faster each time.
    #[error("too many hosts change {key} at once")]
    Busy {
        /// The key.
        key: String,
    },
}

impl Explain for CoordinatorError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Etcd(error) | Self::Unsure { source: error, .. } => error.hint(),
            Self::Malformed { key, .. } => {
                Some(format!("another program uses it: look with `etcdctl get {key}`"))
            }
            Self::Busy { .. } => Some("try again".into()),
        }
    }
}

impl Coordinator {
    /// The slots that `config` names; nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`EtcdError`] if a certificate cannot be read.
    pub fn new(root: &Root, config: &Config) -> Result<Self, EtcdError> {
        Ok(Self {
            etcd: Etcd::new(root, config)?,
            key: format!("preon/reboot/{}", config.group),
            slots: config.slots.get(),
        })
    }

    /// Takes a slot for the host `id`, if one is left.
    ///
    /// # Errors
    ///
    /// [`CoordinatorError`]. After [`CoordinatorError::Unsure`] perhaps it has one; asking again tells.
    pub fn acquire(&self, id: &str, holder: &Holder) -> Result<Taken, CoordinatorError> {
        self.change(|holders| {
            if !holders.has(id) && holders.len() >= self.slots {
                return Change::Keep(Taken::Full(holders.clone()));
            }
            holders.insert(id, holder);
            Change::Write(Taken::Granted)
        })
    }

    /// Gives up the slot of a host, by its number or its name; says whose it was.
    ///
    /// # Errors
    ///
    /// [`CoordinatorError`].
    pub fn release(&self, host: &str) -> Result<Option<Holder>, CoordinatorError> {
        self.change(|holders| match holders.remove(host) {
            Some(holder) => Change::Write(Some(holder)),
            None => Change::Keep(None),
        })
    }

    /// Who has a slot.
    ///
    /// # Errors
    ///
    /// [`CoordinatorError`].
    pub fn holders(&self) -> Result<Holders, CoordinatorError> {
        Ok(self.read()?.1)
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.slots
    }

    fn read(&self) -> Result<(u64, Holders), CoordinatorError> {
        let Read { revision, value } = self.etcd.read(&self.key)?;
        let malformed = |source| CoordinatorError::Malformed { key: self.key.clone(), source };
        let holders = value.map(|value| serde_json::from_slice(&value)).transpose();
        Ok((revision, holders.map_err(malformed)?.unwrap_or_default()))
    }

    fn change<T>(&self, change: impl Fn(&mut Holders) -> Change<T>) -> Result<T, CoordinatorError> {
        for _ in 0..ATTEMPTS {
            let (revision, mut holders) = self.read()?;
            let outcome = match change(&mut holders) {
                Change::Keep(outcome) => return Ok(outcome),
                Change::Write(outcome) => outcome,
            };
            let value = serde_json::to_vec(&holders).unwrap_or_default(); // our types always can
            let swapped = self.etcd.swap(&self.key, &Read { revision, value: Some(value) });
            let unsure = |source| CoordinatorError::Unsure { key: self.key.clone(), source };
            if swapped.map_err(unsure)? {
                return Ok(outcome);
            }
        }
        Err(CoordinatorError::Busy { key: self.key.clone() })
    }
}

/// What is to become of the list.
enum Change<T> {
    /// It stays.
    Keep(T),
    /// It is written.
    Write(T),
}
