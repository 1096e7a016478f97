//! Showing that something long goes on: a counting line on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Does `work` while its name and the seconds so far are shown on standard error.
pub(crate) fn show<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let terminal = std::io::stderr().is_terminal();
    let (finished, finish) = mpsc::channel::<()>();
    eprint_line(terminal, &format!("{what} …"));
    let result = std::thread::scope(|scope| {
        scope.spawn(move || {
            let pause = Duration::from_secs(if terminal { 1 } else { 30 });
            while finish.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let seconds = start.elapsed().as_secs();
                eprint_line(terminal, &format!("{what} … {seconds} s"));
            }
        });
        let result = work();
        drop(finished);
        result
    });
    eprint_line(terminal, &format!("{what}: {:.0} s", start.elapsed().as_secs_f32()));
    if terminal {
        eprintln!();
    }
    result
}

fn eprint_line(terminal: bool, line: &str) {
    if !terminal {
        return eprintln!("{line}");
    }
    eprint!("\r\x1b[2K{line}");
    // A terminal that is gone shows nothing; the work goes on.
    let _ = std::io::stderr().flush();
}
