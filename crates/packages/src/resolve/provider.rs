//! The universe as resolvo wants to see it: names, candidates, requirements.
//!
//! What a relation means is worked out here, so that for resolvo a requirement is a list of packages
//! in the order of preference, and a conflict is a package that must not be there. A name has as
//! many candidates as the universe has versions of it: one, but for a host.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Display;

use formats::relation::{Group, Relations};
use resolvo::{
    Candidates, Condition, ConditionId, ConditionalRequirement, Dependencies, DependencyProvider,
    HintDependenciesAvailable, Interner, KnownDependencies, NameId, Requirement, SolvableId,
    SolverCache, StringId, VersionSetId, VersionSetUnionId,
};

use super::limits::{self, Limits};
use super::universe::{Candidate, Name, Universe};
use super::{Request, SolveError};

/// The fields that say what a package needs.
pub(super) fn dependency_fields(recommends: bool) -> impl Iterator<Item = &'static str> {
    ["Pre-Depends", "Depends"].into_iter().chain(recommends.then_some("Recommends"))
}

/// What resolvo asks, answered from a universe.
pub(super) struct Provider<'u, 'a> {
    pub(super) universe: &'u Universe<'a>,
    pub(super) request: &'u Request,
    limits: &'u Limits<'u>,
    tables: RefCell<Tables>,
}

/// What was given a number so far.
#[derive(Default)]
struct Tables {
    sets: Vec<Set>,
    set_ids: HashMap<(Set, String), VersionSetId>,
    unions: Vec<Vec<VersionSetId>>,
    requirements: HashMap<String, Requirement>,
    relations: HashMap<Requirement, String>,
    conflicts: HashMap<VersionSetId, (&'static str, String)>,
    /// How many names beyond the packages are in use: see [`Set::Skip`].
    skips: u32,
    error: Option<SolveError>,
}

/// What a version set means.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Set {
    /// The package.
    Is(Candidate),
    /// Anything but the package.
    IsNot(Candidate),
    /// Nothing: no package meets the relation.
    Nothing,
    /// A stand-in that meets a recommendation which no package meets.
    Skip(u32),
}

impl<'u, 'a> Provider<'u, 'a> {
    pub(super) fn new(
        universe: &'u Universe<'a>,
        request: &'u Request,
        limits: &'u Limits<'u>,
    ) -> Self {
        Self { universe, request, limits, tables: RefCell::default() }
    }

    /// The package that a solvable stands for; `None` for a stand-in.
    pub(super) fn candidate(&self, id: SolvableId) -> Option<Candidate> {
        let raw = id.into_raw();
        (raw < self.universe.bound()).then_some(Candidate(raw))
    }

    /// The text of the relation that a requirement was made of.
    pub(super) fn relation(&self, requirement: Requirement) -> String {
        self.tables.borrow().relations.get(&requirement).cloned().unwrap_or_default()
    }

    /// The field and the text of the relation that a conflict was made of.
    pub(super) fn conflict(&self, set: VersionSetId) -> (&'static str, String) {
        self.tables.borrow().conflicts.get(&set).cloned().unwrap_or_default()
    }

    /// The first malformed field that was met.
    pub(super) fn take_error(&self) -> Option<SolveError> {
        self.tables.borrow_mut().error.take()
    }

    /// The requirement that a group of alternatives is.
    pub(super) fn require(&self, group: &Group<'_>) -> Requirement {
        let text = group.to_string();
        if let Some(&known) = self.tables.borrow().requirements.get(&text) {
            return known;
        }
        let targets = self.allowed(self.universe.targets(group));
        let mut tables = self.tables.borrow_mut();
        let requirement = tables.requirement(targets.into_iter().map(Set::Is), &text);
        tables.requirements.insert(text, requirement);
        requirement
    }

    /// The requirement that some version of the package `name` is there itself, not another
    /// package that provides it.
    pub(super) fn require_package(&self, name: &str) -> Requirement {
        let targets = self.allowed(self.universe.versions(name).collect());
        self.tables.borrow_mut().requirement(targets.into_iter().map(Set::Is), name)
    }

    /// The same where that is possible.
    pub(super) fn recommend_package(&self, name: &str) -> Option<Requirement> {
        self.recommend_one(self.allowed(self.universe.versions(name).collect()), name)
    }

    /// A requirement for a recommendation.
    fn recommend(&self, group: &Group<'_>) -> Option<Requirement> {
        self.recommend_one(self.allowed(self.universe.targets(group)), &group.to_string())
    }

    /// A requirement that need not be met: a stand-in is the last alternative.
    fn recommend_one(&self, targets: Vec<Candidate>, text: &str) -> Option<Requirement> {
        if targets.is_empty() {
            return None;
        }
        let mut tables = self.tables.borrow_mut();
        let skip = Set::Skip(tables.skips);
        tables.skips += 1;
        let sets = targets.into_iter().map(Set::Is).chain([skip]);
        Some(tables.requirement(sets, text))
    }

    /// Leaves of `targets` what may be chosen, in the order of preference.
    fn allowed(&self, mut targets: Vec<Candidate>) -> Vec<Candidate> {
        targets.retain(|&target| {
            self.is_named(target) && self.limits.refusal(self.universe, target).is_none()
        });
        targets.sort_by_key(|&target| limits::rank(self.universe, target)); // stable
        targets
    }

    /// Whether `candidate` is among the packages that the request allows.
    pub(super) fn is_named(&self, candidate: Candidate) -> bool {
        let only = self.request.only.as_ref();
        only.is_none_or(|only| only.contains(self.universe.stanza(candidate).name()))
    }

    /// Why `candidate` may not be chosen, in words.
    pub(super) fn refusal(&self, candidate: Candidate) -> Option<String> {
        let stanza = self.universe.stanza(candidate);
        if !self.is_named(candidate) {
            return Some(format!("{} may not be chosen", stanza.name()));
        }
        let refusal = self.limits.refusal(self.universe, candidate)?;
        Some(refusal.text(stanza.name(), stanza.version_text()))
    }

    /// What a package is called in an explanation: with its version where there are others.
    pub(super) fn label(&self, candidate: Candidate) -> String {
        let stanza = self.universe.stanza(candidate);
        if self.universe.has_others(candidate) {
            format!("{} {}", stanza.name(), stanza.version_text())
        } else {
            stanza.name().to_owned()
        }
    }

    /// What a package needs, and what must not be beside it.
    fn known(&self, candidate: Candidate) -> Result<KnownDependencies, SolveError> {
        let stanza = self.universe.stanza(candidate);
        let relations = |field: &'static str| {
            let text = stanza.field(field).unwrap_or_default();
            Relations::parse(text).map_err(|source| SolveError::Relation {
                package: stanza.name().to_owned(),
                field,
                source,
            })
        };
        let mut known = KnownDependencies::default();
        for field in dependency_fields(self.request.recommends) {
            let needed = self.request.without.apply(stanza.name(), relations(field)?);
            let requirements = needed.groups.iter().filter_map(|group| match field {
                "Recommends" => self.recommend(group),
                _ => Some(self.require(group)),
            });
            known.requirements.extend(requirements.map(ConditionalRequirement::from));
        }
        for field in ["Conflicts", "Breaks"] {
            for relation in relations(field)?.groups.iter().flat_map(|group| &group.alternatives) {
                for target in self.universe.matching(relation) {
                    if target != candidate {
                        let set = (field, relation.to_string());
                        known.constrains.push(self.tables.borrow_mut().conflict(target, set));
                    }
                }
            }
        }
        Ok(known)
    }

    fn set(&self, id: VersionSetId) -> Set {
        self.tables.borrow().sets.get(id.0 as usize).copied().unwrap_or(Set::Nothing)
    }

    /// The name that an id stands for; `None` for that of a stand-in, and for that of nothing.
    fn package(&self, name: NameId) -> Option<Name> {
        (name.into_raw() < self.nothing()).then_some(Name(name.into_raw()))
    }

    /// The number of the only name that has no candidate.
    fn nothing(&self) -> u32 {
        self.universe.bound()
    }
}

impl Tables {
    fn requirement(&mut self, sets: impl Iterator<Item = Set>, text: &str) -> Requirement {
        let mut ids: Vec<_> = sets.map(|set| self.intern(set, String::new())).collect();
        // One package can be all that is left of several relations: the text tells them apart.
        let requirement = match ids.pop() {
            None => Requirement::Single(self.intern(Set::Nothing, text.to_owned())),
            Some(last) => {
                ids.push(last);
                self.unions.push(ids);
                Requirement::Union(VersionSetUnionId(self.unions.len() as u32 - 1))
            }
        };
        self.relations.insert(requirement, text.to_owned());
        requirement
    }

    fn conflict(&mut self, target: Candidate, relation: (&'static str, String)) -> VersionSetId {
        let key = format!("{} {}", relation.0, relation.1);
        let id = self.intern(Set::IsNot(target), key);
        self.conflicts.insert(id, relation);
        id
    }

    fn intern(&mut self, set: Set, text: String) -> VersionSetId {
        let next = VersionSetId(self.sets.len() as u32);
        let id = *self.set_ids.entry((set, text)).or_insert(next);
        if id == next {
            self.sets.push(set);
        }
        id
    }
}

impl Interner for Provider<'_, '_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        self.display_name(self.solvable_name(solvable))
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        self.package(name).map_or("(nothing)", |name| {
            self.universe
                .of_name(name)
                .next()
                .map_or("", |first| self.universe.stanza(first).name())
        })
    }

    fn display_version_set(&self, _: VersionSetId) -> impl Display + '_ {
        ""
    }

    fn display_string(&self, _: StringId) -> impl Display + '_ {
        ""
    }

    fn version_set_name(&self, version_set: VersionSetId) -> NameId {
        NameId::from_raw(match self.set(version_set) {
            Set::Is(candidate) | Set::IsNot(candidate) => self.universe.name(candidate).0,
            Set::Nothing => self.nothing(),
            Set::Skip(number) => self.nothing() + 1 + number,
        })
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        NameId::from_raw(match self.candidate(solvable) {
            Some(candidate) => self.universe.name(candidate).0,
            None => solvable.into_raw(),
        })
    }

    fn version_sets_in_union(&self, id: VersionSetUnionId) -> impl Iterator<Item = VersionSetId> {
        let tables = self.tables.borrow();
        tables.unions.get(id.0 as usize).cloned().unwrap_or_default().into_iter()
    }

    fn resolve_condition(&self, _: ConditionId) -> Condition {
        Condition::Requirement(VersionSetId::default()) // no requirement of ours has a condition
    }
}

impl DependencyProvider for Provider<'_, '_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        version_set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let set = self.set(version_set);
        let inside = |&&id: &&SolvableId| match set {
            Set::Is(candidate) => self.candidate(id) == Some(candidate),
            Set::IsNot(candidate) => self.candidate(id) != Some(candidate),
            Set::Nothing => false,
            Set::Skip(_) => true,
        };
        candidates.iter().filter(|id| inside(id) != inverse).copied().collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates<SolvableId>> {
        if name.into_raw() == self.nothing() {
            return None;
        }
        let candidates = match self.package(name) {
            Some(name) => {
                let allowed = self.allowed(self.universe.of_name(name).collect()).into_iter();
                allowed.map(|candidate| SolvableId::from_raw(candidate.0)).collect()
            }
            None => vec![SolvableId::from_raw(name.into_raw())],
        };
        Some(Candidates {
            candidates,
            // Without it alternatives are decided before strict dependencies are known, and
            // superfluous packages get in.
            hint_dependencies_available: HintDependenciesAvailable::All,
            ..Candidates::default()
        })
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, _: &mut [SolvableId]) {
        // No set but the inverse of one has more than one, and nothing is chosen from that.
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        let Some(candidate) = self.candidate(solvable) else {
            return Dependencies::Known(KnownDependencies::default());
        };
        match self.known(candidate) {
            Ok(known) => Dependencies::Known(known),
            Err(error) => {
                self.tables.borrow_mut().error.get_or_insert(error);
                Dependencies::Unknown(StringId(0))
            }
        }
    }
}
