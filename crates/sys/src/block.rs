//! Block devices: which there are, their sizes, their partitions.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use base::ByteSize;
use base::file::FileError;
use linux_raw_sys::ioctl::{BLKGETSIZE64, BLKPG, BLKRASET, BLKRRPART};

use crate::ioctl;

/// Where the kernel lists its block devices.
pub const LIST: &str = "/sys/class/block";

/// The size of the device at `path`, in bytes.
///
/// # Errors
///
/// [`FileError`] naming `path`.
pub fn size(path: &Path) -> Result<u64, FileError> {
    let ask = || -> io::Result<u64> {
        let mut bytes = 0_u64;
        // SAFETY: BLKGETSIZE64 writes a 64-bit number.
        unsafe { ioctl::exchange(&File::open(path)?, BLKGETSIZE64, &mut bytes) }?;
        Ok(bytes)
    };
    ask().map_err(FileError::at("ask the size of", path))
}

/// A partition as the kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number in the partition table, from 1.
    pub number: u32,
    /// Where it starts on the disk, in bytes.
    pub start: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

/// `struct blkpg_partition` of `linux/blkpg.h`.
#[repr(C)]
struct BlkpgPartition {
    start: i64,
    length: i64,
    number: i32,
    device_name: [u8; 64],
    volume_name: [u8; 64],
}

/// `struct blkpg_ioctl_arg` of `linux/blkpg.h`.
#[repr(C)]
struct BlkpgArgument {
    operation: i32,
    flags: i32,
    data_length: i32,
    data: *mut BlkpgPartition,
}

/// Tells the kernel the new length of a partition of the disk at `path`, even while it is mounted.
///
/// # Errors
///
/// [`FileError`] naming `path`, for example when the partition starts elsewhere.
pub fn resize_partition(path: &Path, partition: Partition) -> Result<(), FileError> {
    const RESIZE: i32 = 3; // BLKPG_RESIZE_PARTITION
    let resize = || -> io::Result<()> {
        let number = |n: u64| i64::try_from(n).map_err(io::Error::other);
        let mut data = BlkpgPartition {
            start: number(partition.start)?,
            length: number(partition.length)?,
            number: i32::try_from(partition.number).map_err(io::Error::other)?,
            device_name: [0; 64],
            volume_name: [0; 64],
        };
        let mut argument = BlkpgArgument {
            operation: RESIZE,
            flags: 0,
            data_length: size_of::<BlkpgPartition>() as i32,
            data: &raw mut data,
        };
        // SAFETY: BLKPG takes a `struct blkpg_ioctl_arg` whose `data` points to a `struct
        // blkpg_partition`; both live until the call returns.
        unsafe { ioctl::exchange(&File::open(path)?, BLKPG, &mut argument) }?;
        Ok(())
    };
    resize().map_err(FileError::at("resize a partition of", path))
}

/// Has the kernel read the partition table of the disk at `path` again.
///
/// # Errors
///
/// [`FileError`] naming `path`, for example when one of its partitions is in use.
pub fn reread_partitions(path: &Path) -> Result<(), FileError> {
    let reread = || -> io::Result<()> {
        // SAFETY: BLKRRPART takes no argument.
        unsafe { ioctl::number(&File::open(path)?, BLKRRPART, 0) }?;
        Ok(())
    };
    reread().map_err(FileError::at("read again the partitions of", path))
}

/// Sets how much the kernel reads of the device at `path` around a page that is missing.
///
/// # Errors
///
/// [`FileError`] naming `path`.
pub fn set_read_ahead(path: &Path, size: ByteSize) -> Result<(), FileError> {
    const SECTOR: u64 = 512;
    let set = || -> io::Result<()> {
        let sectors = usize::try_from(size.0 / SECTOR).map_err(io::Error::other)?;
        // SAFETY: BLKRASET takes a number of sectors.
        unsafe { ioctl::number(&File::open(path)?, BLKRASET, sectors) }?;
        Ok(())
    };
    set().map_err(FileError::at("set the read-ahead of", path))
}

/// The names (`sda`, `nvme0n1`) of all disks that hold data of their own: no partitions, no loop or
/// mapped devices, no empty drives. Sorted. `list` is [`LIST`] on a real system.
///
/// # Errors
///
/// [`FileError`] naming `list`.
pub fn disks(list: &Path) -> Result<Vec<String>, FileError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(list).map_err(FileError::at("read", list))? {
        let entry = entry.map_err(FileError::at("read", list))?;
        let device = entry.path();
        if let Ok(name) = entry.file_name().into_string()
            && !device.join("partition").exists()
            && !["loop", "dm-", "ram", "zram"].iter().any(|kind| name.starts_with(kind))
            && attribute(&device, "size") != Some(0)
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The device file (`/dev/sda2`) of partition `number` of `disk`; `None` when the kernel knows no
/// such partition. `list` is [`LIST`] on a real system.
///
/// # Errors
///
/// [`FileError`] naming the disk's folder in `list`.
pub fn partition_path(list: &Path, disk: &str, number: u32) -> Result<Option<PathBuf>, FileError> {
    let folder = list.join(disk);
    for entry in fs::read_dir(&folder).map_err(FileError::at("read", &folder))? {
        let entry = entry.map_err(FileError::at("read", &folder))?;
        if attribute(&entry.path(), "partition") == Some(u64::from(number)) {
            return Ok(Some(Path::new("/dev").join(entry.file_name())));
        }
    }
    Ok(None)
}

/// The disk (`sda`) and the number of the partition whose device number (`st_dev`) this is; `None` where it is no
/// partition of a disk. `list` is [`LIST`] on a real system.
///
/// # Errors
///
/// [`FileError`] naming a folder of `list`.
///
/// Source: Linux, `Documentation/ABI/stable/sysfs-dev`, `dev`: major and minor number.
pub fn partition_of(list: &Path, device: u64) -> Result<Option<(String, u32)>, FileError> {
    let wanted = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    for disk in entries(list)? {
        for partition in entries(&disk)? {
            let is_it = |text: String| text.trim_end() == wanted;
            if !fs::read_to_string(partition.join("dev")).is_ok_and(is_it) {
                continue;
            }
            let number = attribute(&partition, "partition").and_then(|it| it.try_into().ok());
            let name = disk.file_name().and_then(OsStr::to_str);
            return Ok(name.map(str::to_owned).zip(number));
        }
    }
    Ok(None)
}

/// The folders in a folder, by what they are or lead to.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut paths = read().map_err(FileError::at("read", folder))?;
    paths.retain(|path| path.is_dir());
    Ok(paths)
}

fn attribute(device: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(device.join(name)).ok()?.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list as the kernel makes it, but with one level only.
    fn list(devices: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (device, attribute, value) in devices {
            let folder = dir.path().join(device);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(attribute), format!("{value}\n")).unwrap();
        }
        dir
    }

    #[test]
    fn only_whole_disks_with_something_on_them_count() {
        let list = list(&[
            ("vda", "size", "2048"),
            ("vda1", "partition", "1"),
            ("nvme0n1", "size", "2048"),
            ("sr0", "size", "0"), // a drive without a disc
            ("loop0", "size", "8"),
            ("dm-0", "size", "8"),
        ]);
        assert_eq!(disks(list.path()).unwrap(), ["nvme0n1", "vda"]);
    }

    #[test]
    fn a_partition_is_found_by_its_number_however_the_kernel_names_it() {
        let list = list(&[
            ("nvme0n1", "size", "2048"),
            ("nvme0n1/nvme0n1p1", "partition", "1"),
            ("nvme0n1/nvme0n1p12", "partition", "12"),
        ]);
        let path = |number| partition_path(list.path(), "nvme0n1", number).unwrap();
        assert_eq!(path(12), Some("/dev/nvme0n1p12".into()));
        assert_eq!(path(2), None);
    }

    #[test]
    fn a_device_number_leads_to_its_partition_and_to_no_disk() {
        let list = list(&[
            ("vda", "dev", "254:0"),
            ("vda/vda1", "partition", "1"),
            ("vda/vda1", "dev", "254:1"),
            ("vda/vda2", "partition", "2"),
            ("vda/vda2", "dev", "254:17"),
        ]);
        let of = |minor| partition_of(list.path(), rustix::fs::makedev(254, minor)).unwrap();
        assert_eq!(of(17), Some(("vda".to_owned(), 2)));
        assert_eq!([of(0), of(7)], [None, None]); // a whole disk; another one
    }
}
