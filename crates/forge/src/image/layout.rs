//! The disk of an image: an EFI system partition and the data partition, which fills the rest and
//! grows with the disk at the first boot.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use base::digest::Hasher;
use base::file::FileError;
use base::{Digest, Explain};
use formats::gpt::{self, Lba, Partition, Table, TableError};
use formats::guid::Guid;

use super::disk::copy_sparse;
use super::esp::{self, EspError};

/// Partitions begin on a multiple of it, as every modern tool wants.
const ALIGNMENT: u64 = 1 << 20;
/// Room for a boot loader and for the unified kernel images of two kernels and a spare one.
const ESP_BYTES: u64 = 128 << 20;

/// Why a disk could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayoutError {
    #[error("cannot lay out the disk")]
    Table(#[from] TableError),
    #[error(transparent)]
    Esp(#[from] EspError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for LayoutError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Table(_) | Self::Esp(_) => None,
        }
    }
}

/// What goes onto a disk.
pub(crate) struct Disk<'a> {
    /// The files of the EFI system partition.
    pub(crate) esp: BTreeMap<String, Vec<u8>>,
    /// The data filesystem.
    pub(crate) data: &'a Path,
    /// What the disk and its partitions are named after.
    pub(crate) identity: Digest,
}

/// Writes the disk to `target`.
///
/// # Errors
///
/// [`LayoutError`].
pub(crate) fn write(disk: &Disk<'_>, target: &Path) -> Result<(), LayoutError> {
    let mut data = File::open(disk.data).map_err(FileError::at("read", disk.data))?;
    let data_bytes = data.metadata().map_err(FileError::at("read", disk.data))?.len();
    let data_start = ALIGNMENT + ESP_BYTES;
    let end = (data_start + data_bytes).next_multiple_of(ALIGNMENT);
    let table = table(disk, &[ALIGNMENT, data_start, end]);
    let encoded = table.encode()?;
    let esp = esp::make(&disk.esp, ESP_BYTES as usize)?;
    let mut write = || -> io::Result<()> {
        let mut file = File::create(target)?;
        file.set_len(end + ALIGNMENT)?;
        file.write_all(&encoded.start)?;
        file.seek(SeekFrom::Start(encoded.end_at.bytes()))?;
        file.write_all(&encoded.end)?;
        copy_sparse(&mut esp.as_slice(), &mut file, ALIGNMENT)?;
        copy_sparse(&mut data, &mut file, data_start)?;
        file.sync_all()
    };
    Ok(write().map_err(FileError::at("write", target))?)
}

/// The partition table; `borders` are the bytes at which the partitions meet.
fn table(disk: &Disk<'_>, borders: &[u64; 3]) -> Table {
    let name = |what: &str| {
        let mut hasher = Hasher::default();
        hasher.field(what.as_bytes()).field(disk.identity.as_bytes());
        Guid::from_digest(&hasher.finish())
    };
    let partition = |what: &str, kind, from: u64, to: u64| Partition {
        kind,
        id: name(what),
        name: what.to_owned(),
        first: Lba(from / gpt::BLOCK),
        last: Lba(to / gpt::BLOCK - 1),
        attributes: 0,
    };
    let [esp, data, end] = *borders;
    Table {
        disk: name("disk"),
        blocks: (end + ALIGNMENT) / gpt::BLOCK,
        partitions: vec![
            Some(partition("esp", gpt::EFI_SYSTEM, esp, data)),
            Some(partition("preon", generations::PARTITION_TYPE, data, end)),
        ],
    }
}
