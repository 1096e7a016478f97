use crate::trial::Trial;

fn configured(text: &str) -> Trial {
    let trial = Trial::new();
    std::fs::create_dir_all(trial.below("/etc/preon")).unwrap();
    trial.file("/etc/preon/updates.toml", text);
    trial.file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    trial
}

const COORDINATOR: &str = "mode = \"apply\"\n[coordinator]\netcd = [\"http://127.0.0.1:1\"]\nslots = 1\ngroup = \"web\"\n";

#[test]
fn without_a_configuration_a_host_says_that_it_does_nothing() {
    let trial = Trial::new();
    assert_eq!(
        trial.run(&["updates", "status"]).unwrap(),
        "Mode         off\nLast turn    none yet\n"
    );
    assert_eq!(trial.run(&["updates", "run"]).unwrap(), "automatic updates are off\n");
    let text = trial.run(&["updates", "status"]).unwrap();
    assert!(text.contains("Step         automatic updates are off\n"), "{text}");
}

#[test]
fn a_turn_that_fails_says_why_and_status_does_too() {
    let trial = configured("mode = \"stage\"");
    let error = trial.run(&["updates", "run"]).unwrap_err();
    assert!(error.contains("no repository is known"), "{error}");
    let text = trial.run(&["updates", "status"]).unwrap();
    assert!(
        text.contains("Failed       error: no repository is known\n             hint: "),
        "{text}"
    );
    let json = trial.run(&["updates", "status", "--json"]).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["mode"], &json["last"]["step"]), (&"stage".into(), &serde_json::Value::Null));
}

#[test]
fn whoever_logs_in_is_told_what_is_new_until_it_is_not() {
    let trial = configured("mode = \"stage\"");
    let message = trial.below("/run/motd.d/preon-updates");
    trial.run(&["updates", "run"]).unwrap_err();
    let text = std::fs::read_to_string(&message).unwrap();
    assert!(text.starts_with("Updates: nothing known (looked 2"), "{text}");
    assert!(text.contains(", which failed)\n         error: no repository is known\n"), "{text}");
    trial.file("/etc/preon/updates.toml", "mode = \"off\"");
    trial.run(&["updates", "run"]).unwrap();
    assert!(!message.exists());
    trial.run(&["updates", "run"]).unwrap();
}

#[test]
fn a_configuration_that_is_wrong_is_shown_with_its_line() {
    let trial = configured("mode = \"apply\"\nwindow = []\n");
    let error = trial.run(&["updates", "status"]).unwrap_err();
    for part in ["/etc/preon/updates.toml", "line 2", "unknown field `window`", "hint: "] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn who_holds_is_part_of_the_status() {
    let trial = configured("mode = \"apply\"");
    trial.run(&["hold", "add", "backup", "--reason", "it runs"]).unwrap();
    let text = trial.run(&["updates", "status"]).unwrap();
    assert!(text.ends_with("Held by      backup (it runs)\n"), "{text}");
}

#[test]
fn a_coordinator_that_is_away_is_told_and_none_is_too() {
    let trial = configured(COORDINATOR);
    let text = trial.run(&["updates", "status"]).unwrap();
    assert!(
        text.contains("Slots        error: etcd cannot be reached at http://127.0.0.1:1"),
        "{text}"
    );
    let error = trial.run(&["updates", "release", "web1"]).unwrap_err();
    assert!(error.contains("etcd cannot be reached"), "{error}");
    let error = Trial::new().run(&["updates", "release"]).unwrap_err();
    assert!(error.contains("no coordinator is configured") && error.contains("hint: "), "{error}");
}
