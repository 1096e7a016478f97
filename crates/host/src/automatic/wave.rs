//! Who takes an update when: a few hosts first, then more, in an order that each host knows by itself.

use base::Digest;
use serde::{Deserialize, Serialize};

use super::duration::Seconds;

/// A host's place in an order of all hosts, in hundredths of a percent: 0 comes first, 9999 last.
///
/// It follows from what makes the host and the order: the same host has another place for another `order`, so that it
/// is not always the same ones that try first what nobody has tried. `machine` does not follow from it.
pub fn place(machine: &str, order: &str) -> u64 {
    number(machine, order) % 10_000
}

/// A number that is always the same for this host and this purpose, and evenly spread over hosts.
pub(super) fn number(machine: &str, purpose: &str) -> u64 {
    let digest = Digest::of(format!("{purpose}\n{machine}").as_bytes());
    let first = digest.as_bytes().first_chunk().copied().unwrap_or_default();
    u64::from_be_bytes(first)
}

/// How large a part of all hosts may take an update, by how long it has been there: `["0h:5", "6h:25", "24h:100"]`.
/// An empty one lets all take it at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Wave(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    text: String,
    /// Seconds.
    after: u64,
    percent: u64,
}

/// A list is no [`Wave`].
#[derive(Debug, thiserror::Error)]
pub enum BadWave {
    /// One of its items is no step.
    #[error("`{0}` is no step of a wave: write `6h:25` for 25 % of the hosts after 6 hours")]
    Step(String),
    /// The steps do not rise.
    #[error("the step `{0}` of the wave does not come after the one before it, with more hosts")]
    Order(String),
}

impl TryFrom<Vec<String>> for Wave {
    type Error = BadWave;

    fn try_from(texts: Vec<String>) -> Result<Self, BadWave> {
        let mut steps: Vec<Step> = Vec::new();
        for text in texts {
            let step = step(&text).ok_or_else(|| BadWave::Step(text.clone()))?;
            let rises = |last: &Step| last.after < step.after && last.percent < step.percent;
            if !steps.last().is_none_or(rises) {
                return Err(BadWave::Order(text));
            }
            steps.push(step);
        }
        Ok(Self(steps))
    }
}

impl From<Wave> for Vec<String> {
    fn from(wave: Wave) -> Self {
        wave.0.into_iter().map(|step| step.text).collect()
    }
}

fn step(text: &str) -> Option<Step> {
    let (after, percent) = text.split_once(':')?;
    let after = Seconds::try_from(after.trim().to_owned()).ok()?.seconds();
    let percent = percent.trim().parse().ok().filter(|it| (1..=100).contains(it))?;
    Some(Step { text: text.to_owned(), after, percent })
}

/// Since when a host could take an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Since when it has seen the repository as it is now, seconds since 1970.
    pub seen: u64,
    /// Since when it has had something to take from the repository, whatever was added since.
    pub waiting: u64,
}

impl Wave {
    /// When a host at `place` may take what is offered, seconds since 1970; `None` if never.
    ///
    /// A repository that changes more often than the wave takes would make some hosts wait for ever. So where the
    /// wave reaches all hosts in the end, none waits longer than twice the time that this takes.
    pub fn turn(&self, place: u64, offered: Offered) -> Option<u64> {
        let Some(last) = self.0.last() else { return Some(offered.seen) };
        let step = self.0.iter().find(|step| place < step.percent * 100)?;
        let turn = offered.seen.saturating_add(step.after);
        let latest = offered.waiting.saturating_add(last.after.saturating_mul(2));
        Some(if last.percent == 100 { turn.min(latest.max(offered.seen)) } else { turn })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: u64 = 3600;

    fn wave(steps: &[&str]) -> Wave {
        steps.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>().try_into().unwrap()
    }

    #[test]
    fn a_wave_rises_or_is_refused() {
        #[rustfmt::skip]
        let cases: [(&[&str], &str); 9] = [
            (&["0h:5", "6h:25", "24h:100"], ""),
            (&[],                  ""),
            (&["90m:100"],         ""),
            (&["0h:0"],            "is no step"),
            (&["0h:101"],          "is no step"),
            (&["5"],               "is no step"),
            (&["soon:5"],          "is no step"),
            (&["6h:5", "6h:25"],   "does not come after"),
            (&["0h:25", "6h:25"],  "does not come after"),
        ];
        for (steps, error) in cases {
            let steps: Vec<_> = steps.iter().map(|it| (*it).to_owned()).collect();
            match Wave::try_from(steps.clone()) {
                Ok(wave) => assert_eq!((Vec::from(wave), error), (steps, "")),
                Err(found) => {
                    assert!(!error.is_empty() && found.to_string().contains(error), "{found}");
                }
            }
        }
    }

    #[test]
    fn the_turn_of_a_place_comes_with_the_first_step_that_reaches_it() {
        let wave = wave(&["0h:5", "6h:25", "24h:100"]);
        let offered = Offered { seen: 1000, waiting: 1000 };
        #[rustfmt::skip]
        let cases = [
            (0,    1000),
            (499,  1000),
            (500,  1000 + 6 * HOUR),
            (2499, 1000 + 6 * HOUR),
            (2500, 1000 + 24 * HOUR),
            (9999, 1000 + 24 * HOUR),
        ];
        for (place, turn) in cases {
            assert_eq!(wave.turn(place, offered), Some(turn), "{place}");
        }
    }

    #[test]
    fn a_wave_that_ends_early_leaves_hosts_out_for_ever_and_none_leaves_none_out() {
        let offered = Offered { seen: 1_000_000, waiting: 0 };
        assert_eq!(wave(&["0h:5"]).turn(499, offered), Some(1_000_000));
        assert_eq!(wave(&["0h:5"]).turn(500, offered), None);
        assert_eq!(Wave::default().turn(9999, offered), Some(1_000_000));
    }

    #[test]
    fn a_repository_that_changes_all_the_time_starves_nobody() {
        let wave = wave(&["0h:5", "24h:100"]);
        // It changes each hour, and the place is always the last one.
        let taken = (0..).map(|hour| hour * HOUR).find(|&now| {
            let turn = wave.turn(9999, Offered { seen: now, waiting: 0 });
            turn.is_some_and(|turn| turn <= now)
        });
        assert_eq!(taken, Some(48 * HOUR));
    }

    #[test]
    fn places_are_stable_and_evenly_spread() {
        assert_eq!(place("a", "1"), place("a", "1"));
        let hosts = 4000;
        let first = |order: &str| -> Vec<_> {
            (0..hosts).filter(|host| place(&format!("host{host}"), order) < 2500).collect()
        };
        let (one, other) = (first("1"), first("2"));
        for count in [one.len(), other.len()] {
            assert!((850..1150).contains(&count), "{count} of {hosts} are among the first 25 %");
        }
        let both = one.iter().filter(|host| other.contains(host)).count();
        assert!((150..350).contains(&both), "{both} are among the first both times");
    }

    proptest! {
        #[test]
        fn an_earlier_place_never_waits_longer(one in 0_u64..10_000, other in 0_u64..10_000, seen in 0_u64..1_000_000, since in 0_u64..1_000_000) {
            let wave = wave(&["0h:5", "6h:25", "24h:60", "3d:100"]);
            let offered = Offered { seen: since + seen, waiting: since };
            let turn = |place| wave.turn(place, offered).unwrap();
            prop_assert!(turn(one.min(other)) <= turn(one.max(other)));
            prop_assert!(turn(one) <= (since + 144 * HOUR).max(offered.seen));
        }
    }
}
