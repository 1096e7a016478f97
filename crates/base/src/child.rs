//! Running other programs: what they print is kept, and shown when they fail.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::Explain;

/// How to call a program: the words of the command line so far, most often just its path.
///
/// A program from a tool root is more than one word (`ld-linux --library-path … mkfs.erofs`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    words: Vec<OsString>,
}

impl Program {
    /// A program by path or by name on the search path.
    pub fn new(path: impl Into<OsString>) -> Self {
        Self { words: vec![path.into()] }
    }

    /// A program that is called by several words.
    ///
    /// # Panics
    ///
    /// If there is no word at all.
    pub fn from_words(words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
        assert!(!words.is_empty(), "a program needs a name");
        Self { words }
    }

    /// A command that calls it, to add arguments to.
    ///
    /// It sees no environment but a search path and a fixed locale and time zone: what a tool
    /// prints or sorts must not depend on who calls it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).env_clear().envs([
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC0"),
        ]);
        command
    }
}

/// A program could not be started, or it failed.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It could not be started.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ran and reported failure.
    #[error("{program} failed with {status}{}", quoted(output))]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines that it printed.
        output: String,
    },
}

impl Explain for ChildError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Start { program, source } if source.kind() == io::ErrorKind::NotFound => {
                Some(format!("install the package that holds {program}"))
            }
            _ => None,
        }
    }
}

impl ChildError {
    /// Whether the program failed because a disk is full.
    pub fn is_disk_full(&self) -> bool {
        // strerror(3) of ENOSPC in the locale that [`Program::command`] sets.
        matches!(self, Self::Failed { output, .. } if output.contains("No space left on device"))
    }
}

fn quoted(output: &str) -> String {
    output.lines().map(|line| format!("\n  | {line}")).collect()
}

/// Runs `command` to its end and returns what it printed on standard output.
///
/// # Errors
///
/// [`ChildError`], with the last 20 lines that it printed.
pub fn run(command: &mut Command) -> Result<Vec<u8>, ChildError> {
    let program = program_of(command);
    let output = match command.stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(source) => {
            // What is called, not what that would have run: the latter may well be there.
            let program = command.get_program().to_string_lossy().into_owned();
            return Err(ChildError::Start { program, source });
        }
    };
    if output.status.success() {
        return Ok(output.stdout);
    }
    let text = [output.stdout, output.stderr].concat();
    let printed = last_lines(&String::from_utf8_lossy(&text), 20);
    Err(ChildError::Failed { program, status: output.status, output: printed })
}

/// What `command` runs, for people: where it calls a program of another root through that root's
/// loader, or in that root through `bwrap`, the program.
pub fn program_of(command: &Command) -> String {
    let called = Path::new(command.get_program());
    let is_loader =
        called.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"ld-linux"));
    let mut words = command.get_args();
    let mut program = called.as_os_str();
    if called.file_name().is_some_and(|name| name == "bwrap") {
        program = words.skip_while(|word| *word != "--").nth(1).unwrap_or(program);
    } else if is_loader && words.next().is_some_and(|word| word == "--library-path") {
        program = words.nth(1).unwrap_or(program);
    }
    program.to_string_lossy().into_owned()
}

/// The last `count` lines of `text`.
pub fn last_lines(text: &str, count: usize) -> String {
    let mut last = VecDeque::new();
    for line in text.lines() {
        if last.len() == count {
            last.pop_front();
        }
        last.push_back(line);
    }
    Vec::from(last).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_child_is_quoted() {
        let error = run(Program::new("sh").command().args(["-c", "echo broken >&2; exit 3"]));
        let text = error.unwrap_err().to_string();
        assert_eq!(text, "sh failed with exit status: 3\n  | broken");
    }

    #[test]
    fn a_program_behind_a_loader_is_named() {
        let mut words = vec!["/root/ld-linux-x86-64.so.2", "--library-path", "/root", "/root/mkfs"];
        let mut command = Program::from_words(words.clone()).command();
        assert_eq!(program_of(command.arg("-x")), "/root/mkfs");
        words.truncate(1);
        assert_eq!(program_of(&Program::from_words(words).command()), "/root/ld-linux-x86-64.so.2");
    }

    #[test]
    fn a_program_in_a_sandbox_is_named() {
        let mut command = Program::new("bwrap").command();
        command.args(["--ro-bind", "/root", "/", "--", "tar", "-x", "--", "y"]);
        assert_eq!(program_of(&command), "tar");
        assert_eq!(program_of(&Program::new("bwrap").command()), "bwrap");
    }

    #[test]
    fn a_sandbox_that_cannot_be_started_is_named_itself() {
        let mut command = Program::new("/no/such/bwrap").command();
        let error = run(command.args(["--", "tar"])).unwrap_err();
        assert_eq!(error.to_string(), "cannot start /no/such/bwrap");
        assert!(error.hint().unwrap().contains("holds /no/such/bwrap"));
    }

    #[test]
    fn a_missing_program_is_named_with_a_hint() {
        let error = run(&mut Program::new("/no/such/program").command()).unwrap_err();
        assert_eq!(error.to_string(), "cannot start /no/such/program");
        assert!(error.hint().is_some());
    }

    #[test]
    fn children_do_not_see_the_callers_environment() {
        let output = run(&mut Program::new("env").command()).unwrap();
        let text = String::from_utf8(output).unwrap();
        let mut names: Vec<_> = text.lines().filter_map(|line| line.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(names, ["LC_ALL", "PATH", "TZ"]);
    }
}
