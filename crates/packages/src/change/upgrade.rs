//! Wishes for newer versions.

use formats::PackageName;

use super::choose::Demand;
use super::plan::{Held, Stays};
use super::{ChangeError, Host, Plan, closes};
use crate::resolve::{Candidate, SolveError};

impl<'a> Host<'a> {
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
                let of_image = self.state.of_image.contains(package.name());
                let why = if of_image { Stays::Image } else { Stays::Pinned };
                held.push(Held { package, newest: newer, why });
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
            is_held.then_some(Held { package, newest, why: Stays::Obstacle })
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
}
