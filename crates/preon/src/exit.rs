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
    }

    #[test]
    fn what_looks_and_finds_something_wrong_ends_with_1() {
        let trial = Trial::new();
        trial.script("/usr/bin/systemctl", "");
        for command in [&["check"][..], &["verify"], &["health"], &["repair"]] {
            assert_eq!(trial.status(command), 0, "{command:?}");
        }
        trial.script("/etc/preon/health.d/10-own", "exit 1");
        trial.damage_layers();
        for command in [&["verify"][..], &["health"], &["repair"]] {
            assert_eq!(trial.status(command), 1, "{command:?}");
        }
        trial.lose_package("libc6");
        assert_eq!(trial.status(&["check"]), 1);

        know_of_a_flaw(&trial);
        assert!(trial.run(&["advisories"]).unwrap().contains("CVE-2026-0001"));
        assert_eq!(trial.status(&["advisories"]), 0);
        assert_eq!(trial.status(&["advisories", "--check"]), 1);
    }

    /// The last refresh found a newer bash, which fixes something.
    fn know_of_a_flaw(trial: &Trial) {
        let index = "Package: bash\nVersion: 5.3-1+0preon1\nArchitecture: amd64\nPreon-Fixes:\n 5.3-1 - CVE-2026-0001\n\n";
        let index = zstd::encode_all(index.as_bytes(), 1).unwrap();
        let digest = base::Digest::of(&index);
        let found = format!(
            "{{\"mirror\": \"\", \"version\": 1, \"valid_until\": 1, \"packages\": 1, \"index\": \"{digest}\"}}"
        );
        let cached = format!("/var/cache/preon/archive/by-hash/sha256/{digest}");
        for (path, bytes) in [
            ("/etc/preon/repositories/main.toml", &b"uris = []\nsuite = \"preon-trixie\"\n"[..]),
            ("/var/lib/preon/repositories/main.json", found.as_bytes()),
            (&cached, &index),
        ] {
            base::file::replace(&trial.below(path), bytes).unwrap();
        }
    }

    #[test]
    fn going_back_says_by_its_status_whether_what_it_goes_to_is_there() {
        let trial = Trial::new();
        for number in 2..=4 {
            trial.stage_second();
            trial.store().want(generations::Generation(number)).unwrap();
            trial.runs(number);
        }
        assert_eq!(trial.status(&["undo", "--dry-run"]), 0);
        assert_eq!(trial.status(&["gc", "--keep", "1"]), 0);
        assert_eq!(trial.status(&["rollback", "3"]), 0);
        assert_eq!(trial.status(&["rollback", "4"]), 0);
        assert_eq!(trial.status(&["rollback", "2"]), 1, "2 is not in the store any more");
        assert_eq!(trial.status(&["undo"]), 1, "nor is 1, from which all changes were made");
        assert_eq!(trial.store().wanted().unwrap().generation.0, 4);
        assert_eq!(trial.status(&["gc", "--keep", "0"]), 0);
        assert_eq!(trial.status(&["rollback"]), 1, "there is no older one");
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
            let busy = super::BUSY.to_string();
            let good = unit.lines().find_map(|line| line.strip_prefix("SuccessExitStatus="));
            assert!(good.is_some_and(|good| good.split(' ').any(|it| it == busy)), "{unit}");
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
        std::fs::create_dir_all(trial.below("/var/lib/preon")).unwrap();
        let other = std::fs::File::create(trial.below("/var/lib/preon/updates.lock")).unwrap();
        other.lock().unwrap();
        assert_eq!(trial.status(&["updates", "run"]), super::BUSY);
        assert_eq!(trial.status(&["gc"]), 0);
        assert_eq!(trial.status(&["undo"]), 0);
        assert_eq!(trial.status(&["undo"]), super::FAILED, "generation 1 came with the image");
    }
}
