//! What a host has made of the defaults for `/etc`: how it differs from the image and from what it was, which defaults
//! changed underneath, and how something comes back.
//!
//! An edit is a file of the upper side of `/etc` ([`generations::etc`]) that is no untouched copy of a default. Edits
//! belong to the host, not to a generation: they stay over every change and every rollback. Each generation keeps
//! snapshots of them ([`snapshot`]), which come back only when they are asked for.

mod drift;
mod entry;
mod restore;
pub mod snapshot;
mod underneath;
mod view;

use std::path::{Component, Path, PathBuf};

use base::Explain;
use base::file::FileError;
use generations::etc::{self, Copies};
use generations::{Generation, StoreError};

use crate::Host;
use snapshot::{Kept, Name};
use underneath::Notes;
use view::{Tree, View, lay};

pub use drift::{Difference, What};
pub use entry::{Entry, Kind};
pub use restore::{Restored, To, restore};
pub use underneath::Underneath;

/// Something about `/etc` cannot be told or done.
#[derive(Debug, thiserror::Error)]
pub enum EtcError {
    /// It is no path of `/etc`.
    #[error("{} is not below /etc", .0.display())]
    Outside(PathBuf),
    /// It is nowhere.
    #[error("there is no /etc/{}, neither now nor there", .0.display())]
    Unknown(PathBuf),
    /// The default did not change.
    #[error("no default changed underneath /etc/{}", .0.display())]
    NothingChanged(PathBuf),
    /// No snapshot is called so.
    #[error("there is no snapshot {0}")]
    NoSnapshot(Name),
    /// The host does not run.
    #[error("this host does not run: its /etc cannot be written")]
    Asleep,
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Explain for EtcError {
    fn is_busy(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_busy())
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Outside(_) => Some("give it as `/etc/…`, or as it is called in there".into()),
            Self::Unknown(_) | Self::NothingChanged(_) => {
                Some("`preon etc diff` lists what differs".into())
            }
            Self::NoSnapshot(_) => Some("`preon etc snapshots` lists all".into()),
            Self::Asleep => Some("start it first".into()),
            Self::File(error) => error.hint(),
            Self::Store(error) => error.hint(),
        }
    }
}

/// The sides of a host's `/etc`.
struct Sides {
    data: PathBuf,
    defaults: Tree,
    /// The host's edits.
    upper: Tree,
    copies: Copies,
    notes: Notes,
}

/// The image's defaults, of which a host that runs has the same from its boot to the next change.
pub(crate) struct Defaults(Tree);

impl Defaults {
    /// Reads what is seen now: all of it, which takes time.
    pub(crate) fn read(host: &Host) -> Result<Self, FileError> {
        Ok(Self(Tree::read(&host.usr.join(etc::DEFAULTS))?))
    }
}

impl Sides {
    fn read(host: &Host) -> Result<Self, FileError> {
        Self::over(host, Defaults::read(host)?)
    }

    fn over(host: &Host, Defaults(defaults): Defaults) -> Result<Self, FileError> {
        let data = host.root.below(generations::DATA);
        let copies = Copies::read(&data)?;
        let upper = Tree::read(&etc::upper(&data))?.without(&copies);
        let mut notes = Notes::read(&data)?;
        notes.update(&defaults, &upper);
        Ok(Self { data, defaults, upper, copies, notes })
    }

    /// What is seen in `/etc`.
    fn now(&self) -> View {
        lay(&self.defaults, &self.upper)
    }

    /// What would be seen without edits.
    fn image(&self) -> View {
        lay(&self.defaults, &Tree { root: PathBuf::new(), entries: [].into(), odd: Vec::new() })
    }
}

/// How `/etc` differs from the image's defaults, by path.
///
/// # Errors
///
/// [`EtcError`].
pub fn drift(host: &Host) -> Result<Vec<Difference>, EtcError> {
    let sides = Sides::read(host)?;
    let mut judged = sides.notes.judge(&sides.defaults);
    let mut all = drift::differences(&sides.image(), &sides.now());
    for difference in &mut all {
        difference.underneath = judged.remove(&difference.path);
    }
    Ok(all)
}

/// How `/etc` differs from what a snapshot holds, by path.
///
/// # Errors
///
/// [`EtcError`].
pub fn since(host: &Host, name: Name) -> Result<Vec<Difference>, EtcError> {
    let sides = Sides::read(host)?;
    let then = snapshot::find(&host.store, name)?.tree()?;
    Ok(drift::differences(&lay(&sides.defaults, &then), &sides.now()))
}

/// Where the default is from which a file was edited that is said to have changed; `None` if it was not kept.
pub fn former_default(host: &Host, underneath: &Underneath) -> Option<PathBuf> {
    let Underneath::Changed(digest) = underneath else { return None };
    let path = underneath::kept(&host.root.below(generations::DATA), digest);
    path.exists().then_some(path)
}

/// Where the present default for `name`, below `/etc`, is, or would be.
pub fn default_of(host: &Host, name: &Path) -> PathBuf {
    host.usr.join(etc::DEFAULTS).join(name)
}

/// Notes which defaults the host's edits are of, as [`keep`] does, too: once a boot. Waits for whoever changes the store.
///
/// # Errors
///
/// [`EtcError`].
pub fn note(host: &Host) -> Result<(), EtcError> {
    let _lock = host.store.lock_after_others()?;
    let sides = Sides::read(host)?;
    Ok(sides.notes.write(&sides.defaults)?)
}

/// Keeps a snapshot of the edits under `generation`, which runs, unless its newest one is the same; for `why`, in words.
///
/// # Errors
///
/// [`EtcError`]; there is no new snapshot then.
pub fn keep(host: &Host, generation: Generation, why: &str) -> Result<Kept, EtcError> {
    keep_over(host, Defaults::read(host)?, (generation, why))
}

/// As [`keep`], over defaults that were read before.
pub(crate) fn keep_over(
    host: &Host,
    defaults: Defaults,
    (generation, why): (Generation, &str),
) -> Result<Kept, EtcError> {
    let sides = Sides::over(host, defaults)?;
    sides.notes.write(&sides.defaults)?;
    snapshot::keep(&host.store, generation, why, (&sides.upper, &sides.notes.edited))
}

/// Says that what changed underneath these files, below `/etc`, or in these folders, was seen; all for none. Returns the
/// files.
///
/// # Errors
///
/// [`EtcError`]; nothing is accepted then.
pub fn accept(host: &Host, names: &[PathBuf]) -> Result<Vec<PathBuf>, EtcError> {
    let _lock = host.store.lock()?;
    let mut sides = Sides::read(host)?;
    let changed: Vec<_> = sides.notes.judge(&sides.defaults).into_keys().collect();
    let changed = select(changed, names, PathBuf::as_path);
    if let Some(name) = names.iter().find(|name| !changed.iter().any(|it| it.starts_with(name))) {
        return Err(EtcError::NothingChanged(name.clone()));
    }
    for name in &changed {
        sides.notes.accept(name, &sides.defaults);
    }
    sides.notes.write(&sides.defaults)?;
    Ok(changed)
}

/// Those that are or lie in one of `names`; all for none.
pub fn select<T>(all: Vec<T>, names: &[PathBuf], path: impl Fn(&T) -> &Path) -> Vec<T> {
    let chosen = |it: &T| names.is_empty() || names.iter().any(|name| path(it).starts_with(name));
    all.into_iter().filter(chosen).collect()
}

/// The name below `/etc` of what a person calls `/etc/ssh/sshd_config` or `ssh/sshd_config`; empty for `/etc`.
///
/// # Errors
///
/// [`EtcError::Outside`].
pub fn name(path: &Path) -> Result<PathBuf, EtcError> {
    let name = path.strip_prefix("/etc").unwrap_or(path);
    let plain = |it| matches!(it, Component::Normal(_) | Component::CurDir);
    if !name.components().all(plain) {
        return Err(EtcError::Outside(path.to_owned()));
    }
    Ok(name.components().filter(|it| *it != Component::CurDir).collect())
}
