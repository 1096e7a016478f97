//! What a host does next by itself. Pure: what it knows goes in, one step comes out.

use serde::{Deserialize, Serialize};

use super::config::{Config, Mode, Reboot};
use super::wave::{self, Offered};
use super::windows;
use crate::holds::Hold;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Nothing, until something else changes.
    Nothing {
        /// Why.
        why: String,
    },
    /// Say what there is.
    Notify,
    /// Make the generation that the next start boots; in place of the one that waits, if there is one.
    Stage,
    /// Let what runs boot next again: what waits is not offered any more.
    Withdraw {
        /// What waits.
        generation: u64,
    },
    /// Restart into what waits.
    Restart {
        /// How.
        reboot: Reboot,
        /// What waits.
        generation: u64,
    },
    /// Wait.
    Wait {
        /// Until then, seconds since 1970; missing if nobody knows.
        until: Option<u64>,
        /// What for.
        why: String,
    },
}

/// What boots next, beside what runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// What runs.
    Nothing,
    /// What this host has staged by itself.
    Ours {
        /// Which.
        generation: u64,
        /// Since when, seconds since 1970.
        since: u64,
        /// Whether the repository offers just this.
        newest: bool,
        /// Whether it needs another kernel than runs.
        other_kernel: bool,
    },
    /// What somebody has asked for.
    Foreign {
        /// Which.
        generation: u64,
    },
}

/// What a host knows.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What tells it from all other hosts, for ever.
    pub machine: String,
    /// The name of what the repositories have.
    pub publication: String,
    /// Since when.
    pub offered: Offered,
    /// Whether there is something to take.
    pub available: bool,
    /// Whether just this was tried before, and the host has not stayed with it.
    pub refused: bool,
    /// What boots next.
    pub waiting: Waiting,
    /// Who does not want a restart now.
    pub holds: Vec<Hold>,
}

/// What is to be done at `now`, seconds since 1970.
pub fn decide(now: u64, config: &Config, facts: &Facts) -> Step {
    if config.mode == Mode::Off {
        return nothing("automatic updates are off");
    }
    let changes = config.mode > Mode::Notify;
    match facts.waiting {
        Waiting::Foreign { generation } => nothing(&format!(
            "generation {generation} waits for a restart: it is not from an automatic update"
        )),
        Waiting::Ours { generation, .. } if changes && !facts.available => {
            Step::Withdraw { generation }
        }
        Waiting::Ours { newest: false, .. }
            if changes && take(now, config, facts) == Step::Stage =>
        {
            Step::Stage
        }
        Waiting::Ours { generation, since, other_kernel, .. } => {
            let reboot = if other_kernel { Reboot::Full } else { config.reboot };
            restart(now, (config, facts), since).unwrap_or(Step::Restart { reboot, generation })
        }
        Waiting::Nothing if !facts.available => nothing("everything is as new as it can be"),
        Waiting::Nothing if !changes => Step::Notify,
        Waiting::Nothing => take(now, config, facts),
    }
}

/// How long after a turn the timer has asked for the next one, and that has decided, in seconds: an hour, and some minutes.
const USUAL: u64 = 3600 + 300;

/// When a turn has to come that `preon-updates.timer` does not ask for in time: what `step` waits for comes before the next
/// one of its turns, and the window closes before it, too. Without it a host whose minute of the hour lies outside of a
/// short window would never restart.
pub(super) fn early(now: u64, config: &Config, step: &Step) -> Option<u64> {
    let Step::Wait { until: Some(until), .. } = step else { return None };
    let next = now.saturating_add(USUAL);
    let window = windows::open(&config.windows, &config.zone, *until)?;
    (*until < next && window.end <= next).then_some(*until)
}

fn nothing(why: &str) -> Step {
    Step::Nothing { why: why.to_owned() }
}

/// Whether to take what is offered.
fn take(now: u64, config: &Config, facts: &Facts) -> Step {
    if facts.refused {
        return nothing("this was tried, and the host went back: it waits for other versions");
    }
    let place = wave::place(&facts.machine, &facts.publication);
    match config.wave.turn(place, facts.offered) {
        Some(turn) if turn <= now => Step::Stage,
        until => Step::Wait { until, why: "other hosts come first".into() },
    }
}

/// Why not to restart now, if there is a reason.
fn restart(now: u64, (config, facts): (&Config, &Facts), since: u64) -> Option<Step> {
    if config.mode != Mode::Apply {
        return Some(nothing("a new generation waits for a restart"));
    }
    let part = wave::number(&facts.machine, "delay") % (config.delay + 1);
    let wait = |until: Option<u64>, why: &str| Some(Step::Wait { until, why: why.to_owned() });
    let from = if config.windows.is_empty() {
        // What is still to come was written down by a clock that was wrong: nobody knows how long it has waited.
        if since > now { 0 } else { since }
    } else {
        match windows::open(&config.windows, &config.zone, now) {
            Some(window) => window.start,
            None => {
                let next = windows::next(&config.windows, &config.zone, now);
                return wait(next.map(|it| it.start + part), "no maintenance window is open");
            }
        }
    };
    if now < from.saturating_add(part) {
        return wait(Some(from + part), "hosts restart one after another");
    }
    let names: Vec<_> = facts.holds.iter().map(ToString::to_string).collect();
    if names.is_empty() {
        return None;
    }
    // The last one that ends decides; one without an end may end at any time.
    let until = facts.holds.iter().map(|hold| hold.until).collect::<Option<Vec<_>>>();
    wait(until.and_then(|all| all.into_iter().max()), &format!("held by {}", names.join("; ")))
}

#[cfg(test)]
mod tests;
