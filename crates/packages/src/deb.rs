//! What is inside a `.deb`: its control file, its maintainer scripts, its files; and writing one.
//!
//! A package is read as foreign bytes: a path that leads outside, a path twice, a link to nothing
//! and a small file that unpacks to a huge one are errors.
//!
//! Source: deb(5).

mod ahead;
mod compression;
mod entry;
mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use base::digest::Hasher;
use base::file::FileError;
use base::{Digest, Explain};
use formats::ar;

use ahead::Ahead;
pub use entry::{BadEntry, Entry, Kind};
pub use write::Writer;

pub(crate) use compression::unpack_xz;

use crate::control::{BadControl, Control};

/// How much a package may unpack to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the unpacked data archive.
    pub bytes: u64,
    /// Files, folders and links.
    pub entries: usize,
}

impl Default for Limits {
    /// Twice what the largest packages of Debian need.
    fn default() -> Self {
        Self { bytes: 16 << 30, entries: 1 << 20 }
    }
}

/// How much memory is set aside for a member because its header says so.
const RESERVED: u64 = 64 << 20;

/// How much the control archive may unpack to; Debian's largest is below 10 MB.
const CONTROL_LIMIT: u64 = 64 << 20;

/// The maintainer scripts of a package, by the name of their file in the control archive.
///
/// Source: Debian Policy, section 6.1; `config` is debconf's, debconf-devel(7).
pub const SCRIPTS: [&str; 5] = ["preinst", "postinst", "prerm", "postrm", "config"];

/// A package that was opened: control file and scripts are read, the data archive is not yet.
#[derive(Debug)]
pub struct Deb {
    file: String,
    content: Content,
}

/// What the archives in a package hold; the data archive is still packed.
#[derive(Debug)]
struct Content {
    control: Control,
    control_files: BTreeMap<String, Vec<u8>>,
    data_name: String,
    data: Vec<u8>,
}

/// A package cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// The file itself cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its bytes are not a sound package.
    #[error("cannot read the package {file}")]
    Flaw {
        /// Which file, or what the caller called the bytes.
        file: String,
        /// What is wrong with it.
        source: Flaw,
    },
}

/// What is wrong with the bytes of a package.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// The outer container is broken.
    #[error("its outer archive is broken")]
    Container(#[from] ar::ArError),
    /// Its format is not 2.x.
    #[error("it does not start with `debian-binary` of version 2")]
    Format,
    /// One of the two archives in it is not there.
    #[error("it holds no {0} archive (.tar, .tar.gz, .tar.xz or .tar.zst)")]
    NoArchive(&'static str),
    /// An archive in it cannot be unpacked.
    #[error("cannot unpack {member}")]
    Unpack {
        /// The archive's name in the package.
        member: String,
        /// Why.
        source: io::Error,
    },
    /// The control file is not there.
    #[error("it has no control file")]
    NoControl,
    /// The control file is broken.
    #[error(transparent)]
    Control(#[from] BadControl),
    /// A file in it is refused.
    #[error("it holds a file that is refused")]
    Entry(#[from] BadEntry),
}

impl Explain for DebError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Flaw { .. } => Some("fetch it again; do not install it".into()),
        }
    }
}

impl Deb {
    /// Opens the package at `path`.
    ///
    /// # Errors
    ///
    /// [`DebError`] if the file cannot be read, or is no sound package up to its data archive.
    pub fn open(path: &Path) -> Result<Self, DebError> {
        let file = File::open(path).map_err(FileError::at("read", path))?;
        Self::read(path.display().to_string(), BufReader::new(file))
    }

    /// Opens the package that `bytes` yield; `file` names it in errors.
    ///
    /// # Errors
    ///
    /// [`DebError::Flaw`] if it is no sound package up to its data archive.
    pub fn read(file: impl Into<String>, bytes: impl Read) -> Result<Self, DebError> {
        Self::of_members(file.into(), members(bytes))
    }

    /// Opens the package at `path` if its bytes have the digest `wanted`; otherwise gives the one that they have. Nothing
    /// is unpacked before that is known.
    ///
    /// # Errors
    ///
    /// As [`Deb::open`].
    pub fn open_verified(path: &Path, wanted: Digest) -> Result<Result<Self, Digest>, DebError> {
        let file = File::open(path).map_err(FileError::at("read", path))?;
        let mut hashed = Hashed { inner: file, hasher: Hasher::default() };
        let members = members(&mut hashed);
        // What is no archive is not read to its end.
        io::copy(&mut hashed, &mut io::sink()).map_err(FileError::at("read", path))?;
        let found = hashed.hasher.finish();
        if found != wanted {
            return Ok(Err(found));
        }
        Self::of_members(path.display().to_string(), members).map(Ok)
    }

    fn of_members(file: String, members: Result<Members, Flaw>) -> Result<Self, DebError> {
        match members.and_then(read_content) {
            Ok(content) => Ok(Self { file, content }),
            Err(source) => Err(DebError::Flaw { file, source }),
        }
    }

    /// The control file.
    pub fn control(&self) -> &Control {
        &self.content.control
    }

    /// The same, to add to what is known of the package; the file stays as it is.
    pub fn control_mut(&mut self) -> &mut Control {
        &mut self.content.control
    }

    /// A file of the control archive by name: `conffiles`, `triggers`, `shlibs`, `md5sums`, a
    /// script.
    pub fn control_file(&self, name: &str) -> Option<&[u8]> {
        self.content.control_files.get(name).map(Vec::as_slice)
    }

    /// The names of all files in the control archive, sorted.
    pub fn control_files(&self) -> impl Iterator<Item = &str> {
        self.content.control_files.keys().map(String::as_str)
    }

    /// The maintainer scripts it has, with their text, in the order of [`SCRIPTS`].
    pub fn scripts(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        SCRIPTS.into_iter().filter_map(|name| Some((name, self.control_file(name)?)))
    }

    /// Shows every file of the package to `visit`, in the archive's order, with a reader of its
    /// content (empty for all but plain files). The root folder is left out.
    ///
    /// # Errors
    ///
    /// [`DebError::Flaw`] where the archive is broken, breaks `limits` or holds a [`BadEntry`];
    /// whatever `visit` fails with. What was shown before stays shown: a caller that keeps files
    /// must drop them on an error.
    pub fn visit<E: From<DebError>>(
        &self,
        limits: Limits,
        mut visit: impl FnMut(&Entry, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let flaw = |source| E::from(DebError::Flaw { file: self.file.clone(), source });
        let Content { data_name, data, .. } = &self.content;
        let unpack = |error| flaw(unpack_error(data_name, error));
        let reader = compression::reader(data_name, data)
            .map_err(unpack)?
            .ok_or_else(|| flaw(Flaw::NoArchive("data")))?;
        let mut archive = tar::Archive::new(compression::Bounded::new(reader, limits.bytes));
        let mut seen = entry::Seen::default();
        let mut ahead = Ahead::default();
        for raw in archive.entries().map_err(unpack)?.raw(true) {
            let mut raw = raw.map_err(unpack)?;
            if ahead.take(&mut raw).map_err(unpack)? {
                continue;
            }
            let ahead = std::mem::take(&mut ahead);
            let Some(entry) = entry::read(raw.header(), ahead).map_err(unpack)? else { continue };
            seen.admit(&entry, limits.entries).map_err(|bad| flaw(bad.into()))?;
            visit(&entry, &mut raw)?;
        }
        Ok(())
    }
}

/// Passes on what is read, and notes its digest.
struct Hashed<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// What the container holds, still packed: names and bytes.
type Members = Vec<(String, Vec<u8>)>;

/// Takes the container apart.
fn members(bytes: impl Read) -> Result<Members, Flaw> {
    let mut archive = ar::Reader::new(bytes)?;
    let mut members = Members::new();
    while let Some(header) = archive.next_member()? {
        let mut content = Vec::with_capacity(header.size.min(RESERVED) as usize);
        archive.content().read_to_end(&mut content).map_err(ar::ArError::Read)?;
        members.push((header.name, content));
    }
    Ok(members)
}

/// Checks what the container holds, and reads the control archive.
fn read_content(mut members: Members) -> Result<Content, Flaw> {
    match members.first() {
        Some((name, version)) if name == "debian-binary" && version.starts_with(b"2.") => {}
        _ => return Err(Flaw::Format),
    }
    let mut take = |prefix, what| {
        let at = members.iter().position(|(name, _)| name.starts_with(prefix));
        at.map(|at| members.swap_remove(at)).ok_or(Flaw::NoArchive(what))
    };
    let (name, packed) = take("control.tar", "control")?;
    let (data_name, data) = take("data.tar", "data")?;
    let control_files = control_files(&name, &packed)?;
    let text = control_files.get("control").ok_or(Flaw::NoControl)?;
    let control = Control::parse(&String::from_utf8_lossy(text))?;
    Ok(Content { control, control_files, data_name, data })
}

/// Unpacks the control archive: plain files only, by name.
fn control_files(member: &str, packed: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, Flaw> {
    let unpack = |error| unpack_error(member, error);
    let reader = compression::reader(member, packed).map_err(unpack)?;
    let reader = reader.ok_or(Flaw::NoArchive("control"))?;
    let mut archive = tar::Archive::new(compression::Bounded::new(reader, CONTROL_LIMIT));
    let mut files = BTreeMap::new();
    let mut ahead = Ahead::default();
    for raw in archive.entries().map_err(unpack)?.raw(true) {
        let mut raw = raw.map_err(unpack)?;
        if ahead.take(&mut raw).map_err(unpack)? {
            continue;
        }
        let ahead = std::mem::take(&mut ahead);
        let Some(entry) = entry::read(raw.header(), ahead).map_err(unpack)? else { continue };
        if entry.kind != Kind::File {
            continue;
        }
        let mut content = Vec::new();
        raw.read_to_end(&mut content).map_err(unpack)?;
        if files.insert(entry.path.clone(), content).is_some() {
            return Err(BadEntry::Twice(entry.path).into());
        }
    }
    Ok(files)
}

/// A refused entry travels through `io::Error`; it is taken out again here.
fn unpack_error(member: &str, error: io::Error) -> Flaw {
    match error.downcast::<BadEntry>() {
        Ok(bad) => bad.into(),
        Err(source) => Flaw::Unpack { member: member.to_owned(), source },
    }
}

#[cfg(test)]
mod tests;
