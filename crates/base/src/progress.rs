//! How libraries tell what takes long. Programs decide what is shown: bars, lines or nothing.

mod lines;

use std::io::{self, Read};
use std::sync::Arc;

pub use lines::Lines;

/// Receives what goes on; shared between threads.
pub trait Progress: Send + Sync {
    /// A task begins. `total` is how much there is to do, in the task's unit, where it is known.
    fn begin(&self, what: &str, total: Option<u64>, unit: Unit) -> Box<dyn Task>;

    /// One line that the reader should see whatever else is shown.
    fn note(&self, line: &str);
}

/// One task in progress; it ends when dropped.
pub trait Task: Send + Sync {
    /// `amount` more is done.
    fn advance(&self, amount: u64);
}

/// What a task's numbers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things, by their plural: `files`, `packages`.
    Count(&'static str),
    /// It is one thing that takes its time.
    Nothing,
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: Option<u64>, _: Unit) -> Box<dyn Task> {
        Box::new(Self)
    }

    fn note(&self, _: &str) {}
}

impl Task for Silent {
    fn advance(&self, _: u64) {}
}

/// A progress that several owners hold.
pub type Shared = Arc<dyn Progress>;

/// A reader whose bytes count as done when they are read.
pub struct Metered<'a, R> {
    reader: R,
    task: &'a dyn Task,
}

impl<'a, R: Read> Metered<'a, R> {
    /// Reads from `reader` and tells `task`.
    pub fn new(reader: R, task: &'a dyn Task) -> Self {
        Self { reader, task }
    }
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.task.advance(count as u64);
        Ok(count)
    }
}
