//! Which generation boots now.
//!
//! The wanted one boots while fewer than [`ATTEMPTS`] boots of it were begun since it was wanted or
//! since one was blessed. Otherwise, or when its manifest or layers cannot be used, it is given up,
//! and the next one becomes wanted. Their order: the one that was asked for; the one that was
//! blessed last; those lower than the one that was asked for; those higher than it, which somebody
//! went back from; of both the highest first. A generation that cannot be used or needs another
//! kernel than the one that runs is left out. Behind the last one the wanted one goes on, up to
//! [`LAST_ATTEMPTS`] boots; then nothing boots. The order does not change until one is blessed or
//! asked for, and nobody goes back in it: so there is an end.
//!
//! **Another kernel.** Which kernel boots is the boot loader's business, not ours. When the wanted
//! generation needs another one than runs (the loader gave up a new kernel, or somebody chose the
//! old one in its menu), the next one in the order that fits stands in for it. No attempt of the
//! wanted one counts, and it stays the wanted one: it boots as soon as its kernel does. Attempts of
//! the one that stands in are counted for themselves, and after [`ATTEMPTS`] without a blessing the
//! one after it stands in. When there is none that fits, the wanted one boots all the same, and that
//! counts: the manifest of an image with two kernels names the first only. A generation whose
//! attempts are used up is given up whatever it needs, so that a new kernel and its generation fall
//! back together.
//!
//! To choose writes nothing, and asked twice the answer is the same: `Store::count_attempt` writes
//! what follows from a choice.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;

use base::Explain;
use formats::manifest::Manifest;

use crate::check::CheckError;
use crate::kernel::Booted;
use crate::store::{Generation, Store, StoreError};
use crate::wanted::Wanted;

/// Boots of a generation, none of them blessed, after which another one falls in.
pub const ATTEMPTS: u32 = 3;

/// Boots of a generation, none of them blessed, after which nothing boots, where there is no other.
pub const LAST_ATTEMPTS: u32 = 10;

/// The generation that boots now.
#[derive(Debug)]
pub struct Choice {
    /// Its number.
    pub generation: Generation,
    /// Its manifest; its layers are there and have their lengths.
    pub manifest: Manifest,
    /// Why this one.
    pub why: Why,
}

impl Choice {
    /// Why this one boots: a line, and one with a hint where there is one.
    pub fn told(&self) -> String {
        let generation = self.generation;
        match &self.why {
            Why::Wanted => format!("{generation} is wanted\n"),
            Why::NothingElse => {
                format!("{generation} boots although it should not: there is nothing else\n")
            }
            Why::FellBack { from, reason } => {
                let hint = reason.hint().map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
                let reason = reason.with_causes();
                format!("{generation} boots in place of {from}, which {reason}\n{hint}")
            }
        }
    }
}

/// Why a generation boots.
#[derive(Debug)]
pub enum Why {
    /// It is wanted.
    Wanted,
    /// It is wanted and should not boot any more, or not with this kernel; there is no other.
    NothingElse,
    /// It takes the place of the wanted one.
    FellBack {
        /// The wanted one.
        from: Generation,
        /// Why that does not boot.
        reason: Reason,
    },
}

/// Why a generation does not boot.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// Its attempts are used up.
    #[error("was tried {attempts} times and never found good")]
    Attempts {
        /// Boots that were begun.
        attempts: u32,
    },
    /// It had its turn before the one that is wanted now.
    #[error("was given up before")]
    GivenUp,
    /// Its manifest cannot be used.
    #[error("has a manifest that cannot be used")]
    Manifest(#[source] StoreError),
    /// A layer is missing or short.
    #[error("has layers that cannot be used")]
    Layers(#[source] CheckError),
    /// Somebody at the console wants the one before it, for this boot.
    #[error("was not to boot this time")]
    NotNow,
    /// It needs another kernel.
    #[error("needs kernel {needed}, {running} runs")]
    Kernel {
        /// The release of the kernel that it needs; where that is the same, what the loader calls its image.
        needed: String,
        /// The same of the one that runs.
        running: String,
    },
}

impl Reason {
    /// What it is and what caused that, on one line that can follow the generation's name.
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut last = text.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            let line = error.to_string();
            if line != last {
                text = format!("{text}: {line}");
            }
            last = line;
            cause = error.source();
        }
        text
    }
}

impl Explain for Reason {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Attempts { .. } | Self::GivenUp | Self::NotNow => None,
            Self::Manifest(error) => error.hint(),
            Self::Layers(error) => error.hint(),
            Self::Kernel { needed, .. } => {
                Some(format!("choose the kernel {needed} in the boot loader's menu"))
            }
        }
    }
}

/// A generation that does not boot. Prints on one line, with all causes.
#[derive(Debug)]
pub struct Passed {
    /// The generation.
    pub generation: Generation,
    /// Why it does not boot.
    pub reason: Reason,
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.generation, self.reason.with_causes())
    }
}

impl Store {
    /// The generation that boots now on this kernel.
    ///
    /// # Errors
    ///
    /// [`StoreError::NothingBoots`] when none does, [`StoreError::Wanted`], [`StoreError::File`].
    pub fn choose(&self, kernel: &Booted) -> Result<Choice, StoreError> {
        let wanted = self.wanted()?;
        let from = wanted.generation;
        let (manifest, reason) = match self.usable(from) {
            Ok(manifest) => match unfit(&wanted, &manifest, kernel) {
                Some(reason) => (Some(manifest), reason),
                None => return Ok(Choice { generation: from, manifest, why: Why::Wanted }),
            },
            Err(reason) => (None, reason),
        };
        let order = order(&self.generations()?, &wanted);
        // Whoever becomes wanted has its own attempts, even if it stood in before.
        let stand_in = match reason {
            Reason::Kernel { .. } | Reason::NotNow => wanted.stand_in,
            _ => Generation::NONE,
        };
        match self.next(&order, &Wanted { stand_in, ..wanted }, kernel) {
            Ok((generation, manifest)) => {
                let why = Why::FellBack { from, reason };
                Ok(Choice { generation, manifest, why })
            }
            Err(mut passed) => match manifest {
                Some(manifest) if wanted.attempts < LAST_ATTEMPTS => {
                    Ok(Choice { generation: from, manifest, why: Why::NothingElse })
                }
                _ => {
                    passed.insert(0, Passed { generation: from, reason });
                    Err(StoreError::NothingBoots { passed })
                }
            },
        }
    }

    /// The generation that boots on this kernel when somebody asks for the one before the wanted one, for this boot: the
    /// one that would come next. The wanted one stays so, and where there is no other, it boots.
    ///
    /// On a kernel that is on trial nobody has asked for that, whatever the command line says: systemd-boot 257 sorts the
    /// further entries of an image that it counts before the first one, gives them the same name, and so starts such a
    /// one by itself (`boot_entry_parse_tries`, `boot_entry_compare` in its `boot.c`).
    ///
    /// # Errors
    ///
    /// As [`Store::choose`].
    pub fn choose_previous(&self, kernel: &Booted) -> Result<Choice, StoreError> {
        if kernel.on_trial {
            return self.choose(kernel);
        }
        let wanted = self.wanted()?;
        let anew = Wanted { stand_in: Generation::NONE, ..wanted };
        match self.next(&order(&self.generations()?, &wanted), &anew, kernel) {
            Ok((generation, manifest)) => {
                let why = Why::FellBack { from: wanted.generation, reason: Reason::NotNow };
                Ok(Choice { generation, manifest, why })
            }
            Err(_) => self.choose(kernel),
        }
    }

    /// The generation that boots on this kernel once the one that boots now, `generation`, has used up
    /// its attempts; `None` if none is left, or if `generation` is not to boot at all.
    ///
    /// One that needs another kernel is none: as long as the boot loader does not change its mind, it does not boot.
    ///
    /// # Errors
    ///
    /// [`StoreError::Wanted`], [`StoreError::File`].
    pub fn successor(
        &self,
        generation: Generation,
        kernel: &Booted,
    ) -> Result<Option<Generation>, StoreError> {
        let wanted = self.wanted()?;
        let then = if generation == wanted.generation {
            Wanted { stand_in: Generation::NONE, ..wanted }
        } else if generation == wanted.stand_in {
            Wanted { stand_in_attempts: ATTEMPTS, ..wanted }
        } else {
            return Ok(None);
        };
        let next = self.next(&order(&self.generations()?, &wanted), &then, kernel);
        Ok(next.ok().map(|(generation, _)| generation))
    }

    /// The first that can boot of those that come after the wanted one, or why each other one does
    /// not.
    fn next(
        &self,
        order: &[Generation],
        wanted: &Wanted,
        kernel: &Booted,
    ) -> Result<(Generation, Manifest), Vec<Passed>> {
        let place = |one: Generation| order.iter().position(|other| *other == one);
        let now = place(wanted.generation);
        let stand_in = place(wanted.stand_in).filter(|place| Some(*place) > now);
        let mut passed = Vec::new();
        for (place, generation) in order.iter().copied().enumerate() {
            let mut pass = |reason| passed.push(Passed { generation, reason });
            if Some(place) == now {
                continue;
            }
            let manifest = match self.fitting(generation, kernel) {
                Ok(manifest) => manifest,
                Err(reason) => {
                    pass(reason);
                    continue;
                }
            };
            if Some(place) < now || Some(place) < stand_in {
                pass(Reason::GivenUp);
            } else if Some(place) == stand_in && wanted.stand_in_attempts >= ATTEMPTS {
                pass(Reason::Attempts { attempts: wanted.stand_in_attempts });
            } else {
                return Ok((generation, manifest));
            }
        }
        Err(passed)
    }

    /// The manifest of a generation that can boot on this kernel.
    fn fitting(&self, generation: Generation, kernel: &Booted) -> Result<Manifest, Reason> {
        let manifest = self.usable(generation)?;
        match other_kernel(&manifest, kernel) {
            Some(reason) => Err(reason),
            None => Ok(manifest),
        }
    }

    /// The manifest of a generation whose files are all there.
    fn usable(&self, generation: Generation) -> Result<Manifest, Reason> {
        let manifest = self.manifest(generation).map_err(Reason::Manifest)?;
        self.check_layers(&manifest).map_err(Reason::Layers)?;
        Ok(manifest)
    }
}

/// Why the wanted generation is not to boot, although it could be.
fn unfit(wanted: &Wanted, manifest: &Manifest, kernel: &Booted) -> Option<Reason> {
    let attempts = wanted.attempts;
    if attempts >= ATTEMPTS {
        return Some(Reason::Attempts { attempts });
    }
    other_kernel(manifest, kernel)
}

fn other_kernel(manifest: &Manifest, kernel: &Booted) -> Option<Reason> {
    if kernel.fits(manifest) {
        return None;
    }
    let (needed, running) = (&manifest.kernel, &kernel.release);
    Some(match &kernel.entry {
        Some(entry) if needed.release == *running => {
            Reason::Kernel { needed: needed.entry_id(), running: entry.clone() }
        }
        _ => Reason::Kernel { needed: needed.release.clone(), running: running.clone() },
    })
}

/// All generations in the order in which they are wanted, one after the other was given up.
fn order(all: &[Generation], wanted: &Wanted) -> Vec<Generation> {
    // It may not be in the store any more, and has its place all the same.
    let all: BTreeSet<Generation> = all.iter().copied().chain([wanted.generation]).collect();
    let lower = all.range(..wanted.asked).rev();
    let higher = all.range(wanted.asked..).rev();
    let order = [wanted.asked, wanted.good].into_iter().chain(lower.chain(higher).copied());
    let mut seen = BTreeSet::from([Generation::NONE]);
    order.filter(|generation| seen.insert(*generation)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_good_one_comes_second_then_lower_ones_then_higher_ones() {
        #[rustfmt::skip]
        let cases: [(u64, u64, u64, &[u64]); 7] = [
            // asked for, good, wanted now
            (3, 0, 3, &[3, 2, 1, 5, 4]),
            (5, 2, 5, &[5, 2, 4, 3, 1]),
            (5, 2, 4, &[5, 2, 4, 3, 1]), // the same at each step
            (2, 5, 2, &[2, 5, 1, 4, 3]), // somebody went back
            (3, 3, 3, &[3, 2, 1, 5, 4]),
            (9, 8, 5, &[9, 8, 5, 4, 3, 2, 1]), // two that were removed
            (0, 0, 7, &[7, 5, 4, 3, 2, 1]),
        ];
        let all = [1, 2, 3, 4, 5].map(Generation);
        for (asked, good, now, expected) in cases {
            let (asked, good) = (Generation(asked), Generation(good));
            let wanted = Wanted { asked, good, ..Wanted::first(Generation(now)) };
            let expected: Vec<_> = expected.iter().copied().map(Generation).collect();
            assert_eq!(order(&all, &wanted), expected, "{wanted:?}");
        }
    }
}
