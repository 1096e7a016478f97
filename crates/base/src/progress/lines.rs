//! Plain lines for logs: one a step, when it ends, with what was done and how long it took. A step
//! that takes long says that it has begun, too.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::ByteSize;
use crate::progress::{Progress, Task, Unit};

/// After this long the reader of a log begins to wonder.
const LONG: Duration = Duration::from_secs(5);

/// Lines on a stream.
pub struct Lines<W> {
    stream: Arc<Mutex<W>>,
    long: Duration,
}

impl<W: Write + Send + 'static> Lines<W> {
    /// Lines on `stream`.
    pub fn new(stream: W) -> Self {
        Self { stream: Arc::new(Mutex::new(stream)), long: LONG }
    }
}

impl<W: Write + Send + 'static> Progress for Lines<W> {
    fn begin(&self, what: &str, _: Option<u64>, unit: Unit) -> Box<dyn Task> {
        let (ended, end) = mpsc::channel();
        let (stream, what, long) = (Arc::clone(&self.stream), what.to_owned(), self.long);
        let step = what.clone();
        let herald = thread::spawn(move || {
            if end.recv_timeout(long) == Err(RecvTimeoutError::Timeout) {
                print(&stream, &format!("{step} …"));
            }
        });
        Box::new(Step {
            stream: Arc::clone(&self.stream),
            what,
            unit,
            done: AtomicU64::new(0),
            since: Instant::now(),
            herald: Some((ended, herald)),
        })
    }

    fn note(&self, line: &str) {
        print(&self.stream, line);
    }
}

fn print(stream: &Mutex<impl Write>, line: &str) {
    let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
    // A log that cannot be written is no reason to stop the work.
    let _ = writeln!(stream, "{line}").and_then(|()| stream.flush());
}

struct Step<W: Write> {
    stream: Arc<Mutex<W>>,
    what: String,
    unit: Unit,
    done: AtomicU64,
    since: Instant,
    /// Says that the step has begun, unless it has ended by then.
    herald: Option<(Sender<()>, JoinHandle<()>)>,
}

impl<W: Write + Send> Task for Step<W> {
    fn advance(&self, amount: u64) {
        self.done.fetch_add(amount, Ordering::Relaxed);
    }
}

impl<W: Write> Drop for Step<W> {
    fn drop(&mut self) {
        let elapsed = self.since.elapsed();
        if let Some((ended, herald)) = self.herald.take() {
            drop(ended);
            let _ = herald.join(); // so that its line does not come after ours
        }
        let (what, done) = (&self.what, *self.done.get_mut());
        print(&self.stream, &format!("{what}: {}", summary(done, self.unit, elapsed)));
    }
}

/// What was done and how long it took: `105.3 MB in 20 s`.
fn summary(done: u64, unit: Unit, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f32();
    let digits = usize::from(seconds < 9.95);
    let time = format!("{seconds:.digits$} s");
    match unit {
        Unit::Bytes if done > 0 => format!("{} in {time}", ByteSize(done)),
        Unit::Count(things) if done > 0 => format!("{done} {things} in {time}"),
        _ => time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What two steps and a note print where a step is long after `long`.
    fn printed(long: Duration) -> String {
        let lines = Lines { long, ..Lines::new(Vec::new()) };
        let mut task = lines.begin("curating packages", Some(107), Unit::Count("packages"));
        task.advance(107);
        if long == Duration::ZERO {
            // Without waiting for the clock: until its first line is there.
            while lines.stream.lock().unwrap().is_empty() {
                thread::yield_now();
            }
        }
        lines.note("note: a drop matches nothing");
        drop(task);
        task = lines.begin("writing the disk", None, Unit::Nothing);
        drop(task);
        let bytes = lines.stream.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_step_is_one_line_when_it_ends() {
        let text = printed(Duration::from_secs(3600));
        let expected = [
            "note: a drop matches nothing",
            "curating packages: 107 packages in 0.0 s",
            "writing the disk: 0.0 s",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_long_step_says_that_it_has_begun() {
        let text = printed(Duration::ZERO);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "curating packages …");
        assert!(lines[2].starts_with("curating packages: 107 packages in "), "{text}");
    }

    #[test]
    fn no_count_is_shown_where_nothing_is_counted() {
        let seconds = Duration::from_millis;
        #[rustfmt::skip]
        let cases = [
            (summary(105_300_000, Unit::Bytes, seconds(19_600)),  "105.3 MB in 20 s"),
            (summary(2725, Unit::Count("files"), seconds(1_200_000)), "2725 files in 1200 s"),
            (summary(0, Unit::Nothing, seconds(15_000)),          "15 s"),
            (summary(0, Unit::Count("files"), seconds(440)),      "0.4 s"),
            (summary(0, Unit::Bytes, seconds(9_960)),             "10 s"),
        ];
        for (text, expected) in cases {
            assert_eq!(text, expected);
        }
    }
}
