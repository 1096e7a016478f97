//! Why a repository cannot be read or not be believed, and what to do about it.

use std::error::Error;

use base::Explain;
use base::file::FileError;
use base::output::escaped;
use jiff::Timestamp;

use super::transport;
use crate::fetch::FetchError;
use crate::index::IndexError;

/// A repository cannot be read, or not be believed.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// There is no mirror.
    #[error("no mirror of the repository is named")]
    NoMirror,
    /// The clock is wrong.
    #[error("the clock of this machine shows {now}, and {made} has passed already")]
    Clock {
        /// What it shows.
        now: Timestamp,
        /// What it cannot be before.
        made: Timestamp,
    },
    /// What a mirror gives is not believed.
    #[error("{mirror}: {refusal}")]
    Refused {
        /// Its URI.
        mirror: String,
        /// What is wrong.
        refusal: Refusal,
        /// The same, in detail.
        source: Detail,
    },
    /// No mirror gives what is believed; what each one gave is said in the order of the mirrors.
    #[error("no mirror gives a repository that can be believed{}", list(.0))]
    NoneUsable(Vec<RemoteError>),
    /// The signed metadata knows no such file.
    #[error("the repository vouches for no {0}")]
    NotListed(String),
    /// An index is not text.
    #[error("the index of {0} is not text")]
    NotText(String),
    /// An index is malformed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A file could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The memory cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What exactly is wrong with the metadata of a mirror, as text that no terminal obeys: there may be parts of it in there.
/// It has no causes of its own: `tough` says them in the same line.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Detail(String);

impl Detail {
    pub(super) fn of(error: &tough::error::Error) -> Self {
        let mut cause: Option<&dyn Error> = Some(error);
        while let Some(error) = cause {
            if let Some(fetch) = error.downcast_ref::<FetchError>() {
                let why = fetch.source().map(|why| format!(": {why}")).unwrap_or_default();
                return Self(escaped(&format!("{fetch}{why}")));
            }
            cause = error.source();
        }
        Self(escaped(&error.to_string()))
    }
}

/// Why the metadata of a mirror is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be fetched.
    #[error("it does not give its signed metadata")]
    Unreachable,
    /// It is no metadata.
    #[error("what it gives is no metadata of a repository")]
    Malformed,
    /// Other keys have signed it.
    #[error("its metadata is not signed by the keys that this host knows")]
    Unsigned,
    /// This host has seen newer metadata.
    #[error("its metadata is older than what this host has seen")]
    Older,
    /// The time until which it may be used has passed.
    #[error("its metadata may no longer be used")]
    Expired,
    /// Files of several publications.
    #[error("its files do not belong together")]
    Mixed,
    /// The root metadata that this host was given is none.
    #[error("the root metadata that this host was given is not valid")]
    Root,
    /// The clock went back since the last look at the repository.
    #[error("the clock of this machine stood later when the repository was last read")]
    ClockWentBack,
    /// The memory cannot be written.
    #[error("this host cannot remember its metadata")]
    Memory,
    /// Anything else.
    #[error("its metadata cannot be verified")]
    Other,
}

fn list(errors: &[RemoteError]) -> String {
    errors.iter().map(|error| format!("\n  {}", error.in_one_line())).collect()
}

impl RemoteError {
    /// Whether what was verified could not be remembered; no other mirror changes that.
    pub(super) fn is_forgetful(&self) -> bool {
        matches!(self, Self::Refused { refusal: Refusal::Memory, .. } | Self::File(_))
    }

    /// What failed and why in one line, for lists of several.
    pub fn in_one_line(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

impl Explain for RemoteError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoMirror => Some("name at least one URI".into()),
            Self::Clock { .. } => {
                Some("set the clock; a mirror could show old packages as new ones".into())
            }
            Self::Refused { refusal, .. } => Some(refusal.hint().into()),
            Self::NoneUsable(errors) => errors.first().and_then(Explain::hint),
            Self::NotListed(_) => Some("look for its name in the index of packages".into()),
            Self::NotText(_) | Self::Index(_) => {
                Some("whoever publishes the repository has to publish it anew".into())
            }
            Self::Fetch(error @ (FetchError::BadUri(_) | FetchError::File(_))) => error.hint(),
            Self::Fetch(_) => Some("check the network, or name another mirror".into()),
            Self::File(error) => error.hint(),
        }
    }
}

impl Refusal {
    fn hint(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "check the network and the mirror's URI: it is that of the folder with `dists`"
            }
            Self::Malformed => {
                "something answers in the mirror's place, such as the login page of a network, or the URI is not that of the folder with `dists`"
            }
            Self::Unsigned => {
                "this host was made for another repository, or somebody else has signed: take another mirror, and tell the publisher"
            }
            Self::Older => {
                "the mirror is behind, or somebody replays what it was: take another mirror, or wait"
            }
            Self::Expired => {
                "the mirror is behind, or the publisher has not renewed (`forge repo publish`), or this machine's clock is ahead"
            }
            Self::Mixed => {
                "the mirror is in the middle of an update: try again later, or take another"
            }
            Self::Root => {
                "give the host the root metadata of the repository, a file N.root.json; if it was good before, what it remembers is damaged: remove that folder"
            }
            Self::ClockWentBack => {
                "set the clock; if it stood too late the last time, remove `seen/latest_known_time.json` from the folder in which the repository is remembered"
            }
            Self::Memory => {
                "free space on the disk that holds /var, or see whether it can be written"
            }
            Self::Other => "take another mirror, and tell the publisher",
        }
    }

    pub(super) fn of(error: &tough::error::Error) -> Self {
        use tough::error::Error as E;
        match error {
            E::Transport { source, .. } => transport::refusal(source),
            E::ParseMetadata { .. } | E::SpecVersion { .. } => Self::Malformed,
            E::VerifyMetadata { .. } => Self::Unsigned,
            E::OlderMetadata { .. } | E::OlderSnapshotInTimestamp { .. } => Self::Older,
            E::ExpiredMetadata { .. } => Self::Expired,
            E::VersionMismatch { .. } | E::MaxSizeExceeded { .. } | E::HashMismatch { .. } => {
                Self::Mixed
            }
            E::ParseTrustedMetadata { .. } | E::VerifyTrustedMetadata { .. } => Self::Root,
            E::SystemTimeSteppedBackward { .. } => Self::ClockWentBack,
            E::DatastoreCreate { .. }
            | E::DatastoreOpen { .. }
            | E::DatastoreRemove { .. }
            | E::DatastoreSerialize { .. } => Self::Memory,
            _ => Self::Other,
        }
    }
}
