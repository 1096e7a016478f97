//! One pass over the text of an index, line by line; each half of a large one by its own thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;

use formats::name::is_name;
use memchr::memmem;

use super::{IndexError, NameHash, Provided, Record, Span, memchr_iter};

/// What a pass notes.
#[derive(Default)]
pub(super) struct Scanned {
    pub(super) records: Vec<Record>,
    pub(super) provided: Vec<Provided>,
}

/// Below this many bytes a second thread costs more than it brings.
const WORTH_A_THREAD: usize = 4 << 20;

/// Reads a whole file, each half of a large one by its own thread.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let middle = if length < WORTH_A_THREAD { length } else { length / 2 };
    let (first, second) = bytes.split_at_mut(middle);
    thread::scope(|scope| {
        let other = scope.spawn(|| file.read_exact_at(second, middle as u64));
        let result = file.read_exact_at(first, 0);
        result.and(joined(other))
    })?;
    Ok(bytes)
}

/// Notes all stanzas of `text`.
pub(super) fn scan(suite: &str, text: &[u8]) -> Result<Scanned, IndexError> {
    let middle = match text.len() {
        length if length < WORTH_A_THREAD => None,
        length => memmem::find(&text[length / 2..], b"\n\n").map(|at| length / 2 + at + 2),
    };
    let Some(middle) = middle else { return Scan::new(suite, text, 0).run(text.len()) };
    let (first, second) = thread::scope(|scope| {
        let other = scope.spawn(|| Scan::new(suite, text, middle).run(text.len()));
        (Scan::new(suite, text, 0).run(middle), joined(other))
    });
    let (mut first, second) = (first?, second?);
    let count = first.records.len() as u32;
    first.records.extend(second.records);
    let moved = second.provided.into_iter().map(|p| Provided { by: p.by + count, ..p });
    first.provided.extend(moved);
    Ok(first)
}

/// What a thread returns; its panic goes on in this one.
fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A pass from one place of the text to another.
struct Scan<'a> {
    suite: &'a str,
    text: &'a [u8],
    from: usize,
    found: Scanned,
    line: usize,
    /// The stanza that is being read.
    current: Option<Current>,
}

#[derive(Default)]
struct Current {
    start: usize,
    line: usize,
    name: Option<Span>,
    version: Option<Span>,
    architecture: Option<Span>,
    provides: Span,
    /// The last line began or continued `Provides`.
    in_provides: bool,
}

impl<'a> Scan<'a> {
    fn new(suite: &'a str, text: &'a [u8], from: usize) -> Self {
        Self { suite, text, from, found: Scanned::default(), line: 0, current: None }
    }

    fn run(mut self, until: usize) -> Result<Scanned, IndexError> {
        let (from, part) = (self.from, &self.text[self.from..until]);
        if std::str::from_utf8(part).is_err() {
            return Err(IndexError::NotText { suite: self.suite.to_owned() });
        }
        let mut start = from;
        for end in memchr_iter(b'\n', part) {
            self.take(start, from + end)?;
            start = from + end + 1;
        }
        self.take(start, until)?;
        self.close(until)?;
        Ok(self.found)
    }

    /// Takes the line from `start` to `end`, without its line end.
    #[inline]
    fn take(&mut self, start: usize, end: usize) -> Result<(), IndexError> {
        self.line += 1;
        let line = &self.text[start..end];
        let Some(first) = line.first() else { return self.close(start) };
        let (number, text) = (self.line, self.text);
        let current = self.current.get_or_insert_with(|| Current {
            start,
            line: number,
            ..Current::default()
        });
        match first {
            b' ' | b'\t' => {
                if current.in_provides {
                    current.provides.end = end as u32;
                }
                return Ok(());
            }
            b'P' | b'V' | b'A' => {}
            _ => {
                current.in_provides = false;
                return Ok(());
            }
        }
        current.in_provides = false;
        let value = |name: &[u8]| {
            let at = line.starts_with(name).then_some(start + name.len())?;
            Some(trimmed(text, at, end))
        };
        if let Some(name) = value(b"Package:") {
            current.name.get_or_insert(name);
        } else if let Some(version) = value(b"Version:") {
            current.version.get_or_insert(version);
        } else if let Some(architecture) = value(b"Architecture:") {
            current.architecture.get_or_insert(architecture);
        } else if let Some(provides) = value(b"Provides:") {
            current.provides = provides;
            current.in_provides = true;
        }
        Ok(())
    }

    /// Ends the stanza that is being read, if there is one.
    fn close(&mut self, end: usize) -> Result<(), IndexError> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let missing =
            |field| IndexError::Missing { suite: self.suite.to_owned(), line: current.line, field };
        let name = current.name.ok_or_else(|| missing("Package"))?;
        let version = current.version.ok_or_else(|| missing("Version"))?;
        let architecture = current.architecture.ok_or_else(|| missing("Architecture"))?;
        let whole = self.text;
        let text = |span: Span| {
            let bytes = &whole[span.start as usize..span.end as usize];
            std::str::from_utf8(bytes).unwrap_or_default() // it was checked
        };
        if !is_name(text(name)) {
            let value = text(name).chars().take(100).collect();
            return Err(IndexError::Field { suite: self.suite.into(), field: "Package", value });
        }
        if matches!(text(architecture), "amd64" | "all") {
            let Current { start, provides, .. } = current;
            self.note_provided(text(provides));
            let stanza = Span { start: start as u32, end: end as u32 };
            let hash = NameHash::of(text(name));
            self.found.records.push(Record { stanza, name, version, provides, hash });
        }
        Ok(())
    }

    /// Notes the names in a `Provides` field; their versions are read when a relation asks.
    fn note_provided(&mut self, provides: &str) {
        let by = self.found.records.len() as u32;
        for provided in provides.split(',').map(str::trim_ascii_start) {
            let end = provided.find([' ', '(', ':', '\n', '\t']).unwrap_or(provided.len());
            if end > 0 {
                self.found.provided.push(Provided { name: NameHash::of(&provided[..end]), by });
            }
        }
    }
}

/// The span from `start` to `end` without the white space at its ends.
fn trimmed(text: &[u8], start: usize, end: usize) -> Span {
    let whole = &text[start..end];
    let start = end - whole.trim_ascii_start().len();
    let end = start + whole.trim_ascii().len();
    Span { start: start as u32, end: end as u32 }
}
