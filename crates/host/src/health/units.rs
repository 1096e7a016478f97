//! Units that failed, and whether that is news.

use std::collections::BTreeSet;
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

/// A unit that systemd restarted so often since the boot does so for ever.
const LOOPING: u32 = 3;

/// Which units failed or are restarted again and again; bad if one of them was not before.
pub(super) fn examine(root: &Root, end: Instant) -> (Check, Option<Vec<String>>) {
    let began = Instant::now();
    let failed = ["list-units", "--state=failed,auto-restart", "--plain", "--no-legend", "--full"];
    let restarted = ["show", "--property=Id,NRestarts", "*.service"];
    let found = ask(root, &failed, end).and_then(|failed| {
        let mut units = parse(&failed);
        units.extend(looping(&ask(root, &restarted, end)?));
        Ok(units.into_iter().collect::<Vec<_>>())
    });
    let (outcome, failed) = match found {
        Err(outcome) => (outcome, None),
        Ok(failed) => {
            let outcome = match known(root) {
                Ok(known) => judge(&failed, &known),
                Err(error) => bad(format!("{error}: {}", error.source)),
            };
            (outcome, Some(failed))
        }
    };
    (check("units", outcome, began), failed)
}

fn bad(status: String) -> Outcome {
    Outcome::Bad { status, output: String::new() }
}

/// What systemctl prints.
fn ask(root: &Root, words: &[&str], end: Instant) -> Result<String, Outcome> {
    let time = end.saturating_duration_since(Instant::now()).min(super::LONGEST);
    let mut command = systemctl(root);
    command.args(words);
    match limited::run(command, Limits { time, output: 1 << 20 }) {
        Err(error) => Err(bad(format!("cannot start systemctl: {error}"))),
        Ok(ended) if ended.status.is_some_and(|status| status.success()) => Ok(ended.output),
        Ok(ended) => Err(Outcome::of(ended)),
    }
}

/// The names in what `systemctl list-units --plain --no-legend` prints: UNIT LOAD ACTIVE SUB DESCRIPTION.
fn parse(text: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let name = words.next()?;
        let (active, sub) = (words.nth(1)?, words.next()?);
        let is_bad = active == "failed" || sub == "auto-restart";
        (is_bad && name != OURS).then(|| name.to_owned())
    };
    text.lines().filter_map(name).collect()
}

/// The names in what `systemctl show` prints of units that were restarted too often: a paragraph each.
fn looping(text: &str) -> Vec<String> {
    let name = |unit: &str| {
        let property = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key));
        let restarts: u32 = property("NRestarts=")?.parse().ok()?;
        (restarts >= LOOPING).then_some(property("Id=")?.to_owned())
    };
    text.split("\n\n").filter_map(name).collect()
}

fn judge(failed: &[String], known: &[String]) -> Outcome {
    let new: Vec<_> = failed.iter().filter(|unit| !known.contains(unit)).cloned().collect();
    if new.is_empty() {
        return Outcome::Good;
    }
    let names = new.join(" ");
    Outcome::Bad {
        status: format!("failed or restarted again and again: {names}"),
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
                    mnt-x\\x2dy.mount not-found failed failed /mnt/x-y\n\
                    b.service loaded activating auto-restart The unit B\n";
        let found: Vec<_> = parse(text).into_iter().collect();
        assert_eq!(found, ["a.service", "b.service", "mnt-x\\x2dy.mount"]);
        assert!(parse("").is_empty());
    }

    #[test]
    fn units_that_were_restarted_often_are_looping() {
        let text = "Id=a.service\nNRestarts=0\n\nNRestarts=3\nId=b.service\n\nId=c.service\nNRestarts=2\n\n\
                    Id=d.target\n";
        assert_eq!(looping(text), ["b.service"]);
        assert_eq!(looping(""), [""; 0]);
    }

    #[test]
    fn only_units_that_did_not_fail_before_are_a_reason() {
        #[rustfmt::skip]
        let cases: [(&[&str], &[&str], &str); 5] = [
            // failed now, failed before, named
            (&[],         &[],         ""),
            (&[],         &["a"],      ""),
            (&["a"],      &["a", "b"], ""),
            (&["a", "b"], &["a"],      "failed or restarted again and again: b"),
            (&["a", "b"], &[],         "failed or restarted again and again: a b"),
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
