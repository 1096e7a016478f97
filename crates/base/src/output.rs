//! Standard output, whose reader may leave before the end (`forge image show minimal | head`).

use std::io::{self, ErrorKind, Write};

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
