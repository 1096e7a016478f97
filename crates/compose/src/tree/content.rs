//! What files hold: bytes in memory, or a piece of a file beside the output that has no name.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::file::FileError;

/// The content of a file.
#[derive(Clone, Debug)]
pub enum Content {
    /// It is small and was made here.
    Bytes(Vec<u8>),
    /// It lies in a [`Spool`].
    Spooled(Piece),
}

/// A piece of a spool.
#[derive(Clone, Debug)]
pub struct Piece {
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
    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Spooled(piece) => piece.length,
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
        match self {
            Self::Bytes(all) => Ok(all[start as usize..(start + length) as usize].to_vec()),
            Self::Spooled(piece) => {
                let mut bytes = vec![0; length as usize];
                let Store { file, path } = &*piece.store;
                file.read_exact_at(&mut bytes, piece.offset + start)
                    .map_err(FileError::at("read", path))?;
                Ok(bytes)
            }
        }
    }

    /// Reads it from its start.
    pub fn reader(&self) -> Reader<'_> {
        Reader { content: self, at: 0 }
    }
}

/// Reads a [`Content`] from its start.
#[derive(Debug)]
pub struct Reader<'a> {
    content: &'a Content,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.content.len() - self.at;
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = match self.content {
            Content::Bytes(all) => (&all[self.at as usize..]).read(buffer)?,
            Content::Spooled(piece) => {
                piece.store.file.read_at(&mut buffer[..length], piece.offset + self.at)?
            }
        };
        if count == 0 && length > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        Ok(count)
    }
}

/// A file without a name that contents are put into one after another, so that memory does not
/// hold them. It is gone when the last [`Content`] in it is, even after a crash.
#[derive(Debug)]
pub struct Spool {
    store: Arc<Store>,
    end: u64,
}

/// Content could not be taken into a spool.
#[derive(Debug)]
pub(crate) enum SpoolError {
    /// The source could not be read.
    Source(io::Error),
    /// The spool could not be written.
    Spool(FileError),
}

impl Spool {
    /// An empty spool on the filesystem of `folder`, which must exist.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming the file that could not be made.
    pub fn create(folder: &Path) -> Result<Self, FileError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".contents.{}-{count}.spool", std::process::id()));
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&path).map_err(FileError::at("create", &path))?;
        std::fs::remove_file(&path).map_err(FileError::at("remove", &path))?;
        Ok(Self { store: Arc::new(Store { file, path }), end: 0 })
    }

    /// Takes in all that `source` yields.
    pub(crate) fn take(&mut self, source: &mut dyn Read) -> Result<Content, SpoolError> {
        let Store { file, path } = &*self.store;
        let offset = self.end;
        let mut buffer = vec![0; 128 << 10];
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(SpoolError::Source(error)),
            };
            file.write_all_at(&buffer[..count], self.end)
                .map_err(|error| SpoolError::Spool(FileError::at("write", path)(error)))?;
            self.end += count as u64;
        }
        let length = self.end - offset;
        Ok(Content::Spooled(Piece { store: Arc::clone(&self.store), offset, length }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spooled_reads_back_whole_and_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(dir.path()).unwrap();
        spool.take(&mut &b"before"[..]).unwrap();
        let spooled = spool.take(&mut &b"0123456789"[..]).unwrap();
        for content in [spooled, Content::Bytes(b"0123456789".to_vec())] {
            assert_eq!(content.len(), 10);
            assert_eq!(content.bytes().unwrap(), b"0123456789");
            assert_eq!(content.range(8, 5).unwrap(), b"89");
            assert_eq!(content.range(20, 5).unwrap(), b"");
            let mut bytes = Vec::new();
            content.reader().read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, b"0123456789");
        }
    }

    #[test]
    fn a_spool_has_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let _spool = Spool::create(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
