//! What is wanted, and what became of its boots.

use std::io;

use crate::choose::{Choice, Reason, Why};
use crate::store::{Generation, Store, StoreError};
use crate::wanted::{self, Wanted, WantedError};

impl Store {
    /// Which generation is to boot, how often that was tried, and which was good before.
    ///
    /// # Errors
    ///
    /// [`StoreError::Wanted`].
    pub fn wanted(&self) -> Result<Wanted, StoreError> {
        Ok(wanted::read(&self.wanted_path())?)
    }

    /// Makes `generation` the one that boots, with no attempt made yet. What was good stays so,
    /// unless it was given up since.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; what was wanted before is wanted still.
    pub fn want(&self, generation: Generation) -> Result<(), StoreError> {
        self.manifest(generation)?;
        let path = self.wanted_path();
        let before = match wanted::read(&path) {
            Ok(wanted) => wanted,
            // Nothing is known, and this is how something becomes known.
            Err(WantedError::Damaged { .. }) => Wanted::default(),
            Err(WantedError::File(error)) if error.source.kind() == io::ErrorKind::NotFound => {
                Wanted::default()
            }
            Err(error) => return Err(error.into()),
        };
        let unless = |other: Generation, one| if one == other { Generation::NONE } else { one };
        let good = unless(before.failed, before.good);
        let failed = unless(generation, before.failed);
        let highest = before.highest;
        Ok(wanted::write(&path, Wanted { good, failed, highest, ..Wanted::first(generation) })?)
    }

    /// Writes down that a boot of this choice begins, before anything of it can fail, and that the
    /// wanted generation is given up where the choice says so: both at once, so that a power cut
    /// leaves neither or both. Returns which attempt this is; the first is 1.
    ///
    /// # Errors
    ///
    /// [`StoreError::Wanted`].
    pub fn count_attempt(&self, choice: &Choice) -> Result<u32, StoreError> {
        let mut attempts = 0;
        wanted::update(&self.wanted_path(), |wanted| attempts = count(wanted, choice))?;
        Ok(attempts)
    }

    /// Writes down that a boot of this generation was good: it is the one to fall back to from now
    /// on, no attempt counts any more, and why it failed before is forgotten.
    ///
    /// Besides the wanted generation this may be the one that stands in for it
    /// ([`crate::choose`]); what was wanted is wanted still, then.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotWanted`] when another generation is to boot, and all others.
    pub fn bless(&self, generation: Generation) -> Result<(), StoreError> {
        let is_wanted = self.is_wanted(generation)?;
        wanted::update(&self.wanted_path(), |wanted| {
            wanted.good = generation;
            wanted.stand_in_attempts = 0;
            if wanted.failed == generation {
                wanted.failed = Generation::NONE;
            }
            if is_wanted {
                wanted.attempts = 0;
                wanted.asked = generation;
                wanted.stand_in = Generation::NONE;
            }
        })?;
        self.forget_failure(generation)
    }

    /// Gives the wanted generation up in favour of the one that stands in for it, which is up. Its attempts stay counted.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotWanted`] when another generation is to boot, and all others.
    pub fn give_up(&self, stand_in: Generation) -> Result<(), StoreError> {
        if self.is_wanted(stand_in)? {
            return Ok(());
        }
        wanted::update(&self.wanted_path(), |wanted| {
            wanted.failed = wanted.generation;
            wanted.generation = stand_in;
            wanted.attempts = wanted.stand_in_attempts;
            wanted.stand_in = Generation::NONE;
            wanted.stand_in_attempts = 0;
            // Else the good one, which did not fit the kernel, would count as one that had its turn.
            if wanted.good == stand_in || wanted.asked == wanted.failed {
                wanted.asked = stand_in;
            }
        })?;
        Ok(())
    }

    /// Writes down that this generation is up and stays so although it was not found good: the boots that were begun
    /// do not count towards giving it up. It does not become the one to fall back to, and why it is not good stays
    /// known.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotWanted`] when another generation is to boot, and all others.
    pub fn spare(&self, generation: Generation) -> Result<(), StoreError> {
        let is_wanted = self.is_wanted(generation)?;
        wanted::update(&self.wanted_path(), |wanted| {
            let attempts =
                if is_wanted { &mut wanted.attempts } else { &mut wanted.stand_in_attempts };
            *attempts = 0;
        })?;
        Ok(())
    }
}

impl Store {
    /// Whether this generation is the wanted one; otherwise it must be the one that stands in for it.
    fn is_wanted(&self, generation: Generation) -> Result<bool, StoreError> {
        let wanted = self.wanted()?;
        let is_wanted = generation == wanted.generation;
        if !is_wanted && (generation != wanted.stand_in || generation == Generation::NONE) {
            return Err(StoreError::NotWanted { generation, wanted: wanted.generation });
        }
        Ok(is_wanted)
    }
}

/// Counts a boot of this choice; returns how many there were of its generation.
fn count(wanted: &mut Wanted, choice: &Choice) -> u32 {
    let generation = choice.generation;
    match &choice.why {
        Why::Wanted | Why::NothingElse => {
            wanted.attempts = wanted.attempts.saturating_add(1);
            wanted.attempts
        }
        Why::FellBack { reason: Reason::Kernel { .. } | Reason::NotNow, .. } => {
            let before = if wanted.stand_in == generation { wanted.stand_in_attempts } else { 0 };
            wanted.stand_in = generation;
            wanted.stand_in_attempts = before.saturating_add(1);
            wanted.stand_in_attempts
        }
        Why::FellBack { from, .. } => {
            wanted.failed = *from;
            wanted.generation = generation;
            wanted.attempts = 1;
            wanted.stand_in = Generation::NONE;
            wanted.stand_in_attempts = 0;
            1
        }
    }
}
