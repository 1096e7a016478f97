//! What a suite holds: its `Packages` file, read once and kept as text.
//!
//! Debian's main archive has 69 000 packages in 57 MB. Only where each stanza lies and the
//! fields that every search needs are noted; the rest is read from the text when it is asked for.
//!
//! Source: deb822(5); <https://wiki.debian.org/DebianRepository/Format>, "Packages Indices".

mod scan;

use std::fmt;
use std::path::Path;

use base::file::FileError;
use base::{Digest, Explain};
use formats::name::PackageName;
use formats::version::VersionRef;
use memchr::memchr_iter;

use crate::control::source_of;

/// The packages of one suite, for amd64 and for all architectures.
pub struct Index {
    suite: String,
    /// UTF-8; it was checked.
    text: Vec<u8>,
    records: Vec<Record>,
    provided: Vec<Provided>,
}

/// Where a stanza lies in the text, and the fields that every search needs.
#[derive(Clone, Copy)]
struct Record {
    stanza: Span,
    name: Span,
    version: Span,
    provides: Span,
    hash: NameHash,
}

/// Stands for a name where many are compared; different names may have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NameHash(u64);

impl NameHash {
    pub(crate) fn of(name: &str) -> Self {
        // FNV-1a: whoever makes names collide only makes us compare them.
        let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, step))
    }
}

/// A name in a `Provides` field.
#[derive(Clone, Copy)]
pub(crate) struct Provided {
    pub(crate) name: NameHash,
    /// The position of the package that provides it.
    pub(crate) by: u32,
}

/// A piece of the index's text: an index of 4 GB or more is refused.
#[derive(Clone, Copy, Default)]
struct Span {
    start: u32,
    end: u32,
}

/// One package of an index. A copy costs nothing.
#[derive(Clone, Copy)]
pub struct Stanza<'a> {
    index: &'a Index,
    record: Record,
}

/// What fetching a package needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// The path from the archive's root, checked: it stays below it.
    pub filename: String,
    /// Bytes.
    pub size: u64,
    /// What the bytes must be.
    pub digest: Digest,
}

/// An index is malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// A stanza lacks a field that each must have.
    #[error("the index of {suite}: the stanza at line {line} has no field {field}")]
    Missing {
        /// The suite.
        suite: String,
        /// The stanza's first line, from 1.
        line: usize,
        /// The field.
        field: &'static str,
    },
    /// A field that has a fixed form does not have it.
    #[error("the index of {suite}: `{value}` cannot be the {field} of a package")]
    Field {
        /// The suite.
        suite: String,
        /// The field.
        field: &'static str,
        /// What stands there.
        value: String,
    },
    /// It is not UTF-8.
    #[error("the index of {suite} is not UTF-8")]
    NotText {
        /// The suite.
        suite: String,
    },
    /// It is too long for its positions.
    #[error("the index of {suite} is longer than 4 GB")]
    TooLong {
        /// The suite.
        suite: String,
    },
}

impl Explain for IndexError {
    fn hint(&self) -> Option<String> {
        Some("report it to whoever runs this archive: its index is malformed".into())
    }
}

/// The file of an index cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadIndexError {
    /// Not at all.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is malformed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl Explain for LoadIndexError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Index(error) => error.hint(),
        }
    }
}

impl Index {
    /// Reads the text of a `Packages` file. `suite` says where it is from, in every message and in
    /// a lock. Packages of other architectures are left out.
    ///
    /// # Errors
    ///
    /// [`IndexError`] if a stanza lacks a name, a version or an architecture, or has a name or
    /// version that none can have.
    pub fn parse(suite: impl Into<String>, text: String) -> Result<Self, IndexError> {
        Self::from_bytes(suite.into(), text.into_bytes())
    }

    /// Reads the `Packages` file at `path`, on two processors if there are. See [`Index::parse`].
    ///
    /// # Errors
    ///
    /// [`LoadIndexError`] if the file cannot be read, or is malformed.
    pub fn load(suite: impl Into<String>, path: &Path) -> Result<Self, LoadIndexError> {
        let bytes = scan::read(path).map_err(FileError::at("read", path))?;
        Ok(Self::from_bytes(suite.into(), bytes)?)
    }

    fn from_bytes(suite: String, text: Vec<u8>) -> Result<Self, IndexError> {
        if u32::try_from(text.len()).is_err() {
            return Err(IndexError::TooLong { suite });
        }
        let scan::Scanned { records, provided } = scan::scan(&suite, &text)?;
        Ok(Self { suite, text, records, provided })
    }

    /// The names that its packages provide, in the order of the packages.
    pub(crate) fn provided(&self) -> &[Provided] {
        &self.provided
    }

    /// The suite's name (`trixie-security`).
    pub fn suite(&self) -> &str {
        &self.suite
    }

    /// How many packages it holds.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it holds no package.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The packages in the order of the file.
    pub fn stanzas(&self) -> impl Iterator<Item = Stanza<'_>> {
        self.records.iter().map(|&record| Stanza { index: self, record })
    }

    fn text(&self, span: Span) -> &str {
        let bytes = &self.text[span.start as usize..span.end as usize];
        std::str::from_utf8(bytes).unwrap_or_default() // it was checked, and is cut at ASCII only
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Index({}, {} packages)", self.suite, self.len())
    }
}

impl<'a> Stanza<'a> {
    /// The suite that it is from.
    pub fn suite(self) -> &'a str {
        &self.index.suite
    }

    /// The package's name.
    pub fn name(self) -> &'a str {
        self.index.text(self.record.name)
    }

    /// Whether it is one of `index`.
    pub(crate) fn is_of(self, index: &Index) -> bool {
        std::ptr::eq(self.index, index)
    }

    pub(crate) fn name_hash(self) -> NameHash {
        self.record.hash
    }

    /// The package's name as a value of its own.
    ///
    /// # Errors
    ///
    /// None in practice: the name was checked when the index was read.
    pub fn package_name(self) -> Result<PackageName, IndexError> {
        let name = self.name();
        name.parse().map_err(|_| self.bad("Package", name))
    }

    /// The package's version.
    ///
    /// # Errors
    ///
    /// [`IndexError::Field`] if it is none: versions are checked when they are asked for.
    pub fn version(self) -> Result<VersionRef<'a>, IndexError> {
        let text = self.version_text();
        VersionRef::parse(text).map_err(|_| self.bad("Version", text))
    }

    /// The version as it is written.
    pub fn version_text(self) -> &'a str {
        self.index.text(self.record.version)
    }

    /// The value of `Provides`, empty if it has none. Faster than [`Stanza::field`].
    pub fn provides(self) -> &'a str {
        self.index.text(self.record.provides)
    }

    /// The value of a field, in its exact capitals, with continuation lines as they are written.
    pub fn field(self, name: &str) -> Option<&'a str> {
        let text = self.text();
        let mut start = 0;
        while start < text.len() {
            let line = &text[start..];
            let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(':'));
            if let Some(value) = value {
                return Some(value[..value_end(value)].trim());
            }
            start += memchr::memchr(b'\n', line.as_bytes()).map_or(line.len(), |at| at + 1);
        }
        None
    }

    /// The whole stanza, without the empty line after it.
    pub fn text(self) -> &'a str {
        self.index.text(self.record.stanza)
    }

    /// The source package's name and version.
    pub fn source(self) -> (&'a str, &'a str) {
        source_of(self.field("Source"), (self.name(), self.version_text()))
    }

    /// The architecture: `amd64` or `all`.
    pub fn architecture(self) -> &'a str {
        self.field("Architecture").unwrap_or_default()
    }

    /// The first line of the description.
    pub fn summary(self) -> &'a str {
        let text = self.field("Description").unwrap_or_default();
        text.lines().next().unwrap_or_default()
    }

    /// How many bytes it takes when installed, as its maker counted (in steps of 1 KiB).
    pub fn installed_bytes(self) -> u64 {
        let kilobytes = self.field("Installed-Size").and_then(|text| text.parse().ok());
        kilobytes.unwrap_or(0_u64).saturating_mul(1024)
    }

    /// How to fetch it.
    ///
    /// # Errors
    ///
    /// [`IndexError::Field`] if the index does not say, or not in a form that can be right.
    pub fn download(self) -> Result<Download, IndexError> {
        let get = |field| self.field(field).ok_or_else(|| self.bad(field, ""));
        let filename = get("Filename")?;
        if !stays_below(filename) {
            return Err(self.bad("Filename", filename));
        }
        let size = get("Size")?;
        let digest = get("SHA256")?;
        Ok(Download {
            filename: filename.to_owned(),
            size: size.parse().map_err(|_| self.bad("Size", size))?,
            digest: digest.parse().map_err(|_| self.bad("SHA256", digest))?,
        })
    }

    fn bad(self, field: &'static str, value: &str) -> IndexError {
        let value = value.chars().take(100).collect();
        IndexError::Field { suite: self.suite().to_owned(), field, value }
    }
}

impl fmt::Debug for Stanza<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.name(), self.version_text(), self.suite())
    }
}

/// Whether a path from an index stays below the folder that it is joined to, and needs no
/// escaping in an URI.
pub(crate) fn stays_below(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/:=@,!$&'()*;".contains(&byte);
    path.bytes().all(plain) && !path.split('/').any(|part| matches!(part, "" | "." | ".."))
}

/// Where the value that starts `text` ends: at the first line end without a continuation after it.
fn value_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    memchr_iter(b'\n', bytes)
        .find(|&at| !matches!(bytes.get(at + 1), Some(b' ' | b'\t')))
        .unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Package: a
Source: src (1-1)
Version: 1-1+b1
Architecture: amd64
Provides: virtual (= 2),
 other,
\tthird
Depends: libc6 (>= 2.40), b
Description: does a
 and more
Filename: pool/main/a/a_1-1+b1_amd64.deb
Size: 12
Installed-Size: 3
SHA256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad

Package: foreign
Version: 1
Architecture: arm64


Package: b
Version: 2
Architecture: all
Filename: ../../etc/passwd";

    #[test]
    fn the_fields_of_a_stanza_are_found() {
        let index = Index::parse("trixie", TEXT.into()).unwrap();
        let stanzas: Vec<_> = index.stanzas().collect();
        assert_eq!(stanzas.len(), 2);
        let a = stanzas[0];
        assert_eq!((a.name(), a.version_text(), a.suite()), ("a", "1-1+b1", "trixie"));
        assert_eq!(a.provides(), "virtual (= 2),\n other,\n\tthird");
        assert_eq!(a.provides(), a.field("Provides").unwrap());
        assert_eq!(a.field("Depends"), Some("libc6 (>= 2.40), b"));
        assert_eq!(a.field("Description"), Some("does a\n and more"));
        assert_eq!(a.field("Desc"), None);
        assert_eq!((a.summary(), a.installed_bytes()), ("does a", 3072));
        assert_eq!((a.source(), a.architecture()), (("src", "1-1"), "amd64"));
        let download = a.download().unwrap();
        assert_eq!(
            (download.filename.as_str(), download.size),
            ("pool/main/a/a_1-1+b1_amd64.deb", 12)
        );
        let b = stanzas[1];
        assert_eq!(
            (b.name(), b.provides(), b.field("Filename")),
            ("b", "", Some("../../etc/passwd"))
        );
    }

    #[test]
    fn a_file_name_that_leaves_the_archive_is_refused() {
        let index = Index::parse("trixie", TEXT.into()).unwrap();
        let error = index.stanzas().nth(1).unwrap().download().unwrap_err();
        let message = "the index of trixie: `../../etc/passwd` cannot be the Filename of a package";
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn malformed_stanzas_are_refused_with_their_line() {
        #[rustfmt::skip]
        let cases = [
            ("Package: a\nVersion: 1\n",                        "the index of s: the stanza at line 1 has no field Architecture"),
            ("\n\nPackage: a\nArchitecture: all\n",             "the index of s: the stanza at line 3 has no field Version"),
            ("Version: 1\nArchitecture: all",                   "the index of s: the stanza at line 1 has no field Package"),
            ("Package: a b\nVersion: 1\nArchitecture: all",     "the index of s: `a b` cannot be the Package of a package"),
            (" x\n",                                            "the index of s: the stanza at line 1 has no field Package"),
        ];
        for (text, message) in cases {
            let error = Index::parse("s", text.into()).unwrap_err();
            assert_eq!(error.to_string(), message, "{text:?}");
        }
    }

    #[test]
    fn an_empty_text_is_an_empty_index() {
        assert!(Index::parse("s", String::new()).unwrap().is_empty());
        assert!(Index::parse("s", "\n\n".into()).unwrap().is_empty());
    }
}
