//! A set of packages: who in it meets a relation, and what leads to what.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use formats::relation::{Group, Relations};

use super::provider::dependency_fields;
use super::universe::{Candidate, Universe};
use super::{Link, Without};
use crate::index::Stanza;

/// Packages that are there together.
pub(crate) struct Together<'u, 'a> {
    pub(crate) universe: &'u Universe<'a>,
    pub(crate) members: BTreeSet<Candidate>,
}

/// The packages of a set to which something leads, and the shortest way to each.
#[derive(Debug, Default)]
pub(crate) struct Reached(BTreeMap<Candidate, Reason>);

#[derive(Debug)]
struct Reason {
    /// Who needs it; `None` for what everything begins with.
    by: Option<Candidate>,
    relation: String,
}

/// What a package needs: the fields of it that could be read.
pub(crate) fn needs<'a>(
    stanza: Stanza<'a>,
    recommends: bool,
) -> impl Iterator<Item = Relations<'a>> {
    let fields = dependency_fields(recommends);
    fields.map(move |field| {
        Relations::parse(stanza.field(field).unwrap_or_default()).unwrap_or_default()
    })
}

impl<'u, 'a> Together<'u, 'a> {
    pub(crate) fn new(
        universe: &'u Universe<'a>,
        members: impl IntoIterator<Item = Candidate>,
    ) -> Self {
        Self { universe, members: members.into_iter().collect() }
    }

    /// The members that meet a group, the preferred first.
    pub(crate) fn meet(&self, group: &Group<'_>) -> impl Iterator<Item = Candidate> {
        let targets = self.universe.targets(group).into_iter();
        targets.filter(|candidate| self.members.contains(candidate))
    }

    /// The member of this name.
    pub(crate) fn get(&self, name: &str) -> Option<Candidate> {
        self.universe.versions(name).find(|candidate| self.members.contains(candidate))
    }

    /// Follows dependencies from `roots` by the first alternative that is there.
    pub(crate) fn reach(&self, roots: impl IntoIterator<Item = Candidate>) -> Reached {
        let name = |candidate| self.universe.stanza(candidate).name().to_owned();
        let roots = roots.into_iter().map(|root| (root, name(root))).collect();
        self.reach_with(roots, &Without::default(), false)
    }

    /// The same from roots with the relations that ask for them; without some dependencies, or with
    /// recommendations.
    pub(super) fn reach_with(
        &self,
        roots: Vec<(Candidate, String)>,
        without: &Without,
        recommends: bool,
    ) -> Reached {
        let mut reached = Reached::default();
        let mut queue = VecDeque::new();
        let mut add = |at, by, relation: &dyn Fn() -> String, queue: &mut VecDeque<_>| {
            reached.0.entry(at).or_insert_with(|| {
                queue.push_back(at);
                Reason { by, relation: relation() }
            });
        };
        for (root, relation) in roots {
            add(root, None, &|| relation.clone(), &mut queue);
        }
        while let Some(by) = queue.pop_front() {
            let stanza = self.universe.stanza(by);
            for relations in needs(stanza, recommends) {
                for group in &without.apply(stanza.name(), relations).groups {
                    if let Some(at) = self.meet(group).next() {
                        add(at, Some(by), &|| group.to_string(), &mut queue);
                    }
                }
            }
        }
        reached
    }
}

impl Reached {
    pub(crate) fn contains(&self, candidate: Candidate) -> bool {
        self.0.contains_key(&candidate)
    }

    /// The shortest chain to `candidate`; empty if nothing leads to it.
    pub(crate) fn chain(&self, universe: &Universe<'_>, candidate: Candidate) -> Vec<Link> {
        let mut chain = Vec::new();
        let mut at = Some(candidate);
        while let Some(reason) = at.and_then(|at| self.0.get(&at)) {
            let package = reason.by.map_or("", |by| universe.stanza(by).name());
            chain.push(Link { package: package.to_owned(), relation: reason.relation.clone() });
            at = reason.by;
        }
        chain.reverse();
        chain
    }
}
