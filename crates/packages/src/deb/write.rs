//! Writing a package, so that the same content gives the same bytes.

use std::io::{self, Read};

use formats::ar;
use tar::{EntryType, Header};

use super::ahead::XATTR;
use super::entry::{Entry, Kind};
use crate::control::Control;

/// A package in the making: files are added one by one, then it is finished with its control
/// file.
///
/// Owners are numbers without names, times are the caller's, the order is the caller's: nothing
/// of the machine comes in. Where an entry has extended attributes the archive carries a PAX
/// header, which our own tools read and dpkg does not.
pub struct Writer {
    data: tar::Builder<zstd::Encoder<'static, Vec<u8>>>,
    level: i32,
    time: u64,
}

impl Writer {
    /// Starts a package. `level` is zstd's (1 is fast, 19 is small); `time` is that of the control
    /// file, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// What zstd says about the level.
    pub fn new(level: i32, time: u64) -> io::Result<Self> {
        let mut data = tar::Builder::new(zstd::Encoder::new(Vec::new(), level)?);
        data.mode(tar::HeaderMode::Complete);
        Ok(Self { data, level, time })
    }

    /// Adds one file, folder or link. Folders go before what is in them.
    ///
    /// # Errors
    ///
    /// What reading `content` fails with; also if it yields other than `entry.size` bytes.
    pub fn add(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        if !entry.xattrs.is_empty() {
            let keys: Vec<_> =
                entry.xattrs.iter().map(|(name, _)| format!("{XATTR}{name}")).collect();
            let values = entry.xattrs.iter().map(|(_, value)| value.as_slice());
            self.data.append_pax_extensions(keys.iter().map(String::as_str).zip(values))?;
        }
        let mut header = Header::new_gnu();
        header.set_mode(entry.mode);
        header.set_uid(entry.uid.into());
        header.set_gid(entry.gid.into());
        header.set_mtime(entry.mtime);
        header.set_size(0);
        let mut path = entry.path.clone(); // without `./`: the tar crate drops it from short paths only
        let (kind, target) = match &entry.kind {
            Kind::File => (EntryType::Regular, None),
            Kind::Directory => (EntryType::Directory, None),
            Kind::Symlink(target) => (EntryType::Symlink, Some(target.clone())),
            Kind::HardLink(target) => (EntryType::Link, Some(target.clone())),
            Kind::CharacterDevice { .. } => (EntryType::Char, None),
            Kind::BlockDevice { .. } => (EntryType::Block, None),
            Kind::Fifo => (EntryType::Fifo, None),
        };
        header.set_entry_type(kind);
        if let Kind::CharacterDevice { major, minor } | Kind::BlockDevice { major, minor } =
            entry.kind
        {
            header.set_device_major(major)?;
            header.set_device_minor(minor)?;
        }
        if entry.kind == Kind::Directory {
            path.push('/');
        }
        if let Some(target) = target {
            return self.data.append_link(&mut header, path, target);
        }
        if entry.kind != Kind::File {
            return self.data.append_data(&mut header, path, io::empty());
        }
        header.set_size(entry.size);
        let mut content = Exactly { inner: content, left: entry.size };
        self.data.append_data(&mut header, path, &mut content)?;
        content.finish()
    }

    /// Finishes the package and returns its bytes.
    ///
    /// # Errors
    ///
    /// None in practice: everything is in memory.
    pub fn finish(self, control: &Control) -> io::Result<Vec<u8>> {
        let data = self.data.into_inner()?.finish()?;
        let text = control.to_string();
        let mut archive = tar::Builder::new(zstd::Encoder::new(Vec::new(), self.level)?);
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.time);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, "control", text.as_bytes())?;
        let packed = archive.into_inner()?.finish()?;
        let mut bytes = ar::Writer::new(Vec::new())?;
        bytes.member("debian-binary", b"2.0\n")?;
        bytes.member("control.tar.zst", &packed)?;
        bytes.member("data.tar.zst", &data)?;
        Ok(bytes.finish())
    }
}

/// Fails where a reader yields fewer bytes than were promised, or more.
struct Exactly<'a> {
    inner: &'a mut dyn Read,
    left: u64,
}

impl Exactly<'_> {
    fn finish(self) -> io::Result<()> {
        match self.inner.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(io::Error::other("the file is longer than its entry says")),
        }
    }
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::Error::other("the file is shorter than its entry says"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}
