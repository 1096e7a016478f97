//! A restart of all that runs but the kernel, into the generation that is wanted.
//!
//! [`ready`] looks whether that is possible, while everything runs. The soft reboot itself is systemd's: it stops
//! everything, has [`enter`] called by preon-nextroot.service, and goes on with what that made at `/run/nextroot`.

use std::path::{Path, PathBuf};

use base::{Explain, Failure};
use generations::kernel::UnknownKernel;
use generations::stack::{Places, live, next};
use generations::{Choice, Generation, Reason, StoreError, Why, running};

use crate::Host;

/// Why a host cannot go on with its kernel.
#[derive(Debug, thiserror::Error)]
pub enum SoftRebootError {
    /// Nothing runs here.
    #[error("no generation runs here")]
    NotRunning,
    /// It needs another kernel.
    #[error("{generation} needs kernel {needed}, {running} runs")]
    Kernel {
        /// What boots next.
        generation: Generation,
        /// The release of the kernel that it needs.
        needed: String,
        /// The release of the one that runs.
        running: String,
    },
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody knows which kernel runs.
    #[error(transparent)]
    Unknown(#[from] UnknownKernel),
}

impl Explain for SoftRebootError {
    fn is_busy(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_busy())
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotRunning => Some("ask on the host itself, without --root".into()),
            Self::Kernel { .. } => Some("restart the host: `systemctl reboot`".into()),
            Self::Store(error) => error.hint(),
            Self::Unknown(error) => error.hint(),
        }
    }
}

/// Which generation a soft reboot leads to. Nothing has changed then, but for layers of it that are mounted now.
///
/// # Errors
///
/// [`SoftRebootError`], and what is wrong with its layers.
pub fn ready(host: &Host) -> Result<Choice, Failure> {
    let _lock = host.store.lock()?;
    let choice = choose(host)?;
    if let Why::FellBack { from, reason: Reason::Kernel { needed, running } } = &choice.why {
        let (needed, running) = (needed.clone(), running.clone());
        return Err(SoftRebootError::Kernel { generation: *from, needed, running }.into());
    }
    live::open(&host.store, &choice.manifest, &host.root.below(generations::RUN))?;
    Ok(choice)
}

/// Counts an attempt to boot the generation that is wanted and makes it what a soft reboot goes on with, as `preon-init`
/// does at a start. Why it cannot be made is written down for it. Call it when everything has stopped.
///
/// # Errors
///
/// [`SoftRebootError`], and what is wrong with its layers; the soft reboot stays with what ran before then.
pub fn enter(host: &Host) -> Result<Choice, Failure> {
    let _lock = host.store.lock_after_others()?;
    let choice = choose(host)?;
    host.store.count_attempt(&choice)?;
    let root = host.root.below(next::ROOT);
    if let Err(error) = stack(host, &choice, &root) {
        host.store.note_failure(choice.generation, &base::explain::render(error.as_ref()))?;
        return Err(error);
    }
    Ok(choice)
}

fn choose(host: &Host) -> Result<Choice, SoftRebootError> {
    if host.running.is_none() {
        return Err(SoftRebootError::NotRunning);
    }
    Ok(host.store.choose(&host.kernel()?)?)
}

fn stack(host: &Host, choice: &Choice, root: &Path) -> Result<(), Failure> {
    let below = |path| -> PathBuf { host.root.below(path) };
    let (run, data) = (below(generations::RUN), below(generations::DATA));
    next::make(&host.store, &choice.manifest, Places { root, run: &run, data: &data })?;
    Ok(running::write(&below(generations::RUNNING), choice.generation)?)
}
