//! `ar` archives: the outer shell of a `.deb`.
//!
//! Source: deb(5); ar(5) of FreeBSD for the header.

use std::io::{self, Read, Write};

use base::Explain;

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER_END: &[u8; 2] = b"`\n";

/// Reads the members of an archive one after another; it never goes back.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    /// Bytes of the current member that were not read, and the byte that fills it up to two.
    unread: u64,
    padding: u64,
}

/// What the archive says about a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name, without the `/` that GNU ar puts after it.
    pub name: String,
    /// The length in bytes.
    pub size: u64,
}

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArError {
    /// It does not start as an archive does.
    #[error("not an ar archive: it does not start with `!<arch>`")]
    Magic,
    /// The header of a member breaks the format.
    #[error("the header of a member is malformed: bad {0}")]
    Header(&'static str),
    /// Reading failed, or the archive ends too early.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
}

impl Explain for ArError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Read(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                Some("the file is cut short: fetch it again".into())
            }
            _ => None,
        }
    }
}

impl<R: Read> Reader<R> {
    /// Starts to read; `inner` should be buffered or in memory.
    ///
    /// # Errors
    ///
    /// [`ArError::Magic`] or [`ArError::Read`].
    pub fn new(mut inner: R) -> Result<Self, ArError> {
        let mut magic = [0; 8];
        inner.read_exact(&mut magic).map_err(ArError::Read)?;
        if &magic != MAGIC {
            return Err(ArError::Magic);
        }
        Ok(Self { inner, unread: 0, padding: 0 })
    }

    /// Goes to the next member, past what is left of the current one; `None` at the end. Read the
    /// member's bytes from [`Reader::content`].
    ///
    /// # Errors
    ///
    /// [`ArError`], also when the current member is cut short.
    pub fn next_member(&mut self) -> Result<Option<Header>, ArError> {
        self.skip_rest()?;
        let mut header = [0; 60];
        if !read_or_end(&mut self.inner, &mut header).map_err(ArError::Read)? {
            return Ok(None);
        }
        let header = parse_header(&header)?;
        self.unread = header.size;
        self.padding = header.size % 2;
        Ok(Some(header))
    }

    /// The bytes of the current member that were not read yet. An archive that ends within them
    /// is an error of the kind [`io::ErrorKind::UnexpectedEof`].
    pub fn content(&mut self) -> Content<'_, R> {
        Content { reader: self }
    }

    fn skip_rest(&mut self) -> Result<(), ArError> {
        io::copy(&mut self.content(), &mut io::sink()).map_err(ArError::Read)?;
        // Some writers leave out the fill byte of the last member.
        let padding = std::mem::take(&mut self.padding);
        io::copy(&mut (&mut self.inner).take(padding), &mut io::sink()).map_err(ArError::Read)?;
        Ok(())
    }
}

/// The bytes of one member; made by [`Reader::content`].
#[derive(Debug)]
pub struct Content<'a, R> {
    reader: &'a mut Reader<R>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let unread = self.reader.unread;
        let limit = usize::try_from(unread).unwrap_or(usize::MAX).min(buffer.len());
        if limit == 0 {
            return Ok(0);
        }
        let length = self.reader.inner.read(&mut buffer[..limit])?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.reader.unread -= length as u64;
        Ok(length)
    }
}

/// Fills `buffer`; false if there is not a single byte left.
fn read_or_end(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut first = &mut buffer[..1];
    if io::copy(&mut reader.take(1), &mut first)? == 0 {
        return Ok(false);
    }
    reader.read_exact(&mut buffer[1..])?;
    Ok(true)
}

fn parse_header(header: &[u8; 60]) -> Result<Header, ArError> {
    let text = |range: std::ops::Range<usize>, what| {
        let field = std::str::from_utf8(&header[range]).map_err(|_| ArError::Header(what))?;
        Ok::<_, ArError>(field.trim_end_matches(' '))
    };
    if &header[58..] != HEADER_END {
        return Err(ArError::Header("end"));
    }
    let name = text(0..16, "name")?;
    let name = name.strip_suffix('/').unwrap_or(name);
    if name.is_empty() || name.contains(['/', '\0']) {
        return Err(ArError::Header("name")); // `//` and `/12`: GNU's long names, not in a .deb
    }
    let size = text(48..58, "size")?;
    if !size.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ArError::Header("size"));
    }
    let size = size.parse().map_err(|_| ArError::Header("size"))?;
    Ok(Header { name: name.to_owned(), size })
}

/// Writes an archive: the same members give the same bytes (time 0, owner 0, mode 0644).
#[derive(Debug)]
pub struct Writer<W> {
    inner: W,
}

impl<W: Write> Writer<W> {
    /// Starts an archive.
    ///
    /// # Errors
    ///
    /// What writing fails with.
    pub fn new(mut inner: W) -> io::Result<Self> {
        inner.write_all(MAGIC)?;
        Ok(Self { inner })
    }

    /// Adds a member.
    ///
    /// # Errors
    ///
    /// What writing fails with, and [`io::ErrorKind::InvalidInput`] if the format cannot hold it:
    /// a name must be 1 to 15 bytes of ASCII without space and slash, a member below 10 GB.
    pub fn member(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let fits = (1..=15).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
            && content.len() < 10_000_000_000;
        if !fits {
            let text = format!("`{name}` cannot be a member of an ar archive");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let size = content.len();
        writeln!(self.inner, "{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`", 0, 0, 0, "100644")?;
        self.inner.write_all(content)?;
        self.inner.write_all(&b"\n"[..size % 2])
    }

    /// Ends the archive and gives back what it was written to.
    pub fn finish(self) -> W {
        self.inner
    }
}

#[cfg(test)]
mod tests {
    use base::child::{Program, run};

    use super::*;

    fn members(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArError> {
        let mut reader = Reader::new(bytes)?;
        let mut members = Vec::new();
        while let Some(header) = reader.next_member()? {
            let mut content = Vec::new();
            reader.content().read_to_end(&mut content).map_err(ArError::Read)?;
            assert_eq!(content.len() as u64, header.size);
            members.push((header.name, content));
        }
        Ok(members)
    }

    fn deb_like() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new()).unwrap();
        writer.member("debian-binary", b"2.0\n").unwrap();
        writer.member("control.tar.xz", b"odd").unwrap();
        writer.member("data.tar.xz", b"").unwrap();
        writer.finish()
    }

    #[test]
    fn what_is_written_reads_back() {
        let expected = [("debian-binary", "2.0\n"), ("control.tar.xz", "odd"), ("data.tar.xz", "")]
            .map(|(name, content)| (name.to_owned(), content.as_bytes().to_owned()));
        assert_eq!(members(&deb_like()).unwrap(), expected);
    }

    #[test]
    fn binutils_lists_what_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.a");
        std::fs::write(&path, deb_like()).unwrap();
        let output = run(Program::new("ar").command().arg("t").arg(&path)).unwrap();
        let names = String::from_utf8(output).unwrap();
        assert_eq!(names, "debian-binary\ncontrol.tar.xz\ndata.tar.xz\n");
    }

    #[test]
    fn members_that_are_not_read_are_passed_over() {
        let bytes = deb_like();
        let mut reader = Reader::new(&bytes[..]).unwrap();
        let mut names = Vec::new();
        while let Some(header) = reader.next_member().unwrap() {
            names.push(header.name);
        }
        assert_eq!(names, ["debian-binary", "control.tar.xz", "data.tar.xz"]);
    }

    #[test]
    fn an_archive_that_is_cut_anywhere_but_between_members_is_refused() {
        let bytes = deb_like();
        let whole = [8, 72, 135, 136, 196]; // 135: the last fill byte may be missing
        for length in 0..bytes.len() {
            let result = members(&bytes[..length]);
            assert_eq!(result.is_ok(), whole.contains(&length), "{length}: {result:?}");
        }
    }

    #[test]
    fn what_breaks_the_format_is_named() {
        let change = |at: usize, new: &[u8]| {
            let mut bytes = deb_like();
            bytes[at..at + new.len()].copy_from_slice(new);
            members(&bytes).unwrap_err().to_string()
        };
        #[rustfmt::skip]
        let cases = [
            (0,  &b"x"[..],          "not an ar archive: it does not start with `!<arch>`"),
            (8,  b"/",               "the header of a member is malformed: bad name"),
            (8,  b"\xff",            "the header of a member is malformed: bad name"),
            (56, b"+4",              "the header of a member is malformed: bad size"),
            (56, b"          ",      "the header of a member is malformed: bad size"),
            (66, b"x",               "the header of a member is malformed: bad end"),
            (56, b"9999999999",      "cannot read the archive"),
        ];
        for (at, new, message) in cases {
            assert_eq!(change(at, new), message, "{at} {new:?}");
        }
    }

    #[test]
    fn a_member_that_the_format_cannot_hold_is_not_written() {
        for name in ["", "sixteen-letters!", "a b", "a/b"] {
            let mut writer = Writer::new(Vec::new()).unwrap();
            assert!(writer.member(name, b"").is_err(), "{name:?}");
        }
    }
}
