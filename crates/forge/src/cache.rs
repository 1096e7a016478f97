//! What is kept between builds: one folder outside the checkout, everything in it named by the
//! digest of what it was made from, so that nothing in it is ever wrong, only unused.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use base::{ByteSize, Digest, Explain, Failure};

use crate::context::Context;
use crate::sandbox::users;

/// The cache folder.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

/// Somebody uses the cache: what is unfinished in it must stay.
pub(crate) struct InUse {
    lock: File,
}

impl InUse {
    /// Whether nobody else uses the cache; nobody else can begin to, then, as long as this lives.
    fn is_alone(&self) -> bool {
        self.lock.try_lock().is_ok()
    }
}

/// The cache cannot be cleared.
#[derive(Debug, thiserror::Error)]
#[error("another forge is using the cache")]
struct Busy;

impl Explain for Busy {
    fn hint(&self) -> Option<String> {
        Some("wait until it has ended".into())
    }
}

/// What the cache holds, one folder each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Files of the archive
    Archive,
    /// Packages built from source
    Built,
    /// Packages after curation
    Curated,
    /// Unpacked Debian 13 roots that tools and compilers run in
    Roots,
    /// Built kernels
    Kernel,
    /// Built programs of ours
    Programs,
    /// Composed layers
    Layers,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Archive,
        Self::Built,
        Self::Curated,
        Self::Roots,
        Self::Kernel,
        Self::Programs,
        Self::Layers,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Built => "built",
            Self::Curated => "curated",
            Self::Roots => "roots",
            Self::Kernel => "kernel",
            Self::Programs => "programs",
            Self::Layers => "layers",
        }
    }

    /// How many things of this kind are in `folder`: files of the archive, curated packages without
    /// the notes beside them, otherwise the folders that a digest names.
    fn entries(self, folder: &Path) -> Result<u64, FileError> {
        let mut count = 0;
        for entry in fs::read_dir(folder).map_err(FileError::at("read", folder))? {
            let path = entry.map_err(FileError::at("read", folder))?.path();
            count += match self {
                Self::Archive if path.is_dir() => self.entries(&path)?,
                Self::Archive => 1,
                Self::Curated => path.extension().is_some_and(|it| it == "deb").into(),
                _ => (path.is_dir() && is_hexadecimal(&path)).into(),
            };
        }
        Ok(count)
    }
}

fn is_hexadecimal(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.iter().all(u8::is_ascii_hexdigit)
}

impl Cache {
    /// The cache in `folder`, which need not exist yet.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Says that the cache is in use, for as long as the result lives. Whoever comes while nobody
    /// else uses it removes what killed processes left unfinished there and in the folders `out`.
    ///
    /// # Errors
    ///
    /// [`FileError`] if the folder cannot be used.
    pub(crate) fn enter(&self, out: &[PathBuf]) -> Result<InUse, FileError> {
        file::create_dir_all(&self.folder)?;
        let path = self.folder.join("in-use");
        // Only read where it is there: whoever may read the cache may use it.
        let lock = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => File::create(&path),
            opened => opened,
        };
        let lock = lock.map_err(FileError::at("open", &path))?;
        if lock.try_lock().is_ok() {
            let archive = self.kind(Kind::Archive);
            let mut folders = vec![archive.join("by-hash/sha256"), archive.join("releases")];
            folders.push(self.folder.clone());
            folders.extend(Kind::ALL.map(|kind| self.kind(kind)));
            for folder in folders.iter().chain(out) {
                let removed = file::remove_unfinished(folder);
                if removed.is_err() && users::remove_unfinished(folder).is_ok() {
                    continue; // a killed build left files of users that only its namespace had
                }
                removed?;
            }
            lock.unlock().map_err(FileError::at("unlock", &path))?;
        }
        lock.lock_shared().map_err(FileError::at("lock", &path))?;
        Ok(InUse { lock })
    }

    /// The folder of one kind.
    pub(crate) fn kind(&self, kind: Kind) -> PathBuf {
        self.folder.join(kind.name())
    }

    /// Where the folder that was made from what `key` digests is, or would be.
    pub(crate) fn path(&self, kind: Kind, key: &Digest) -> PathBuf {
        self.kind(kind).join(key.short())
    }

    /// The folder that was made from what `key` digests; made by `fill` if it is not there yet.
    ///
    /// # Errors
    ///
    /// What `fill` fails with; the cache is then as it was before.
    pub(crate) fn folder(
        &self,
        kind: Kind,
        key: &Digest,
        fill: impl FnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<PathBuf, Failure> {
        let folder = self.path(kind, key);
        if !folder.is_dir() {
            file::create_folder(&folder, fill)?;
        }
        Ok(folder)
    }
}

/// `forge cache …`
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Print what the cache holds and how large it is
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete all of it, or one kind
    Clear {
        /// Only this kind
        kind: Option<Kind>,
    },
}

#[derive(serde::Serialize)]
struct Row {
    kind: &'static str,
    folder: PathBuf,
    entries: u64,
    bytes: u64,
}

impl Command {
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Show { json } => show(&context.cache, json, out),
            Self::Clear { .. } if !context.in_use.is_alone() => Err(Busy.into()),
            Self::Clear { kind } => clear(&context.cache, kind, out),
        }
    }
}

fn show(cache: &Cache, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for kind in Kind::ALL {
        let folder = cache.kind(kind);
        let entries = if folder.is_dir() { kind.entries(&folder)? } else { 0 };
        let bytes = if folder.is_dir() { disk_bytes(&folder)? } else { 0 };
        rows.push(Row { kind: kind.name(), folder, entries, bytes });
    }
    let print = |out: &mut dyn Write| {
        if json {
            return writeln!(out, "{}", serde_json::json!(rows));
        }
        writeln!(out, "{:<10} {:>8} {:>10}  folder", "kind", "entries", "size")?;
        for row in &rows {
            let size = ByteSize(row.bytes);
            let folder = row.folder.display();
            writeln!(out, "{:<10} {:>8} {size:>10}  {folder}", row.kind, row.entries)?;
        }
        Ok(())
    };
    Ok(print(out).map_err(FileError::at("write to", "standard output"))?)
}

fn clear(cache: &Cache, kind: Option<Kind>, out: &mut dyn Write) -> Result<(), Failure> {
    for kind in Kind::ALL.into_iter().filter(|k| kind.is_none_or(|wanted| wanted == *k)) {
        let folder = cache.kind(kind);
        if folder.is_dir() {
            let bytes = ByteSize(disk_bytes(&folder)?);
            file::remove_folder(&folder)?;
            writeln!(out, "removed {} ({bytes})", folder.display())
                .map_err(FileError::at("write to", "standard output"))?;
        }
    }
    Ok(())
}

/// How much of the disk the files below `folder` take.
fn disk_bytes(folder: &Path) -> Result<u64, FileError> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(FileError::at("read", folder))? {
        let entry = entry.map_err(FileError::at("read", folder))?;
        let metadata = entry.metadata().map_err(FileError::at("read", entry.path()))?;
        bytes += metadata.blocks() * 512;
        if metadata.is_dir() {
            bytes += disk_bytes(&entry.path())?;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_as_a_person_would() {
        let dir = tempfile::tempdir().unwrap();
        #[rustfmt::skip]
        let files = [
            "archive/by-hash/sha256/a", "archive/by-hash/sha256/b", "archive/releases/trixie",
            "curated/a.deb", "curated/a.json",
            "kernel/lock", "kernel/work/source/x", "kernel/a/bzImage", "kernel/a/config", "kernel/b/bzImage",
            "layers/a/layer.json",
        ];
        for path in files {
            file::replace(&dir.path().join(path), b"").unwrap();
        }
        let mut out = Vec::new();
        show(&Cache::new(dir.path().to_owned()), true, &mut out).unwrap();
        let rows: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let rows = rows.as_array().unwrap().iter();
        let counts: Vec<_> =
            rows.map(|row| (row["kind"].as_str(), row["entries"].as_u64())).collect();
        #[rustfmt::skip]
        let expected = [
            ("archive", 3), ("built", 0), ("curated", 1), ("roots", 0), ("kernel", 2), ("programs", 0), ("layers", 1),
        ];
        assert_eq!(counts, expected.map(|(kind, count)| (Some(kind), Some(count))));
    }
}
