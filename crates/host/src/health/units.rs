//! Units that failed, and whether that is news.

use std::io::ErrorKind;
use std::process::Command;
use std::time::Instant;

use base::child::Program;
use base::file::{self, FileError};

use super::limited::{self, Limits};
use super::{Check, Outcome, check};
use crate::Root;

/// The units that failed under the generation that was good last, one a line.
const KNOWN: &str = "/var/lib/preon/health/failed-units";

/// Our own unit. That it failed says no more than what made it fail.
const OURS: &str = "preon-health.service";

/// A command of the host's `systemctl`.
pub fn systemctl(root: &Root) -> Command {
    Program::new(root.below("/usr/bin/systemctl")).command()
}

/// Which units failed; bad if one of them did not before.
pub(super) fn examine(root: &Root, end: Instant) -> (Check, Option<Vec<String>>) {
    let began = Instant::now();
    let time = end.saturating_duration_since(began).min(super::LONGEST);
    let mut command = systemctl(root);
    command.args(["list-units", "--state=failed", "--plain", "--no-legend", "--full"]);
    let bad = |status: String| Outcome::Bad { status, output: String::new() };
    let (outcome, failed) = match limited::run(command, Limits { time, output: 1 << 20 }) {
        Err(error) => (bad(format!("cannot start systemctl: {error}")), None),
        Ok(ended) if ended.status.is_some_and(|status| status.success()) => {
            let failed = parse(&ended.output);
            let outcome = match known(root) {
                Ok(known) => judge(&failed, &known),
                Err(error) => bad(format!("{error}: {}", error.source)),
            };
            (outcome, Some(failed))
        }
        Ok(ended) => (Outcome::of(ended), None),
    };
    (check("units", outcome, began), failed)
}

/// The names in what `systemctl list-units --plain --no-legend` prints: UNIT LOAD ACTIVE SUB DESCRIPTION.
fn parse(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let name = words.next()?;
        let is_failed = words.nth(1) == Some("failed");
        (is_failed && name != OURS).then(|| name.to_owned())
    };
    text.lines().filter_map(name).collect()
}

fn judge(failed: &[String], known: &[String]) -> Outcome {
    let new: Vec<_> = failed.iter().filter(|unit| !known.contains(unit)).cloned().collect();
    if new.is_empty() {
        return Outcome::Good;
    }
    let names = new.join(" ");
    Outcome::Bad {
        status: format!("failed: {names}"),
        output: format!("hint: systemctl status {names}"),
    }
}

/// The units that had failed before.
fn known(root: &Root) -> Result<Vec<String>, FileError> {
    match file::read_text(&root.below(KNOWN)) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Remembers the units that failed under a generation that is good.
pub(super) fn remember(root: &Root, failed: &[String]) -> Result<(), FileError> {
    let text: String = failed.iter().map(|unit| format!("{unit}\n")).collect();
    file::replace(&root.below(KNOWN), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_what_systemctl_prints() {
        let text = "a.service     loaded failed failed The unit A\n\
                    Warning: The unit file changed on disk.\n\
                    preon-health.service loaded failed failed Is this boot good?\n\
                    mnt-x\\x2dy.mount not-found failed failed /mnt/x-y\n";
        assert_eq!(parse(text), ["a.service", "mnt-x\\x2dy.mount"]);
        assert!(parse("").is_empty());
    }

    #[test]
    fn only_units_that_did_not_fail_before_are_a_reason() {
        #[rustfmt::skip]
        let cases: [(&[&str], &[&str], &str); 5] = [
            // failed now, failed before, named
            (&[],         &[],         ""),
            (&[],         &["a"],      ""),
            (&["a"],      &["a", "b"], ""),
            (&["a", "b"], &["a"],      "failed: b"),
            (&["a", "b"], &[],         "failed: a b"),
        ];
        for (failed, known, expected) in cases {
            let own = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
            match judge(&own(failed), &own(known)) {
                Outcome::Bad { status, .. } => assert_eq!(status, expected, "{failed:?}"),
                outcome => assert!(outcome == Outcome::Good && expected.is_empty(), "{failed:?}"),
            }
        }
    }
}
