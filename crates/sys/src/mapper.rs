//! The device mapper: block devices made of others, such as those whose every read is
//! verified.

mod message;

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use base::file::FileError;

use crate::ioctl;
pub use message::Target;

use message::{Answer, Command, Flags, Message};

/// The kernel's device mapper.
#[derive(Debug)]
pub struct Mapper {
    control: File,
}

impl Mapper {
    /// Opens the device mapper's control device.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming the device, for example in a kernel without it.
    pub fn open() -> Result<Self, FileError> {
        let path = Path::new("/dev/mapper/control");
        let control = OpenOptions::new().read(true).write(true).open(path);
        Ok(Self { control: control.map_err(FileError::at("open", path))? })
    }

    /// Makes a read-only device named `name` that consists of `target`; returns its path.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming `/dev/mapper/NAME`; there is no such device then.
    pub fn create(&self, name: &str, target: &Target) -> Result<PathBuf, FileError> {
        let failed = || FileError::at("make the device", Path::new("/dev/mapper").join(name));
        let created = self.send(Message::new(Command::Create, name, Flags::NONE));
        let minor = created.map_err(failed())?.minor();
        let load = Message::new(Command::LoadTable, name, Flags::READ_ONLY).with(target);
        let resume = Message::new(Command::Suspend, name, Flags::NONE); // without SUSPEND: resume
        match self.send(load).and_then(|_| self.send(resume)) {
            Ok(_) => Ok(PathBuf::from(format!("/dev/dm-{minor}"))),
            Err(error) => {
                // What matters is why it could not be filled, not that it cannot be removed.
                let _ = self.remove(name);
                Err(failed()(error))
            }
        }
    }

    /// Removes the device `name`, as soon as nothing uses it any more.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming `/dev/mapper/NAME`.
    pub fn remove(&self, name: &str) -> Result<(), FileError> {
        self.send(Message::new(Command::Remove, name, Flags::DEFERRED_REMOVE))
            .map(drop)
            .map_err(FileError::at("remove", Path::new("/dev/mapper").join(name)))
    }

    /// Says whether a block of the verified device `name` was found to be corrupt since it was made.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming `/dev/mapper/NAME`.
    pub fn is_corrupt(&self, name: &str) -> Result<bool, FileError> {
        let status = Message::new(Command::TableStatus, name, Flags::NONE);
        self.send(status)
            .map(|answer| answer.status().starts_with('C'))
            .map_err(FileError::at("ask the state of", Path::new("/dev/mapper").join(name)))
    }

    fn send(&self, message: Message) -> io::Result<Answer> {
        let opcode = message.opcode();
        let mut bytes = message.into_bytes()?;
        // SAFETY: every device-mapper command takes a buffer that starts with a `struct dm_ioctl`
        // and reads and writes at most as many bytes of it as its `data_size` says, which `Message`
        // keeps equal to the buffer's length. There are no pointers in it.
        unsafe { ioctl::exchange(&self.control, opcode, bytes.as_mut_slice()) }?;
        Ok(Answer::new(bytes))
    }
}
