//! What follows from a wish.

use std::collections::{BTreeMap, BTreeSet};

use formats::{PackageName, Version};

use super::{ChangeError, Host, State, closes};
use crate::changelog::Cve;
use crate::index::Stanza;
use crate::resolve::together::Together;
use crate::resolve::{Candidate, Link};

/// What becomes of a host's packages. All lists are sorted by name.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// What was not there.
    pub added: Vec<Added<'a>>,
    /// What gets another version.
    pub changed: Vec<Changed<'a>>,
    /// What is there no more.
    pub removed: Vec<Removed<'a>>,
    /// Automatic packages that stay, although nothing needs them.
    pub unneeded: Vec<PackageName>,
    /// What an upgrade leaves at an older version than the newest.
    pub held: Vec<Held<'a>>,
    /// All that is installed afterwards.
    pub packages: Vec<Chosen<'a>>,
    /// Those of them that are only there because another one needs them.
    pub automatic: BTreeSet<PackageName>,
    /// The packages that stay at one version from then on.
    pub pins: BTreeMap<PackageName, Version>,
    /// The installed packages that become automatic (`true`) or are automatic no more.
    pub marked: BTreeMap<PackageName, bool>,
    /// The pins that are new or other, and those that are gone (`None`).
    pub repinned: BTreeMap<PackageName, Option<Version>>,
    /// How many bytes have to be fetched, if nothing is cached.
    pub download_bytes: u64,
    /// By how much what is installed grows, by the packages' own counts.
    pub installed_delta: i64,
}

/// A package that was not there.
#[derive(Clone, Debug)]
pub struct Added<'a> {
    /// The package.
    pub package: Stanza<'a>,
    /// Who needs it: a chain that begins with a package that was asked for. See [`Link`].
    pub why: Vec<Link>,
}

/// A package that gets another version.
#[derive(Clone, Debug)]
pub struct Changed<'a> {
    /// What is installed.
    pub from: Stanza<'a>,
    /// What will be.
    pub to: Stanza<'a>,
    /// Which of them is newer.
    pub direction: Direction,
    /// The known flaws that an upgrade fixes.
    pub closes: BTreeSet<Cve>,
}

/// Whether a package gets newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Newer.
    Upgrade,
    /// Older.
    Downgrade,
}

/// A package that is there no more.
#[derive(Clone, Debug)]
pub struct Removed<'a> {
    /// What is installed.
    pub package: Stanza<'a>,
    /// Why it goes.
    pub reason: Reason,
}

/// Why a package goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Somebody asked for it.
    Asked,
    /// It needs a package that goes.
    Needs(String),
    /// Nothing needs it.
    Unneeded,
    /// Nothing needs it, and it cannot be beside what will be installed.
    Refused,
}

/// A package that an upgrade leaves as it is.
#[derive(Clone, Debug)]
pub struct Held<'a> {
    /// What is installed.
    pub package: Stanza<'a>,
    /// The newest version.
    pub newest: Stanza<'a>,
    /// Why.
    pub why: Stays,
}

/// Why an upgrade leaves a package as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// Somebody has pinned it.
    Pinned,
    /// It comes with the image that starts the host.
    Image,
    /// Something else is in the way, which asking to upgrade it by name explains.
    Obstacle,
}

/// A package that is installed afterwards.
#[derive(Clone, Copy, Debug)]
pub enum Chosen<'a> {
    /// As it is installed.
    Kept(Stanza<'a>),
    /// From the repository.
    Fetched(Stanza<'a>),
}

impl<'a> Chosen<'a> {
    /// The package.
    pub fn stanza(self) -> Stanza<'a> {
        match self {
            Self::Kept(stanza) | Self::Fetched(stanza) => stanza,
        }
    }
}

impl Plan<'_> {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let same = self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty();
        same && self.marked.is_empty() && self.repinned.is_empty()
    }
}

/// What was worked out: the rest of a plan follows from it.
pub(super) struct Outcome {
    /// All that is installed afterwards.
    pub(super) members: BTreeSet<Candidate>,
    pub(super) automatic: BTreeSet<PackageName>,
    pub(super) pins: BTreeMap<PackageName, Version>,
    /// What was asked for comes first in the chains.
    pub(super) asked: Vec<Candidate>,
    /// Why packages go for which [`Reason::Refused`] is not the reason.
    pub(super) reasons: BTreeMap<Candidate, Reason>,
}

impl Outcome {
    /// That `members` are there; everything else is as it was.
    pub(super) fn of(state: &State, members: BTreeSet<Candidate>) -> Self {
        Self {
            members,
            automatic: state.automatic.clone(),
            pins: state.pins.clone(),
            asked: Vec::new(),
            reasons: BTreeMap::new(),
        }
    }
}

impl<'a> Host<'a> {
    /// Compares what is installed with what will be.
    pub(super) fn finish(&self, outcome: Outcome) -> Result<Plan<'a>, ChangeError> {
        let Outcome { members, mut automatic, pins, asked, mut reasons } = outcome;
        let together = Together::new(&self.universe, members);
        automatic.retain(|name| together.get(name.as_str()).is_some());
        let stanza = |candidate| self.universe.stanza(candidate);
        let is_root = |it: &Candidate| {
            !automatic.contains(stanza(*it).name()) || self.state.protects(stanza(*it))
        };
        let roots = together.members.iter().copied().filter(is_root);
        let reached = together.reach(asked.into_iter().chain(roots));
        let mut plan = Plan::default();
        let mut members: Vec<_> = together.members.iter().copied().collect();
        members.sort_by_key(|&candidate| stanza(candidate).name());
        for candidate in members {
            let package = stanza(candidate);
            let before = self.universe.installed(package.name());
            plan.packages.push(match self.universe.is_installed(candidate) {
                true => Chosen::Kept(package),
                false => Chosen::Fetched(package),
            });
            match before {
                None => {
                    let why = reached.chain(&self.universe, candidate);
                    plan.added.push(Added { package, why });
                }
                Some(before) if before != candidate => {
                    plan.changed.push(changed(stanza(before), package)?);
                }
                Some(_) => {}
            }
            if !reached.contains(candidate) {
                plan.unneeded.push(package.package_name()?);
            }
        }
        for candidate in self.universe.all_installed() {
            let package = stanza(candidate);
            if together.get(package.name()).is_none() {
                let reason = reasons.remove(&candidate).unwrap_or(Reason::Refused);
                plan.removed.push(Removed { package, reason });
            }
        }
        plan.removed.sort_by_key(|removed| removed.package.name());
        plan.automatic = automatic;
        plan.pins = pins;
        self.compare(&mut plan, &together);
        plan.count()?;
        Ok(plan)
    }

    /// Notes which marks and pins are others than before.
    fn compare(&self, plan: &mut Plan<'a>, together: &Together<'_, 'a>) {
        let (old, new) = (&self.state.automatic, &plan.automatic);
        let marks = old.symmetric_difference(new).filter(|name| {
            let name = name.as_str();
            self.universe.installed(name).is_some() && together.get(name).is_some()
        });
        plan.marked = marks.map(|name| (name.clone(), new.contains(name))).collect();
        let (old, new) = (&self.state.pins, &plan.pins);
        let names = old.keys().chain(new.keys()).filter(|name| old.get(*name) != new.get(*name));
        plan.repinned = names.map(|name| (name.clone(), new.get(name).cloned())).collect();
    }
}

fn changed<'a>(from: Stanza<'a>, to: Stanza<'a>) -> Result<Changed<'a>, ChangeError> {
    let upgrade = to.version()? > from.version()?;
    Ok(Changed {
        from,
        to,
        direction: if upgrade { Direction::Upgrade } else { Direction::Downgrade },
        closes: if upgrade { closes(from, to)? } else { BTreeSet::new() },
    })
}

impl Plan<'_> {
    /// Adds up bytes.
    fn count(&mut self) -> Result<(), ChangeError> {
        let fetched = self.added.iter().map(|added| added.package);
        let fetched: Vec<_> =
            fetched.chain(self.changed.iter().map(|changed| changed.to)).collect();
        let gone = self.removed.iter().map(|removed| removed.package);
        let gone = gone.chain(self.changed.iter().map(|changed| changed.from));
        let bytes =
            |stanza: Stanza<'_>| i64::try_from(stanza.installed_bytes()).unwrap_or(i64::MAX);
        let grown = fetched.iter().fold(0_i64, |sum, &stanza| sum.saturating_add(bytes(stanza)));
        self.installed_delta = gone.fold(grown, |sum, stanza| sum.saturating_sub(bytes(stanza)));
        for stanza in fetched {
            self.download_bytes = self.download_bytes.saturating_add(stanza.download()?.size);
        }
        Ok(())
    }
}
