//! What follows from a host's health for the generation that it booted.

use base::Explain;
use base::file::FileError;
use formats::manifest::Kernel;
use generations::kernel::UnknownKernel;
use generations::stack::live;
use generations::{Booted, Generation, StoreError};

use super::{Report, units};
use crate::Host;
use crate::loader::{Loader, LoaderError, TRIES};

/// What becomes of the generation that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is good: others fall back to it.
    Blessed(Generation),
    /// Somebody wants another one to boot meanwhile, so nothing is to be decided any more.
    Superseded(Generation),
    /// It is not well, but was good before, or there is no other: the host stays up as it is.
    Stays(Generation),
    /// It is not well and never was: the host is to restart, and after some attempts `then` takes its place.
    Restart {
        /// The one that runs.
        generation: Generation,
        /// The one that boots when its attempts are used up.
        then: Generation,
    },
}

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// Nothing runs here.
    #[error("no generation runs here")]
    NotRunning,
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nobody knows which kernel runs.
    #[error(transparent)]
    Kernel(#[from] UnknownKernel),
    /// The boot loader's partition.
    #[error(transparent)]
    Loader(#[from] LoaderError),
}

impl Explain for SettleError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotRunning => Some("ask on the host itself, without --root".into()),
            Self::Store(error) => error.hint(),
            Self::File(error) => error.hint(),
            Self::Kernel(error) => error.hint(),
            Self::Loader(error) => error.hint(),
        }
    }
}

/// Writes down what follows from `report` for the generation that runs, and says what is to be done.
///
/// A restart is right only if it leads to something better: if the generation was never good, and another one is left
/// for when its attempts are used up. The system of one that was good before cannot have changed since, because its
/// layers are read-only and verified; what surrounds it has (a disk, a network, what an operator configured), and
/// neither a restart nor an older generation would bring that back. It would only take down what still works, and the
/// way in for whoever comes to look. Such a host stays up, and its boot does not count as one that failed.
///
/// # Errors
///
/// [`SettleError`].
pub fn settle(host: &Host, report: &Report) -> Result<Verdict, SettleError> {
    let generation = host.running.ok_or(SettleError::NotRunning)?;
    let _lock = host.store.lock_after_others()?;
    let decided = if report.is_good() {
        bless(host, generation)
    } else {
        condemn_or_spare(host, generation, report)
    };
    let verdict = match decided {
        Err(SettleError::Store(StoreError::NotWanted { .. })) => Verdict::Superseded(generation),
        decided => decided?,
    };
    follow(host, generation)?;
    // Also where the report is bad: what fails under a good generation is no fault of the one after it.
    if let Some(failed) = &report.failed_units
        && host.store.wanted()?.good == generation
    {
        units::remember(&host.root, failed)?;
    }
    // After a soft reboot, those of the generation that ran before; whoever mounts the next ones tries again.
    let _ =
        live::close_others(&host.store.manifest(generation)?, &host.root.below(generations::RUN));
    Ok(verdict)
}

/// A generation that is good vouches for its kernel, too.
fn bless(host: &Host, generation: Generation) -> Result<Verdict, SettleError> {
    host.store.bless(generation)?;
    let kernel = host.kernel()?;
    if let Some(image) = kernel.image().filter(|_| kernel.on_trial)
        && let Some(loader) = Loader::of(&host.root)?
    {
        loader.bless(image)?;
    }
    Ok(Verdict::Blessed(generation))
}

/// Lets the boot loader start the kernel of the generation that is wanted, if an interruption has left that undone. Where
/// it has given up that kernel, the generation that runs takes the place of the wanted one. In all other cases nobody
/// looks at the boot loader's partition, which then is not even mounted.
fn follow(host: &Host, running: Generation) -> Result<(), SettleError> {
    let wanted = host.store.wanted()?;
    if wanted.generation == running && !host.kernel().is_ok_and(|kernel| kernel.on_trial) {
        return Ok(());
    }
    let Some(loader) = Loader::of(&host.root)? else { return Ok(()) };
    let manifest = host.store.manifest(wanted.generation)?;
    if wanted.generation != running
        && let Some(Kernel { release, .. }) = loader.gave_up(&manifest)?
    {
        let reason = format!(
            "its kernel {release} was started {TRIES} times and no boot with it was good\n"
        );
        host.store.note_failure(wanted.generation, &reason)?;
        host.store.give_up(running)?;
        return Ok(loader.starts(&host.store.manifest(running)?, false)?);
    }
    Ok(loader.starts(&manifest, false)?)
}

/// The kernel that starts when the loader has given up the one that runs, which nobody has found good yet; else the one
/// that runs, as where an EFI variable lets it start each time, given up or not.
fn next_kernel(host: &Host) -> Result<Booted, SettleError> {
    let kernel = host.kernel()?;
    let good = host.store.wanted()?.good;
    let (true, Ok(manifest)) = (kernel.on_trial, host.store.manifest(good)) else {
        return Ok(kernel);
    };
    if host.overruled()?.as_deref() == kernel.image() {
        return Ok(kernel);
    }
    let before = manifest.kernel;
    let entry = before.entry_id();
    Ok(match Loader::of(&host.root)? {
        Some(loader) if loader.has(&entry)? => {
            Booted { entry: Some(entry), ..Booted::of_release(&before.release) }
        }
        _ => kernel,
    })
}

/// Gives up on a generation that is not well, or lets it be.
fn condemn_or_spare(
    host: &Host,
    generation: Generation,
    report: &Report,
) -> Result<Verdict, SettleError> {
    host.store.note_failure(generation, &report.complaint())?;
    let kernel = next_kernel(host)?;
    if host.store.wanted()?.good != generation
        && let Some(then) = host.store.successor(generation, &kernel)?
    {
        return Ok(Verdict::Restart { generation, then });
    }
    host.store.spare(generation)?;
    Ok(Verdict::Stays(generation))
}

#[cfg(test)]
mod tests;
