//! Running a program that may hang, or print without end.

use std::io::{self, ErrorKind, PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// What a program may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long it may run.
    pub(super) time: Duration,
    /// How many bytes of what it prints are kept: the last ones, which say how it ended.
    pub(super) output: usize,
}

/// How a program ended, and what it printed on both outputs.
#[derive(Debug)]
pub(super) struct Ended {
    /// `None` if its time was over.
    pub(super) status: Option<ExitStatus>,
    pub(super) output: String,
}

/// Runs `command`, without input, to its end or that of its time. Then whatever it started in its process group is
/// killed, so that nothing of it stays.
///
/// # Errors
///
/// If it cannot be started.
pub(super) fn run(mut command: Command, limits: Limits) -> io::Result<Ended> {
    let end = Instant::now() + limits.time;
    let (reader, writer) = io::pipe()?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    let mut child = command.spawn()?;
    drop(command); // and with it our copies of the writing end
    let mut printed = Printed { reader, kept: Vec::new(), most: limits.output, open: true };
    let waited = wait(&child, &mut printed, end);
    kill(&child);
    let status = child.wait()?;
    let in_time = waited?;
    printed.read()?;
    Ok(Ended { status: in_time.then_some(status), output: printed.text() })
}

/// Reads what the child prints until it ends; says whether it did before `end`.
fn wait(child: &Child, printed: &mut Printed, end: Instant) -> io::Result<bool> {
    let ended = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left_time = Timespec::try_from(left).map_err(|_| ErrorKind::InvalidInput)?;
        // Who has closed its outputs is only waited for.
        let wanted = if printed.open { PollFlags::IN } else { PollFlags::empty() };
        let mut watched =
            [PollFd::new(&ended, PollFlags::IN), PollFd::new(&printed.reader, wanted)];
        let count = if printed.open { 2 } else { 1 };
        match poll(&mut watched[..count], Some(&left_time)) {
            Ok(0) => return Ok(false),
            Err(rustix::io::Errno::INTR) => continue,
            ready => ready?,
        };
        if !watched[0].revents().is_empty() {
            return Ok(true);
        }
        if left.is_zero() {
            return Ok(false);
        }
        printed.read()?;
    }
}

fn kill(child: &Child) {
    // Nobody is left in the group when all went well. The child was not waited for: its number is its own still.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
}

/// What was printed so far.
struct Printed {
    reader: PipeReader,
    kept: Vec<u8>,
    most: usize,
    open: bool,
}

impl Printed {
    /// Takes what is there, a full pipe at most: who left the group may print for ever.
    fn read(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        for _ in 0..16 {
            match self.reader.read(&mut bytes) {
                Ok(0) => {
                    self.open = false;
                    break;
                }
                Ok(length) => self.keep(&bytes[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        let excess = self.kept.len().saturating_sub(self.most);
        self.kept.drain(..excess);
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str, seconds: u64) -> Ended {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        run(command, Limits { time: Duration::from_secs(seconds), output: 4096 }).unwrap()
    }

    #[test]
    fn what_is_printed_on_both_outputs_is_kept_in_its_order() {
        let ended = shell("echo one; echo two >&2; echo three; exit 3", 20);
        assert_eq!(ended.output, "one\ntwo\nthree");
        assert_eq!(ended.status.unwrap().code(), Some(3));
    }

    #[test]
    fn of_much_output_the_end_is_kept() {
        let ended = shell("seq 100000; echo last", 20);
        assert!(ended.status.unwrap().success());
        assert!(ended.output.len() <= 4096, "{}", ended.output.len());
        assert!(ended.output.ends_with("\n100000\nlast"), "{}", ended.output);
    }

    #[test]
    fn who_closes_its_outputs_is_waited_for() {
        let ended = shell("exec >&- 2>&-; cat; sleep 0.2; exit 4", 20);
        assert_eq!(ended.status.unwrap().code(), Some(4));
    }

    #[test]
    fn what_prints_without_end_is_ended_in_time() {
        assert!(shell("yes", 1).status.is_none());
    }

    #[test]
    fn all_that_it_started_ends_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let began = Instant::now();
        for last in ["wait", "exit 0"] {
            let text = format!("exec 3>{}; sleep 60 >&3 & echo started; {last}", fifo.display());
            // Reads until nobody is left who could write.
            let read = std::thread::spawn({
                let fifo = fifo.clone();
                move || std::fs::read(fifo).unwrap()
            });
            let ended = shell(&text, 1);
            assert_eq!(ended.output, "started");
            assert_eq!(ended.status.is_none(), last == "wait");
            read.join().unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn what_cannot_be_started_is_an_error() {
        let limits = Limits { time: Duration::from_secs(20), output: 4096 };
        assert!(run(Command::new("/no/such/program"), limits).is_err());
    }
}
