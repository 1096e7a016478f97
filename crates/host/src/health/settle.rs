//! What follows from a host's health for the generation that it booted.

use base::Explain;
use base::file::FileError;
use generations::stack::live;
use generations::{Generation, StoreError};

use super::{Report, units};
use crate::Host;

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
}

impl Explain for SettleError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotRunning => Some("ask on the host itself, without --root".into()),
            Self::Store(error) => error.hint(),
            Self::File(error) => error.hint(),
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

fn bless(host: &Host, generation: Generation) -> Result<Verdict, SettleError> {
    host.store.bless(generation)?;
    Ok(Verdict::Blessed(generation))
}

/// Gives up on a generation that is not well, or lets it be.
fn condemn_or_spare(
    host: &Host,
    generation: Generation,
    report: &Report,
) -> Result<Verdict, SettleError> {
    host.store.note_failure(generation, &report.complaint())?;
    let kernel = host.kernel()?;
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
