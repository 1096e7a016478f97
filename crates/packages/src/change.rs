//! What becomes of a host's packages when somebody wishes something: a plan, without doing anything.
//!
//! [`State`] is what is installed, [`Host`] is that beside what the repository has, [`Wish`] is what
//! somebody wants, [`Plan`] is what follows from it. What is installed stays as it is unless the wish
//! or a dependency of what is wished forces another version; docs/resolver.md has the rules.

mod choose;
mod error;
mod keep;
mod plan;
mod state;
mod upgrade;

use std::collections::{BTreeMap, BTreeSet};

use formats::{PackageName, Version};

pub use error::ChangeError;
pub use plan::{Added, Changed, Chosen, Direction, Held, Plan, Reason, Removed, Stays};
pub use state::{State, StateError};

use crate::changelog::Cve;
use crate::fixes::{self, Fixes};
use crate::index::{Index, IndexError, Stanza};
use crate::resolve::{Candidate, Universe};
use crate::spelling;

/// What somebody wants of a host's packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// These are there because somebody asked for them.
    Install(Vec<Selector>),
    /// These are not there.
    Remove {
        /// Which.
        names: Vec<PackageName>,
        /// Whether what needs them goes with them.
        cascade: bool,
    },
    /// Newer versions.
    Upgrade {
        /// Of which; of all, if empty.
        names: Vec<PackageName>,
        /// Whether only versions count that fix a known flaw.
        security: bool,
    },
    /// An older version.
    Downgrade {
        /// Of which.
        name: PackageName,
        /// Which; the next older one, if `None`.
        version: Option<Version>,
    },
    /// Nothing is there that nothing needs.
    Autoremove,
    /// A package stays at one version.
    Pin {
        /// Which.
        name: PackageName,
        /// The version; the installed one, if `None`.
        version: Option<Version>,
    },
    /// A package may have any version again.
    Unpin(PackageName),
    /// These are there because somebody asked for them, or only while another package needs them.
    Mark {
        /// Which.
        names: Vec<PackageName>,
        /// Whether only while they are needed.
        automatic: bool,
    },
}

/// A package to install: `name` or `name=version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Its name, or what exactly one package provides.
    pub name: PackageName,
    /// Its version; the newest, or the installed one, if `None`.
    pub version: Option<Version>,
}

/// A text is no [`Selector`].
#[derive(Debug, thiserror::Error)]
pub enum BadSelector {
    /// The name is none.
    #[error(transparent)]
    Name(#[from] formats::name::BadName),
    /// The version is none.
    #[error(transparent)]
    Version(#[from] formats::version::BadVersion),
}

impl base::Explain for BadSelector {
    fn hint(&self) -> Option<String> {
        Some("write `name` or `name=version`".into())
    }
}

impl std::str::FromStr for Selector {
    type Err = BadSelector;

    fn from_str(text: &str) -> Result<Self, BadSelector> {
        let (name, version) = match text.split_once('=') {
            Some((name, version)) => (name, Some(version.parse()?)),
            None => (text, None),
        };
        Ok(Self { name: name.parse()?, version })
    }
}

/// What is installed, beside what the repository has.
pub struct Host<'a> {
    pub(crate) state: &'a State,
    pub(crate) universe: Universe<'a>,
}

impl<'a> Host<'a> {
    /// Brings both together. Takes time in proportion to the indexes; what follows does not.
    ///
    /// # Errors
    ///
    /// [`IndexError`] if a package that is there twice has a malformed version.
    pub fn new(
        state: &'a State,
        indexes: impl IntoIterator<Item = &'a Index>,
    ) -> Result<Self, IndexError> {
        Ok(Self { state, universe: Universe::of_host(&state.installed, indexes)? })
    }

    /// Works out what follows from `wish`. The same host and wish give the same plan.
    ///
    /// # Errors
    ///
    /// [`ChangeError`] says why the wish cannot be met.
    pub fn plan(&self, wish: &Wish) -> Result<Plan<'a>, ChangeError> {
        match wish {
            Wish::Install(selectors) => self.install(selectors),
            Wish::Remove { names, cascade } => self.remove(names, *cascade),
            Wish::Upgrade { names, security } => self.upgrade(names, *security),
            Wish::Downgrade { name, version } => self.downgrade(name, version.as_ref()),
            Wish::Autoremove => self.autoremove(),
            Wish::Pin { name, version } => self.pin(name, version.as_ref()),
            Wish::Unpin(name) => self.unpin(name),
            Wish::Mark { names, automatic } => self.mark(names, *automatic),
        }
    }

    /// The installed package of this name.
    ///
    /// # Errors
    ///
    /// [`ChangeError::NotInstalled`].
    pub(crate) fn installed(&self, name: &str) -> Result<Candidate, ChangeError> {
        self.universe.installed(name).ok_or_else(|| {
            let installed = self.universe.all_installed();
            let names = installed.map(|candidate| self.universe.stanza(candidate).name());
            ChangeError::NotInstalled {
                name: name.to_owned(),
                nearest: spelling::nearest(name, names).map(str::to_owned),
            }
        })
    }

    /// The package `name` in `version`.
    fn version(&self, name: &PackageName, version: &Version) -> Result<Candidate, ChangeError> {
        let is = |&candidate: &Candidate| {
            self.universe.stanza(candidate).version().is_ok_and(|it| it == version.borrowed())
        };
        self.universe.versions(name.as_str()).find(is).ok_or_else(|| {
            let all = self.universe.versions(name.as_str());
            ChangeError::NoVersion {
                name: name.clone(),
                version: version.clone(),
                there: all.map(|it| self.universe.stanza(it).version_text().to_owned()).collect(),
            }
        })
    }

    /// No package has or provides `name`.
    pub(crate) fn unknown(&self, name: &str) -> ChangeError {
        let nearest = spelling::nearest(name, self.universe.names()).map(str::to_owned);
        ChangeError::Unknown { name: name.to_owned(), nearest }
    }

    /// The installed packages that are not automatic.
    pub(crate) fn roots(&self) -> impl Iterator<Item = Candidate> {
        let all = self.universe.all_installed();
        all.filter(|&it| !self.state.automatic.contains(self.universe.stanza(it).name()))
    }

    /// The installed packages that the host must have to boot.
    pub(crate) fn protected(&self) -> impl Iterator<Item = Candidate> {
        self.universe.all_installed().filter(|&it| self.state.protects(self.universe.stanza(it)))
    }

    /// The pins, with one more.
    fn pins_with(&self, name: &PackageName, version: Version) -> BTreeMap<PackageName, Version> {
        let mut pins = self.state.pins.clone();
        pins.insert(name.clone(), version);
        pins
    }

    fn unpin(&self, name: &PackageName) -> Result<Plan<'a>, ChangeError> {
        self.check_image(name)?;
        let mut pins = self.state.pins.clone();
        if pins.remove(name).is_none() && self.universe.get(name.as_str()).is_none() {
            return Err(self.unknown(name.as_str()));
        }
        let all = self.universe.all_installed().collect();
        self.finish(plan::Outcome { pins, ..plan::Outcome::of(self.state, all) })
    }

    fn mark(&self, names: &[PackageName], automatic: bool) -> Result<Plan<'a>, ChangeError> {
        let mut outcome = plan::Outcome::of(self.state, self.universe.all_installed().collect());
        for name in names {
            self.installed(name.as_str())?;
            if automatic {
                outcome.automatic.insert(name.clone());
            } else {
                outcome.automatic.remove(name);
            }
        }
        self.finish(outcome)
    }
}

/// The known flaws that `newer` fixes and `installed` has, by the field of the newer package.
///
/// # Errors
///
/// [`ChangeError::Fixes`] if the field is broken.
fn closes(installed: Stanza<'_>, newer: Stanza<'_>) -> Result<BTreeSet<Cve>, ChangeError> {
    let broken = |source| ChangeError::Fixes { package: newer.name().to_owned(), source };
    let fixes = newer.field(fixes::FIELD).unwrap_or_default();
    let fixes: Fixes = fixes.parse().map_err(broken)?;
    let before: Version =
        installed.source().1.parse().map_err(|source| broken(fixes::BadFixes::Version(source)))?;
    Ok(fixes.since(before.without_preon().borrowed()))
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod tests;
