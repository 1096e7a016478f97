//! Running a program inside a root: it sees the root, the folders it is given, no network and
//! nothing else. Needs no privileges: `bwrap` makes the namespaces.

pub(crate) mod users;

use std::path::{Path, PathBuf};
use std::process::Command;

use base::child::Program;

pub(crate) use users::Users;

/// A file or folder of this machine that a program inside a root sees.
#[derive(Clone, Debug)]
pub(crate) struct Bind {
    /// Where it is.
    pub(crate) outside: PathBuf,
    /// Where the program sees it.
    pub(crate) inside: &'static str,
    writable: bool,
}

impl Bind {
    /// Seen at `inside`, which must be below `/build`; cannot be written.
    pub(crate) fn read_only(outside: &Path, inside: &'static str) -> Self {
        Self { outside: outside.to_owned(), inside, writable: false }
    }

    /// Seen at `inside`, which must be below `/build`.
    pub(crate) fn writable(outside: &Path, inside: &'static str) -> Self {
        Self { outside: outside.to_owned(), inside, writable: true }
    }
}

/// What a program inside a root is given.
#[derive(Debug, Default)]
pub(crate) struct Inside<'a> {
    /// Folders of this machine.
    pub(crate) binds: &'a [Bind],
    /// Variables beside a search path and a fixed locale and time zone.
    pub(crate) environment: &'a [(&'a str, &'a str)],
    /// The folder it starts in; `/` where empty.
    pub(crate) folder: &'a str,
}

/// A command that runs `program` in the root at `root`; add its arguments.
///
/// `/build` is an empty folder to bind to, `/tmp` is empty and writable.
pub(crate) fn command(root: &Path, program: &str, inside: &Inside<'_>) -> Command {
    let mut command = Program::new("bwrap").command();
    command.args(["--unshare-all", "--die-with-parent", "--new-session", "--ro-bind"]);
    command.arg(root).arg("/");
    inside.add_to(&mut command, program);
    command
}

/// A root that programs are run in as its root user, among all the users that it has: what Debian's own
/// package tools want.
#[derive(Debug)]
pub(crate) struct Whole<'a> {
    /// Where it lies.
    pub(crate) root: &'a Path,
    /// Who lives in it.
    pub(crate) users: &'a Users,
    /// Whether it may be written.
    pub(crate) writable: bool,
}

impl Whole<'_> {
    /// As [`command`], in this root.
    pub(crate) fn command(&self, program: &str, inside: &Inside<'_>) -> Command {
        let mut command = Program::new("bwrap").command();
        command.args(["--userns", &self.users.number().to_string(), "--uid", "0", "--gid", "0"]);
        for namespace in ["ipc", "pid", "net", "uts", "cgroup"] {
            command.arg(format!("--unshare-{namespace}"));
        }
        command.args(["--cap-add", "ALL", "--hostname", "build", "--die-with-parent"]);
        command.args(["--new-session", if self.writable { "--bind" } else { "--ro-bind" }]);
        command.arg(self.root).arg("/");
        inside.add_to(&mut command, program);
        command
    }
}

impl Inside<'_> {
    /// Adds what is inside beside the root, and what runs there.
    fn add_to(&self, command: &mut Command, program: &str) {
        command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/build"]);
        // For whoever runs there, root or not.
        command.args(["--perms", "1777", "--tmpfs", "/tmp"]);
        for bind in self.binds {
            command.arg(if bind.writable { "--bind" } else { "--ro-bind" });
            command.arg(&bind.outside).arg(bind.inside);
        }
        for (name, value) in self.environment {
            command.args(["--setenv", name, value]);
        }
        let folder = if self.folder.is_empty() { "/" } else { self.folder };
        command.args(["--chdir", folder, "--", program]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_inside_a_root_is_told_by_its_own_name() {
        let command = command(Path::new("/root"), "tar", &Inside::default());
        assert_eq!(base::child::program_of(&command), "tar");
    }
}
