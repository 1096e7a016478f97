//! Which versions may be chosen where a universe has several of a package, and which is better.

use std::collections::HashMap;

use super::universe::{Candidate, Universe};

/// Which packages a search may choose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits<'a> {
    /// The packages for which something else holds than for the others, by name.
    pub(crate) rules: HashMap<&'a str, Rule>,
    /// What holds for all others.
    pub(crate) others: Others,
}

/// What holds for the packages of one name.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Those that may be chosen.
    pub(crate) allowed: Vec<Candidate>,
    /// Why no other one may, as in `lib is pinned to 1`.
    pub(crate) why: String,
}

/// Which versions of a package may be chosen of which no rule speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Others {
    /// All.
    #[default]
    All,
    /// The installed one and those that are newer.
    NotOlder,
    /// The installed one and the newest one, unless that is older.
    Newest,
    /// None.
    Nothing,
}

impl Limits<'_> {
    /// Why `candidate` may not be chosen; `None` if it may.
    pub(crate) fn refusal(
        &self,
        universe: &Universe<'_>,
        candidate: Candidate,
    ) -> Option<Refusal<'_>> {
        let rule = self.rules.get(universe.stanza(candidate).name());
        if let Some(rule) = rule {
            return (!rule.allowed.contains(&candidate)).then_some(Refusal::Rule(&rule.why));
        }
        match self.others {
            Others::All => None,
            Others::Nothing => Some(Refusal::Closed),
            Others::NotOlder | Others::Newest if universe.is_installed(candidate) => None,
            Others::NotOlder => is_older(universe, candidate).then_some(Refusal::Older),
            Others::Newest => {
                let newest = universe.of_name(universe.name(candidate)).next();
                (newest != Some(candidate)).then(|| match is_older(universe, candidate) {
                    true => Refusal::Older,
                    false => Refusal::NotNewest,
                })
            }
        }
    }
}

/// Whether a newer version than `candidate` is installed.
fn is_older(universe: &Universe<'_>, candidate: Candidate) -> bool {
    let mut newer = universe.of_name(universe.name(candidate)).take_while(|&it| it != candidate);
    newer.any(|candidate| universe.is_installed(candidate))
}

/// Why a package may not be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal<'l> {
    /// A rule says so.
    Rule(&'l str),
    /// A newer version is installed.
    Older,
    /// It is not the newest version.
    NotNewest,
    /// It is not among those that were named.
    Closed,
}

impl Refusal<'_> {
    /// In words, of the package `name` in `version`.
    pub(super) fn text(self, name: &str, version: &str) -> String {
        match self {
            Self::Rule(why) => why.to_owned(),
            Self::Older => format!("{name} {version} is older than what is installed"),
            Self::NotNewest => format!("{name} {version} is not the newest version"),
            Self::Closed => format!("{name} may not be chosen"),
        }
    }
}

/// How good a package is compared with others that would do: what is installed is better than
/// another version of it, and that is better than a package that is not installed at all.
pub(super) fn rank(universe: &Universe<'_>, candidate: Candidate) -> u8 {
    if universe.is_installed(candidate) {
        return 0;
    }
    let mut same = universe.of_name(universe.name(candidate));
    if same.any(|candidate| universe.is_installed(candidate)) { 1 } else { 2 }
}
