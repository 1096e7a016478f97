//! All packages that may be chosen, and which of them a relation means.

use std::collections::HashMap;

use formats::relation::{Group, Relation, Relations};

use crate::index::{Index, IndexError, NameHash, Stanza};

/// Which suite each package is taken from. A suite stands for its updates and security updates
/// too: `trixie` for `trixie-updates` and `trixie-security`.
#[derive(Clone, Debug, Default)]
pub struct Pins {
    /// The suite of all packages that are not named below; any suite, if `None`.
    pub base: Option<String>,
    /// The suite of a package, by the package's name.
    pub packages: HashMap<String, String>,
}

impl Pins {
    /// Whether this package may come from `suite`.
    fn allow(&self, stanza: Stanza<'_>) -> bool {
        let pin = if self.packages.is_empty() { None } else { self.packages.get(stanza.name()) };
        let (wanted, suite) = (pin.or(self.base.as_ref()), stanza.suite());
        wanted.is_none_or(|wanted| wanted == family(suite) || wanted == suite)
    }
}

/// The suite whose part this is: `trixie` for `trixie-updates` and `trixie-security`.
pub(crate) fn family(suite: &str) -> &str {
    let base = ["-updates", "-security"].iter().find_map(|ending| suite.strip_suffix(ending));
    // `trixie-proposed-updates` is a suite of its own, and no part of one called `trixie-proposed`.
    base.filter(|base| !base.contains('-')).unwrap_or(suite)
}

/// A package of a universe, by its position in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Candidate(pub(super) u32);

/// The packages that may be chosen: the newest of each name that the pins allow.
pub struct Universe<'a> {
    stanzas: Vec<Stanza<'a>>,
    /// The packages by their own names, sorted.
    named: Vec<(NameHash, Candidate)>,
    /// The packages by the names that they provide, sorted.
    provided: Vec<(NameHash, Candidate)>,
    /// Where it was made from, to tell what the pins leave out.
    indexes: Vec<&'a Index>,
}

impl<'a> Universe<'a> {
    /// Gathers the packages of `indexes` that `pins` allow. Of versions that compare alike the one
    /// of the earlier index is kept.
    ///
    /// # Errors
    ///
    /// [`IndexError`] if a package that is there twice has a malformed version.
    pub fn new(
        indexes: impl IntoIterator<Item = &'a Index>,
        pins: &Pins,
    ) -> Result<Self, IndexError> {
        let indexes: Vec<_> = indexes.into_iter().collect();
        let all: Vec<Stanza<'a>> = indexes.iter().flat_map(|index| index.stanzas()).collect();
        let mut named: Vec<_> = all
            .iter()
            .enumerate()
            .filter(|(_, stanza)| pins.allow(**stanza))
            .map(|(at, stanza)| (stanza.name_hash(), Candidate(at as u32)))
            .collect();
        named.sort_unstable();
        keep_newest(&mut named, &all)?;
        let mut kept = vec![false; all.len()];
        named.iter().for_each(|(_, candidate)| kept[candidate.0 as usize] = true);
        let mut provided = Vec::new();
        let mut first = 0;
        for index in &indexes {
            let names = index.provided().iter().map(|p| (p.name, Candidate(first + p.by)));
            provided.extend(names.filter(|(_, by)| kept[by.0 as usize]));
            first += index.len() as u32;
        }
        provided.sort_unstable();
        provided.dedup();
        Ok(Self { stanzas: all, named, provided, indexes })
    }

    /// How many packages may be chosen.
    pub fn len(&self) -> usize {
        self.named.len()
    }

    /// Whether no package may be chosen.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// The names of the packages that may be chosen.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.named.iter().map(|(_, candidate)| self.stanza(*candidate).name())
    }

    /// The package of this name that may be chosen.
    pub fn get(&self, name: &str) -> Option<Stanza<'a>> {
        self.find(name).map(|candidate| self.stanza(candidate))
    }

    fn find(&self, name: &str) -> Option<Candidate> {
        let same = with_hash(&self.named, NameHash::of(name));
        same.iter().map(|(_, found)| *found).find(|&found| self.stanza(found).name() == name)
    }

    /// One more than the highest number that a candidate has.
    pub(super) fn bound(&self) -> u32 {
        self.stanzas.len() as u32
    }

    /// All versions of the package of this name, in whichever suite.
    pub(super) fn everywhere(&self, name: &str) -> impl Iterator<Item = Stanza<'a>> {
        let stanzas = self.indexes.iter().flat_map(|index| index.stanzas());
        stanzas.filter(move |stanza| stanza.name() == name)
    }

    pub(super) fn stanza(&self, candidate: Candidate) -> Stanza<'a> {
        self.stanzas[candidate.0 as usize]
    }

    /// The packages of which one is enough, the preferred first, none twice.
    pub(super) fn targets(&self, group: &Group<'_>) -> Vec<Candidate> {
        let mut targets = Vec::new();
        for alternative in &group.alternatives {
            for candidate in self.matching(alternative) {
                if !targets.contains(&candidate) {
                    targets.push(candidate);
                }
            }
        }
        targets
    }

    /// The packages that a relation means: the one of this name, then those that provide it by
    /// priority and name. A relation with a version is met only by a provider that gives one.
    ///
    /// Source: Debian Policy, section 7.5.
    pub(super) fn matching(&self, relation: &Relation<'_>) -> Vec<Candidate> {
        if !is_here(relation.qualifier) {
            return Vec::new();
        }
        let mut found = Vec::new();
        if let Some(candidate) = self.find(relation.name) {
            let version = self.stanza(candidate).version();
            let fits = match (relation.version, version) {
                (None, _) => true,
                (Some(constraint), Ok(version)) => constraint.allows(version),
                (Some(_), Err(_)) => false,
            };
            if fits {
                found.push(candidate);
            }
        }
        let own = found.len();
        for &(_, by) in with_hash(&self.provided, NameHash::of(relation.name)) {
            if !found.contains(&by) && self.provides(by, relation) {
                found.push(by);
            }
        }
        if found.len() > own + 1 {
            found[own..].sort_by_key(|&candidate| {
                let stanza = self.stanza(candidate);
                (priority(stanza.field("Priority")), stanza.name())
            });
        }
        found
    }

    /// The packages that provide `name`, each with the version that it gives for it, by name.
    pub(super) fn providers(&self, name: &str) -> Vec<(Stanza<'a>, Option<String>)> {
        let mut found = Vec::new();
        for &(_, by) in with_hash(&self.provided, NameHash::of(name)) {
            let stanza = self.stanza(by);
            let provided = Relations::parse(stanza.provides()).unwrap_or_default();
            let all = provided.groups.iter().flat_map(|group| &group.alternatives);
            found.extend(all.filter(|provided| provided.name == name).map(|provided| {
                (stanza, provided.version.map(|given| given.version.as_str().to_owned()))
            }));
        }
        found.sort_by_key(|(stanza, _)| stanza.name());
        found
    }

    /// Whether `candidate` provides what `relation` means.
    fn provides(&self, candidate: Candidate, relation: &Relation<'_>) -> bool {
        let provided = Relations::parse(self.stanza(candidate).provides()).unwrap_or_default();
        let mut all = provided.groups.iter().flat_map(|group| &group.alternatives);
        all.any(|provided| {
            provided.name == relation.name
                && relation.version.is_none_or(|wanted| {
                    provided.version.is_some_and(|given| wanted.allows(given.version))
                })
        })
    }
}

/// Whether the qualifier of a relation means a package of the only architecture that there is.
pub(super) fn is_here(qualifier: Option<&str>) -> bool {
    matches!(qualifier, None | Some("any" | "native" | "amd64" | "all"))
}

/// Priorities from the first to the last, as Debian Policy, section 2.5, orders them.
fn priority(field: Option<&str>) -> u8 {
    match field {
        Some("required") => 0,
        Some("important") => 1,
        Some("standard") => 2,
        Some("optional") => 3,
        _ => 4,
    }
}

/// The entries with this hash in a sorted list.
fn with_hash(sorted: &[(NameHash, Candidate)], hash: NameHash) -> &[(NameHash, Candidate)] {
    let start = sorted.partition_point(|(known, _)| *known < hash);
    let length = sorted[start..].iter().take_while(|(known, _)| *known == hash).count();
    &sorted[start..start + length]
}

/// Leaves of each name the newest version; of those that compare alike, the first.
fn keep_newest(
    named: &mut Vec<(NameHash, Candidate)>,
    all: &[Stanza<'_>],
) -> Result<(), IndexError> {
    let mut kept: Vec<(NameHash, Candidate)> = Vec::with_capacity(named.len());
    for &(hash, candidate) in named.iter() {
        let stanza = all[candidate.0 as usize];
        let same = kept.iter_mut().rev().take_while(|(known, _)| *known == hash);
        let mut same = same.map(|(_, known)| known);
        match same.find(|known| all[known.0 as usize].name() == stanza.name()) {
            Some(known) if stanza.version()? > all[known.0 as usize].version()? => {
                *known = candidate;
            }
            Some(_) => {}
            None => kept.push((hash, candidate)),
        }
    }
    *named = kept;
    Ok(())
}
