//! Wishes for which packages have to be chosen: to install, downgrade, pin.

use std::collections::{BTreeMap, BTreeSet};

use formats::relation::Relations;
use formats::{PackageName, Version};

use super::plan::Outcome;
use super::{ChangeError, Host, Plan, Selector};
use crate::resolve::limits::{Others, Rule};
use crate::resolve::{Candidate, Limits, SolveError, Wanted, solve_host};

/// What a search is for.
#[derive(Clone)]
pub(super) struct Demand<'d> {
    /// The words of the wish.
    pub(super) asked: Vec<String>,
    /// Packages that must be there, beside those that nobody may remove.
    pub(super) names: Vec<&'d str>,
    /// Which packages may be chosen.
    limits: Limits<'d>,
}

impl<'d> Demand<'d> {
    /// Lets only `candidate` be chosen of its name.
    pub(super) fn only(&mut self, name: &'d str, candidate: Candidate, why: String) {
        self.limits.rules.insert(name, Rule { allowed: vec![candidate], why });
    }
}

impl<'a> Host<'a> {
    pub(super) fn install(&self, selectors: &[Selector]) -> Result<Plan<'a>, ChangeError> {
        let mut demand = self.demand(&self.state.pins);
        let (mut names, mut versions) = (Vec::new(), BTreeMap::new());
        for selector in selectors {
            let name = self.meant(&selector.name)?;
            if let Some(version) = &selector.version {
                let candidate = self.version(&name, version)?;
                self.widen(&mut demand, candidate);
                self.check_pin(&name, candidate)?;
                if versions.insert(name.clone(), version).is_some_and(|other| other != version) {
                    return Err(ChangeError::TwoVersions { name });
                }
                let why = format!("{name} is asked for in version {version}");
                let stanza = self.universe.stanza(candidate);
                demand.only(stanza.name(), candidate, why);
            }
            names.push(name);
        }
        demand.names = names.iter().map(PackageName::as_str).collect();
        demand.asked = demand.names.iter().map(|name| (*name).to_owned()).collect();
        let mut outcome = self.choose(&demand)?;
        outcome.automatic.retain(|name| !names.contains(name));
        self.finish(outcome)
    }

    pub(super) fn downgrade(
        &self,
        name: &PackageName,
        version: Option<&Version>,
    ) -> Result<Plan<'a>, ChangeError> {
        let installed = self.installed(name.as_str())?;
        let text = || self.universe.stanza(installed).version_text().to_owned();
        let all: Vec<_> = self.universe.versions(name.as_str()).collect();
        let older = all.iter().skip_while(|&&it| it != installed);
        let candidate = match version {
            Some(version) => self.version(name, version)?,
            None => *older
                .clone()
                .nth(1)
                .ok_or_else(|| ChangeError::NoOlder { name: name.clone(), installed: text() })?,
        };
        if let Some(version) = version
            && !older.clone().any(|&it| it == candidate)
        {
            let (name, version) = (name.clone(), version.clone());
            return Err(ChangeError::NotOlder { name, version, installed: text() });
        }
        self.check_pin(name, candidate)?;
        self.finish(self.choose_version(candidate, &self.state.pins)?)
    }

    pub(super) fn pin(
        &self,
        name: &PackageName,
        version: Option<&Version>,
    ) -> Result<Plan<'a>, ChangeError> {
        if self.universe.get(name.as_str()).is_none() {
            return Err(self.unknown(name.as_str()));
        }
        self.check_image(name)?;
        let candidate = match version {
            Some(version) => self.version(name, version)?,
            None => self.installed(name.as_str())?,
        };
        let version = self.universe.stanza(candidate).version()?.to_version();
        let pins = self.pins_with(name, version);
        let installed = self.universe.installed(name.as_str());
        let stays = installed.is_none_or(|installed| installed == candidate);
        let outcome = match stays {
            true => Outcome::of(self.state, self.universe.all_installed().collect()),
            false => self.choose_version(candidate, &pins)?,
        };
        self.finish(Outcome { pins, ..outcome })
    }

    /// Gives an installed package another version.
    fn choose_version(
        &self,
        candidate: Candidate,
        pins: &BTreeMap<PackageName, Version>,
    ) -> Result<Outcome, ChangeError> {
        let stanza = self.universe.stanza(candidate);
        let mut demand = self.demand(pins);
        self.widen(&mut demand, candidate);
        let why = format!("{} is asked for in version {}", stanza.name(), stanza.version_text());
        demand.only(stanza.name(), candidate, why);
        demand.names = vec![stanza.name()];
        demand.asked = vec![stanza.name().to_owned()];
        self.choose(&demand)
    }

    /// What every search begins with: pins hold, and nothing gets older.
    pub(super) fn demand<'d>(&'d self, pins: &BTreeMap<PackageName, Version>) -> Demand<'d> {
        let mut limits = Limits { others: Others::Newest, ..Limits::default() };
        for (name, pin) in pins {
            let fits = |&candidate: &Candidate| {
                self.universe.stanza(candidate).version().is_ok_and(|it| it == pin.borrowed())
            };
            let all = || self.universe.versions(name.as_str());
            let Some(first) = all().next() else { continue };
            let mut allowed: Vec<_> = all().filter(fits).collect();
            if allowed.is_empty() {
                allowed.extend(self.universe.installed(name.as_str()));
            }
            let why = match self.state.of_image.contains(name) {
                true => format!("{name} {pin} comes with the image"),
                false => format!("{name} is pinned to {pin}"),
            };
            limits.rules.insert(self.universe.stanza(first).name(), Rule { allowed, why });
        }
        Demand { asked: Vec::new(), names: Vec::new(), limits }
    }

    /// Lets other packages have older versions too where somebody asks for one.
    fn widen(&self, demand: &mut Demand<'_>, candidate: Candidate) {
        let name = self.universe.stanza(candidate).name();
        let newer = self.universe.versions(name).take_while(|&it| it != candidate);
        let newer: Vec<_> = newer.collect();
        let others = match newer.iter().any(|&it| self.universe.is_installed(it)) {
            true => Others::All,
            false if !newer.is_empty() => Others::NotOlder,
            false => Others::Newest,
        };
        let rank = |others| {
            [Others::Newest, Others::NotOlder, Others::All].iter().position(|it| *it == others)
        };
        if rank(others) > rank(demand.limits.others) {
            demand.limits.others = others;
        }
    }

    /// Refuses a version that a pin forbids.
    pub(super) fn check_pin(
        &self,
        name: &PackageName,
        candidate: Candidate,
    ) -> Result<(), ChangeError> {
        let version = self.universe.stanza(candidate).version()?;
        match self.state.pins.get(name) {
            Some(pin) if pin.borrowed() != version => {
                self.check_image(name)?;
                Err(ChangeError::Pinned {
                    name: name.clone(),
                    pinned: pin.clone(),
                    version: version.as_str().to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Refuses what cannot be for a package that comes with the image.
    pub(super) fn check_image(&self, name: &PackageName) -> Result<(), ChangeError> {
        if self.state.of_image.contains(name) {
            return Err(ChangeError::OfImage { name: name.clone() });
        }
        Ok(())
    }

    /// The package that somebody means by `name`: the one of this name, or the only one that
    /// provides it.
    fn meant(&self, name: &PackageName) -> Result<PackageName, ChangeError> {
        if self.universe.get(name.as_str()).is_some() {
            return Ok(name.clone());
        }
        let group = Relations::parse(name.as_str()).unwrap_or_default();
        let targets = group.groups.iter().flat_map(|group| self.universe.targets(group));
        let providers: BTreeSet<_> =
            targets.map(|candidate| self.universe.stanza(candidate).name()).collect();
        match providers.iter().collect::<Vec<_>>().as_slice() {
            [] => Err(self.unknown(name.as_str())),
            [only] => only.parse().map_err(|_| self.unknown(name.as_str())),
            many => Err(ChangeError::Ambiguous {
                name: name.clone(),
                providers: many.iter().map(ToString::to_string).collect(),
            }),
        }
    }

    /// The names that must be there: what is asked for, and what nobody may remove.
    pub(super) fn required<'d>(&'d self, demand: &Demand<'d>) -> Vec<&'d str> {
        let mut seen = BTreeSet::new();
        let roots = self.roots().chain(self.protected());
        let roots = roots.map(|candidate| self.universe.stanza(candidate).name());
        demand.names.iter().copied().chain(roots).filter(|name| seen.insert(*name)).collect()
    }

    pub(super) fn search(
        &self,
        demand: &Demand<'_>,
        names: Vec<&str>,
    ) -> Result<Vec<Candidate>, SolveError> {
        let asked = demand.asked.clone();
        let limits = &demand.limits;
        solve_host(&self.universe, &Wanted { asked, names, where_possible: Vec::new(), limits })
    }

    pub(super) fn explain(&self, error: SolveError) -> ChangeError {
        ChangeError::of_search(
            error,
            |name| self.state.pins.contains_key(name) && !self.state.of_image.contains(name),
            |name| self.universe.installed(name).is_some(),
        )
    }

    /// Searches.
    pub(super) fn choose(&self, demand: &Demand<'_>) -> Result<Outcome, ChangeError> {
        let chosen = self.search(demand, self.required(demand));
        self.outcome(demand, chosen.map_err(|error| self.explain(error))?)
    }

    /// What follows from what was chosen; of the automatic packages that nothing needs, what fits is
    /// kept.
    pub(super) fn outcome(
        &self,
        demand: &Demand<'_>,
        chosen: Vec<Candidate>,
    ) -> Result<Outcome, ChangeError> {
        let chosen = self.with_unneeded(demand, chosen)?;
        let mut outcome = Outcome::of(self.state, chosen.into_iter().collect());
        for &candidate in &outcome.members {
            let stanza = self.universe.stanza(candidate);
            if demand.names.contains(&stanza.name()) {
                outcome.asked.push(candidate);
            }
            if self.universe.installed(stanza.name()).is_none() {
                outcome.automatic.insert(stanza.package_name()?);
            }
        }
        Ok(outcome)
    }

    /// Adds to what was chosen the other installed packages, as far as they fit and without adding
    /// anything for them.
    fn with_unneeded(
        &self,
        demand: &Demand<'_>,
        chosen: Vec<Candidate>,
    ) -> Result<Vec<Candidate>, ChangeError> {
        let name = |candidate| self.universe.stanza(candidate).name();
        let names: BTreeSet<_> = chosen.iter().map(|&candidate| name(candidate)).collect();
        let others = self.universe.all_installed().map(name);
        let others: Vec<_> = others.filter(|name| !names.contains(name)).collect();
        if others.is_empty() {
            return Ok(chosen);
        }
        let mut limits = Limits { others: Others::Nothing, ..Limits::default() };
        for &candidate in &chosen {
            let rule = Rule { allowed: vec![candidate], why: String::new() };
            limits.rules.insert(name(candidate), rule);
        }
        for &name in &others {
            let all = self.universe.versions(name);
            let allowed = all.filter(|&it| demand.limits.refusal(&self.universe, it).is_none());
            let rule = Rule { allowed: allowed.collect(), why: String::new() };
            limits.rules.insert(name, rule);
        }
        let wanted = Wanted {
            asked: demand.asked.clone(),
            names: names.into_iter().collect(),
            where_possible: others,
            limits: &limits,
        };
        solve_host(&self.universe, &wanted).map_err(|error| self.explain(error))
    }
}
