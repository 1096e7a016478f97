//! Running a test again where it may do what only root may, without touching the machine.

use std::env;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// Set in the inner run; its value is the name of the test.
const INSIDE: &str = "TESTKIT_NAMESPACE";

/// Runs `test` as root in fresh mount, network and process namespaces.
///
/// The running test binary is started again for this one test; mounts, addresses and processes
/// that it makes are gone with it. Without root, a user namespace makes one. The loopback
/// interface is up.
///
/// Call it as the only statement of a `#[test]` function, with a closure written in that function:
/// the closure's type names the test.
///
/// # Panics
///
/// If the inner run fails; what it printed comes first.
pub fn in_namespace<F: FnOnce()>(test: F) {
    let name = test_name(std::any::type_name::<F>());
    if env::var(INSIDE).as_deref() == Ok(name) {
        return test();
    }
    let program = env::current_exe().expect("the path of the test binary");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
        .args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
        .arg(program)
        .args([name, "--exact", "--nocapture", "--include-ignored"])
        .env(INSIDE, name);
    let output = command.output().expect("unshare, from util-linux, starts");
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    // An inner run that found no test by this name would pass and prove nothing.
    let ran = printed.contains("test result: ok. 1 passed");
    assert!(output.status.success() && ran, "in a namespace, {name}:\n{printed}");
}

/// `sys::mount::tests::a_bind::{{closure}}` is the closure of the test `mount::tests::a_bind`.
fn test_name(closure: &str) -> &str {
    let path = closure.split_once("::").map_or(closure, |(_crate, path)| path);
    path.split_once("::{{closure}}").map_or(path, |(test, _)| test)
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_test_is_read_from_its_closure() {
        assert_eq!(test_name("sys::mount::tests::a_bind::{{closure}}"), "mount::tests::a_bind");
        assert_eq!(test_name("boot::it_boots::{{closure}}::{{closure}}"), "it_boots");
    }

    #[test]
    fn a_test_in_a_namespace_mounts_and_listens_on_its_own() {
        in_namespace(|| {
            let dir = tempfile::tempdir().unwrap();
            let mut mount = Command::new("mount");
            assert!(
                mount.args(["-t", "tmpfs", "none"]).arg(dir.path()).status().unwrap().success()
            );
            std::net::TcpListener::bind("127.0.0.1:80").unwrap();
            assert!(std::process::id() < 100, "the first processes of a new namespace");
        });
    }

    #[test]
    fn a_failure_in_the_namespace_is_a_failure_outside() {
        let fail = || in_namespace(|| panic!("this must be seen"));
        if env::var(INSIDE).is_ok() {
            return fail();
        }
        let panic = std::panic::catch_unwind(fail).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains("this must be seen"), "{message}");
    }
}
