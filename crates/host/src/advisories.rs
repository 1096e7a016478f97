//! Which known flaws a host has that a newer version of a package fixes, by what curation wrote into the packages.

use std::collections::BTreeMap;

use base::{Explain, Failure};
use compose::Shown;
use formats::manifest::{Manifest, Package};
use formats::{Version, VersionRef};
use packages::changelog::Cve;
use packages::fixes::{self, BadFixes, Fixed, Fixes};
use packages::index::{Index, Stanza};
use serde::Serialize;

use crate::Host;
use crate::repositories::Repositories;
use crate::transaction::held;

/// A known flaw that versions of a source package have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flaw {
    /// Its number.
    pub cve: Cve,
    /// Debian's source package.
    pub source: String,
    /// The version of it that fixes the flaw.
    pub fixed_in: Version,
    /// When that was made, where its changelog says so.
    pub fixed_on: Option<String>,
    /// What the host has, and what becomes of it.
    pub state: State,
    /// The installed packages of the source, sorted.
    pub packages: Vec<String>,
}

/// Whether a host has a flaw, and what would close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// An upgrade closes it.
    Open,
    /// An upgrade would close it, but a pin holds the package.
    Pinned,
    /// A newer image closes it: the kernel comes with what starts this host.
    Image,
    /// The version that is installed has fixed it.
    Fixed,
}

/// What a package says about the flaws that it fixes is broken.
#[derive(Debug, thiserror::Error)]
#[error("the package {package} does not say which flaws it fixes")]
pub struct Broken {
    package: String,
    source: BadFixes,
}

impl Explain for Broken {
    fn hint(&self) -> Option<String> {
        self.source.hint()
    }
}

/// The flaws of the packages of `manifest` that newer versions fix, as of the last refresh of the repositories; with `all`
/// also those that the installed versions have fixed. Sorted by state, then by number, newest first.
///
/// # Errors
///
/// If no repository is known, nothing is known of one, or a package says nonsense.
pub fn flaws(host: &Host, manifest: &Manifest, all: bool) -> Result<Vec<Flaw>, Failure> {
    let repositories = Repositories(&host.root);
    let mut indexes = Vec::new();
    for name in repositories.some()? {
        indexes.push(repositories.index(&name)?);
    }
    let mut found = Found::default();
    let newest = newest(manifest, &indexes)?;
    let held: Vec<_> = held(host, manifest).collect();
    for package in &manifest.packages {
        let Some(stanza) = newest.get(package.name.as_str()) else { continue };
        let fixes = parse(stanza.name(), stanza.field(fixes::FIELD))?;
        let state = state(manifest, &held, package);
        let open = |fixed: &Fixed| fixed.version > package.source_version;
        found.add(package, &fixes, |fixed| open(fixed).then_some(state));
    }
    if all {
        for package in Shown::read(&host.usr)?.packages {
            let control = package.control();
            let fixes = parse(control.name().as_str(), control.get(fixes::FIELD))?;
            let mut installed = manifest.packages.iter();
            if let Some(installed) = installed.find(|it| it.name == *control.name()) {
                found.add(installed, &fixes, |_| Some(State::Fixed));
            }
        }
    }
    Ok(found.sorted())
}

/// The newest version of each installed package that repositories have and that is newer than the installed one.
fn newest<'a>(
    manifest: &'a Manifest,
    indexes: &'a [Index],
) -> Result<BTreeMap<&'a str, Stanza<'a>>, Failure> {
    let mut newest: BTreeMap<&str, (VersionRef<'_>, Option<Stanza<'_>>)> = BTreeMap::new();
    for package in &manifest.packages {
        newest.insert(package.name.as_str(), (package.version.borrowed(), None));
    }
    for stanza in indexes.iter().flat_map(Index::stanzas) {
        if let Some(best) = newest.get_mut(stanza.name()) {
            let version = stanza.version()?;
            if version > best.0 {
                *best = (version, Some(stanza));
            }
        }
    }
    Ok(newest.into_iter().filter_map(|(name, (_, stanza))| Some((name, stanza?))).collect())
}

fn parse(package: &str, field: Option<&str>) -> Result<Fixes, Broken> {
    let broken = |source| Broken { package: package.to_owned(), source };
    field.unwrap_or_default().parse().map_err(broken)
}

/// What closes the open flaws of an installed package.
fn state(manifest: &Manifest, held: &[&Package], package: &Package) -> State {
    if held.contains(&package) {
        State::Image
    } else if manifest.pins.contains_key(&package.name) {
        State::Pinned
    } else {
        State::Open
    }
}

/// Flaws by number and source.
#[derive(Default)]
struct Found(BTreeMap<(Cve, String), Flaw>);

impl Found {
    /// Adds those flaws of a package that have a state.
    fn add(&mut self, package: &Package, fixes: &Fixes, state: impl Fn(&Fixed) -> Option<State>) {
        for (cve, fixed) in fixes.by_flaw() {
            let Some(state) = state(fixed) else { continue };
            let flaw = self.0.entry((cve, package.source.clone())).or_insert_with(|| Flaw {
                cve,
                source: package.source.clone(),
                fixed_in: fixed.version.clone(),
                fixed_on: fixed.date.map(|date| date.to_string()),
                state,
                packages: Vec::new(),
            });
            flaw.state = flaw.state.min(state); // as long as one package has it, it is not fixed
            if flaw.state == state {
                flaw.packages.push(package.name.to_string());
            }
        }
    }

    fn sorted(self) -> Vec<Flaw> {
        let mut all: Vec<_> = self.0.into_values().collect();
        all.sort_by(|one, other| (one.state, other.cve).cmp(&(other.state, one.cve)));
        all
    }
}
