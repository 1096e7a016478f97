//! Wishes for which packages have to be chosen: to install, upgrade, downgrade, pin.

use std::collections::{BTreeMap, BTreeSet};

use formats::relation::Relations;
use formats::{PackageName, Version};

use super::plan::{Held, Outcome};
use super::{ChangeError, Host, Plan, Selector, closes};
use crate::resolve::limits::{Others, Rule};
use crate::resolve::{Candidate, Limits, SolveError, Wanted, solve_host};

/// What a search is for.
#[derive(Clone)]
struct Demand<'d> {
    /// The words of the wish.
    asked: Vec<String>,
    /// Packages that must be there, beside those that nobody may remove.
    names: Vec<&'d str>,
    /// Which packages may be chosen.
    limits: Limits<'d>,
}

impl<'d> Demand<'d> {
    /// Lets only `candidate` be chosen of its name.
    fn only(&mut self, name: &'d str, candidate: Candidate, why: String) {
        self.limits.rules.insert(name, Rule { allowed: vec![candidate], why });
    }
}

impl<'a> Host<'a> {
    pub(super) fn install(&self, selectors: &[Selector]) -> Result<Plan<'a>, ChangeError> {
        let mut demand = self.demand(&self.state.pins);
        let mut names = Vec::new();
        for selector in selectors {
            let name = self.meant(&selector.name)?;
            if let Some(version) = &selector.version {
                let candidate = self.version(&name, version)?;
                self.widen(&mut demand, candidate);
                self.check_pin(&name, candidate)?;
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

    pub(super) fn upgrade(
        &self,
        names: &[PackageName],
        security: bool,
    ) -> Result<Plan<'a>, ChangeError> {
        let mut from = Vec::new();
        for name in names {
            from.push(self.installed(name.as_str())?);
        }
        if names.is_empty() {
            from = self.universe.all_installed().collect();
            // What is needed before what is not, should not all be possible.
            from.sort_by_key(|&it| self.state.automatic.contains(self.universe.stanza(it).name()));
        }
        let (mut wanted, mut held) = (Vec::new(), Vec::new());
        for installed in from {
            let package = self.universe.stanza(installed);
            let newest = self.universe.versions(package.name()).next().unwrap_or(installed);
            let newer = self.universe.stanza(newest);
            if newest == installed || (security && closes(package, newer)?.is_empty()) {
                continue;
            }
            let pin = self.state.pins.get(package.name());
            if pin.is_none_or(|pin| newer.version().is_ok_and(|it| it == pin.borrowed())) {
                wanted.push(newest);
            } else if names.is_empty() {
                held.push(Held { package, newest: newer, pinned: true });
            } else {
                self.check_pin(&package.package_name()?, newest)?;
            }
        }
        let mut demand = self.demand(&self.state.pins);
        let outcome = if names.is_empty() {
            demand.asked = vec!["upgrades".to_owned()];
            let (demand, chosen) = self.possible(&demand, &wanted)?;
            self.outcome(&demand, chosen)?
        } else {
            demand.asked = names.iter().map(ToString::to_string).collect();
            demand.names = names.iter().map(PackageName::as_str).collect();
            self.choose(&self.upgrading(&demand, &wanted))?
        };
        let mut plan = self.finish(outcome)?;
        if names.is_empty() && !security {
            held.extend(self.held_back(&plan));
        }
        held.sort_by_key(|held| held.package.name());
        plan.held = held;
        Ok(plan)
    }

    /// What stays installed although there is a newer version that no pin forbids.
    fn held_back(&self, plan: &Plan<'a>) -> Vec<Held<'a>> {
        let held = plan.packages.iter().filter_map(|chosen| {
            let package = chosen.stanza();
            let newest = self.universe.get(package.name())?;
            let is_held = newest.version_text() != package.version_text()
                && !self.state.pins.contains_key(package.name());
            is_held.then_some(Held { package, newest, pinned: false })
        });
        held.collect()
    }

    /// The same demand, where of the name of each of `wanted` only that may be chosen.
    fn upgrading<'d>(&self, demand: &Demand<'d>, wanted: &[Candidate]) -> Demand<'d>
    where
        'a: 'd,
    {
        let mut demand = demand.clone();
        for &candidate in wanted {
            let stanza = self.universe.stanza(candidate);
            let why = format!("{} is to be upgraded to {}", stanza.name(), stanza.version_text());
            demand.only(stanza.name(), candidate, why);
        }
        demand
    }

    /// Upgrades to those of `wanted` that are possible together; the earlier go first. Halving finds
    /// the few that are not in few searches.
    fn possible<'d>(
        &self,
        demand: &Demand<'d>,
        wanted: &[Candidate],
    ) -> Result<(Demand<'d>, Vec<Candidate>), ChangeError>
    where
        'a: 'd,
    {
        let (mut found, mut best) = (Vec::new(), None);
        let mut rest = vec![wanted];
        while let Some(part) = rest.pop() {
            let all = [found.as_slice(), part].concat();
            let upgrading = self.upgrading(demand, &all);
            match self.search(&upgrading, self.required(demand)) {
                Ok(chosen) => (found, best) = (all, Some((upgrading, chosen))),
                Err(SolveError::Unsolvable(_) | SolveError::Relation { .. }) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    rest.extend([second, first]);
                }
                Err(SolveError::Unsolvable(_) | SolveError::Relation { .. }) if part.len() == 1 => {
                }
                Err(error) => return Err(self.explain(error)),
            }
        }
        match best {
            Some(best) => Ok(best),
            // Nothing is possible: at least what is installed must be.
            None => {
                let chosen = self.search(demand, self.required(demand));
                Ok((demand.clone(), chosen.map_err(|error| self.explain(error))?))
            }
        }
    }

    /// What every search begins with: pins hold, and nothing gets older.
    fn demand<'d>(&'d self, pins: &BTreeMap<PackageName, Version>) -> Demand<'d> {
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
            let why = format!("{name} is pinned to {pin}");
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
    fn check_pin(&self, name: &PackageName, candidate: Candidate) -> Result<(), ChangeError> {
        let version = self.universe.stanza(candidate).version()?;
        match self.state.pins.get(name) {
            Some(pin) if pin.borrowed() != version => Err(ChangeError::Pinned {
                name: name.clone(),
                pinned: pin.clone(),
                version: version.as_str().to_owned(),
            }),
            _ => Ok(()),
        }
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
    fn required<'d>(&'d self, demand: &Demand<'d>) -> Vec<&'d str> {
        let mut seen = BTreeSet::new();
        let roots = self.roots().chain(self.protected());
        let roots = roots.map(|candidate| self.universe.stanza(candidate).name());
        demand.names.iter().copied().chain(roots).filter(|name| seen.insert(*name)).collect()
    }

    fn search(&self, demand: &Demand<'_>, names: Vec<&str>) -> Result<Vec<Candidate>, SolveError> {
        let asked = demand.asked.clone();
        let limits = &demand.limits;
        solve_host(&self.universe, &Wanted { asked, names, where_possible: Vec::new(), limits })
    }

    fn explain(&self, error: SolveError) -> ChangeError {
        ChangeError::of_search(
            error,
            |name| self.state.pins.contains_key(name),
            |name| self.universe.installed(name).is_some(),
        )
    }

    /// Searches.
    fn choose(&self, demand: &Demand<'_>) -> Result<Outcome, ChangeError> {
        let chosen = self.search(demand, self.required(demand));
        self.outcome(demand, chosen.map_err(|error| self.explain(error))?)
    }

    /// What follows from what was chosen; of the automatic packages that nothing needs, what fits is
    /// kept.
    fn outcome(&self, demand: &Demand<'_>, chosen: Vec<Candidate>) -> Result<Outcome, ChangeError> {
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
