//! What the exit status says.

use base::Failure;

/// Something failed, or is not as it should be.
const FAILED: u8 = 1;
/// Nothing was done, because somebody else changes the host right now. The units of timers take it for no failure.
const BUSY: u8 = 3;

/// The exit status of a command; that of misuse is clap's, 2.
pub(crate) fn status(result: &Result<(), Failure>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(failure) if failure.is_busy() => BUSY,
        Err(_) => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use crate::trial::Trial;

    #[test]
    fn every_exit_status_of_the_manual_says_what_happened() {
        let trial = Trial::new();
        trial.stage_second();
        assert_eq!(trial.status(&["status"]), 0);
        assert_eq!(trial.status(&["rollback", "9"]), 1);
        assert_eq!(trial.status(&["rollback", "x"]), 2);
        assert_eq!(trial.status(&["rollback", "--help"]), 0);
        // What looks and finds something wrong has done what it was asked for, and says so.
        trial.damage_layers();
        assert_eq!(trial.status(&["verify"]), 1);
    }

    #[test]
    fn units_of_timers_take_a_host_that_is_busy_for_no_failure() {
        let units = [
            include_str!(
                "../../../os/packages/preon/files/usr/lib/systemd/system/preon-gc.service"
            ),
            include_str!(
                "../../../os/packages/preon/files/usr/lib/systemd/system/preon-updates.service"
            ),
        ];
        for unit in units {
            assert!(unit.contains(&format!("\nSuccessExitStatus={}\n", super::BUSY)), "{unit}");
            let words =
                unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/preon "));
            let words: Vec<_> = words.unwrap().split(' ').collect();
            assert_eq!(Trial::new().status(&[&words[..], &["--help"]].concat()), 0, "{words:?}");
        }
    }

    #[test]
    fn whoever_changes_the_host_gives_way_to_who_does_already() {
        let trial = Trial::new();
        trial.stage_second();
        trial.store().want(generations::Generation(2)).unwrap();
        trial.runs(2);
        #[rustfmt::skip]
        let commands: [&[&str]; 14] = [
            &["install", "git"], &["remove", "bash"], &["upgrade"], &["downgrade", "bash"], &["autoremove"],
            &["pin", "bash"], &["mark", "automatic", "bash"],
            &["etc", "accept", "/etc/x"], &["repair"],
            &["rollback", "1"], &["undo"], &["gc"], &["gc", "--unattended"], &["etc", "restore", "/etc/x"],
        ];
        let lock = trial.store().lock().unwrap();
        for command in commands {
            assert_eq!(trial.status(command), super::BUSY, "{command:?}");
        }
        drop(lock);
        assert_eq!(trial.status(&["gc"]), 0);
        assert_eq!(trial.status(&["undo"]), 0);
        assert_eq!(trial.status(&["undo"]), super::FAILED, "generation 1 came with the image");
    }
}
