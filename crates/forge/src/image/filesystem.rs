//! The data filesystem: ext4 with the store of a first generation, made from a tar stream without
//! privileges, the same bytes for the same files.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base::child::{self, ChildError, Program};
use base::file::{self, FileError};
use base::{ByteSize, Explain};
use formats::guid::Guid;

/// Block size; also what the journal and the tables are counted in.
const BLOCK: u64 = 4096;
/// Enough for a host that writes much; a grown filesystem keeps the journal that it began with.
const JOURNAL_MB: u64 = 32;
/// Room for tables and folders, and for what a first boot writes before the filesystem has grown.
const SPARE: u64 = 24 << 20;

/// What lies at a path of the new filesystem.
pub(crate) enum Content<'a> {
    /// A folder.
    Folder,
    /// The content of a file of this machine.
    File(&'a Path),
}

/// A filesystem to be made.
pub(crate) struct Plan<'a> {
    /// What it holds, by path from its root; folders before what is in them.
    pub(crate) entries: Vec<(String, Content<'a>)>,
    /// Its name, which also seeds the hashes of its folders.
    pub(crate) uuid: Guid,
    /// The time of everything, seconds since 1970.
    pub(crate) epoch: u64,
}

/// Why the filesystem could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesystemError {
    #[error("cannot make the data filesystem at {}", path.display())]
    Make { path: PathBuf, source: ChildError },
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for FilesystemError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Make { path, source } => source.is_disk_full().then(|| file::free_space(path)),
            Self::File(error) => error.hint(),
        }
    }
}

/// Makes the file `target` with the filesystem in it and says how large it is.
///
/// `mke2fs` must be Debian 13's or later: only these read a tar stream and keep to its times.
///
/// # Errors
///
/// [`FilesystemError`].
pub(crate) fn make(
    mke2fs: &Program,
    plan: &Plan<'_>,
    target: &Path,
) -> Result<ByteSize, FilesystemError> {
    let tar = target.with_extension("tar");
    let content = write_tar(plan, &tar).map_err(FileError::at("write", &tar))?;
    let size = (content + (JOURNAL_MB << 20) + SPARE).next_multiple_of(1 << 20);
    let mut command = mke2fs.command();
    let extended = format!("hash_seed={},lazy_itable_init=0,lazy_journal_init=1", plan.uuid);
    command
        .env("SOURCE_DATE_EPOCH", plan.epoch.to_string())
        .args(["-q", "-F", "-t", "ext4", "-b", &BLOCK.to_string(), "-T", "default"])
        .args(["-i", "16384", "-m", "1", "-L", "preon", "-U", &plan.uuid.to_string()])
        .args(["-J", &format!("size={JOURNAL_MB}"), "-E", &extended])
        .args(["-O", "metadata_csum_seed"])
        .arg("-d")
        .arg(&tar)
        .arg(target)
        .arg((size / BLOCK).to_string());
    let made = child::run(&mut command);
    std::fs::remove_file(&tar).map_err(FileError::at("remove", &tar))?;
    made.map_err(|source| FilesystemError::Make { path: target.to_owned(), source })?;
    Ok(ByteSize(size))
}

/// Writes the entries as a tar stream and gives the bytes of content.
fn write_tar(plan: &Plan<'_>, path: &Path) -> io::Result<u64> {
    let mut total = 0;
    let mut tar = tar::Builder::new(io::BufWriter::new(File::create(path)?));
    for (name, content) in &plan.entries {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(plan.epoch);
        header.set_uid(0);
        header.set_gid(0);
        let (size, mut reader): (u64, Box<dyn Read>) = match content {
            Content::Folder => (0, Box::new(io::empty())),
            Content::File(source) => {
                let file = File::open(source)?;
                (file.metadata()?.len(), Box::new(file))
            }
        };
        let folder = matches!(content, Content::Folder);
        header.set_entry_type(if folder {
            tar::EntryType::Directory
        } else {
            tar::EntryType::Regular
        });
        // What lies here is the system: for root alone.
        header.set_mode(if folder { 0o700 } else { 0o600 });
        header.set_size(size);
        tar.append_data(&mut header, name, &mut reader)?;
        total += size;
    }
    tar.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(total)
}
