//! A change of a host's packages: from what somebody wishes to the next generation.
//!
//! Repositories are asked and verified, the plan is worked out, what is missing is fetched, one layer is composed over
//! what the host shows, and a generation with it becomes the one that boots. Nothing of the host changes before
//! the last step, and whatever fails or is interrupted before leaves the host as it was.

mod kernels;
pub(crate) mod layer;
pub(crate) mod prepare;
mod restarts;
pub(crate) mod silent;
mod told;
mod waiting;

use std::panic::resume_unwind;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use base::progress::Progress;
use base::{Explain, Failure};
use formats::PackageName;
use formats::loader::PACKAGES;
use formats::manifest::{Change, Manifest};
use generations::Generation;
use packages::change::Wish;

use crate::Host;
use crate::activate::{self, Activation};
use crate::bundle::Bundle;
use crate::etc::{self, Defaults};
use crate::loader::Loader;
use layer::Reading;

pub use prepare::state;
pub(crate) use prepare::{Mirrors, Prepared, Sources, prepare, state_of, status};
pub use told::{Added, Changed, Held, Reboot, Removed, Stays, Transaction};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// In words, for the history: `install git`.
    pub words: String,
    /// What is wished.
    pub wish: Wish,
    /// How far to go.
    pub how: How,
}

/// How far a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is only said what would happen.
    Tell,
    /// Nothing that runs changes: the new generation waits for the next boot.
    Stage,
    /// What only adds is seen at once; all else waits for the next boot.
    Apply,
    /// What changes or goes is seen at once, too, and the services that run from it are restarted.
    ApplyAndRestart,
}

/// What became of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Outcome {
    /// What was to be done.
    pub transaction: Transaction,
    /// The new generation; missing where there was nothing to do, or where only the plan was asked for.
    pub generation: Option<u64>,
    /// How the new generation is seen.
    pub activation: Activation,
    /// The generation that the plan was made against, where that is not the one that runs: it boots next.
    pub against: Option<u64>,
}

/// A change cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// What boots next is not what runs.
    #[error(
        "{wanted} boots next, but {running} runs: a change, also one of pins or marks alone, would be made to what nobody \
         has seen yet"
    )]
    Waiting {
        /// What boots next.
        wanted: Generation,
        /// What runs.
        running: Generation,
    },
    /// What boots next has a package that is not at hand.
    #[error("what boots next has {package}, and nobody knows here what that needs")]
    Unseen {
        /// The package.
        package: PackageName,
    },
    /// The host does not run, so that nobody sees its files.
    #[error("this host does not run: its files cannot be seen")]
    Asleep,
    /// Too little room.
    #[error("the change needs {needed} on the disk, but only {free} are free")]
    NoRoom {
        /// How much it takes at most.
        needed: base::ByteSize,
        /// How much there is.
        free: base::ByteSize,
    },
    /// The manifest says something else than what runs.
    #[error("the manifest of {generation} says something else of {package} than what is installed")]
    Edited {
        /// The generation that runs.
        generation: Generation,
        /// The package.
        package: PackageName,
    },
    /// A repository's index and its signed list disagree about a package.
    #[error("the repository says two things about {0}")]
    Contradiction(String),
    /// No repository has what its own index names.
    #[error("no repository has {0}, which its index names")]
    Gone(String),
}

impl Explain for ChangeError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Waiting { running, .. } => Some(format!(
                "restart the host first, or give up what waits: `preon rollback {}`; `--dry-run` says what the change \
                 would be",
                running.0
            )),
            Self::Unseen { .. } => Some("restart the host first".into()),
            Self::Asleep => {
                Some("start it; for rescue there are `preon rollback` and `preon verify`".into())
            }
            Self::NoRoom { .. } => Some(
                "free space on the disk that holds /var: `preon gc` removes what nobody needs"
                    .into(),
            ),
            Self::Edited { .. } => Some(
                "undo what was changed in it by hand, or let another generation boot: `preon rollback N`"
                    .into(),
            ),
            Self::Contradiction(_) | Self::Gone(_) => {
                Some("try another mirror, and tell whoever runs this one".into())
            }
        }
    }
}

/// Makes a change, or says what it would be.
///
/// # Errors
///
/// What refreshing, planning, fetching, composing and staging fail with; the host is as before then.
pub fn run(host: &Host, asked: &Asked, progress: &dyn Progress) -> Result<Outcome, Failure> {
    run_from(host, asked, None, progress)
}

/// As [`run`], with all packages from a bundle, if one is given.
pub(crate) fn run_from(
    host: &Host,
    asked: &Asked,
    bundle: Option<&Bundle>,
    progress: &dyn Progress,
) -> Result<Outcome, Failure> {
    let _lock = if asked.how == How::Tell { None } else { Some(host.store.lock()?) };
    let from = base_generation(host, asked.how)?;
    thread::scope(|scope| {
        // What is shown is read while repositories are asked and packages fetched, where that is likely to be wanted.
        let alone = matches!(asked.wish, Wish::Pin { .. } | Wish::Unpin(_) | Wish::Mark { .. });
        let early = asked.how != How::Tell && !alone;
        let reading = early.then(|| layer::read(scope, host));
        change(host, (asked, bundle), (from, reading), progress)
    })
}

/// Makes a change of generation `from`, whose files are maybe being read.
fn change(
    host: &Host,
    (asked, bundle): (&Asked, Option<&Bundle>),
    (from, reading): (Generation, Option<Reading<'_>>),
    progress: &dyn Progress,
) -> Result<Outcome, Failure> {
    let sources = Sources::open(host, bundle, progress)?;
    let (manifest, prepared) = worked_out(host, from, sources, &asked.wish)?;
    if let Some(bundle) = bundle {
        let wanted: Vec<_> = prepared.downloads.iter().filter_map(|it| it.0.first()).collect();
        bundle.demand(host, &wanted)?;
    }
    let transaction = prepared.transaction.clone();
    if asked.how == How::Tell || transaction.is_empty() {
        let against = (host.running != Some(from)).then_some(from.0);
        let activation = Activation::None;
        return Ok(Outcome { transaction, generation: None, activation, against });
    }
    let words = Change { from: from.0, at: now(), asked: asked.words.clone() };
    let made = make(host, (&manifest, words), (&prepared, reading), progress);
    layer::clean(host);
    let (generation, next) = made?;
    host.boots_next(generation)?;
    let activation = match asked.how {
        How::Apply | How::ApplyAndRestart if transaction.only_adds() => {
            activate::at_once(host, generation, &next, progress)
        }
        How::ApplyAndRestart if transaction.reboot != Reboot::Full => {
            activate::restarting(host, (generation, &next), &transaction.restarts, progress)
        }
        _ => Activation::NextBoot,
    };
    Ok(Outcome { transaction, generation: Some(generation.0), activation, against: None })
}

/// Makes the next generation, which nobody wants yet.
fn make(
    host: &Host,
    (before, change): (&Manifest, Change),
    (prepared, reading): (&Prepared, Option<Reading<'_>>),
    progress: &dyn Progress,
) -> Result<(Generation, Manifest), Failure> {
    let (from, words) = (Generation(change.from), change.asked.clone());
    // The defaults are read while the layer is made: until the switch nobody changes them.
    let (next, defaults) = thread::scope(|scope| {
        let defaults = scope.spawn(|| Defaults::read(host));
        let next = layer::next(host, (before, change), (prepared, reading), progress);
        (next, defaults.join())
    });
    let (next, defaults) = (next?, defaults.unwrap_or_else(|panic| resume_unwind(panic))?);
    kernels::place(host, &next.images)?;
    let add = || -> Result<Generation, Failure> {
        host.demand_start(&next.manifest)?;
        let kept = etc::keep_over(host, defaults, (from, &words))?;
        Ok(host.store.add(&next.manifest, &next.layers).inspect_err(|_| kept.undo())?)
    };
    let generation = add().inspect_err(|_| kernels::take_back(host, &next.images))?;
    Ok((generation, next.manifest))
}

/// What a wish would do to what runs, also while something else waits for the next boot.
///
/// # Errors
///
/// What refreshing and planning fail with.
pub fn plan(host: &Host, wish: &Wish, progress: &dyn Progress) -> Result<Transaction, Failure> {
    let running = host.running.ok_or(ChangeError::Asleep)?;
    let sources = Sources::open(host, None, progress)?;
    Ok(worked_out(host, running, sources, wish)?.1.transaction)
}

/// Fetches and verifies what a change needs, and changes nothing: the change itself then needs no network but for the
/// repositories' newest lists.
///
/// # Errors
///
/// What refreshing, planning and fetching fail with.
pub fn fetch(host: &Host, wish: &Wish, progress: &dyn Progress) -> Result<Transaction, Failure> {
    let base = base_generation(host, How::Apply)?;
    let sources = Sources::open(host, None, progress)?;
    let (_, prepared) = worked_out(host, base, sources, wish)?;
    let places: Vec<_> = prepared.downloads.iter().map(|(places, _)| places.clone()).collect();
    prepared.sources.fetcher.fetch_anywhere(&places, progress, &|_| ())?;
    Ok(prepared.transaction)
}

/// What the wish means for what is installed in the generation `base`, and for the services that run. With its manifest.
fn worked_out(
    host: &Host,
    base: Generation,
    sources: Sources,
    wish: &Wish,
) -> Result<(Manifest, Prepared), Failure> {
    let manifest = host.store.manifest(base)?;
    let runs = host.running == Some(base);
    let state = match runs {
        true => state(host, &manifest)?,
        false => waiting::state(host, &manifest, &sources.opened)?,
    };
    let held: Vec<_> = held(host, &manifest).collect();
    let mut prepared = prepare(sources, (state, &held), wish)?;
    if runs {
        // Whatever runs now starts anew before another generation is seen.
        prepared.transaction.restarts = restarts::of(host, &prepared.transaction.replaced())?;
    }
    Ok((manifest, prepared))
}

/// The generation that a change is made to: what runs, which must be what boots next, too. Where it is only to be told, it
/// is what boots next.
fn base_generation(host: &Host, how: How) -> Result<Generation, Failure> {
    let wanted = host.store.wanted()?.generation;
    match host.running {
        None => Err(ChangeError::Asleep.into()),
        Some(_) if how == How::Tell => Ok(wanted),
        Some(running) if running != wanted => Err(ChangeError::Waiting { wanted, running }.into()),
        Some(running) => Ok(running),
    }
}

/// The packages of a manifest that give it its kernel and stay as they are: another loader starts this host, which alone
/// can give it another kernel, or an EFI variable has this one start each time.
pub(crate) fn held<'a>(
    host: &Host,
    manifest: &'a Manifest,
) -> impl Iterator<Item = &'a formats::manifest::Package> {
    // Where nobody can tell what starts, a new kernel might not.
    let may_change = Loader::is_ours(&host.root) && matches!(host.overruled(), Ok(None));
    let kernel = |name: &str| name.starts_with("preon-kernel-") || name.starts_with(PACKAGES);
    manifest.packages.iter().filter(move |package| !may_change && kernel(package.name.as_str()))
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
