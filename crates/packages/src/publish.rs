//! Making a repository: packages go in, a folder comes out that any web server can show, which `apt`
//! reads and hosts verify through TUF.
//!
//! ```text
//! pool/main/b/bash/bash_5.2.37-2+0preon1_amd64.deb     never changes, never goes
//! targets/DIGEST.NAME                                  links to the same, under the names that TUF wants
//! dists/SUITE/InRelease                                what apt reads first
//! dists/SUITE/main/binary-amd64/{Packages*,by-hash/}   and next
//! dists/SUITE/main/{Contents-amd64.xz,by-hash/}
//! dists/SUITE/tuf/{N.root,N.snapshot,N.targets,timestamp}.json
//! preon-archive-keyring.gpg                            the OpenPGP certificates
//! ```
//!
//! Everything that may change lies in `dists/SUITE`, which is exchanged for the new one in one step: a reader, and
//! whoever comes after an interruption, finds the old publication or the new one. What an earlier one listed
//! stays reachable by its digest for a while, so that hosts in the middle of an update finish it.
//!
//! Source: <https://wiki.debian.org/DebianRepository/Format>; The Update Framework Specification, section 6.2
//! (consistent snapshots).

mod edition;
mod fields;
mod indexes;
mod layout;
mod links;
mod pool;
mod present;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use base::Explain;
use base::file::{self, FileError};
use base::progress::{Progress, Unit};
use formats::relation::BadRelation;

use crate::deb::DebError;
use crate::keys::{KeyError, Keys};
use crate::release::date;
use crate::tuf::TufError;
use edition::Edition;
use layout::Layout;
use pool::Package;
use present::Present;

/// How long a publication may be used, in seconds. A host that gets nothing newer for two weeks is told
/// so, rather than left with old packages by somebody who holds new ones back.
pub const LIFE: u64 = 14 * 24 * 60 * 60;

/// For how many publications after it the indexes of one stay; longer if it may still be used.
pub const KEPT: u64 = 20;

/// Where to publish what.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The repository's folder; made if it is not there.
    pub folder: &'a Path,
    /// The suite: `preon-trixie`.
    pub suite: &'a str,
    /// The packages to add. Those that are there already stay.
    pub debs: &'a [PathBuf],
    /// Who signs.
    pub keys: &'a Keys,
    /// The time of the publication, in seconds since 1970.
    pub now: u64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The publication's number, from 1.
    pub version: u64,
    /// The file names of the packages that were not there before, sorted.
    pub added: Vec<String>,
    /// How many packages there are now.
    pub packages: usize,
    /// Until when it may be used, in seconds since 1970.
    pub valid_until: u64,
}

/// What a repository holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The last publication's number, 0 if there was none.
    pub version: u64,
    /// When it was made, in seconds since 1970.
    pub published: u64,
    /// Until when it may be used.
    pub valid_until: u64,
    /// Its packages, by name and rising version.
    pub packages: Vec<ShownPackage>,
}

/// A package of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The file's path below the repository's folder.
    pub path: String,
    /// The file's size in bytes.
    pub size: u64,
}

/// Nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A file or folder cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The keys cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A package cannot be read.
    #[error(transparent)]
    Deb(#[from] DebError),
    /// What is there was never published by us, or the part of it that says so is gone.
    #[error("{} holds {name}, but no publication of {suite}", folder.display())]
    NoRepository {
        /// The folder.
        folder: PathBuf,
        /// Something in it.
        name: String,
        /// The suite.
        suite: String,
    },
    /// Secret keys lie where everybody is to look.
    #[error("the keys are in the repository, {}", .0.display())]
    KeysInside(PathBuf),
    /// There is neither a publication to renew nor a package to publish.
    #[error("nothing was published to {} yet, and there is nothing to publish now", .0.display())]
    Nothing(PathBuf),
    /// A link is where the repository has a file or folder of its own.
    #[error("{} is a symbolic link: what is published would lie elsewhere", .0.display())]
    Link(PathBuf),
    /// Another publication is being made.
    #[error("somebody else is publishing to {}", .0.display())]
    Busy(PathBuf),
    /// What is there is not what these keys have signed.
    #[error("{} is not what was published", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: TufError,
    },
    /// The clock stands before the last publication.
    #[error("it was last published on {}, but here it is {}", date(*.published), date(*.now))]
    ClockWentBack {
        /// When it was published last.
        published: u64,
        /// What time it is here.
        now: u64,
    },
    /// A package is there already, with other content.
    #[error("{file} is there already, with other content")]
    OtherContent {
        /// The package's file name.
        file: String,
    },
    /// Two versions want one file name: they differ in nothing that goes into it.
    #[error("the versions {first} and {second} of {package} would both be in {file}")]
    OneName {
        /// The package's name.
        package: String,
        /// The file name.
        file: String,
        /// The version that is there or came first.
        first: String,
        /// The other.
        second: String,
    },
    /// A package says about itself what only an index may say.
    #[error("the control file of {package} has the field {field}, which only an index may have")]
    Injected {
        /// The package's file.
        package: String,
        /// The field.
        field: &'static str,
    },
    /// What a package says about itself is longer than any index should have it.
    #[error(
        "the control file of {package} is {length} bytes long, and at most {longest} are published"
    )]
    TooLong {
        /// The package's file.
        package: String,
        /// Its bytes.
        length: usize,
        /// How many it may have.
        longest: usize,
    },
    /// What a package says about others cannot be read.
    #[error("the field {field} of {package} is broken")]
    Relation {
        /// The package's file.
        package: String,
        /// The field.
        field: &'static str,
        /// Why it is.
        source: BadRelation,
    },
    /// A package is for machines that the repository is not for, or says so in an odd way.
    #[error("{package} is for the architecture {architecture}")]
    Architecture {
        /// The package's file.
        package: String,
        /// What it says.
        architecture: String,
    },
    /// A name in a package cannot be written into an index.
    #[error("{package} has a file or a source package whose name no index can hold: {name:?}")]
    Name {
        /// The package's file.
        package: String,
        /// The name.
        name: String,
    },
}

impl Explain for PublishError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Key(error) => error.hint(),
            Self::Deb(error) => error.hint(),
            Self::NoRepository { .. } => Some(
                "name a folder that is empty, or put back its `dists` from a copy: --folder".into(),
            ),
            Self::KeysInside(_) => Some("keep them elsewhere: --keys FOLDER".into()),
            Self::Nothing(_) => {
                Some("name an image, or --all; or the right folder: --folder".into())
            }
            Self::Link(_) => Some("remove it, or put what it leads to in its place".into()),
            Self::Busy(_) => Some("wait until they have ended".into()),
            Self::Damaged { .. } => Some(
                "give the keys that it was published with (--keys), or publish to a new folder"
                    .into(),
            ),
            Self::ClockWentBack { .. } => Some("set this machine's clock".into()),
            Self::OtherContent { .. } => {
                Some("raise `revision` in the package's recipe: what is published stays".into())
            }
            Self::OneName { .. } => Some("an epoch alone is not enough: raise the version".into()),
            Self::TooLong { .. } => Some("shorten the longest of its fields".into()),
            Self::Relation { .. } => Some(
                "correct the field where the package was made: apt would read nothing of the index"
                    .into(),
            ),
            Self::Injected { .. } | Self::Architecture { .. } | Self::Name { .. } => {
                Some("do not install it; see where it came from".into())
            }
        }
    }
}

/// Adds packages to a repository and signs it anew. Without packages only its dates are renewed.
///
/// # Errors
///
/// [`PublishError`]: readers find what they found before.
pub fn publish(request: &Request<'_>, progress: &dyn Progress) -> Result<Published, PublishError> {
    let Request { folder, suite, debs, keys, now } = *request;
    let layout = Layout::new(folder, suite);
    layout.expect_ours(keys)?;
    let _lock = lock(&layout)?;
    links::refuse(&layout)?;
    keys.check(now)?;
    let present = Present::load(&layout, keys)?;
    if now < present.published {
        return Err(PublishError::ClockWentBack { published: present.published, now });
    }
    tidy(&layout, &present)?;
    let packages = read_all(debs, progress)?;
    let (added, known) = present.admit(packages)?;
    if present.version == 0 && added.is_empty() {
        return Err(PublishError::Nothing(folder.to_owned()));
    }
    if present.version == 0 {
        file::replace(&layout.begun(), b"")?; // what comes now is ours, however it ends
    }
    let version = present.version + 1;
    let names: Vec<_> = added.iter().map(|package| package.file.clone()).collect();
    {
        let task = progress.begin("placing packages", count(&added), Unit::Count("packages"));
        for package in &added {
            pool::place(&layout, package)?;
            task.advance(1);
        }
    }
    for package in known.iter().filter(|package| !pool::is_whole(&layout, package)) {
        progress.note(&format!("note: {} was damaged or gone, and is placed anew", package.file));
        pool::place(&layout, package)?;
    }
    file::replace(&layout.keyring(), &keys.keyring()?)?;
    let edition = Edition::new(&layout, &present, added, now);
    let packages = edition.packages();
    edition.write(keys, progress)?;
    layout.end_first()?;
    let tidied = Present::load(&layout, keys).and_then(|present| tidy(&layout, &present));
    if let Err(error) = tidied {
        progress.note(&format!("note: something old is left in {}: {error}", folder.display()));
    }
    Ok(Published { version, added: names, packages, valid_until: now + LIFE })
}

/// What the repository in `folder` holds, checked against the signatures of `keys`.
///
/// # Errors
///
/// [`PublishError`] if it cannot be read, or was changed.
pub fn show(folder: &Path, suite: &str, keys: &Keys) -> Result<Shown, PublishError> {
    let present = Present::load(&Layout::new(folder, suite), keys)?;
    let Present { version, published, valid_until, .. } = present;
    Ok(Shown { version, published, valid_until, packages: present.shown() })
}

fn count<T>(items: &[T]) -> Option<u64> {
    Some(items.len() as u64)
}

/// Keeps others from publishing to the same folder, for as long as the result lives.
fn lock(layout: &Layout) -> Result<File, PublishError> {
    file::create_dir_all(layout.root())?;
    let path = layout.lock();
    let lock = links::open(&path)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(PublishError::Busy(layout.root().to_owned())),
        Err(TryLockError::Error(error)) => Err(FileError::at("lock", path)(error).into()),
    }
}

fn read_all(debs: &[PathBuf], progress: &dyn Progress) -> Result<Vec<Package>, PublishError> {
    let task = progress.begin("reading packages", count(debs), Unit::Count("packages"));
    let mut packages = Vec::new();
    for path in debs {
        packages.push(Package::read(path)?);
        task.advance(1);
    }
    Ok(packages)
}

/// Removes what no publication lists: what an interrupted one left, what is no longer kept.
fn tidy(layout: &Layout, present: &Present) -> Result<(), PublishError> {
    file::remove_unfinished(layout.root())?;
    file::remove_unfinished(&layout.dists())?;
    pool::remove_unlisted(layout, present.targets())?;
    Ok(())
}
