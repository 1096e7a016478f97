//! Showing that something long goes on: a bar on a terminal, plain lines elsewhere.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::command;

/// How many characters a bar has: beside the longest name, a line still fits a terminal of 80.
const WIDTH: u64 = 12;

/// Does `work` while its name and the seconds so far are shown on standard error, on a terminal
/// beside what it took the last time it went well.
pub(crate) fn show<T, E>(what: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let start = Instant::now();
    let terminal = std::io::stderr().is_terminal();
    let usual = if terminal { usual(what) } else { None };
    let (finished, finish) = mpsc::channel::<()>();
    eprint_line(terminal, &line(what, 0, usual));
    let result = std::thread::scope(|scope| {
        scope.spawn(move || {
            let pause = Duration::from_secs(if terminal { 1 } else { 30 });
            while finish.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                eprint_line(terminal, &line(what, start.elapsed().as_secs(), usual));
            }
        });
        let result = work();
        drop(finished);
        result
    });
    let seconds = format!("{:.0}", start.elapsed().as_secs_f32());
    eprint_line(terminal, &format!("{what}: {seconds} s"));
    if terminal {
        eprintln!();
    }
    if result.is_ok() {
        let file = file(what);
        // Not being able to remember only costs the next bar.
        let _ = fs::create_dir_all(file.with_file_name(""));
        let _ = fs::write(file, seconds);
    }
    result
}

/// How many seconds it took the last time.
fn usual(what: &str) -> Option<u64> {
    fs::read_to_string(file(what)).ok()?.trim().parse().ok().filter(|&seconds| seconds > 0)
}

/// Where the seconds of the last time are.
fn file(what: &str) -> PathBuf {
    let name = what.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    command::workspace().join("target/xtask-seconds").join(name)
}

/// What is shown after `seconds`. A bar is full at the usual time and stays so.
fn line(what: &str, seconds: u64, usual: Option<u64>) -> String {
    let Some(usual) = usual else { return format!("{what} … {seconds} s") };
    let done = (seconds * WIDTH / usual).min(WIDTH);
    let bar: String = (0..WIDTH).map(|place| if place < done { '█' } else { '░' }).collect();
    format!("{what} {bar} {seconds} of about {usual} s")
}

fn eprint_line(terminal: bool, line: &str) {
    if !terminal {
        return eprintln!("{line}");
    }
    eprint!("\r\x1b[2K{line}");
    // A terminal that is gone shows nothing; the work goes on.
    let _ = std::io::stderr().flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_full_at_the_usual_time_and_stays_so() {
        let filled = |seconds| line("booting", seconds, Some(60)).matches('█').count();
        assert_eq!([0, 30, 60, 90].map(filled), [0, 6, 12, 12]);
        assert!(line("booting", 61, Some(60)).ends_with(" 61 of about 60 s"));
    }

    #[test]
    fn the_first_time_only_counts() {
        assert_eq!(line("booting", 7, None), "booting … 7 s");
    }
}
