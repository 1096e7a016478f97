//! Files as block devices, for reading.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use base::file::FileError;
use linux_raw_sys::loop_device::{
    _bindgen_ty_1 as Flags, LOOP_CONFIGURE, LOOP_CTL_GET_FREE, loop_config, loop_info64,
};
use rustix::io::Errno;

use crate::ioctl;

/// A file that can be read as a block device.
///
/// The device goes away when this value is dropped and nothing else (a mount, a mapping) uses it.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
    _open: File,
}

impl LoopDevice {
    /// Shows the file at `path` as a read-only block device with blocks of 4096 bytes.
    ///
    /// Where the file's filesystem can, blocks are read past the page cache: whoever mounts the device keeps them already.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming the file or the device.
    pub fn attach(path: &Path) -> Result<Self, FileError> {
        const ATTEMPTS: u32 = 64; // between "which is free?" and "this one" others may take it
        let control_path = Path::new("/dev/loop-control");
        let backing = File::open(path).map_err(FileError::at("open", path))?;
        let control = File::open(control_path).map_err(FileError::at("open", control_path))?;
        for _ in 0..ATTEMPTS {
            let number = free(&control).map_err(FileError::at("ask", control_path))?;
            let device = PathBuf::from(format!("/dev/loop{number}"));
            let open = OpenOptions::new()
                .read(true)
                .open(&device)
                .map_err(FileError::at("open", &device))?;
            match configure(&open, &backing) {
                Ok(()) => return Ok(Self { path: device, _open: open }),
                Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {}
                Err(error) => {
                    return Err(FileError::at("make a block device of", path)(error));
                }
            }
        }
        let busy = io::Error::from(io::ErrorKind::ResourceBusy);
        Err(FileError::at("find a free loop device for", path)(busy))
    }

    /// The device: `/dev/loopN`.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn free(control: &File) -> io::Result<i32> {
    // SAFETY: LOOP_CTL_GET_FREE takes no argument; the number is its result.
    unsafe { ioctl::number(control, LOOP_CTL_GET_FREE, 0) }
}

fn configure(device: &File, backing: &File) -> io::Result<()> {
    // The kernel leaves out direct I/O that the filesystem cannot do.
    let flags = [Flags::LO_FLAGS_READ_ONLY, Flags::LO_FLAGS_AUTOCLEAR, Flags::LO_FLAGS_DIRECT_IO];
    let flags = flags.into_iter().fold(0, |all, flag| all | flag as u32);
    let info = loop_info64 {
        lo_device: 0,
        lo_inode: 0,
        lo_rdevice: 0,
        lo_offset: 0,
        lo_sizelimit: 0,
        lo_number: 0,
        lo_encrypt_type: 0,
        lo_encrypt_key_size: 0,
        lo_flags: flags,
        lo_file_name: [0; 64],
        lo_crypt_name: [0; 64],
        lo_encrypt_key: [0; 32],
        lo_init: [0; 2],
    };
    let mut config = loop_config {
        fd: backing.as_raw_fd().cast_unsigned(),
        block_size: 4096,
        info,
        __reserved: [0; 8],
    };
    // SAFETY: LOOP_CONFIGURE takes a `struct loop_config`, which holds no pointers; any bytes are
    // a valid one.
    unsafe { ioctl::exchange(device, LOOP_CONFIGURE, &mut config) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use base::ByteSize;
    use rustix::fs::{Mode, OFlags};

    use super::*;
    use crate::block;

    #[test]
    fn a_loop_device_shows_the_file_and_refuses_writes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let bytes: Vec<u8> = (0..8192_u32).map(|n| (n % 251) as u8).collect();
        fs::write(&path, &bytes).unwrap();
        let device = LoopDevice::attach(&path).unwrap();
        assert_eq!(fs::read(device.path()).unwrap(), bytes);
        assert_eq!(block::size(device.path()).unwrap(), 8192);
        let mut writer = OpenOptions::new().write(true).open(device.path()).unwrap();
        assert!(writer.write_all(&[1; 4096]).and_then(|()| writer.sync_all()).is_err());
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_device_is_read_ahead_as_far_as_it_was_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, [0; 8192]).unwrap();
        let device = LoopDevice::attach(&path).unwrap();
        let name = device.path().file_name().unwrap();
        let setting = Path::new("/sys/block").join(name).join("queue/read_ahead_kb");
        for kilobytes in [512, 64] {
            block::set_read_ahead(device.path(), ByteSize(kilobytes * 1024)).unwrap();
            assert_eq!(fs::read_to_string(&setting).unwrap(), format!("{kilobytes}\n"));
        }
    }

    #[test]
    fn what_is_read_is_not_kept_twice_where_the_filesystem_can_read_directly() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, [0; 8192]).unwrap();
        let direct = rustix::fs::open(&path, OFlags::RDONLY | OFlags::DIRECT, Mode::empty());
        let device = LoopDevice::attach(&path).unwrap();
        let name = device.path().file_name().unwrap();
        let is_direct = fs::read_to_string(Path::new("/sys/block").join(name).join("loop/dio"));
        assert_eq!(is_direct.unwrap().trim() == "1", direct.is_ok());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = LoopDevice::attach(Path::new("/no/such/layer.erofs")).unwrap_err();
        assert_eq!(error.to_string(), "cannot open /no/such/layer.erofs");
    }
}
