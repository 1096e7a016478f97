//! The boot loader's partition of a host that does not run: beside its data filesystem, on the same disk.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use formats::gpt::{self, EFI_SYSTEM, Table};
use generations::PARTITION_TYPE;
use sys::{Filesystem, Limits, block, mount};

use super::LoaderError;
use crate::Root;

/// Where it is mounted meanwhile, below the host's root.
const PLACE: &str = "/run/preon/loader";
/// Where the devices are.
const DEVICES: &str = "/dev";

/// A partition that is mounted as long as this value lives.
#[derive(Debug)]
pub(super) struct Mounted {
    /// Where.
    pub(super) folder: PathBuf,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // What was written was flushed before; a folder that stays is empty.
        let _ = mount::unmount(&self.folder);
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Mounts the boot loader's partition beside the data filesystem that is mounted below `root`; `None` where that lies on
/// no disk of ours.
///
/// # Errors
///
/// [`LoaderError::Mount`], [`LoaderError::File`].
pub(super) fn mount_beside(root: &Root) -> Result<Option<Mounted>, LoaderError> {
    let data = root.below(generations::DATA);
    if !mount::is_mounted(&data)? {
        return Ok(None); // a copy of a store: its disk may be anybody's
    }
    let device = fs::metadata(&data).map_err(FileError::at("read", &data))?.dev();
    let Some(partition) = find((block::LIST.as_ref(), DEVICES.as_ref()), device)? else {
        return Ok(None);
    };
    let folder = root.below(PLACE);
    file::create_dir_all(&folder)?;
    let limits = Limits { no_programs: true, ..Limits::DATA };
    Filesystem::new("vfat").on(&partition).limits(limits).mount(&folder)?;
    Ok(Some(Mounted { folder }))
}

/// The device of the partition that is of the boot loader's type and on one disk with the partition with this device
/// number, if that one is of our type.
fn find((list, devices): (&Path, &Path), device: u64) -> Result<Option<PathBuf>, FileError> {
    let Some((disk, number)) = block::partition_of(list, device)? else { return Ok(None) };
    let path = devices.join(&disk);
    let table = gpt::read(File::open(&path).map_err(FileError::at("read", &path))?);
    match table.ok().and_then(|table| beside(&table, number)) {
        Some(number) => block::partition_path(list, &disk, number),
        None => Ok(None),
    }
}

/// The number of the only partition of the boot loader's type in a table whose partition `data` is of our type.
fn beside(table: &Table, data: u32) -> Option<u32> {
    let of_kind = |kind| {
        let all = table.numbered().filter(move |(_, it)| it.kind == kind);
        all.filter_map(|(number, _)| u32::try_from(number).ok())
    };
    let mut loaders = of_kind(EFI_SYSTEM);
    let only = loaders.next().filter(|_| loaders.next().is_none());
    only.filter(|_| of_kind(PARTITION_TYPE).any(|number| number == data))
}

#[cfg(test)]
mod tests {
    use formats::Guid;
    use formats::gpt::{Lba, Partition};

    use super::*;

    const DATA: Guid = PARTITION_TYPE;

    fn table(kinds: &[Guid]) -> Table {
        let partition = |(at, kind): (usize, &Guid)| {
            let first = 2048 * (at as u64 + 1);
            let (first, last) = (Lba(first), Lba(first + 2047));
            let (kind, id, name) = (*kind, Guid::from_bytes([7; 16]), String::new());
            Some(Partition { kind, id, name, first, last, attributes: 0 })
        };
        let partitions = kinds.iter().enumerate().map(partition).collect();
        Table { disk: Guid::from_bytes([8; 16]), blocks: 16 * 2048, partitions }
    }

    #[test]
    fn it_is_the_only_one_of_its_type_and_beside_a_data_partition_of_ours() {
        let other = Guid::from_bytes([9; 16]);
        #[rustfmt::skip]
        let cases = [
            (vec![EFI_SYSTEM, DATA],             2, Some(1)),
            (vec![DATA, other, EFI_SYSTEM],      1, Some(3)),
            (vec![EFI_SYSTEM, DATA],             1, None), // that is not where the store is
            (vec![EFI_SYSTEM, other],            2, None), // the disk of another system
            (vec![EFI_SYSTEM, DATA, EFI_SYSTEM], 2, None), // which of the two?
            (vec![other, DATA],                  2, None),
        ];
        for (kinds, data, expected) in cases {
            assert_eq!(beside(&table(&kinds), data), expected, "{kinds:?} {data}");
        }
    }

    #[test]
    fn the_device_number_of_the_data_filesystem_leads_to_the_loaders_device() {
        let dir = tempfile::tempdir().unwrap();
        let (list, devices) = (dir.path().join("list"), dir.path().join("dev"));
        let write = |path: PathBuf, bytes: &[u8]| file::replace(&path, bytes).unwrap();
        for (number, device) in [("1", "8:1\n"), ("2", "8:2\n")] {
            let folder = list.join(format!("sda/sda{number}"));
            write(folder.join("partition"), number.as_bytes());
            write(folder.join("dev"), device.as_bytes());
        }
        let encoded = table(&[EFI_SYSTEM, DATA]).encode().unwrap();
        let end = usize::try_from(encoded.end_at.bytes()).unwrap();
        let mut disk = vec![0; end];
        disk[..encoded.start.len()].copy_from_slice(&encoded.start);
        disk.extend(&encoded.end);
        write(devices.join("sda"), &disk);
        let found = |minor| find((&list, &devices), rustix::fs::makedev(8, minor)).unwrap();
        assert_eq!(found(2), Some("/dev/sda1".into()));
        assert_eq!([found(1), found(3)], [None, None]);
        write(devices.join("sda"), b"no table");
        assert_eq!(found(2), None);
    }
}
