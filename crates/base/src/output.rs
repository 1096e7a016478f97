//! Standard output, whose reader may leave before the end (`forge image show minimal | head`).

use std::io::{self, ErrorKind, Write};

/// The most characters that [`plain`] shows.
const LONGEST: usize = 200;

/// A text of which nobody knows who wrote it, for one line on a terminal: as [`escaped`], and a long one is cut.
pub fn plain(text: &str) -> String {
    let first: String = text.chars().take(LONGEST).collect();
    let mut shown = escaped(&first);
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// A text in which whatever a terminal could obey or that changes how the rest is read is shown as its number. Quotes are
/// harmless.
pub fn escaped(text: &str) -> String {
    let show = |letter: char| match letter {
        '\'' | '"' => letter.to_string(),
        letter => letter.escape_debug().to_string(),
    };
    text.chars().map(show).collect()
}

/// Writes to `W` until its reader has left; what comes after that goes nowhere.
#[derive(Debug)]
pub struct Output<W>(pub W);

fn unless_left<T>(result: io::Result<T>, otherwise: T) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(otherwise),
        result => result,
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_left(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_left(self.0.flush(), ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_shown_and_not_obeyed() {
        #[rustfmt::skip]
        let cases = [
            ("upgrade --security", "upgrade --security".to_owned()),
            ("ä ✓",                "ä ✓".into()),
            ("it's \"here\"",      "it's \"here\"".into()),
            ("\x1b]0;x\x07",       "\\u{1b}]0;x\\u{7}".into()),
            ("a\nhint: b\r",       "a\\nhint: b\\r".into()),
            ("\u{9b}2J\u{202e}x",  "\\u{9b}2J\\u{202e}x".into()), // C1; right to left
        ];
        for (text, shown) in cases {
            assert_eq!(plain(text), shown, "{text:?}");
        }
        assert_eq!(plain(&"x".repeat(201)), "x".repeat(200) + "…");
    }

    #[test]
    fn a_reader_that_left_is_no_error_and_a_full_disk_is_one() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut output = Output(writer);
        output.write_all(b"a line\n").unwrap();
        output.flush().unwrap();

        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = Output(full).write_all(b"a line\n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
}
