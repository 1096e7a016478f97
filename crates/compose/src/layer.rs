//! A tree to a layer: an EROFS file and its dm-verity tree.

mod algorithm;
mod archive;
mod erofs;

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use base::child::{ChildError, Program};
use base::digest::Hasher;
use base::file::{self, FileError, Staged};
use base::progress::{Metered, Progress, Task, Unit};
use base::{Digest, Explain};
use formats::guid::Guid;
use formats::manifest;
use formats::verity::{Superblock, VerityError};

pub use algorithm::{Algorithm, BadAlgorithm};
pub use archive::write as write_archive;

use crate::tree::Tree;

/// How a layer is compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compression {
    /// Algorithm and level.
    pub algorithm: Algorithm,
    /// How many bytes are compressed together, at most.
    pub cluster_bytes: u32,
}

/// What to make.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The layer's name, and its files': `NAME.erofs` and `NAME.erofs.verity`.
    pub name: &'a str,
    /// The folder for them.
    pub folder: &'a Path,
    /// mkfs.erofs 1.8 or later: the same version gives the same bytes.
    pub mkfs: &'a Program,
    /// How to compress.
    pub compression: &'a Compression,
    /// The time of every file, seconds since 1970.
    pub epoch: u64,
    /// A digest of all that the layer is made of: its UUID comes from it, and it is the salt of its hash tree, which is so
    /// made while the file's own digest is.
    pub identity: Digest,
}

/// A layer on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// What the manifest says about it.
    pub layer: manifest::Layer,
    /// The EROFS file.
    pub erofs: PathBuf,
    /// The file with its hash tree.
    pub verity: PathBuf,
}

/// A layer cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// mkfs.erofs failed.
    #[error("cannot write {}", path.display())]
    Erofs {
        /// The file.
        path: PathBuf,
        /// What mkfs.erofs says.
        source: ChildError,
    },
    /// mkfs.erofs failed, and the disk is full.
    #[error("cannot write {}: its disk is full", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What mkfs.erofs says.
        source: ChildError,
    },
    /// The hash tree cannot be made.
    #[error("cannot make the hash tree of {}", path.display())]
    Verity {
        /// The EROFS file.
        path: PathBuf,
        /// Why.
        source: VerityError,
    },
}

impl Explain for LayerError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Full { path, .. } => Some(file::free_space(path)),
            Self::Erofs { source, .. } => source.hint(),
            Self::Verity { path, source: VerityError::Write(error) }
                if error.kind() == ErrorKind::StorageFull =>
            {
                Some(file::free_space(path))
            }
            Self::Verity { .. } => None,
        }
    }
}

/// Writes the layer that holds `tree`. Both files appear whole or not at all; who keeps them brings them to the disk.
///
/// # Errors
///
/// [`LayerError`]; nothing is left behind then.
pub fn make(tree: &Tree, order: Order<'_>, progress: &dyn Progress) -> Result<Made, LayerError> {
    let erofs_path = order.folder.join(format!("{}.erofs", order.name));
    let verity_path = order.folder.join(format!("{}.erofs.verity", order.name));
    let staged = Staged::create(&erofs_path)?;
    let recipe = erofs::Recipe {
        mkfs: order.mkfs,
        compression: order.compression,
        epoch: order.epoch,
        identity: order.identity,
    };
    erofs::make(tree, recipe, staged.path(), progress)
        .map_err(|source| failed(&erofs_path, source))?;
    let erofs_bytes = length(staged.path())?;

    let mut tree_file = Staged::create(&verity_path)?;
    let task = progress.begin("hashing the layer", Some(2 * erofs_bytes), Unit::Bytes);
    let source = Source { path: staged.path(), salt: order.identity, bytes: erofs_bytes };
    let (erofs, tree) = thread::scope(|scope| {
        let digest = scope.spawn(|| digest(staged.path(), task.as_ref()));
        let tree = hash(source, &mut tree_file, task.as_ref());
        (digest.join().unwrap_or_else(|panic| resume_unwind(panic)), tree)
    });
    let erofs = erofs?;
    let Hashed { root_hash, digest: verity, bytes: verity_bytes } =
        tree.map_err(|error| error.about(&erofs_path))?;
    drop(task);
    tree_file.place()?;
    if let Err(error) = staged.place() {
        // A hash tree without its data is of no use; the error that is returned matters more.
        let _ = std::fs::remove_file(&verity_path);
        return Err(error.into());
    }
    Ok(Made {
        layer: manifest::Layer {
            name: order.name.to_owned(),
            erofs,
            erofs_bytes,
            verity,
            verity_bytes,
            root_hash,
            compression: order.compression.algorithm.to_string(),
            cluster_bytes: order.compression.cluster_bytes,
            inputs: order.identity,
        },
        erofs: erofs_path,
        verity: verity_path,
    })
}

/// Why mkfs.erofs failed to write `path`. Of a full disk it says nothing: a write that fails makes
/// it lose its place in its input, and it complains about that.
fn failed(path: &Path, source: ChildError) -> LayerError {
    let path = path.to_owned();
    let probe = Staged::create(&path.with_extension("probe"));
    let full = |error: io::Error| error.kind() == ErrorKind::StorageFull;
    let is_full = match probe {
        Ok(mut probe) => probe.write_all(&[0; 1 << 20]).is_err_and(full),
        Err(error) => full(error.source),
    };
    if is_full { LayerError::Full { path, source } } else { LayerError::Erofs { path, source } }
}

fn length(path: &Path) -> Result<u64, FileError> {
    path.metadata().map(|found| found.len()).map_err(FileError::at("read", path))
}

fn digest(path: &Path, task: &dyn Task) -> Result<Digest, FileError> {
    let digest = File::open(path).and_then(|file| Digest::of_reader(Metered::new(file, task)));
    digest.map_err(FileError::at("read", path))
}

/// Why hashing failed, before it is known whose file that was.
enum HashError {
    File(FileError),
    Verity(VerityError),
}

impl HashError {
    fn about(self, path: &Path) -> LayerError {
        match self {
            Self::File(error) => error.into(),
            Self::Verity(source) => LayerError::Verity { path: path.to_owned(), source },
        }
    }
}

/// The file that a hash tree is made of.
#[derive(Clone, Copy)]
struct Source<'a> {
    path: &'a Path,
    salt: Digest,
    bytes: u64,
}

/// A hash tree: the digest of its topmost block, and the file that it is in.
struct Hashed {
    root_hash: Digest,
    digest: Digest,
    bytes: u64,
}

/// Passes on what is written, and notes what it was.
struct Noted<W> {
    inner: W,
    hasher: Hasher,
    bytes: u64,
}

impl<W: Write> Write for Noted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Writes the hash tree of an EROFS file.
fn hash(source: Source<'_>, output: &mut Staged, task: &dyn Task) -> Result<Hashed, HashError> {
    let Source { path, salt, bytes } = source;
    let superblock =
        Superblock::new(bytes, salt, Guid::from_digest(&salt)).map_err(HashError::Verity)?;
    let file = File::open(path).map_err(|e| HashError::File(FileError::at("read", path)(e)))?;
    let target = output.path().to_owned();
    let noted = Noted { inner: output, hasher: Hasher::default(), bytes: 0 };
    let mut output = BufWriter::new(noted);
    let root_hash =
        superblock.write_tree(Metered::new(file, task), &mut output).map_err(HashError::Verity)?;
    let noted = output.into_inner().map_err(|e| FileError::at("write", target)(e.into_error()));
    let Noted { hasher, bytes, .. } = noted.map_err(HashError::File)?;
    Ok(Hashed { root_hash, digest: hasher.finish(), bytes })
}

#[cfg(test)]
mod tests {
    use base::progress::Silent;

    use super::*;

    fn attempt(mkfs: &Program, folder: &Path) -> LayerError {
        let algorithm = Algorithm::try_from("lz4".to_owned()).unwrap();
        let compression = Compression { algorithm, cluster_bytes: 65536 };
        let identity = Digest::of(b"");
        let order =
            Order { name: "base", folder, mkfs, compression: &compression, epoch: 0, identity };
        let error = make(&Tree::default(), order, &Silent).unwrap_err();
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0, "something is left behind");
        error
    }

    #[test]
    fn a_missing_mkfs_is_named_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let error = attempt(&Program::new("/no/mkfs.erofs"), dir.path());
        assert_eq!(error.hint().unwrap(), "install the package that holds /no/mkfs.erofs");
    }

    #[test]
    fn a_failing_mkfs_is_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let script = "echo Processing x ...; echo '<E> erofs: broken' >&2; exit 1";
        let mkfs = Program::from_words(["/bin/sh", "-c", script]);
        let error = attempt(&mkfs, dir.path());
        let LayerError::Erofs { source, .. } = &error else { panic!("{error}") };
        assert!(source.to_string().ends_with("\n  | <E> erofs: broken"), "{source}");
    }

    /// As version 1.8.6 does on a full disk.
    #[test]
    fn an_mkfs_that_says_that_all_is_well_after_an_error_or_never_ends_has_failed() {
        let error = "echo '<E> erofs_io: failed to write: No space left on device' >&2";
        for then in ["for output; do :; done; echo short > $output", "exec tail -f /dev/null"] {
            let dir = tempfile::tempdir().unwrap();
            let script = format!("cat > /dev/null; {error}; {then}");
            let error = attempt(&Program::from_words(["/bin/sh", "-c", &script]), dir.path());
            let LayerError::Erofs { source, .. } = &error else { panic!("{error}") };
            assert!(source.is_disk_full(), "{source}");
        }
    }

    #[test]
    fn an_error_behind_much_else_is_one_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let script = "cat > /dev/null; for output; do :; done; echo short > \"$output\"; yes '<W> erofs: warning' | head -n 9999 >&2; \
                      echo '<E> erofs: broken' >&2";
        let error = attempt(&Program::from_words(["/bin/sh", "-c", script]), dir.path());
        let LayerError::Erofs { source, .. } = &error else { panic!("{error}") };
        assert!(source.to_string().ends_with("<E> erofs: broken"), "{source}");
    }

    #[test]
    fn a_filesystem_that_lacks_files_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        // The superblock at 1024: magic, three other words, two words of count.
        let script = "cat > /dev/null; for output; do :; done; { head -c 1024 /dev/zero; printf '\\342\\341\\365\\340'; \
                      head -c 12 /dev/zero; printf '\\007'; head -c 4000 /dev/zero; } > \"$output\"";
        let error = attempt(&Program::from_words(["/bin/sh", "-c", script]), dir.path());
        let LayerError::Erofs { source, .. } = &error else { panic!("{error}") };
        assert!(source.to_string().contains("a filesystem of 7 files, not of 1"), "{source}");
    }
}
