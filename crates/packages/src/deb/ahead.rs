//! What goes ahead of an entry in its tar archive and does not fit into its header: GNU's long
//! names and the records of an extended header.
//!
//! The `tar` crate would join them to the entry by itself, but it takes a line end within a value
//! for the end of the record: attributes are binary, and what follows in one could pass for a
//! `path` of the package's own choosing.
//!
//! Source: pax(1) of POSIX.1-2017, "pax Extended Header"; tar(5) of libarchive, "GNU Tar Archives".

use std::io::{self, Read};

use tar::EntryType;

use super::entry::BadEntry;

/// What precedes the name of an extended attribute in a record.
pub(super) const XATTR: &str = "SCHILY.xattr.";

/// How long it may be: the kernel takes no attribute above 64 KiB, and no path above 4 KiB.
const LIMIT: u64 = 1 << 20;

/// What has come since the last entry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ahead {
    /// The path, instead of the one in the header.
    pub(super) path: Option<Vec<u8>>,
    /// The link's target, instead of the one in the header.
    pub(super) target: Option<Vec<u8>>,
    /// Extended attributes by full name.
    pub(super) xattrs: Vec<(String, Vec<u8>)>,
}

impl Ahead {
    /// Whether `raw` goes ahead of an entry, rather than being one; it is then taken in.
    pub(super) fn take(&mut self, raw: &mut tar::Entry<'_, impl Read>) -> io::Result<bool> {
        match raw.header().entry_type() {
            EntryType::GNULongName => self.path = Some(name(content(raw)?)),
            EntryType::GNULongLink => self.target = Some(name(content(raw)?)),
            EntryType::XHeader => self.read(&content(raw)?).map_err(io::Error::other)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes in the records of an extended header: `LENGTH KEY=VALUE\n`, where the length is that
    /// of the whole record, in decimal.
    fn read(&mut self, mut records: &[u8]) -> Result<(), BadEntry> {
        while !records.is_empty() {
            let (key, value, rest) = record(records).ok_or(BadEntry::Record)?;
            match key {
                "path" => self.path = Some(value.to_vec()),
                "linkpath" => self.target = Some(value.to_vec()),
                // The archive is read by the sizes in its headers.
                "size" => return Err(BadEntry::Key(key.to_owned())),
                _ if key.starts_with("GNU.sparse.") => return Err(BadEntry::Key(key.to_owned())),
                _ => {
                    let xattr = key.strip_prefix(XATTR);
                    self.xattrs.extend(xattr.map(|name| (name.to_owned(), value.to_vec())));
                }
            }
            records = rest;
        }
        Ok(())
    }
}

/// The first record: its key, its value and what follows it.
fn record(records: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let blank = records.iter().position(|byte| *byte == b' ')?;
    let digits = &records[..blank];
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let (whole, rest) = records.split_at_checked(length)?;
    let text = whole.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = text.iter().position(|byte| *byte == b'=')?;
    Some((std::str::from_utf8(&text[..equals]).ok()?, &text[equals + 1..], rest))
}

fn content(raw: &mut tar::Entry<'_, impl Read>) -> io::Result<Vec<u8>> {
    if raw.size() > LIMIT {
        return Err(io::Error::other(BadEntry::LongHeader(raw.size())));
    }
    let mut content = Vec::new();
    raw.read_to_end(&mut content)?;
    Ok(content)
}

/// GNU ends a name with a zero byte.
fn name(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(records: &[u8]) -> Result<Ahead, BadEntry> {
        let mut ahead = Ahead::default();
        ahead.read(records).map(|()| ahead)
    }

    #[test]
    fn records_end_where_their_length_says() {
        let text = b"31 SCHILY.xattr.user.a=\n9 a=b\n\n12 path=a/b\n15 linkpath=/c\n7 a=\xff\xfe\n";
        // A value that holds a line end, and a whole record after it.
        let value = b"\n9 a=b\n";
        let ahead = read(text).unwrap();
        assert_eq!(ahead.xattrs, [("user.a".to_owned(), value.to_vec())]);
        assert_eq!(ahead.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(ahead.target.as_deref(), Some(&b"/c"[..]));
    }

    #[test]
    fn records_of_another_form_are_refused() {
        #[rustfmt::skip]
        let cases: [&[u8]; 11] = [
            b"x", b" a=b\n", b"6 a=b\n\n", b"7 a=b\n", b"5 a=b\n", b"6 a-b\n", b"0 a=b\n", b"2 a=b\n", b"+6 a=b\n",
            b"99999999999999999999999 a=b\n", b"6 \xff=b\n",
        ];
        for records in cases {
            assert_eq!(read(records), Err(BadEntry::Record), "{records:?}");
        }
        for (record, key) in [("9 size=1\n", "size"), ("20 GNU.sparse.map=1\n", "GNU.sparse.map")] {
            assert_eq!(read(record.as_bytes()), Err(BadEntry::Key(key.to_owned())));
        }
    }
}
