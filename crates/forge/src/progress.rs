//! What `forge` shows of long work: bars on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use base::progress::{Lines, Progress, Shared, Task, Unit};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The progress that suits standard error.
pub(crate) fn for_stderr() -> Shared {
    if std::io::stderr().is_terminal() {
        Arc::new(Bars::default())
    } else {
        Arc::new(Lines::new(std::io::stderr()))
    }
}

/// One bar a task, removed when the task ends.
#[derive(Default)]
struct Bars(MultiProgress);

/// What a bar shows. A task whose amount is not known has a spinner.
fn template(total: Option<u64>, unit: Unit) -> String {
    let amount = match (unit, total) {
        (Unit::Bytes, Some(_)) => {
            "{decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}".to_owned()
        }
        (Unit::Bytes, None) => "{decimal_bytes}".to_owned(),
        (Unit::Count(things), Some(_)) => format!("{{pos}}/{{len}} {things}"),
        (Unit::Count(things), None) => format!("{{pos}} {things}"),
        (Unit::Nothing, _) => String::new(),
    };
    let gauge = if total.is_some() { "[{bar:30}]" } else { "{spinner}" };
    format!("{{msg:40!}} {gauge} {amount} {{elapsed}}")
}

impl Bars {
    fn bar(&self, what: &str, total: Option<u64>, unit: Unit) -> ProgressBar {
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        if let Ok(style) = ProgressStyle::with_template(&template(total, unit)) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        self.0.add(bar)
    }
}

impl Progress for Bars {
    fn begin(&self, what: &str, total: Option<u64>, unit: Unit) -> Box<dyn Task> {
        let bar = self.bar(what, total, unit);
        bar.enable_steady_tick(Duration::from_millis(200));
        Box::new(Bar(bar))
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

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, ProgressDrawTarget};

    use super::*;

    #[test]
    fn a_terminal_shows_a_bar_with_the_amount_that_is_gone_with_its_task() {
        let screen = InMemoryTerm::new(10, 120);
        let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
        let bars = Bars(MultiProgress::with_draw_target(target));
        #[rustfmt::skip]
        let cases = [
            (Some(2_000_000), Unit::Bytes,          1_000_000, ["[===============>", "1.00 MB/2.00 MB"]),
            (Some(4),         Unit::Count("files"), 3,         ["[======================>", "3/4 files"]),
            (None,            Unit::Nothing,        0,         ["working", "0s"]),
        ];
        for (total, unit, done, expected) in cases {
            let bar = bars.bar("working", total, unit);
            let task = Bar(bar.clone());
            task.advance(done);
            bar.force_draw();
            let shown = screen.contents();
            for text in expected {
                assert!(shown.contains(text), "{shown}");
            }
            drop(task);
            assert_eq!(screen.contents(), "");
        }
    }
}
