//! Wishes for which nothing has to be chosen, because they only remove.

use std::collections::{BTreeMap, BTreeSet};

use formats::PackageName;

use super::plan::{Outcome, Reason};
use super::{ChangeError, Host, Plan};
use crate::resolve::Candidate;
use crate::resolve::together::{Together, needs};

/// What goes, and by what it needs: `None` for what somebody asked to remove.
type Gone = BTreeMap<Candidate, Option<Candidate>>;

impl<'a> Host<'a> {
    pub(super) fn autoremove(&self) -> Result<Plan<'a>, ChangeError> {
        let all = self.together();
        let reached = all.reach(self.roots().chain(self.protected()));
        let mut outcome = Outcome::of(self.state, BTreeSet::new());
        for candidate in all.members {
            if reached.contains(candidate) {
                outcome.members.insert(candidate);
            } else {
                outcome.reasons.insert(candidate, Reason::Unneeded);
            }
        }
        self.finish(outcome)
    }

    pub(super) fn remove(
        &self,
        names: &[PackageName],
        cascade: bool,
    ) -> Result<Plan<'a>, ChangeError> {
        let mut asked = Vec::new();
        for name in names {
            asked.push(self.installed(name.as_str())?);
        }
        let gone = self.gone(&asked);
        if let Some(protected) = self.protected().find(|candidate| gone.contains_key(candidate)) {
            return Err(ChangeError::Protected { chain: self.chain(&gone, protected) });
        }
        let needy: Vec<_> = self
            .roots()
            .filter(|root| gone.get(root).is_some_and(Option::is_some))
            .map(|root| self.chain(&gone, root))
            .collect();
        if !needy.is_empty() && !cascade {
            let names: BTreeSet<_> = needy.iter().filter_map(|chain| chain.last()).collect();
            let names = names.into_iter().cloned().collect();
            return Err(ChangeError::StillNeeded { names, chains: needy });
        }
        self.finish(self.without(&gone))
    }

    /// What is left without `gone` and without what only that needed.
    fn without(&self, gone: &Gone) -> Outcome {
        let all = self.together();
        let roots = || self.roots().chain(self.protected());
        let before = all.reach(roots());
        let left = all.members.iter().copied().filter(|candidate| !gone.contains_key(candidate));
        let left = Together::new(&self.universe, left);
        let is_left = |candidate: &Candidate| left.members.contains(candidate);
        // What nothing needed before stays, with what it needs.
        let idle = all.members.iter().copied().filter(|&it| !before.contains(it));
        let after = left.reach(roots().chain(idle).filter(is_left));
        let mut outcome = Outcome::of(self.state, BTreeSet::new());
        for &candidate in &left.members {
            if after.contains(candidate) {
                outcome.members.insert(candidate);
            } else {
                outcome.reasons.insert(candidate, Reason::Unneeded);
            }
        }
        for (&candidate, &by) in gone {
            outcome.reasons.insert(
                candidate,
                match by {
                    None => Reason::Asked,
                    Some(by) => Reason::Needs(self.universe.stanza(by).name().to_owned()),
                },
            );
        }
        outcome
    }

    /// All that is installed.
    pub(crate) fn together(&self) -> Together<'_, 'a> {
        Together::new(&self.universe, self.universe.all_installed())
    }

    /// What goes with `asked`: whatever has a dependency that was met and is met no more.
    fn gone(&self, asked: &[Candidate]) -> Gone {
        let all = self.together();
        let mut met: Vec<(Candidate, Vec<Candidate>)> = Vec::new();
        for &candidate in &all.members {
            for relations in needs(self.universe.stanza(candidate), false) {
                let groups = relations.groups.iter();
                met.extend(groups.map(|group| (candidate, all.meet(group).collect())));
            }
        }
        met.retain(|(_, by)| !by.is_empty());
        let mut gone: Gone = asked.iter().map(|&candidate| (candidate, None)).collect();
        loop {
            // Round by round, so that chains are short.
            let next: Gone = met
                .iter()
                .filter(|(who, by)| {
                    !gone.contains_key(who) && by.iter().all(|it| gone.contains_key(it))
                })
                .map(|(who, by)| (*who, by.first().copied()))
                .collect();
            if next.is_empty() {
                return gone;
            }
            gone.extend(next);
        }
    }

    /// The names from `candidate` to what somebody asked to remove.
    fn chain(&self, gone: &Gone, candidate: Candidate) -> Vec<String> {
        let mut names = Vec::new();
        let mut at = Some(candidate);
        while let Some(candidate) = at {
            names.push(self.universe.stanza(candidate).name().to_owned());
            at = gone.get(&candidate).copied().flatten();
        }
        names
    }
}
