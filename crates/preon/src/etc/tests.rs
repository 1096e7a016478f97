use std::fs;

use crate::trial::Trial;

/// A host with a default that was edited, a file of its own and a secret one.
fn edited() -> Trial {
    let trial = Trial::new();
    let write = |path: &str, text: &str| {
        let path = trial.below(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("/usr/share/preon/etc/ssh/config", "one\ntwo\nthree\n");
    write("/usr/share/preon/etc/same", "same\n");
    write("/run/preon/data/etc/upper/ssh/config", "one\n2\nthree\n");
    write("/run/preon/data/etc/upper/own", "own\n");
    trial
}

#[test]
fn an_edit_is_listed_and_shown_line_by_line() {
    let trial = edited();
    assert_eq!(
        trial.run(&["etc", "diff"]).unwrap(),
        "WHAT     WHERE            NOTE\n\
         added    /etc/own\n\
         changed  /etc/ssh/config\n\
         \n\
         --- /etc/ssh/config (before)\n\
         +++ /etc/ssh/config (now)\n\
         @@ -1,3 +1,3 @@\n \
         one\n\
         -two\n\
         +2\n \
         three\n"
    );
    assert!(!trial.run(&["etc", "diff", "/etc/ssh"]).unwrap().contains("/etc/own"));
    assert_eq!(trial.run(&["etc", "diff", "same"]).unwrap(), "nothing differs\n");
    let json = trial.run(&["etc", "diff", "--json"]).unwrap();
    assert!(json.contains("\"what\": \"changed\""), "{json}");
    let error = trial.run(&["etc", "diff", "/usr/bin"]).unwrap_err();
    assert!(error.contains("/usr/bin is not below /etc"), "{error}");
}

#[test]
fn what_changed_underneath_is_told_until_it_is_accepted() {
    let trial = edited();
    trial.run(&["rollback", "1"]).unwrap(); // notes the defaults
    let default = trial.below("/usr/share/preon/etc/ssh/config");
    fs::write(&default, "one\ntwo\nthree\nfour\n").unwrap();
    let text = trial.run(&["etc", "diff"]).unwrap();
    assert!(text.contains("/etc/ssh/config  the default changed underneath\n"), "{text}");
    assert!(text.contains("+++ /etc/ssh/config (default now)\n"), "{text}");
    assert!(text.ends_with(" three\n+four\n"), "{text}");
    let error = trial.run(&["etc", "accept", "own"]).unwrap_err();
    assert!(error.contains("no default changed underneath /etc/own"), "{error}");
    let text = trial.run(&["etc", "accept", "--all"]).unwrap();
    assert_eq!(text, "accepted /etc/ssh/config\n");
    assert!(!trial.run(&["etc", "diff"]).unwrap().contains("underneath"));
}

#[test]
fn a_file_that_not_everybody_may_read_is_shown_to_who_names_it() {
    use std::os::unix::fs::PermissionsExt;
    let trial = edited();
    let path = trial.below("/run/preon/data/etc/upper/ssh/config");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    let text = trial.run(&["etc", "diff"]).unwrap();
    assert!(text.contains("0600 0:0 was 0644 0:0") && !text.contains("+2"), "{text}");
    assert!(trial.run(&["etc", "diff", "/etc/ssh/config"]).unwrap().contains("+2"));
}

#[test]
fn snapshots_are_listed_and_only_those_that_are_there_can_be_named() {
    let trial = edited();
    trial.run(&["rollback", "1"]).unwrap();
    let text = trial.run(&["etc", "snapshots"]).unwrap();
    assert!(text.lines().nth(1).unwrap().starts_with("1.1 "), "{text}");
    assert!(text.ends_with("rollback 1\n"), "{text}");
    assert_eq!(trial.run(&["etc", "diff", "--generation", "1"]).unwrap(), "nothing differs\n");
    let error = trial.run(&["etc", "diff", "--generation", "1.2"]).unwrap_err();
    assert!(error.contains("there is no snapshot 1.2"), "{error}");
}
