//! All packages that may be chosen, and which of them a relation means.

mod versions;

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
pub(crate) struct Candidate(pub(super) u32);

/// The packages that may be chosen: of each name the newest that the pins allow, or, of a host, what
/// is installed and all that the repository has.
pub struct Universe<'a> {
    stanzas: Vec<Stanza<'a>>,
    /// The packages by their own names, sorted; those of one name newest first.
    named: Vec<(NameHash, Candidate)>,
    /// Where in `named` the packages with the name of a candidate begin.
    heads: Vec<u32>,
    /// The packages by the names that they provide, sorted.
    provided: Vec<(NameHash, Candidate)>,
    /// Where it was made from, to tell what the pins leave out.
    indexes: Vec<&'a Index>,
    /// How many candidates, the first ones, are installed.
    installed: u32,
}

/// A name of a universe: where its packages begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name(pub(super) u32);

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
        Self::gather(indexes, |stanza| pins.allow(stanza), versions::Keep::Newest)
    }

    /// Gathers what is installed and every version that `indexes` have. Where one of them is
    /// installed, the installed package stands for it.
    ///
    /// # Errors
    ///
    /// [`IndexError`] if a package that is there twice has a malformed version.
    pub fn of_host(
        installed: &'a Index,
        indexes: impl IntoIterator<Item = &'a Index>,
    ) -> Result<Self, IndexError> {
        let all = std::iter::once(installed).chain(indexes).collect();
        let mut universe = Self::gather(all, |_| true, versions::Keep::All)?;
        universe.installed = installed.len() as u32;
        Ok(universe)
    }

    fn gather(
        indexes: Vec<&'a Index>,
        allow: impl Fn(Stanza<'a>) -> bool,
        keep: versions::Keep,
    ) -> Result<Self, IndexError> {
        let stanzas: Vec<Stanza<'a>> = indexes.iter().flat_map(|index| index.stanzas()).collect();
        let allowed = stanzas.iter().enumerate().filter(|(_, stanza)| allow(**stanza));
        let named = allowed.map(|(at, stanza)| (stanza.name_hash(), Candidate(at as u32)));
        let named = versions::sort(named.collect(), &stanzas, keep)?;
        let heads = versions::heads(&named, &stanzas);
        let mut provided = Vec::new();
        let mut first = 0;
        for index in &indexes {
            let names = index.provided().iter().map(|p| (p.name, Candidate(first + p.by)));
            provided.extend(names.filter(|(_, by)| heads[by.0 as usize] != versions::LEFT_OUT));
            first += index.len() as u32;
        }
        provided.sort_unstable();
        provided.dedup();
        Ok(Self { stanzas, named, heads, provided, indexes, installed: 0 })
    }

    /// How many packages may be chosen.
    pub fn len(&self) -> usize {
        self.named.len()
    }

    /// Whether no package may be chosen.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// The names of the packages that may be chosen; as often as there are versions.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.named.iter().map(|(_, candidate)| self.stanza(*candidate).name())
    }

    /// The newest package of this name that may be chosen.
    pub fn get(&self, name: &str) -> Option<Stanza<'a>> {
        self.versions(name).next().map(|candidate| self.stanza(candidate))
    }

    /// The packages of this name, newest first.
    pub(crate) fn versions(&self, name: &str) -> impl DoubleEndedIterator<Item = Candidate> {
        let same = with_hash(&self.named, NameHash::of(name));
        // Other names may have the hash.
        same.iter().map(|(_, found)| *found).filter(move |&it| self.stanza(it).name() == name)
    }

    /// The packages that have the same name as `candidate`, newest first.
    pub(super) fn of_name(&self, name: Name) -> impl Iterator<Item = Candidate> {
        let same = self.named[name.0 as usize..].iter().map(|(_, candidate)| *candidate);
        same.take_while(move |&candidate| self.name(candidate) == name)
    }

    /// The name that `candidate` has.
    pub(super) fn name(&self, candidate: Candidate) -> Name {
        Name(self.heads[candidate.0 as usize])
    }

    /// Whether other versions of the package are there.
    pub(super) fn has_others(&self, candidate: Candidate) -> bool {
        self.of_name(self.name(candidate)).nth(1).is_some()
    }

    /// Whether the package is installed.
    pub(crate) fn is_installed(&self, candidate: Candidate) -> bool {
        candidate.0 < self.installed
    }

    /// The installed package of this name.
    pub(crate) fn installed(&self, name: &str) -> Option<Candidate> {
        self.versions(name).find(|&candidate| self.is_installed(candidate))
    }

    /// All installed packages, in the order of their list.
    pub(crate) fn all_installed(&self) -> impl Iterator<Item = Candidate> {
        // A list that has one package twice has it once here.
        let all = (0..self.installed).map(Candidate);
        all.filter(|candidate| self.heads[candidate.0 as usize] != versions::LEFT_OUT)
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

    /// Whether `stanza` is of the list of installed packages.
    pub(super) fn is_of_host(&self, stanza: Stanza<'_>) -> bool {
        self.installed > 0 && self.indexes.first().is_some_and(|index| stanza.is_of(index))
    }

    pub(crate) fn stanza(&self, candidate: Candidate) -> Stanza<'a> {
        self.stanzas[candidate.0 as usize]
    }

    /// The packages of which one is enough, the preferred first, none twice.
    pub(crate) fn targets(&self, group: &Group<'_>) -> Vec<Candidate> {
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

    /// The packages that a relation means: those of this name, newest first, then those that provide it by
    /// priority and name. A relation with a version is met only by a provider that gives one.
    ///
    /// Source: Debian Policy, section 7.5.
    pub(crate) fn matching(&self, relation: &Relation<'_>) -> Vec<Candidate> {
        if !is_here(relation.qualifier) {
            return Vec::new();
        }
        let fits =
            |&candidate: &Candidate| match (relation.version, self.stanza(candidate).version()) {
                (None, _) => true,
                (Some(constraint), Ok(version)) => constraint.allows(version),
                (Some(_), Err(_)) => false,
            };
        let mut found: Vec<_> = self.versions(relation.name).filter(fits).collect();
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
    pub(crate) fn providers(&self, name: &str) -> Vec<(Candidate, Option<String>)> {
        let mut found = Vec::new();
        for &(_, by) in with_hash(&self.provided, NameHash::of(name)) {
            let stanza = self.stanza(by);
            let provided = Relations::parse(stanza.provides()).unwrap_or_default();
            let all = provided.groups.iter().flat_map(|group| &group.alternatives);
            found.extend(all.filter(|provided| provided.name == name).map(|provided| {
                (by, provided.version.map(|given| given.version.as_str().to_owned()))
            }));
        }
        found.sort_by_key(|(by, _)| self.stanza(*by).name());
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
