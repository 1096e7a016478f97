//! One connection: requests one after another, each answered with a file or with a status.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::request::{self, Asked, Parsed};

/// Answers requests until the client goes or wants no more.
pub(super) fn answer_all(mut stream: impl Read + Write, root: &Path) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        match request::parse(&buffer) {
            Parsed::Whole(asked, length) => {
                buffer.drain(..length);
                answer(&mut stream, root, &asked)?;
                stream.flush()?;
                if !asked.keep_alive {
                    return Ok(());
                }
            }
            Parsed::Bad(status) => {
                write!(stream, "{}Connection: close\r\nContent-Length: 0\r\n\r\n", head(status))?;
                return stream.flush();
            }
            Parsed::Partial => {
                let mut more = [0; 4096];
                let count = stream.read(&mut more)?;
                if count == 0 {
                    return Ok(());
                }
                buffer.extend_from_slice(&more[..count]);
            }
        }
    }
}

fn answer(stream: &mut impl Write, root: &Path, asked: &Asked) -> io::Result<()> {
    let Some((mut file, size)) = asked.path.as_ref().and_then(|path| open(root, path)) else {
        return write!(stream, "{}Content-Length: 0\r\n\r\n", head(404));
    };
    let (status, first, length, more) = match asked.range.map(|range| range.of(size)) {
        None => (200, 0, size, String::new()),
        Some(None) => {
            let whole = format!("Content-Range: bytes */{size}\r\n");
            return write!(stream, "{}{whole}Content-Length: 0\r\n\r\n", head(416));
        }
        Some(Some((first, length))) => {
            let range = format!("Content-Range: bytes {first}-{}/{size}\r\n", first + length - 1);
            (206, first, length, range)
        }
    };
    write!(
        stream,
        "{}Content-Length: {length}\r\n{more}Accept-Ranges: bytes\r\n\
         Content-Type: application/octet-stream\r\n\r\n",
        head(status)
    )?;
    if asked.head_only {
        return Ok(());
    }
    file.seek(SeekFrom::Start(first))?;
    let sent = io::copy(&mut file.take(length), stream)?;
    match sent == length {
        true => Ok(()),
        false => Err(io::Error::other("the file became shorter while it was sent")),
    }
}

/// The file at `path` below `root` and its size; links must not lead out.
fn open(root: &Path, path: &str) -> Option<(File, u64)> {
    let real = root.join(path).canonicalize().ok()?;
    if !real.starts_with(root) {
        return None;
    }
    let file = File::open(real).ok()?;
    let metadata = file.metadata().ok()?;
    metadata.is_file().then_some((file, metadata.len()))
}

/// The first line of an answer.
fn head(status: u16) -> String {
    let reason = match status {
        200 => "OK",
        206 => "Partial Content",
        404 => "Not Found",
        405 => "Method Not Allowed",
        416 => "Range Not Satisfiable",
        431 => "Request Header Fields Too Large",
        _ => "Bad Request",
    };
    format!("HTTP/1.1 {status} {reason}\r\n")
}
