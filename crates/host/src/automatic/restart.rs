//! What became of a restart, and whether the slot that was taken for it is free again.

use generations::Generation;
use generations::wanted::Wanted;

use super::memory::Restarting;

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It did not happen yet.
    Ahead,
    /// The host is well, and stays.
    Over,
    /// The host is not well, or nobody knows.
    Open(String),
}

/// What became of a restart on a host that runs `running`.
///
/// A host that fell back is well again and keeps its slot all the same: what it tried was bad, and would be for
/// the others, too. Its slot is free when it comes up well with something newer, or when an operator says so.
pub(super) fn fate(restart: &Restarting, running: Generation, wanted: &Wanted) -> Fate {
    let aim = Generation(restart.generation);
    if running == aim {
        return match wanted.good == aim {
            true => Fate::Over,
            false => Fate::Open(format!("{aim} was not found good yet")),
        };
    }
    if wanted.failed == aim {
        return Fate::Open(format!("{aim} gave way to {running}"));
    }
    if wanted.generation == aim {
        return match wanted.attempts {
            0 => Fate::Ahead,
            count => Fate::Open(format!("{aim} was not reached, attempts: {count}")),
        };
    }
    // Somebody has chosen another one.
    match wanted.good == running {
        true => Fate::Over,
        false => Fate::Open(format!("{running} was not found good yet")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_again_only_when_the_host_is_well_where_it_wanted_to_be() {
        let restart = Restarting { generation: 5, at: 0, slot: true, asked: None, kept: None };
        let wanted = |generation, attempts, good, failed| Wanted {
            generation: Generation(generation),
            attempts,
            good: Generation(good),
            failed: Generation(failed),
            ..Wanted::default()
        };
        let open = |text: &str| Fate::Open(text.to_owned());
        #[rustfmt::skip]
        let cases = [
            // runs, wanted, fate
            (4, wanted(5, 0, 4, 0), Fate::Ahead),
            (4, wanted(5, 1, 4, 0), open("generation 5 was not reached, attempts: 1")), // a soft reboot failed
            (5, wanted(5, 1, 4, 0), open("generation 5 was not found good yet")),
            (5, wanted(5, 0, 5, 0), Fate::Over),
            (4, wanted(4, 0, 4, 5), open("generation 5 gave way to generation 4")),
            (4, wanted(6, 0, 4, 5), open("generation 5 gave way to generation 4")), // the next one waits
            (3, wanted(3, 0, 3, 0), Fate::Over),                                    // rolled back by hand
            (3, wanted(3, 1, 4, 0), open("generation 3 was not found good yet")),
            (6, wanted(6, 0, 6, 0), Fate::Over),                                    // changed by hand since
        ];
        for (running, wanted, expected) in cases {
            assert_eq!(fate(&restart, Generation(running), &wanted), expected, "{wanted:?}");
        }
    }
}
