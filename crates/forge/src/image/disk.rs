//! Sparse disks: volumes written at their place, blocks of zeros left out.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use base::ByteSize;
use base::file::FileError;

const BLOCK: usize = 64 * 1024;

/// Copies `source` to `target`, from byte `offset` on; blocks of zeros stay holes.
///
/// # Errors
///
/// Whatever reading or writing fails with.
pub(crate) fn copy_sparse(
    source: &mut impl Read,
    target: &mut File,
    offset: u64,
) -> io::Result<u64> {
    let mut block = vec![0; BLOCK];
    let mut position = offset;
    loop {
        let length = read_full(source, &mut block)?;
        if length == 0 {
            return Ok(position - offset);
        }
        let bytes = &block[..length];
        if bytes.iter().any(|byte| *byte != 0) {
            target.seek(SeekFrom::Start(position))?;
            target.write_all(bytes)?;
        }
        position += length as u64;
    }
}

fn read_full(source: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match source.read(&mut block[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// How much of its disk the file at `path` takes: holes do not count.
///
/// # Errors
///
/// [`FileError`] naming `path`.
pub(crate) fn used_bytes(path: &Path) -> Result<ByteSize, FileError> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path).map_err(FileError::at("read", path))?;
    Ok(ByteSize(metadata.blocks() * 512))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_take_no_room_and_everything_else_arrives() {
        let mut content = vec![0; 3 << 20];
        content[5] = 1;
        content[(2 << 20) + 1..(2 << 20) + 4].copy_from_slice(&[7, 8, 9]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let mut disk = File::create(&path).unwrap();
        disk.set_len(4 << 20).unwrap();
        let copied = copy_sparse(&mut content.as_slice(), &mut disk, 1 << 20).unwrap();
        disk.sync_all().unwrap();

        assert_eq!(copied, 3 << 20);
        assert_eq!(fs::read(&path).unwrap()[1 << 20..], content);
        assert!(used_bytes(&path).unwrap() < ByteSize(1 << 20));
    }
}
