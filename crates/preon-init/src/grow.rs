//! Growing the data partition to its disk, at every boot: disks are made longer while machines are
//! off, and an image is only as long as what is in it.
//!
//! Each step can be done twice, and a power cut between two leaves a disk that boots: the copy of
//! the table at the end is written first, and the firmware and we read whichever copy is good.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use base::Explain;
use base::file::FileError;
use formats::gpt::{BLOCK, Table, TableError};
use sys::block::{self, Partition};

use crate::disk::Disk;

/// Why the partition is not as long as it could be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GrowError {
    #[error("the partition table of {} does not fit its disk", disk.display())]
    Table { disk: PathBuf, source: TableError },
    #[error("the kernel sees no partition {number} on {}", disk.display())]
    NoPartition { disk: PathBuf, number: u32 },
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for GrowError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Table { disk, .. } | Self::NoPartition { disk, .. } => {
                Some(format!("check that {} is as long as the image written to it", disk.display()))
            }
            Self::File(error) => error.hint(),
        }
    }
}

/// Lets the data partition end where the disk ends, unless somebody has put another one behind it.
pub(crate) fn grow(disk: &Disk) -> Result<(), GrowError> {
    let path = disk.path();
    let in_table = |source| GrowError::Table { disk: path.clone(), source };
    let table = disk.table.grown(block::size(&path)? / BLOCK, disk.number).map_err(in_table)?;
    write(&path, &table).map_err(in_table)??;

    let device = device(disk)?;
    let data = table.numbered().find(|(number, _)| *number == disk.number as usize);
    let Some((_, entry)) = data else { return Ok(()) };
    let (start, length) = (entry.first.bytes(), entry.last.bytes() + BLOCK - entry.first.bytes());
    if block::size(&device)? < length {
        block::resize_partition(&path, Partition { number: disk.number, start, length })?;
    }
    Ok(())
}

/// The device file of the data partition.
pub(crate) fn device(disk: &Disk) -> Result<PathBuf, GrowError> {
    let look = || disk.partition(disk.number);
    if let Some(device) = look()? {
        return Ok(device);
    }
    // A power cut had torn the copy at the start, which we have healed; the kernel reads no other.
    block::reread_partitions(&disk.path())?;
    look()?.ok_or_else(|| GrowError::NoPartition { disk: disk.path(), number: disk.number })
}

/// Writes both copies of the table, where they are not on the disk already.
fn write(path: &Path, table: &Table) -> Result<Result<(), FileError>, TableError> {
    let encoded = table.encode()?;
    let write = || -> io::Result<()> {
        let mut disk = OpenOptions::new().read(true).write(true).open(path)?;
        update(&mut disk, encoded.end_at.bytes(), &encoded.end)?;
        update(&mut disk, 0, &encoded.start)
    };
    Ok(write().map_err(FileError::at("write the partition table of", path)))
}

fn update(disk: &mut File, at: u64, bytes: &[u8]) -> io::Result<()> {
    let mut present = vec![0; bytes.len()];
    disk.seek(SeekFrom::Start(at))?;
    disk.read_exact(&mut present)?;
    if present == bytes {
        return Ok(());
    }
    disk.seek(SeekFrom::Start(at))?;
    disk.write_all(bytes)?;
    disk.sync_all()
}

#[cfg(test)]
mod tests {
    use formats::Guid;
    use formats::gpt::{self, Lba};

    use super::*;

    fn table(blocks: u64) -> Table {
        let id = Guid::from_bytes([1; 16]);
        let partition = gpt::Partition {
            kind: gpt::EFI_SYSTEM,
            id,
            name: "data".into(),
            first: Lba(2048),
            last: Lba(4095),
            attributes: 0,
        };
        Table { disk: id, blocks, partitions: vec![Some(partition)] }
    }

    /// A disk of 8 MiB with a table that was made for one of 4 MiB.
    fn disk(dir: &tempfile::TempDir) -> PathBuf {
        let path = dir.path().join("disk");
        let file = File::create(&path).unwrap();
        file.set_len(4 << 20).unwrap();
        write(&path, &table(8192)).unwrap().unwrap();
        file.set_len(8 << 20).unwrap();
        path
    }

    #[test]
    fn a_disk_that_became_longer_gets_its_table_at_both_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = disk(&dir);
        let grown = table(8192).grown(16384, 1).unwrap();
        write(&path, &grown).unwrap().unwrap();
        assert_eq!(gpt::read(File::open(&path).unwrap()).unwrap(), grown);

        let mut file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all(&[0; 4096]).unwrap(); // the copy at the start is gone
        assert_eq!(gpt::read(File::open(&path).unwrap()).unwrap(), grown);
        write(&path, &grown).unwrap().unwrap();
        let healed = std::fs::read(&path).unwrap();
        assert_eq!(&healed[512..520], b"EFI PART");
    }

    #[test]
    fn a_power_cut_between_the_two_copies_leaves_a_table_that_grows_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = disk(&dir);
        let grown = table(8192).grown(16384, 1).unwrap();
        let encoded = grown.encode().unwrap();
        let mut file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        update(&mut file, encoded.end_at.bytes(), &encoded.end).unwrap();
        let found = gpt::read(File::open(&path).unwrap()).unwrap();
        assert_eq!(found, table(8192));
        assert_eq!(found.grown(16384, 1).unwrap(), grown);
    }
}
