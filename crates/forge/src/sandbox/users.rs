//! User namespaces with all the users that a Debian root has: its files get their owners, and its
//! maintainer scripts may be root there. Outside, root is whoever called, without capabilities; the others
//! are nobody who exists.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use base::Explain;
use base::child::{self, ChildError, Program};
use base::file::FileError;
use rustix::io::{FdFlags, fcntl_setfd};

/// How many users there are inside: 0 to 65535, as Debian has them.
const COUNT: u32 = 65536;

/// Where the users other than root are outside, if it is root who makes them: far from all who exist.
const FIRST: u32 = 0x7000_0000;

/// A user namespace that lives as long as this.
#[derive(Debug)]
pub(crate) struct Users {
    namespace: OwnedFd,
}

/// There is no such namespace.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsersError {
    #[error("cannot make a user namespace")]
    Start(#[source] io::Error),
    #[error("the kernel gives no user namespace to whoever is not root")]
    Refused,
    #[error("cannot give the user namespace its users")]
    Map(#[source] ChildError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for UsersError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused => {
                Some("set the sysctl kernel.unprivileged_userns_clone to 1, or be root".into())
            }
            Self::Map(_) => Some(
                "install the package uidmap, and give yourself users of your own: \
                 usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER"
                    .into(),
            ),
            Self::Start(_) | Self::File(_) => None,
        }
    }
}

impl Users {
    /// Makes one: whoever calls is root inside, the others are users that exist nowhere else.
    ///
    /// # Errors
    ///
    /// [`UsersError`].
    pub(crate) fn new() -> Result<Self, UsersError> {
        let waiting = Waiting::start()?;
        waiting.map()?;
        let path = waiting.proc("ns/user");
        let opened = fs::File::open(&path).map_err(FileError::at("open", &path))?;
        // bwrap gets it by its number.
        fcntl_setfd(&opened, FdFlags::empty())
            .map_err(|errno| FileError::at("pass on", &path)(errno.into()))?;
        Ok(Self { namespace: opened.into() })
    }

    /// The number by which a child process knows it.
    pub(crate) fn number(&self) -> i32 {
        self.namespace.as_raw_fd()
    }
}

/// As [`base::file::remove_unfinished`], of files whose owners are users of such a namespace, which whoever is not root
/// cannot remove otherwise.
///
/// # Errors
///
/// [`ChildError`] if something stays.
pub(crate) fn remove_unfinished(folder: &Path) -> Result<(), ChildError> {
    let mut command = Program::new("unshare").command();
    command.args(["--map-root-user", "--map-auto", "--", "find"]).arg(folder);
    command.args(["-mindepth", "1", "-maxdepth", "1", "-name", ".*.part"]);
    command.args(["-exec", "rm", "--recursive", "--force", "--", "{}", "+"]);
    child::run(&mut command).map(drop)
}

/// A process in a new user namespace that waits until its input ends.
struct Waiting {
    child: Child,
    _input: Option<ChildStdin>,
}

impl Waiting {
    fn start() -> Result<Self, UsersError> {
        let mut command = Program::new("unshare").command();
        command.args(["--user", "--", "sh", "-c", "echo; read line"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(UsersError::Start)?;
        let input = child.stdin.take();
        let output = child.stdout.take();
        let waiting = Self { child, _input: input };
        let mut line = String::new();
        let read = output.map(|output| BufReader::new(output).read_line(&mut line));
        match read.transpose().map_err(UsersError::Start)? {
            Some(1..) => Ok(waiting),
            _ => Err(UsersError::Refused),
        }
    }

    fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.child.id()))
    }

    /// Says who is who inside and outside.
    fn map(&self) -> Result<(), UsersError> {
        let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
        for (file, program, own) in
            [("uid_map", "newuidmap", user.as_raw()), ("gid_map", "newgidmap", group.as_raw())]
        {
            if user.is_root() {
                let path = self.proc(file);
                let map = format!("0 {own} 1\n1 {FIRST} {}\n", COUNT - 1);
                fs::write(&path, map).map_err(FileError::at("write", &path))?;
                continue;
            }
            let first = subordinate(file, user.as_raw())?;
            let mut command: Command = Program::new(program).command();
            command.arg(self.child.id().to_string());
            for number in [0, own, 1, 1, first, COUNT - 1] {
                command.arg(number.to_string());
            }
            child::run(&mut command).map_err(UsersError::Map)?;
        }
        Ok(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // It ends by itself when its input does; killing it is only faster.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first of the numbers that `/etc/subuid` or `/etc/subgid` gives to a user.
///
/// Source: subuid(5).
fn subordinate(map: &str, user: u32) -> Result<u32, UsersError> {
    let path = if map == "uid_map" { "/etc/subuid" } else { "/etc/subgid" };
    let read = |path: &str| fs::read_to_string(path).map_err(FileError::at("read", path));
    let names = read("/etc/passwd")?;
    let name = names.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == user.to_string()).then_some(name)
    });
    Ok(first_of(&read(path)?, name.unwrap_or_default(), user).unwrap_or(100_000))
}

/// The first number of the line for this user in the text of `/etc/subuid`.
fn first_of(text: &str, name: &str, user: u32) -> Option<u32> {
    let number = user.to_string();
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        if owner != name && owner != number {
            return None;
        }
        fields.next()?.trim().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Bind, Inside, Whole};
    use crate::scratch;
    use crate::tools::ToolRoot;

    #[test]
    fn ones_own_numbers_are_found() {
        let text = "anna:100000:65536\n1001:200000:65536\n";
        assert_eq!(first_of(text, "anna", 1000), Some(100_000));
        assert_eq!(first_of(text, "bert", 1001), Some(200_000));
        assert_eq!(first_of(text, "carl", 1002), None);
    }

    #[test]
    fn root_inside_owns_files_for_others_who_are_nobody_outside() {
        let folder = tempfile::tempdir().unwrap();
        let users = Users::new().unwrap();
        let binds = [Bind::writable(folder.path(), "/build/out")];
        let inside = Inside { binds: &binds, ..Inside::default() };
        let (context, _) = scratch::image_tools();
        let tools = ToolRoot::open(&context, "build").unwrap_or_else(|error| panic!("{error}"));
        let whole = Whole { root: tools.folder(), users: &users, writable: false };
        let script = "id -u; touch /build/out/x && chown 42:43 /build/out/x && stat -c %u:%g /build/out/x; \
                      chown 70000 /build/out/x 2>/dev/null || echo nobody; \
                      touch /x 2>/dev/null || echo read-only; cat /proc/net/dev | grep --count :";
        let mut command = whole.command("sh", &inside);
        let printed = child::run(command.args(["-c", script])).unwrap();
        assert_eq!(String::from_utf8(printed).unwrap(), "0\n42:43\nnobody\nread-only\n1\n");
        if rustix::process::getuid().is_root() {
            use std::os::unix::fs::MetadataExt;
            let owner = fs::metadata(folder.path().join("x")).unwrap().uid();
            assert_eq!(owner, FIRST + 41, "nobody who exists outside");
        }
    }
}
