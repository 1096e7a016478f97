//! Why a wish cannot be met.

use std::collections::BTreeSet;
use std::fmt;

use base::Explain;
use formats::relation::Relations;
use formats::{PackageName, Version};

use crate::fixes::BadFixes;
use crate::index::IndexError;
use crate::resolve::{Obstacle, SolveError, Unsolvable};

/// A wish cannot be met.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Nobody has heard of it.
    #[error("no package has or provides the name {name}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// Several packages provide it.
    #[error("{name} is no package; {} provide it", providers.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: PackageName,
        /// Who provides it.
        providers: Vec<String>,
    },
    /// It is not there.
    #[error("the package {name} is not installed")]
    NotInstalled {
        /// What was named.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// The version is not there.
    #[error("there is no version {version} of {name}")]
    NoVersion {
        /// The package.
        name: PackageName,
        /// What was asked for.
        version: Version,
        /// Those that are there, newest first.
        there: Vec<String>,
    },
    /// Two versions of it are asked for.
    #[error("two versions of {name} are asked for")]
    TwoVersions {
        /// The package.
        name: PackageName,
    },
    /// It stays at one version.
    #[error("{name} is pinned to {pinned}, so that it cannot become {version}")]
    Pinned {
        /// The package.
        name: PackageName,
        /// Its pin.
        pinned: Version,
        /// What it would become.
        version: String,
    },
    /// Whoever starts the host says which one it is.
    #[error("{name} comes with the image that starts this host, and stays at its version")]
    OfImage {
        /// The package.
        name: PackageName,
    },
    /// The version is not older.
    #[error("{version} of {name} is newer than {installed}, which is installed")]
    NotOlder {
        /// The package.
        name: PackageName,
        /// What was asked for.
        version: Version,
        /// What is there.
        installed: String,
    },
    /// No version is older.
    #[error("no version of {name} is older than {installed}, which is installed")]
    NoOlder {
        /// The package.
        name: PackageName,
        /// What is there.
        installed: String,
    },
    /// The host needs it.
    #[error("{}cannot be removed: the host needs it to boot", Protected(chain))]
    Protected {
        /// From the package that the host needs to the one that was to be removed.
        chain: Vec<String>,
    },
    /// Others need it.
    #[error("others need {}:{}", names.join(", "), Chains(chains))]
    StillNeeded {
        /// What was to be removed.
        names: Vec<String>,
        /// From each package that was asked for to what was to be removed.
        chains: Vec<Vec<String>>,
    },
    /// No set of packages meets it.
    #[error("{why}")]
    Unsolvable {
        /// Why.
        why: Unsolvable,
        /// What can be done.
        hint: Option<String>,
    },
    /// An index is malformed, or a package that would be needed.
    #[error(transparent)]
    Solve(SolveError),
    /// What an index says of a package is malformed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// What a package fixes is malformed.
    #[error("what {package} fixes cannot be read")]
    Fixes {
        /// The package.
        package: String,
        /// What is wrong.
        source: BadFixes,
    },
}

struct Protected<'a>(&'a [String]);

impl fmt::Display for Protected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [first, .., last] => write!(f, "{last} is needed by {first}, which "),
            [only] => write!(f, "{only} "),
            [] => Ok(()),
        }
    }
}

struct Chains<'a>(&'a [Vec<String>]);

/// More chains than this help nobody.
const SHOWN: usize = 8;

impl fmt::Display for Chains<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(SHOWN).try_for_each(|chain| write!(f, "\n  {}", chain.join(" → ")))?;
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl Explain for ChangeError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest, .. } | Self::NotInstalled { nearest, .. } => {
                nearest.as_ref().map(|name| format!("did you mean {name}?"))
            }
            Self::Ambiguous { providers, .. } => {
                Some(format!("ask for {}", providers.join(" or ")))
            }
            Self::NoVersion { there, .. } => Some(format!("there is {}", there.join(", "))),
            Self::Pinned { name, .. } => Some(format!("unpin {name} first")),
            Self::OfImage { .. } => Some("start the host from a newer image".into()),
            Self::NotOlder { name, version, .. } => Some(format!("install {name}={version}")),
            Self::TwoVersions { .. } => Some("ask for one: only one can be there".into()),
            Self::NoOlder { .. } => None,
            Self::Protected { chain } => {
                Some(format!("keep {}", chain.last().map_or("it", String::as_str)))
            }
            Self::StillNeeded { chains, .. } => {
                let roots: BTreeSet<_> = chains.iter().filter_map(|chain| chain.first()).collect();
                let roots: Vec<_> = roots.into_iter().take(SHOWN).map(String::as_str).collect();
                Some(format!("remove {} as well, or let the removal cascade", roots.join(", ")))
            }
            Self::Unsolvable { hint, .. } => hint.clone(),
            Self::Solve(error) => error.hint(),
            Self::Index(error) => error.hint(),
            Self::Fixes { source, .. } => source.hint(),
        }
    }
}

impl ChangeError {
    /// What a search says, with a hint for somebody who has a host: the functions tell about
    /// names.
    pub(super) fn of_search(
        error: SolveError,
        is_pinned: impl Fn(&str) -> bool,
        is_installed: impl Fn(&str) -> bool,
    ) -> Self {
        let SolveError::Unsolvable(why) = error else { return Self::Solve(error) };
        let removable = |paths: [&[String]; 2]| {
            // The label of a package is its name and perhaps its version.
            let names = paths.into_iter().filter_map(|path| path.first()?.split(' ').next());
            let mut names = names.filter(|&name| is_installed(name));
            names.find(|&name| !why.request.iter().any(|asked| asked == name)).map(str::to_owned)
        };
        let hint = why.obstacles.iter().find_map(|obstacle| match obstacle {
            Obstacle::Missing { relation, path, .. } => {
                let relations = Relations::parse(relation).unwrap_or_default();
                let mut names = relations.groups.iter().flat_map(|group| &group.alternatives);
                let pinned = names.find(|relation| is_pinned(relation.name));
                pinned.map(|relation| format!("unpin {} first", relation.name)).or_else(|| {
                    let root = removable([path, &[]])?;
                    Some(format!("remove {root} first, if it is not needed"))
                })
            }
            Obstacle::Conflict { path, other, .. } => {
                removable([path, other]).map(|name| format!("remove {name} first"))
            }
            Obstacle::Versions { one, other } => removable([&one.path, &other.path])
                .map(|name| format!("remove {name} first, or wait for a version that fits")),
        });
        let missing = matches!(why.obstacles.first(), Some(Obstacle::Missing { .. }));
        let hint = hint.or_else(|| match missing {
            true => {
                Some("ask for another version, or refresh what is known of the repository".into())
            }
            false => why.hint(),
        });
        Self::Unsolvable { why, hint }
    }
}
