//! Growing ext4 while it is mounted.

use std::fs::File;
use std::io;
use std::path::Path;

use base::ByteSize;
use base::file::FileError;
use linux_raw_sys::ioctl::EXT4_IOC_RESIZE_FS;

use crate::ioctl;

/// Grows the ext4 filesystem mounted at `target` to `size` (of its partition); journalled, so that
/// a power cut does no harm. Does nothing when it has that size. A remainder that is too small for
/// a block group stays unused.
///
/// # Errors
///
/// [`FileError`] naming `target`, also when the filesystem would have to shrink.
///
/// Source: Linux, `Documentation/filesystems/ext4/ioctl.rst`, "EXT4_IOC_RESIZE_FS".
pub fn grow(target: &Path, size: ByteSize) -> Result<(), FileError> {
    let grow = || -> io::Result<()> {
        let folder = File::open(target)?;
        let block_bytes = u64::try_from(rustix::fs::fstatfs(&folder)?.f_bsize).unwrap_or(0);
        let mut blocks = size.0.checked_div(block_bytes).unwrap_or(0);
        // SAFETY: EXT4_IOC_RESIZE_FS takes a pointer to a 64-bit count of blocks and reads it.
        unsafe { ioctl::exchange(&folder, EXT4_IOC_RESIZE_FS, &mut blocks) }?;
        Ok(())
    };
    grow().map_err(FileError::at("grow the filesystem at", target))
}
