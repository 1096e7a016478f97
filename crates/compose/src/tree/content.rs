//! What files hold: bytes in memory, a piece of a file beside the output that has no name, or a file that is seen.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use base::Digest;
use base::file::{self, FileError};

use crate::facts::Facts;

/// The content of a file.
#[derive(Clone, Debug)]
pub struct Content {
    source: Source,
    digest: OnceLock<Digest>,
    facts: OnceLock<Facts>,
}

/// Where the bytes are.
#[derive(Clone, Debug)]
enum Source {
    /// Here: it is small and was made here.
    Bytes(Vec<u8>),
    /// In a [`Spool`].
    Spooled(Piece),
    /// In a file that a layer beneath shows.
    Shown { path: PathBuf, length: u64 },
}

/// A piece of a spool.
#[derive(Clone, Debug)]
struct Piece {
    store: Arc<Store>,
    offset: u64,
    length: u64,
}

#[derive(Debug)]
struct Store {
    file: File,
    path: PathBuf,
}

impl Content {
    fn new(source: Source) -> Self {
        Self { source, digest: OnceLock::new(), facts: OnceLock::new() }
    }

    /// Bytes in memory.
    pub fn of_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Source::Bytes(bytes.into()))
    }

    /// What the file at `path` holds, of which this is known already.
    pub(crate) fn shown(path: PathBuf, known: Known) -> Self {
        let Known { length, digest, facts } = known;
        let content = Self::new(Source::Shown { path, length });
        Self {
            digest: digest.map_or_else(OnceLock::new, OnceLock::from),
            facts: facts.into(),
            ..content
        }
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        match &self.source {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::Spooled(piece) => piece.length,
            Source::Shown { length, .. } => *length,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming the spool.
    pub fn bytes(&self) -> Result<Vec<u8>, FileError> {
        self.range(0, self.len())
    }

    /// All of it as text; what is no UTF-8 is replaced by a mark.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming the spool.
    pub fn text(&self) -> Result<String, FileError> {
        Ok(String::from_utf8_lossy(&self.bytes()?).into_owned())
    }

    /// At most `length` bytes from `offset` on; fewer where it ends before.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming the spool.
    pub fn range(&self, offset: u64, length: u64) -> Result<Vec<u8>, FileError> {
        let start = offset.min(self.len());
        let length = length.min(self.len() - start);
        let mut bytes = vec![0; length as usize];
        match &self.source {
            Source::Bytes(all) => bytes.copy_from_slice(&all[start as usize..][..length as usize]),
            Source::Spooled(piece) => {
                let Store { file, path } = &*piece.store;
                file.read_exact_at(&mut bytes, piece.offset + start)
                    .map_err(FileError::at("read", path))?;
            }
            Source::Shown { path, .. } => {
                let file = File::open(path).map_err(FileError::at("read", path))?;
                file.read_exact_at(&mut bytes, start).map_err(FileError::at("read", path))?;
            }
        }
        Ok(bytes)
    }

    /// Reads it from its start.
    pub fn reader(&self) -> Reader<'_> {
        Reader { content: self, at: 0, open: None }
    }

    /// The digest of its bytes; worked out once.
    ///
    /// # Errors
    ///
    /// [`io::Error`] if it cannot be read.
    pub(crate) fn digest(&self) -> io::Result<Digest> {
        if let Some(known) = self.digest.get() {
            return Ok(*known);
        }
        let digest = Digest::of_reader(self.reader())?;
        Ok(*self.digest.get_or_init(|| digest))
    }

    /// Whether its digest is known without reading it.
    pub(crate) fn has_digest(&self) -> bool {
        self.digest.get().is_some()
    }

    /// What composing wants to know of it; worked out once.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming the spool or the file.
    pub(crate) fn facts(&self) -> Result<&Facts, FileError> {
        if let Some(known) = self.facts.get() {
            return Ok(known);
        }
        let facts = Facts::of(self)?;
        Ok(self.facts.get_or_init(|| facts))
    }
}

/// What is known of a file without reading it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) length: u64,
    pub(crate) digest: Option<Digest>,
    pub(crate) facts: Facts,
}

/// Reads a [`Content`] from its start.
#[derive(Debug)]
pub struct Reader<'a> {
    content: &'a Content,
    at: u64,
    open: Option<File>,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.content.len() - self.at;
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = match &self.content.source {
            Source::Bytes(all) => (&all[self.at as usize..]).read(buffer)?,
            Source::Spooled(piece) => {
                piece.store.file.read_at(&mut buffer[..length], piece.offset + self.at)?
            }
            Source::Shown { path, .. } => {
                let file = match self.open.take() {
                    Some(file) => file,
                    None => File::open(path)?,
                };
                self.open.insert(file).read_at(&mut buffer[..length], self.at)?
            }
        };
        if count == 0 && length > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        Ok(count)
    }
}

/// Where contents are put one after another, so that not all of them are in memory: the first ones up to [`IN_MEMORY`],
/// the rest in a file without a name, which is gone when the last [`Content`] in it is, even after a crash.
#[derive(Debug)]
pub struct Spool {
    memory: Option<Shelf>,
    disk: Shelf,
}

/// How many bytes of contents may be in memory.
pub(crate) const IN_MEMORY: u64 = 64 << 20;

/// A file that is filled from its start on, by several threads.
#[derive(Debug)]
struct Shelf {
    store: Arc<Store>,
    end: AtomicU64,
    most: u64,
}

/// Content could not be taken into a spool.
#[derive(Debug)]
pub(crate) enum SpoolError {
    /// The source could not be read.
    Source(io::Error),
    /// The spool could not be written.
    Spool(FileError),
}

impl Shelf {
    fn new(folder: &Path, most: u64) -> Result<Self, FileError> {
        let store = Store { file: file::unnamed(folder)?, path: folder.to_owned() };
        Ok(Self { store: Arc::new(store), end: AtomicU64::new(0), most })
    }

    /// Sets room for `size` bytes aside; `None` where there is not enough.
    fn room(&self, size: u64) -> Option<u64> {
        let next = |end: u64| end.checked_add(size).filter(|end| *end <= self.most);
        self.end.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()
    }
}

impl Spool {
    /// An empty spool, on the filesystem of `folder` as far as it is not in memory; the folder must exist.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming the folder in which no file could be made.
    pub fn create(folder: &Path) -> Result<Self, FileError> {
        // Where there is no memory to be had, the disk does.
        let memory = file::memory_folder(IN_MEMORY);
        let memory = memory.and_then(|folder| Shelf::new(folder, IN_MEMORY).ok());
        Ok(Self { memory, disk: Shelf::new(folder, u64::MAX)? })
    }

    /// Takes in all that `source` yields, which must be `size` bytes.
    pub(crate) fn take(&self, source: &mut dyn Read, size: u64) -> Result<Content, SpoolError> {
        let in_memory = self.memory.iter().find_map(|shelf| Some((shelf, shelf.room(size)?)));
        let place = in_memory.or_else(|| Some((&self.disk, self.disk.room(size)?)));
        let Some((Shelf { store, .. }, offset)) = place else {
            return Err(SpoolError::Source(io::ErrorKind::FileTooLarge.into()));
        };
        let mut length = 0;
        let mut buffer = vec![0; size.clamp(1, 128 << 10) as usize];
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(SpoolError::Source(error)),
            };
            if length + count as u64 > size {
                return Err(SpoolError::Source(io::ErrorKind::InvalidData.into()));
            }
            store.file.write_all_at(&buffer[..count], offset + length).map_err(|error| {
                SpoolError::Spool(FileError::at("write to a file in", &store.path)(error))
            })?;
            length += count as u64;
        }
        let piece = Piece { store: Arc::clone(store), offset, length };
        Ok(Content::new(Source::Spooled(piece)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spooled_reads_back_whole_and_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::create(dir.path()).unwrap();
        let small = Shelf::new(dir.path(), 12).unwrap();
        let full = Spool { memory: Some(small), disk: Shelf::new(dir.path(), u64::MAX).unwrap() };
        let take = |spool: &Spool| spool.take(&mut &b"0123456789"[..], 10).unwrap();
        spool.take(&mut &b"before"[..], 6).unwrap();
        let (spooled, first, second) = (take(&spool), take(&full), take(&full));
        assert_eq!(full.disk.end.into_inner(), 10, "the second one is on the disk");
        let path = dir.path().join("shown");
        std::fs::write(&path, "0123456789").unwrap();
        let known = Known { length: 10, digest: None, facts: Facts::default() };
        let shown = Content::shown(path, known);
        for content in [spooled, first, second, shown, Content::of_bytes("0123456789")] {
            assert_eq!(content.len(), 10);
            assert_eq!(content.bytes().unwrap(), b"0123456789");
            assert_eq!(content.range(8, 5).unwrap(), b"89");
            assert_eq!(content.range(20, 5).unwrap(), b"");
            let mut bytes = Vec::new();
            content.reader().read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, b"0123456789");
            assert_eq!(content.digest().unwrap(), Digest::of(b"0123456789"));
        }
    }

    #[test]
    fn what_is_longer_than_was_said_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::create(dir.path()).unwrap();
        let error = spool.take(&mut &b"0123456789"[..], 9).unwrap_err();
        assert!(
            matches!(error, SpoolError::Source(error) if error.kind() == io::ErrorKind::InvalidData)
        );
    }

    #[test]
    fn a_spool_has_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let _spool = Spool::create(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
