//! What a wish means for this host, before anything is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::Failure;
use base::file::{self, FileError};
use base::progress::Progress;
use formats::manifest::{Manifest, Package};
use formats::{PackageName, Version};
use packages::change::{Chosen, Host as Installed, State, Wish};
use packages::fetch::{Fetcher, Wanted};
use packages::index::Stanza;

use super::{ChangeError, Transaction, silent};
use crate::Host;
use crate::bundle::Bundle;
use crate::repositories::{Asked, NotAsked, Opened, Repositories};

/// What a host cannot be without beside the kernel that starts, whoever asks; what these need stays with them.
const PROTECTED: [&str; 11] = [
    "base-files",
    "bash", // without a shell nobody logs in
    "coreutils",
    "erofs-utils",
    "login",
    "preon",
    "preon-base",
    "systemd",
    "systemd-sysv",
    "udev",
    "util-linux",
];

/// The list of packages of what is seen, from `/usr` on.
pub(super) const STATUS: &str = "lib/preon/dpkg/status";

/// A change that was worked out.
pub(crate) struct Prepared {
    pub(crate) transaction: Transaction,
    /// What to fetch, each from several places, with the suite that it is from.
    pub(crate) downloads: Vec<(Vec<Wanted>, String)>,
    /// What stays as it is.
    pub(super) kept: BTreeSet<PackageName>,
    pub(super) automatic: BTreeSet<PackageName>,
    pub(super) pins: BTreeMap<PackageName, Version>,
    pub(crate) sources: Sources,
}

/// Where packages may come from instead of where repositories are said to be: mirrors, by suite.
pub(crate) type Mirrors = BTreeMap<String, Vec<String>>;

/// Repositories that were asked just now.
pub(crate) struct Sources {
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) opened: Vec<Opened>,
    /// The others.
    pub(crate) silent: Vec<NotAsked>,
}

impl Sources {
    /// Asks all repositories, of which one at least has to answer; with a `bundle`, those of its suites, there, and all of
    /// them have to.
    pub(crate) fn open(
        host: &Host,
        bundle: Option<&Bundle>,
        progress: &dyn Progress,
    ) -> Result<Self, Failure> {
        let repositories = Repositories(&host.root);
        let names = repositories.some()?;
        // A bundle is a folder here: no server is asked for it.
        let asked = if bundle.is_some() { &[] } else { &names[..] };
        let fetcher = repositories.fetcher(asked, host.fetch.clone())?;
        let mut known = Vec::new();
        for name in names {
            let mut configured = repositories.configured(&name)?;
            if let Some(bundle) = bundle {
                let Some(uris) = bundle.mirrors.get(&configured.suite) else { continue };
                configured.uris.clone_from(uris);
            }
            known.push((name, configured));
        }
        if let (Some(bundle), true) = (bundle, known.is_empty()) {
            return Err(bundle.foreign().into());
        }
        let asked = Asked::each(known, |name, it| repositories.open(name, it.clone(), &fetcher));
        if bundle.is_some() {
            return Ok(Self { fetcher, opened: asked.all()?, silent: Vec::new() });
        }
        let Asked { answered, silent } = asked.some(progress)?;
        Ok(Self { fetcher, opened: answered, silent })
    }
}

/// What is installed on the host that runs `manifest`.
///
/// # Errors
///
/// If its lists cannot be read, or contradict each other.
pub fn state(host: &Host, manifest: &Manifest) -> Result<State, Failure> {
    state_of(manifest, &status(host)?)
}

/// The list of packages of what is seen.
pub(crate) fn status(host: &Host) -> Result<String, FileError> {
    file::read_text(&host.usr.join(STATUS))
}

/// What is installed on a host with this manifest and this list of packages.
pub(crate) fn state_of(manifest: &Manifest, status: &str) -> Result<State, Failure> {
    let protected = PROTECTED.iter().filter_map(|name| name.parse().ok());
    let protected = protected.chain([manifest.kernel.package.clone()]).collect();
    Ok(State::read(manifest, status, protected)?)
}

/// Works out what the wish means for what is installed; the `held` packages stay as they are.
pub(crate) fn prepare(
    sources: Sources,
    (mut state, held): (State, &[&Package]),
    wish: &Wish,
) -> Result<Prepared, Failure> {
    let held: Vec<_> = held.iter().filter(|it| !state.pins.contains_key(&it.name)).collect();
    state.pins.extend(held.iter().map(|it| (it.name.clone(), it.version.clone())));
    state.of_image.extend(held.iter().map(|it| it.name.clone()));
    let installed = Installed::new(&state, sources.opened.iter().map(|it| &it.index))?;
    let plan = silent::plan(&installed, wish, &sources.silent)?;
    let mut pins = plan.pins.clone();
    held.iter().for_each(|package| drop(pins.remove(&package.name)));
    let (mut downloads, mut kept) = (Vec::new(), BTreeSet::new());
    for chosen in &plan.packages {
        match chosen {
            Chosen::Kept(stanza) => drop(kept.insert(stanza.package_name()?)),
            Chosen::Fetched(stanza) => {
                let places = wanted(*stanza, &sources.opened)?;
                downloads.push((places, stanza.suite().to_owned()));
            }
        }
    }
    let mut transaction = Transaction::of(&plan);
    transaction.silent = sources.silent.iter().map(NotAsked::told).collect();
    let automatic = plan.automatic.clone();
    drop(plan);
    Ok(Prepared { transaction, downloads, kept, automatic, pins, sources })
}

/// Where to fetch a package; the repository whose index names it must vouch for the same bytes.
pub(crate) fn wanted(stanza: Stanza<'_>, opened: &[Opened]) -> Result<Vec<Wanted>, Failure> {
    let download = stanza.download()?;
    let listed =
        opened.iter().filter_map(|it| Some((it, it.trusted.package(&download.filename).ok()?)));
    let mut contradicted = false;
    for (from, wanted) in listed {
        if wanted.digest == download.digest && wanted.size == download.size {
            return Ok(from.trusted.everywhere(&wanted));
        }
        contradicted = true;
    }
    let name = stanza.name().to_owned();
    Err(if contradicted { ChangeError::Contradiction(name) } else { ChangeError::Gone(name) }
        .into())
}
