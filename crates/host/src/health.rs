//! Whether a host is well: no unit failed that did not before, and each check of its packages and of its operator is
//! content.
//!
//! ```text
//! /usr/lib/preon/health.d/NAME         checks of packages: programs that exit with 0 if all is well
//! /etc/preon/health.d/NAME             the operator's; a link to /dev/null takes one of the same name out
//! /var/lib/preon/health/failed-units   what had failed under the generation that was good last
//! ```

mod limited;
mod scripts;
mod settle;
mod units;

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Root;
use limited::Ended;

pub use settle::{SettleError, Verdict, settle};
pub use units::systemctl;

/// How long one check may take.
pub const LONGEST: Duration = Duration::from_secs(120);

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Each check, in the order in which they ran.
    pub checks: Vec<Check>,
    /// All units that had failed, also those that are no reason; `None` if systemd did not answer.
    pub failed_units: Option<Vec<String>>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Its name: `units`, or that of the program.
    pub name: String,
    /// How it went.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took.
    pub seconds: f64,
}

/// How a check went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Outcome {
    /// All is well.
    Good,
    /// Something is not.
    Bad {
        /// How it ended: `exit status: 1`.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// It was killed when its time was over.
    TimedOut {
        /// The end of what it printed.
        output: String,
    },
}

impl Outcome {
    fn of(ended: Ended) -> Self {
        let Ended { status, output } = ended;
        match status {
            None => Self::TimedOut { output },
            Some(status) if status.success() => Self::Good,
            Some(status) => Self::Bad { status: status.to_string(), output },
        }
    }
}

impl Report {
    /// Whether every check went well.
    pub fn is_good(&self) -> bool {
        self.bad().next().is_none()
    }

    /// The checks that did not go well.
    pub fn bad(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.outcome != Outcome::Good)
    }

    /// What is not well, for people: a line for each check, what it printed below.
    pub fn complaint(&self) -> String {
        let text = |check: &Check| {
            let (status, output) = match &check.outcome {
                Outcome::Good => return String::new(),
                Outcome::Bad { status, output } => (status.clone(), output),
                Outcome::TimedOut { output } => {
                    (format!("not done after {:.0} seconds", check.seconds), output)
                }
            };
            let output: String = output.lines().map(|line| format!("  | {line}\n")).collect();
            format!("{}: {status}\n{output}", check.name)
        };
        self.bad().map(text).collect()
    }
}

/// Runs the checks of the host at `root`, which runs. All of them together take no longer than `deadline`, each no
/// longer than [`LONGEST`]; for which no time is left, those have timed out.
pub fn examine(root: &Root, deadline: Duration) -> Report {
    let end = Instant::now() + deadline;
    let (units, failed_units) = units::examine(root, end);
    let mut checks = vec![units];
    match scripts::find(root) {
        Ok(found) => {
            checks.extend(found.iter().map(|(name, path)| scripts::run(name, path, end)));
        }
        Err(check) => checks.push(check),
    }
    Report { checks, failed_units }
}

fn check(name: &str, outcome: Outcome, began: Instant) -> Check {
    let seconds = (began.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    Check { name: name.to_owned(), outcome, seconds }
}

#[cfg(test)]
mod tests;
