//! `preon soft-reboot`: everything but the kernel starts anew, in the generation that boots next.

use std::io::Write;

use base::{Failure, child};
use host::{Host, health, soft_reboot};
use serde_json::json;

use crate::print;

/// Restart all that runs but the kernel, into the generation that boots next
///
/// All services and containers stop; containers start again as their restart policies say. The boot is counted and
/// checked as any other. `systemctl soft-reboot` does the same, without looking before whether it can be done.
#[derive(Debug, clap::Args)]
pub(crate) struct SoftReboot {
    /// Only say whether it can be done, and what it leads to
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "enter")]
    json: bool,
    /// Make the next root, when everything has stopped: preon-nextroot.service asks for it
    #[arg(long, hide = true, conflicts_with = "dry_run")]
    enter: bool,
}

impl SoftReboot {
    /// Looks whether it can be done, and asks systemd to do it.
    ///
    /// # Errors
    ///
    /// If it cannot be done; nothing has stopped then.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        if self.enter {
            return print::text(out, &soft_reboot::enter(host)?.told());
        }
        let choice = soft_reboot::ready(host)?;
        if self.json {
            let why = choice.told();
            let (generation, dry_run) = (choice.generation.0, self.dry_run);
            print::json(
                out,
                &json!({ "generation": generation, "why": why.trim_end(), "dry_run": dry_run }),
            )?;
        } else {
            print::text(out, &choice.told())?;
        }
        if !self.dry_run {
            out.flush().map_err(base::file::FileError::at("write to", "standard output"))?;
            child::run(health::systemctl(&host.root).arg("soft-reboot"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::trial::Trial;

    /// A trial whose systemd writes down what it was asked for.
    fn trial(kernel: &str) -> Trial {
        let trial = Trial::new();
        let asked = trial.file("asked", "");
        trial.script("/usr/bin/systemctl", &format!("echo \"$@\" >{asked}"));
        trial.script("/proc/sys/kernel/osrelease", "");
        std::fs::write(trial.below("/proc/sys/kernel/osrelease"), kernel).unwrap();
        trial
    }

    #[test]
    fn a_generation_with_another_kernel_needs_a_restart_and_nothing_stops() {
        let trial = trial("6.12-preon\n");
        let second = trial.stage_kernel("6.13-preon");
        trial.store().want(second).unwrap();
        let error = trial.run(&["soft-reboot"]).unwrap_err();
        assert!(error.contains("generation 2 needs kernel 6.13-preon, 6.12-preon runs"), "{error}");
        assert!(error.contains("hint: restart the host"), "{error}");
        assert_eq!(std::fs::read_to_string(trial.below("asked")).unwrap(), "");
    }

    #[test]
    fn what_does_not_run_cannot_be_restarted() {
        let trial = trial("6.12-preon\n");
        std::fs::remove_file(trial.below(generations::RUNNING)).unwrap();
        let error = trial.run(&["soft-reboot"]).unwrap_err();
        assert!(error.contains("no generation runs here"), "{error}");
        assert!(error.contains("hint: "), "{error}");
    }
}
