use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;

const LONG: Duration = Duration::from_secs(60);

/// A root whose systemd knows these failed units.
fn root(failed: &str) -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    let root = Root(dir.path().to_owned());
    let lines = failed.split_whitespace().map(|unit| format!("{unit} loaded failed failed Unit\n"));
    let text = format!("cat <<'END'\n{}END", lines.collect::<String>());
    script(&root.below("/usr/bin/systemctl"), &text);
    (dir, root)
}

fn script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn names(report: &Report) -> Vec<&str> {
    report.checks.iter().map(|check| check.name.as_str()).collect()
}

#[test]
fn checks_run_by_name_and_the_operators_take_the_place_of_packages() {
    let (_dir, root) = root("");
    let usr = |name: &str| root.below("/usr/lib/preon/health.d").join(name);
    let etc = |name: &str| root.below("/etc/preon/health.d").join(name);
    script(&usr("50-b"), "echo broken; exit 1");
    script(&usr("60-c"), "exit 1");
    script(&usr("70-d"), "exit 0");
    script(&etc("10-a"), "cat; exit 0");
    script(&etc("50-b"), "exit 0");
    symlink("/dev/null", etc("60-c")).unwrap();
    fs::write(etc("README"), "no program").unwrap();
    let report = examine(&root, LONG);
    assert_eq!(names(&report), ["units", "10-a", "50-b", "70-d"]);
    assert!(report.is_good(), "{report:?}");
}

#[test]
fn what_is_not_well_is_told_with_what_the_check_printed() {
    let (_dir, root) = root("a.service");
    let usr = |name: &str| root.below("/usr/lib/preon/health.d").join(name);
    script(&usr("50-b"), "echo one; echo two >&2; exit 3");
    symlink("/nonexistent", usr("60-c")).unwrap();
    let report = examine(&root, LONG);
    assert!(!report.is_good());
    assert_eq!(
        report.complaint(),
        "units: failed or restarted again and again: a.service\n  | hint: systemctl status a.service\n\
         50-b: exit status: 3\n  | one\n  | two\n\
         60-c: cannot start: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_check_that_hangs_takes_the_time_of_those_after_it_only() {
    let (_dir, root) = root("");
    let usr = |name: &str| root.below("/usr/lib/preon/health.d").join(name);
    script(&usr("10-quick"), "exit 0");
    script(&usr("20-hangs"), "echo begun; sleep 60");
    script(&usr("30-late"), "sleep 60");
    let report = examine(&root, Duration::from_secs(2));
    let bad: Vec<_> = report.bad().map(|check| check.name.as_str()).collect();
    assert_eq!(bad, ["20-hangs", "30-late"]);
    assert!(report.complaint().contains("20-hangs: not done after "), "{}", report.complaint());
    assert!(report.complaint().contains("  | begun\n"), "{}", report.complaint());
}

#[test]
fn checks_that_cannot_be_listed_are_a_bad_one() {
    let (_dir, root) = root("");
    fs::create_dir_all(root.below("/etc/preon")).unwrap();
    fs::write(root.below("/etc/preon/health.d"), "a file").unwrap();
    let report = examine(&root, LONG);
    assert_eq!(names(&report), ["units", "health.d"]);
    assert!(!report.is_good());
}

#[test]
fn a_host_without_an_answer_of_systemd_is_not_well() {
    for text in ["echo 'Failed to connect to bus'; exit 1", "sleep 60"] {
        let (_dir, root) = root("");
        script(&root.below("/usr/bin/systemctl"), text);
        let report = examine(&root, Duration::from_secs(1));
        assert!(!report.is_good(), "{text}");
        assert_eq!(report.failed_units, None);
    }
}

#[test]
fn programs_can_read_a_report() {
    let check = |outcome| Check { name: "50-b".into(), outcome, seconds: 0.5 };
    let bad = Outcome::Bad { status: "exit status: 1".into(), output: "text".into() };
    let checks = vec![check(Outcome::Good), check(bad)];
    let json = serde_json::to_value(Report { checks, failed_units: None }).unwrap();
    let expected = serde_json::json!({
        "checks": [
            { "name": "50-b", "result": "good", "seconds": 0.5 },
            { "name": "50-b", "result": "bad", "status": "exit status: 1", "output": "text", "seconds": 0.5 },
        ],
        "failed_units": null,
    });
    assert_eq!(json, expected);
}

/// The check of Docker, on a host whose `docker` and `systemctl` are these scripts.
fn docker_check(docker: &str, systemctl: &str) -> (std::process::Output, String) {
    let (_dir, root) = root("");
    let log = root.below("/log");
    fs::write(&log, "").unwrap();
    // What comes before the command are the options of the connection, four words.
    let docker = format!("shift 4; echo \"$*\" >>{}\n{docker}", log.display());
    script(&root.below("/bin/docker"), &docker);
    script(&root.below("/bin/systemctl"), systemctl);
    fs::create_dir(root.below("/tmp")).unwrap();
    let check = "../../os/packages/preon/files/usr/lib/preon/health.d/50-docker";
    let output = std::process::Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(check))
        .env("PATH", format!("{}:/usr/bin:/bin", root.below("/bin").display()))
        .env("TMPDIR", root.below("/tmp"))
        .output()
        .unwrap();
    let left: Vec<_> = fs::read_dir(root.below("/tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    (output, fs::read_to_string(log).unwrap())
}

#[test]
fn docker_has_to_run_a_container_unless_it_is_switched_off() {
    const ENABLED: &str = "case $* in *--quiet*) ;; *) echo enabled ;; esac";
    let fails = |at: &str| format!("case $1 in {at}) echo 'no such luck' >&2; exit 125 ;; esac");
    #[rustfmt::skip]
    let cases = [
        // docker, systemctl, exit status, last line
        ("exit 0".into(),  ENABLED,                        0, ""),
        (fails("version"), ENABLED,                        1, "the Docker daemon does not answer"),
        (fails("import"),  ENABLED,                        1, "Docker cannot make an image"),
        (fails("run"),     ENABLED,                        1, "Docker cannot run a container"),
        (fails("image"),   ENABLED,                        0, ""), // what is left of it is no reason
        ("exit 1".into(),  "exit 1",                       0, ""),
        ("exit 1".into(),  "echo masked; exit 0",          0, ""), // the socket may be enabled still
        ("exit 1".into(),  "echo No such unit >&2; exit 4", 0, ""), // not installed
    ];
    for (docker, systemctl, status, last) in cases {
        let (output, _) = docker_check(&docker, systemctl);
        assert_eq!(output.status.code(), Some(status), "{docker}, {systemctl}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.trim_end(), last, "{docker}, {systemctl}");
    }
}

#[test]
fn the_container_runs_the_hosts_programs_without_a_network() {
    let list = "if test \"$1\" = import; then tar -tf \"$2\" | sort | xargs echo; fi";
    let (output, log) = docker_check(&format!("{list} >&2"), "exit 0");
    let listed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(listed, "./ ./bin ./lib ./lib64 ./usr/\n");
    let run = "run --rm --network none --pull never --volume /usr:/usr:ro preon-health:local /usr/bin/true\n";
    assert!(log.contains(run), "{log}");
    assert!(log.ends_with("image rm --force preon-health:local\n"), "{log}");
}
