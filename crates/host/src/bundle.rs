//! Bundles: what a change needs, in one file, for a host that reaches no mirror.
//!
//! A bundle is a tar archive with parts of repositories: their signed metadata, their index, and the packages that the
//! change needs. Whoever applies it takes it for a mirror and believes of it what any other mirror would be believed:
//! signatures, expiry, that nothing is older than what was seen. Nothing else in it is believed, not even what it was
//! made for: that is said again by who applies it.
//!
//! ```text
//! bundle.json                                  what it was made for, to be shown, and the suites of its repositories
//! repositories/N/dists/SUITE/tuf/FILE          the metadata, as the mirror gave it
//! repositories/N/targets/DIGEST/NAME           what a mirror calls targets/DIGEST.NAME
//! ```

mod create;
mod unpack;

use std::fs;
use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use base::output::plain;
use base::progress::Progress;
use base::{ByteSize, Explain, Failure, Lock};
use formats::manifest::Manifest;
use packages::cache::Cache;
use packages::fetch::Wanted;
use serde::{Deserialize, Serialize};

use crate::Host;
use crate::repositories::CACHE;
use crate::transaction::{Asked, Mirrors, Outcome, run_from, status};

pub use create::{Made, create};
use unpack::{CONTENTS, REPOSITORIES, unpack};

/// Where a bundle is unpacked while it is applied.
const PLACE: &str = "/var/cache/preon/bundle";

/// The `format` that this code reads and writes.
const FORMAT: u32 = 1;

/// What `bundle.json` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format: u32,
    /// What it was made for: `upgrade`.
    asked: String,
    /// When, seconds since 1970.
    at: u64,
    /// The suites of the repositories 0, 1 …
    suites: Vec<String>,
}

/// What is installed on a host, for who makes a bundle for it elsewhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installed {
    /// The manifest of the generation that runs.
    pub manifest: Manifest,
    /// dpkg's list of packages.
    pub status: String,
}

impl Installed {
    /// What is installed on `host`.
    ///
    /// # Errors
    ///
    /// If its lists cannot be read.
    pub fn on(host: &Host) -> Result<Self, Failure> {
        Ok(Self { manifest: host.manifest(None)?, status: status(host)? })
    }

    /// Reads what another host has written down of itself as JSON.
    ///
    /// # Errors
    ///
    /// [`BundleError`].
    pub fn read(path: &Path) -> Result<Self, BundleError> {
        let json = file::read(path)?;
        serde_json::from_slice(&json).map_err(|_| BundleError::NotInstalled(path.to_owned()))
    }
}

/// A bundle cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It is no bundle, or damaged.
    #[error("{} is no whole bundle", path.display())]
    Damaged {
        /// The bundle.
        path: PathBuf,
        /// What is wrong.
        source: std::io::Error,
    },
    /// It has what no bundle has.
    #[error("{} has an entry that no bundle has: {name}", path.display())]
    Strange {
        /// The bundle.
        path: PathBuf,
        /// The entry.
        name: String,
    },
    /// The disk cannot hold it.
    #[error("what is in the bundle needs {needed} on the disk, but only {free} are free")]
    NoRoom {
        /// What it needs at least.
        needed: ByteSize,
        /// What is free.
        free: ByteSize,
    },
    /// It is of no repository of the host.
    #[error("the bundle has nothing of a repository that this host knows: it is of {}", .0.join(", "))]
    Foreign(Vec<String>),
    /// It lacks what the change needs.
    #[error("the bundle lacks {name}, and was made for `{asked}`")]
    Lacks {
        /// The file.
        name: String,
        /// What it was made for.
        asked: String,
    },
    /// There is nothing to put into it.
    #[error("there is nothing to do, so nothing to put into a bundle")]
    Nothing,
    /// A file does not say what is installed on a host.
    #[error("{} does not say what is installed on a host", .0.display())]
    NotInstalled(PathBuf),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for BundleError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Damaged { .. } | Self::Strange { .. } => Some("copy it again".into()),
            Self::NoRoom { .. } => Some("free space on the disk that holds /var".into()),
            Self::Foreign(_) => Some("`preon repo list` names those that it knows".into()),
            Self::Lacks { .. } => Some(
                "ask for what it was made for; or make one for this host: `preon bundle describe >host.json` \
                 here, `preon bundle create --for host.json` there"
                    .into(),
            ),
            Self::Nothing => Some("for another host, say with --for what it has".into()),
            Self::NotInstalled(_) => Some("`preon bundle describe` on that host prints it".into()),
            Self::File(error) => error.hint(),
        }
    }
}

/// What a bundle says of itself, to be shown and not to be believed: anybody may have written it. Its texts are
/// [`plain`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Says {
    /// What it was made for: `upgrade`.
    pub asked: String,
    /// When, seconds since 1970.
    pub at: u64,
    /// The suites of its repositories.
    pub suites: Vec<String>,
}

/// A bundle that is unpacked, for as long as this lives; nothing of it is believed yet.
pub struct Unpacked {
    place: Place,
    contents: Contents,
}

impl Unpacked {
    /// Unpacks the bundle at `path`.
    ///
    /// # Errors
    ///
    /// [`BundleError`].
    pub fn of(host: &Host, path: &Path) -> Result<Self, BundleError> {
        let place = Place::new(host)?;
        unpack(path, &place.folder)?;
        let contents = file::read(&place.folder.join(CONTENTS))?;
        let contents: Contents = serde_json::from_slice(&contents).map_err(|error| {
            BundleError::Damaged { path: path.to_owned(), source: error.into() }
        })?;
        if contents.format != FORMAT {
            return Err(BundleError::Strange { path: path.to_owned(), name: CONTENTS.into() });
        }
        Ok(Self { place, contents })
    }

    /// What it says of itself.
    pub fn says(&self) -> Says {
        let Contents { asked, at, suites, .. } = &self.contents;
        let suites = suites.iter().map(|suite| plain(suite)).collect();
        Says { asked: plain(asked), at: *at, suites }
    }

    /// Makes a change with what is in it, and with nothing else.
    ///
    /// # Errors
    ///
    /// [`BundleError`], and what [`crate::transaction::run`] fails with; the host is as before then.
    pub fn apply(
        &self,
        host: &Host,
        asked: &Asked,
        progress: &dyn Progress,
    ) -> Result<Outcome, Failure> {
        let mut mirrors = Mirrors::new();
        for (number, suite) in self.contents.suites.iter().enumerate() {
            mirrors.entry(suite.clone()).or_default().push(self.place.uri(number));
        }
        let bundle = Bundle { mirrors, asked: self.says().asked };
        run_from(host, asked, Some(&bundle), progress)
    }
}

/// What a change takes from a bundle.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    pub(crate) mirrors: Mirrors,
    /// What it was made for.
    asked: String,
}

impl Bundle {
    /// Refuses a change for which it lacks something.
    pub(crate) fn demand(&self, host: &Host, wanted: &[&Wanted]) -> Result<(), BundleError> {
        let cache = Cache::new(host.root.below(CACHE));
        for wanted in wanted {
            let there = wanted.uri.strip_prefix("file://").is_some_and(|it| Path::new(it).exists());
            if !there && cache.get(&wanted.digest)?.is_none() {
                let name = wanted.uri.rsplit('/').next().unwrap_or_default();
                let name = name.split_once('.').map_or(name, |(_, name)| name).to_owned();
                return Err(BundleError::Lacks { name, asked: self.asked.clone() });
            }
        }
        Ok(())
    }

    /// There is none of the host's repositories in it.
    pub(crate) fn foreign(&self) -> BundleError {
        BundleError::Foreign(self.mirrors.keys().map(|suite| plain(suite)).collect())
    }
}

/// The folder in which a bundle is unpacked, as long as this lives; one process at a time has it.
struct Place {
    folder: PathBuf,
    _lock: Lock,
}

impl Place {
    fn new(host: &Host) -> Result<Self, FileError> {
        let folder = host.root.below(PLACE);
        let lock = folder.with_extension("lock");
        file::create_dir_all(folder.parent().unwrap_or(&folder))?;
        let lock = Lock::after_others(&lock)?;
        if folder.exists() {
            file::remove_folder(&folder)?; // of one that was killed
        }
        file::create_dir_all(&folder)?;
        Ok(Self { folder, _lock: lock })
    }

    /// The URI of the bundle's repository `number`.
    fn uri(&self, number: usize) -> String {
        format!("file://{}", self.folder.join(REPOSITORIES).join(number.to_string()).display())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The next one removes it, if this cannot.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
