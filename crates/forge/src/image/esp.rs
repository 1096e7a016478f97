//! The EFI system partition: a FAT32 volume made in memory, the same bytes for the same files.
//!
//! Source: UEFI Specification 2.11, section 13.3 "File System Format"; FAT32 needs at least 65 525
//! clusters, so with 512-byte clusters no volume is smaller than 33 MiB.

use std::collections::BTreeMap;
use std::io::Cursor;

use base::{Digest, Explain};
use hadris_fat::format::{FatFormatOptions, FatTypeSelection, FatVolumeFormatter};
use hadris_fat::time::EpochTimeProvider;
use hadris_fat::{FatDir, FatVolume, FatVolumeWriteExt};

/// The volume could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EspError {
    #[error("cannot make the EFI system partition")]
    Fat(#[from] hadris_fat::Error),
    #[error("{path} does not fit on the EFI system partition of {capacity} bytes")]
    Full { path: String, capacity: usize },
}

impl Explain for EspError {}

static CLOCK: EpochTimeProvider = EpochTimeProvider;

type Volume = FatVolume<Cursor<Vec<u8>>>;

/// A FAT32 volume of `bytes` bytes that holds `files`, by path from its root (`EFI/BOOT/…`).
///
/// # Errors
///
/// [`EspError::Full`] names the first file that has no room.
pub(crate) fn make(files: &BTreeMap<String, Vec<u8>>, bytes: usize) -> Result<Vec<u8>, EspError> {
    let options = FatFormatOptions::new(bytes as u64)
        .fat_type(FatTypeSelection::Fat32)
        .sectors_per_cluster(1)
        .volume_id(volume_id(files));
    let formatted = FatVolumeFormatter::format(Cursor::new(vec![0; bytes]), options)?;
    // Opening reads from where the cursor is: the formatter left it elsewhere.
    let formatted = Cursor::new(formatted.into_inner().into_inner());
    let volume = FatVolume::builder(formatted).time_provider(&CLOCK).open()?;
    let total: usize = files.values().map(Vec::len).sum();
    // Clusters and two FATs take a little more; the volume itself says no where this is too kind.
    if let Some((path, _)) = files.last_key_value().filter(|_| total + total / 32 > bytes) {
        return Err(EspError::Full { path: path.clone(), capacity: bytes });
    }
    for (path, content) in files {
        write(&volume, path, content)?;
    }
    Ok(volume.into_inner().into_inner())
}

fn write(volume: &Volume, path: &str, content: &[u8]) -> Result<(), EspError> {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut folder = volume.root_dir();
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        folder = subfolder(volume, &folder, part)?;
    }
    let entry = volume.create_file(&folder, name)?;
    let mut writer = volume.write_file(&entry)?;
    let mut rest = content;
    while !rest.is_empty() {
        let written = writer.write(rest)?;
        rest = &rest[written..];
    }
    writer.finish()?;
    Ok(())
}

fn subfolder<'a>(
    volume: &'a Volume,
    folder: &FatDir<'a, Cursor<Vec<u8>>>,
    name: &str,
) -> Result<FatDir<'a, Cursor<Vec<u8>>>, EspError> {
    if let Some(entry) = folder.find(name)? {
        return Ok(volume.open_dir_entry(&entry)?);
    }
    Ok(volume.create_dir(folder, name)?)
}

/// A serial number that follows from the content.
fn volume_id(files: &BTreeMap<String, Vec<u8>>) -> u32 {
    let mut hasher = base::digest::Hasher::default();
    for (path, content) in files {
        hasher.field(path.as_bytes()).field(Digest::of(content).as_bytes());
    }
    let digest = hasher.finish();
    let bytes = digest.as_bytes();
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> BTreeMap<String, Vec<u8>> {
        BTreeMap::from([
            ("EFI/BOOT/BOOTX64.EFI".to_owned(), vec![1; 70_000]),
            ("EFI/Linux/preon-6.12.117-preon.efi".to_owned(), vec![2; 1_500_000]),
            ("loader/loader.conf".to_owned(), b"timeout 0\n".to_vec()),
        ])
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        assert!(make(&files(), 40 << 20).unwrap() == make(&files(), 40 << 20).unwrap());
    }

    #[test]
    fn fsck_finds_nothing_to_say() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("esp");
        std::fs::write(&path, make(&files(), 40 << 20).unwrap()).unwrap();
        let mut fsck = base::child::Program::new("fsck.vfat").command();
        let output = base::child::run(fsck.arg("-n").arg(&path)).unwrap();
        let text = String::from_utf8_lossy(&output);
        assert!(text.contains("7 files"), "{text}"); // three files, four folders
    }

    #[test]
    fn a_file_that_does_not_fit_is_named() {
        let files = BTreeMap::from([("EFI/big".to_owned(), vec![0; 41 << 20])]);
        let error = make(&files, 40 << 20).unwrap_err();
        assert!(error.to_string().starts_with("EFI/big does not fit"), "{error}");
    }
}
