//! `preon health`: is the host well, and what follows for its generation?

use std::io::Write;
use std::time::Duration;

use base::{Explain, Failure, child, explain};
use host::health::{self, Check, Outcome, Report, SettleError, Verdict};
use host::{Host, etc};

use crate::print;

/// All checks together: less than `TimeoutStartSec=` of preon-health.service.
const DEADLINE: Duration = Duration::from_secs(540);

/// Check whether the host is well: its units, a container, and what /etc/preon/health.d adds
///
/// Runs the programs of /usr/lib/preon/health.d and /etc/preon/health.d in the order of their names; each says by its
/// exit status whether all is well, and has two minutes. One in /etc takes the place of one of the same name in /usr; a
/// link to /dev/null takes it out. Exit status: 0 if the host is well, 1 if not.
#[derive(Debug, clap::Args)]
pub(crate) struct Health {
    /// Print JSON
    #[arg(long, conflicts_with = "settle")]
    json: bool,
    /// Decide on this boot: a generation that is well is good from now on; one that never was restarts the host, if
    /// another generation is left. The host does this by itself at each boot
    #[arg(long)]
    settle: bool,
}

/// A check did not go well.
#[derive(Debug, thiserror::Error)]
#[error("the host is not well: {}", names.join(", "))]
struct NotWell {
    names: Vec<String>,
}

impl Explain for NotWell {}

impl Health {
    /// Runs the checks, and says how each went.
    ///
    /// # Errors
    ///
    /// If one did not go well, or nothing runs here.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        if host.running.is_none() {
            return Err(SettleError::NotRunning.into());
        }
        if self.settle {
            note_edits(host);
        }
        let report = health::examine(&host.root, DEADLINE);
        if self.json {
            print::json(out, &report)?;
        } else {
            let rows: Vec<_> = report.checks.iter().map(row).collect();
            print::table(out, ["CHECK", "RESULT", "SECONDS"], &rows)?;
            print::text(out, &report.complaint())?;
        }
        if self.settle {
            settle(host, &report, out)?;
        }
        if report.is_good() {
            return Ok(());
        }
        Err(NotWell { names: report.bad().map(|check| check.name.clone()).collect() }.into())
    }
}

fn row(check: &Check) -> [String; 3] {
    let result = match check.outcome {
        Outcome::Good => "good",
        Outcome::Bad { .. } => "bad",
        Outcome::TimedOut { .. } => "timed out",
    };
    [check.name.clone(), result.to_owned(), format!("{:.1}", check.seconds)]
}

/// Notes once a boot which defaults the host's edits are of; that this fails says nothing about the generation.
fn note_edits(host: &Host) {
    if let Err(error) = etc::note(host) {
        eprint!("{}", explain::render(&error));
    }
}

/// Decides on the generation that runs, says so, and restarts where that is right.
fn settle(host: &Host, report: &Report, out: &mut dyn Write) -> Result<(), Failure> {
    let verdict = health::settle(host, report)?;
    print::text(out, &(told(verdict) + "\n"))?;
    if matches!(verdict, Verdict::Restart { .. }) {
        out.flush().map_err(base::file::FileError::at("write to", "standard output"))?;
        child::run(health::systemctl(&host.root).arg("reboot"))?;
    }
    Ok(())
}

fn told(verdict: Verdict) -> String {
    match verdict {
        Verdict::Blessed(generation) => format!("{generation} is good"),
        Verdict::Superseded(generation) => {
            format!("{generation} runs and another one is wanted: nothing to decide")
        }
        Verdict::Stays(generation) => {
            format!("{generation} stays: it was good before, or no other one is left")
        }
        Verdict::Restart { generation, then } => {
            format!("restarting: {generation} was never good; after its last attempt {then} boots")
        }
    }
}

#[cfg(test)]
mod tests {
    use generations::Generation;

    use crate::trial::Trial;

    /// A trial whose systemd says this of failed units, and writes down that it was asked to restart.
    fn trial(failed: &str) -> Trial {
        let trial = Trial::new();
        let asked = trial.file("asked", "");
        let text = format!(
            "case $1 in list-units) test -z '{failed}' || echo '{failed} loaded failed failed' ;; \
             show) ;; *) echo \"$@\" >{asked} ;; esac"
        );
        trial.script("/usr/bin/systemctl", &text);
        trial.script("/proc/sys/kernel/osrelease", "");
        std::fs::write(trial.below("/proc/sys/kernel/osrelease"), "6.12-preon\n").unwrap();
        trial
    }

    fn asked(trial: &Trial) -> String {
        std::fs::read_to_string(trial.below("asked")).unwrap()
    }

    #[test]
    fn checks_are_a_table() {
        let trial = trial("");
        trial.script("/etc/preon/health.d/10-own", "exit 0");
        let text = trial.run(&["health"]).unwrap();
        let cells: Vec<_> =
            text.lines().map(|it| it.split_whitespace().take(2).collect::<Vec<_>>()).collect();
        assert_eq!(cells, [["CHECK", "RESULT"], ["units", "good"], ["10-own", "good"]]);
        let json: serde_json::Value =
            serde_json::from_str(&trial.run(&["health", "--json"]).unwrap()).unwrap();
        assert_eq!(json["checks"][1]["result"], "good");
        assert_eq!(trial.store().wanted().unwrap().good, Generation::NONE);
    }

    #[test]
    fn a_host_that_is_not_well_fails_and_the_check_is_named() {
        let error = trial("a.service").run(&["health"]).unwrap_err();
        assert_eq!(error, "error: the host is not well: units\n");
    }

    #[test]
    fn what_does_not_run_is_not_checked() {
        let trial = trial("");
        std::fs::remove_file(trial.below(generations::RUNNING)).unwrap();
        let error = trial.run(&["health"]).unwrap_err();
        assert!(error.contains("no generation runs here"), "{error}");
        assert!(error.contains("hint: "), "{error}");
    }

    #[test]
    fn a_good_boot_is_settled_by_a_blessing() {
        let trial = trial("");
        let text = trial.run(&["health", "--settle"]).unwrap();
        assert!(text.ends_with("generation 1 is good\n"), "{text}");
        assert_eq!(trial.store().wanted().unwrap().good, Generation(1));
    }

    #[test]
    fn a_bad_boot_restarts_the_host_only_where_another_generation_is_left() {
        let trial = trial("a.service");
        trial.run(&["health", "--settle"]).unwrap_err();
        assert_eq!(asked(&trial), "");
        trial.stage_second();
        trial.run(&["health", "--settle"]).unwrap_err();
        assert_eq!(asked(&trial), "reboot\n");
    }
}
