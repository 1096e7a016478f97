//! What `forge` shows of long work: bars on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base::ByteSize;
use base::progress::{Progress, Shared, Task, Unit};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The progress that suits standard error.
pub(crate) fn for_stderr() -> Shared {
    if std::io::stderr().is_terminal() { Arc::new(Bars::default()) } else { Arc::new(Lines) }
}

/// One bar a task, removed when the task ends.
#[derive(Default)]
struct Bars(MultiProgress);

impl Progress for Bars {
    fn begin(&self, what: &str, total: Option<u64>, unit: Unit) -> Box<dyn Task> {
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        let amount = match (unit, total) {
            (Unit::Bytes, Some(_)) => {
                "{decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}"
            }
            (Unit::Bytes, None) => "{decimal_bytes}",
            (Unit::Items, Some(_)) => "{pos}/{len}",
            (Unit::Items, None) => "{pos}",
        };
        let gauge = if total.is_some() { "[{bar:30}]" } else { "{spinner}" };
        let template = format!("{{msg:40!}} {gauge} {amount} {{elapsed}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Box::new(Bar(self.0.add(bar)))
    }

    fn note(&self, line: &str) {
        // A terminal that does not take the line will not take an error about it either.
        let _ = self.0.println(line);
    }
}

struct Bar(ProgressBar);

impl Task for Bar {
    fn advance(&self, amount: u64) {
        self.0.inc(amount);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A line when a task begins, one when it ends, if it took more than a moment.
struct Lines;

impl Progress for Lines {
    fn begin(&self, what: &str, _: Option<u64>, unit: Unit) -> Box<dyn Task> {
        eprintln!("{what} …");
        Box::new(Line {
            what: what.to_owned(),
            unit,
            done: AtomicU64::new(0),
            since: Instant::now(),
        })
    }

    fn note(&self, line: &str) {
        eprintln!("{line}");
    }
}

struct Line {
    what: String,
    unit: Unit,
    done: AtomicU64,
    since: Instant,
}

impl Task for Line {
    fn advance(&self, amount: u64) {
        self.done.fetch_add(amount, Ordering::Relaxed);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let seconds = self.since.elapsed().as_secs_f32();
        if seconds < 2.0 {
            return;
        }
        let done = self.done.load(Ordering::Relaxed);
        let amount = match self.unit {
            Unit::Bytes => ByteSize(done).to_string(),
            Unit::Items => done.to_string(),
        };
        eprintln!("{} … {amount} in {seconds:.0} s", self.what);
    }
}
