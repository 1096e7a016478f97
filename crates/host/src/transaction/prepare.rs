//! What a wish means for this host, before anything is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::Failure;
use base::file;
use formats::manifest::Manifest;
use formats::{PackageName, Version};
use packages::change::{Chosen, Host as Installed, State, Wish};
use packages::fetch::{Fetcher, Wanted};
use packages::index::Stanza;

use super::{ChangeError, Transaction, kernels, restarts};
use crate::Host;
use crate::repositories::{Opened, Repositories};

/// What a host cannot be without, whoever asks; what these need stays with them.
const PROTECTED: [&str; 8] = [
    "base-files",
    "erofs-utils",
    "preon",
    "preon-base",
    "preon-kernel",
    "systemd",
    "systemd-sysv",
    "udev",
];

/// A change that was worked out.
pub(super) struct Prepared {
    pub(super) transaction: Transaction,
    /// What to fetch, with the suite that it is from.
    pub(super) downloads: Vec<(Wanted, String)>,
    /// What stays as it is.
    pub(super) kept: BTreeSet<PackageName>,
    pub(super) automatic: BTreeSet<PackageName>,
    pub(super) pins: BTreeMap<PackageName, Version>,
    pub(super) fetcher: Arc<Fetcher>,
}

/// What is installed on the host that runs `manifest`.
///
/// # Errors
///
/// If its lists cannot be read, or contradict each other.
pub fn state(host: &Host, manifest: &Manifest) -> Result<State, Failure> {
    let status = file::read_text(&host.usr.join("lib/preon/dpkg/status"))?;
    let protected = PROTECTED.iter().filter_map(|name| name.parse().ok()).collect();
    Ok(State::read(manifest, &status, protected)?)
}

/// Asks the repositories and works out what the wish means.
pub(super) fn prepare(host: &Host, manifest: &Manifest, wish: &Wish) -> Result<Prepared, Failure> {
    let repositories = Repositories(&host.root);
    let fetcher = repositories.fetcher()?;
    let mut opened = Vec::new();
    for name in repositories.some()? {
        opened.push(repositories.open(&name, &fetcher)?);
    }
    let mut state = state(host, manifest)?;
    let held: Vec<_> = kernels(manifest).filter(|it| !state.pins.contains_key(&it.name)).collect();
    state.pins.extend(held.iter().map(|it| (it.name.clone(), it.version.clone())));
    let plan = Installed::new(&state, opened.iter().map(|it| &it.index))?.plan(wish)?;
    let mut pins = plan.pins.clone();
    held.iter().for_each(|package| drop(pins.remove(&package.name)));
    let mut transaction = Transaction::of(&plan);
    transaction.restarts = restarts::of(host, &transaction.replaced())?;
    let mut prepared = Prepared {
        transaction,
        downloads: Vec::new(),
        kept: BTreeSet::new(),
        automatic: plan.automatic.clone(),
        pins,
        fetcher,
    };
    for chosen in &plan.packages {
        match chosen {
            Chosen::Kept(stanza) => drop(prepared.kept.insert(stanza.package_name()?)),
            Chosen::Fetched(stanza) => {
                prepared.downloads.push((wanted(*stanza, &opened)?, stanza.suite().to_owned()));
            }
        }
    }
    Ok(prepared)
}

/// How to fetch a package; the repository whose index names it must vouch for the same bytes.
pub(crate) fn wanted(stanza: Stanza<'_>, opened: &[Opened]) -> Result<Wanted, Failure> {
    let download = stanza.download()?;
    let listed = opened.iter().filter_map(|it| it.trusted.package(&download.filename).ok());
    let mut contradicted = false;
    for wanted in listed {
        if wanted.digest == download.digest && wanted.size == download.size {
            return Ok(wanted);
        }
        contradicted = true;
    }
    let name = stanza.name().to_owned();
    Err(if contradicted { ChangeError::Contradiction(name) } else { ChangeError::Gone(name) }
        .into())
}
