//! Running a program inside a tool root: it sees the root, the folders it is given, no network and
//! nothing else. Needs no privileges: `bwrap` makes the namespaces.

use std::path::{Path, PathBuf};
use std::process::Command;

use base::child::Program;

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
    command.arg(root).args(["/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
    command.args(["--tmpfs", "/build"]);
    for bind in inside.binds {
        command.arg(if bind.writable { "--bind" } else { "--ro-bind" });
        command.arg(&bind.outside).arg(bind.inside);
    }
    for (name, value) in inside.environment {
        command.args(["--setenv", name, value]);
    }
    let folder = if inside.folder.is_empty() { "/" } else { inside.folder };
    command.args(["--chdir", folder, "--", program]);
    command
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
