//! Which packages go together: Debian's relations, solved and explained.
//!
//! The search is resolvo's; nothing outside of this module knows that. What a relation means is
//! Debian Policy, chapter 7: alternatives in the order of preference, virtual packages (with a
//! version only where the provider gives one), `Conflicts` and `Breaks` against names and against
//! what others provide. One architecture; of each package only the newest version counts, as it
//! does for apt, but for a host ([`crate::change`]).

mod explain;
pub(crate) mod limits;
mod provider;
pub(crate) mod together;
mod universe;

use std::collections::{BTreeMap, BTreeSet};

use base::Explain;
use formats::PackageName;
use formats::relation::{BadRelation, Relations};
use resolvo::{Problem, Requirement, Solver, UnsolvableOrCancelled};

pub use explain::{Need, Obstacle, Unsolvable};
pub(crate) use limits::Limits;
pub(crate) use universe::{Candidate, family};
pub use universe::{Pins, Universe};

use crate::index::{IndexError, Stanza};
use provider::Provider;
use together::Together;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// What must be there: relations as in `Depends` (`docker.io`, `systemd (>= 257)`, `a | b`).
    pub install: Vec<String>,
    /// Dependencies that are left out: see [`without`].
    pub without: Without,
    /// The only packages that may be chosen; any, if `None`.
    pub only: Option<BTreeSet<PackageName>>,
    /// Whether `Recommends` are met where that is possible.
    pub recommends: bool,
}

/// Dependencies that are left out, by the name of the package that is not wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Without {
    /// Whoever depends on these.
    pub everywhere: BTreeSet<PackageName>,
    /// What the package (the key) depends on.
    pub of: BTreeMap<PackageName, BTreeSet<PackageName>>,
}

impl Without {
    /// Whether what `package` depends on leaves out `name`.
    pub fn covers(&self, package: &str, name: &str) -> bool {
        self.everywhere.contains(name)
            || self.of.get(package).is_some_and(|names| names.contains(name))
    }

    /// What is left of what `package` depends on.
    pub fn apply<'a>(&self, package: &str, relations: Relations<'a>) -> Relations<'a> {
        without(relations, |name| self.covers(package, name))
    }
}

/// What is left of `relations` without the packages that `left_out` names.
///
/// A group whose first, preferred alternative is left out goes as a whole (without `debconf`,
/// nothing of `debconf | debconf-2.0` is left); a later alternative goes alone.
pub fn without<'a>(mut relations: Relations<'a>, left_out: impl Fn(&str) -> bool) -> Relations<'a> {
    relations.groups.retain(|group| !group.alternatives.iter().take(1).any(|a| left_out(a.name)));
    for group in &mut relations.groups {
        group.alternatives.retain(|alternative| !left_out(alternative.name));
    }
    relations
}

/// The packages that were chosen: all that is needed and, by the preferences, nothing else.
#[derive(Debug)]
pub struct Solution<'a> {
    /// The packages, by name.
    pub packages: Vec<Stanza<'a>>,
    /// Why each is there, in the same order.
    chains: Vec<Vec<Link>>,
}

/// One link of the chain that says why a package is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The package that needs the next one; empty for the request itself.
    pub package: String,
    /// The relation by which it does.
    pub relation: String,
}

impl<'a> Solution<'a> {
    /// The chosen package of this name.
    pub fn get(&self, name: &str) -> Option<Stanza<'a>> {
        self.position(name).map(|at| self.packages[at])
    }

    /// The shortest chain from the request to the package `name`; empty if it was not chosen.
    pub fn why(&self, name: &str) -> Vec<Link> {
        self.position(name).map(|at| self.chains[at].clone()).unwrap_or_default()
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.packages.binary_search_by(|stanza| stanza.name().cmp(name)).ok()
    }
}

/// A request cannot be met.
#[derive(Debug, thiserror::Error)]
pub enum SolveError {
    /// The request is malformed.
    #[error("`{request}` is no package that could be installed")]
    Request {
        /// What was asked for.
        request: String,
        /// What is wrong with it.
        source: BadRelation,
    },
    /// A package that would be needed has a malformed field.
    #[error("the field {field} of {package} is malformed")]
    Relation {
        /// The package.
        package: String,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        source: BadRelation,
    },
    /// An index is malformed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// No set of packages meets it.
    #[error(transparent)]
    Unsolvable(#[from] Unsolvable),
}

impl Explain for SolveError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unsolvable(error) => error.hint(),
            Self::Index(error) => error.hint(),
            Self::Request { .. } => {
                Some("write it as in `Depends`: `name`, `name (>= 1.2)` or `one | other`".into())
            }
            Self::Relation { package, .. } => Some(format!(
                "report it to whoever runs this archive, or ask for something that does not need \
                 {package}"
            )),
        }
    }
}

/// Chooses packages that meet `request`. The same universe and request give the same answer.
///
/// # Errors
///
/// [`SolveError::Unsolvable`] says why there is no answer.
pub fn solve<'a>(universe: &Universe<'a>, request: &Request) -> Result<Solution<'a>, SolveError> {
    let mut roots = Relations::default();
    for text in &request.install {
        let parsed = Relations::parse(text)
            .map_err(|source| SolveError::Request { request: text.clone(), source })?;
        roots.groups.extend(parsed.groups);
    }
    let limits = Limits::default();
    let provider = Provider::new(universe, request, &limits);
    let requirements = roots.groups.iter().map(|group| provider.require(group)).collect();
    let chosen = search(provider, requirements)?;
    Ok(solution(universe, request, &roots, chosen))
}

/// The packages that a host is to have, by name.
pub(crate) struct Wanted<'r> {
    /// What was asked for, to say it again.
    pub(crate) asked: Vec<String>,
    /// Some version of each must be there.
    pub(crate) names: Vec<&'r str>,
    /// Some version of each is to be there where that is possible.
    pub(crate) where_possible: Vec<&'r str>,
    /// Which packages may be chosen.
    pub(crate) limits: &'r Limits<'r>,
}

/// Chooses packages of a host: see [`Universe::of_host`]. What is installed is preferred.
///
/// # Errors
///
/// [`SolveError::Unsolvable`] says why there is no answer.
pub(crate) fn solve_host(
    universe: &Universe<'_>,
    wanted: &Wanted<'_>,
) -> Result<Vec<Candidate>, SolveError> {
    let request = Request { install: wanted.asked.clone(), ..Request::default() };
    let provider = Provider::new(universe, &request, wanted.limits);
    let needed = wanted.names.iter().map(|name| provider.require_package(name));
    let also = wanted.where_possible.iter().filter_map(|name| provider.recommend_package(name));
    let requirements = needed.chain(also).collect();
    search(provider, requirements)
}

/// Lets resolvo search.
fn search(
    provider: Provider<'_, '_>,
    requirements: Vec<Requirement>,
) -> Result<Vec<Candidate>, SolveError> {
    let request = provider.request;
    let requirements = requirements.into_iter().map(Into::into).collect();
    let mut solver = Solver::new(provider);
    match solver.solve(Problem::new().requirements(requirements)) {
        Ok(chosen) => {
            let chosen = chosen.into_iter().filter_map(|id| solver.provider().candidate(id));
            Ok(chosen.collect())
        }
        Err(UnsolvableOrCancelled::Unsolvable(conflict)) => {
            if let Some(error) = solver.provider().take_error() {
                return Err(error);
            }
            let graph = conflict.graph(&solver);
            Err(explain::explain(solver.provider(), &graph, &request.install).into())
        }
        // The provider never asks for it.
        Err(UnsolvableOrCancelled::Cancelled(_)) => Err(Unsolvable::default().into()),
    }
}

/// Sorts what was chosen and finds the shortest chain to each.
fn solution<'a>(
    universe: &Universe<'a>,
    request: &Request,
    roots: &Relations<'_>,
    mut chosen: Vec<Candidate>,
) -> Solution<'a> {
    chosen.sort_by_key(|&candidate| universe.stanza(candidate).name());
    let together = Together::new(universe, chosen.iter().copied());
    let asked = roots.groups.iter().filter_map(|group| {
        let met = together.meet(group).next()?;
        Some((met, group.to_string()))
    });
    let reached = together.reach_with(asked.collect(), &request.without, request.recommends);
    Solution {
        packages: chosen.iter().map(|&candidate| universe.stanza(candidate)).collect(),
        chains: chosen.iter().map(|&candidate| reached.chain(universe, candidate)).collect(),
    }
}

#[cfg(test)]
mod tests;
