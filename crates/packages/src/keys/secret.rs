//! Files of secret keys: readable by their owner only, from the moment they exist.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};

use super::{KeyError, Role};

/// The file of the key `number` (from 1) of a role of TUF.
pub(super) fn path(folder: &Path, role: Role, number: u64) -> PathBuf {
    folder.join(format!("{role}-{number}.pem"))
}

/// Lets nobody but its owner look into the folder of keys.
pub(super) fn restrict_folder(folder: &Path) -> Result<(), FileError> {
    let restricted = fs::set_permissions(folder, Permissions::from_mode(0o700));
    restricted.map_err(FileError::at("restrict", folder))
}

/// Writes a new file, whole or not at all; one that is there is left alone.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let temporary = begin(path, bytes)?;
    let placed = fs::hard_link(&temporary, path);
    let removed = fs::remove_file(&temporary);
    match placed {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(KeyError::Exists(path.to_owned()))
        }
        placed => Ok(placed
            .and(removed)
            .and_then(|()| sync(path))
            .map_err(FileError::at("write", path))?),
    }
}

/// Writes other bytes into a file, all or none of them.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let temporary = begin(path, bytes)?;
    let placed = fs::rename(&temporary, path).and_then(|()| sync(path));
    Ok(placed.map_err(FileError::at("write", path))?)
}

/// Writes the file beside `path` that is to become it. The form of its name is that of unfinished files, which
/// the next rotation removes.
fn begin(path: &Path, bytes: &[u8]) -> Result<PathBuf, FileError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.part"));
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
    let mut file = opened.map_err(FileError::at("create", &temporary))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary); // what failed is the error that matters
        return Err(FileError::at("write", path)(error));
    }
    Ok(temporary)
}

/// Brings the name `path` to the disk.
fn sync(path: &Path) -> std::io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Reads a file that nobody else may read.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    let metadata = fs::metadata(path).map_err(FileError::at("read", path))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(KeyError::Exposed(path.to_owned()));
    }
    Ok(file::read(path)?)
}

/// Makes a key and writes it, as PKCS #8 in PEM.
///
/// Source: RFC 8410, section 7.
pub(super) fn generate(path: &Path) -> Result<SigningKey, KeyError> {
    let mut seed = [0; 32];
    let random = sequoia_openpgp::crypto::random(&mut seed);
    random.map_err(|error| KeyError::Random(error.to_string()))?;
    let key = SigningKey::from_bytes(&seed);
    // Without the public half: OpenSSL reads only that form.
    let pair = KeypairBytes { secret_key: seed, public_key: None };
    let text = pair.to_pkcs8_pem(LineEnding::LF).map_err(|error| KeyError::Malformed {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    write(path, text.as_bytes())?;
    Ok(key)
}

/// All keys of a role of TUF, in the order in which they were made.
pub(super) fn load_all(folder: &Path, role: Role) -> Result<Vec<SigningKey>, KeyError> {
    let mut keys = Vec::new();
    for number in numbers(folder, role, ".pem")? {
        let path = path(folder, role, number);
        let bytes = read(&path)?;
        let text = String::from_utf8_lossy(&bytes);
        let key = SigningKey::from_pkcs8_pem(&text)
            .map_err(|error| KeyError::Malformed { path, reason: error.to_string() })?;
        keys.push(key);
    }
    Ok(keys)
}

/// The number of the next key of a role of TUF.
pub(super) fn next_number(folder: &Path, role: Role) -> Result<u64, KeyError> {
    Ok(numbers(folder, role, ".pem")?.last().map_or(1, |last| last.saturating_add(1)))
}

/// The numbers of the files `role-NUMBER.ending` in `folder`, rising.
pub(super) fn numbers(folder: &Path, role: Role, ending: &str) -> Result<Vec<u64>, KeyError> {
    let mut numbers: Vec<u64> = Vec::new();
    for entry in fs::read_dir(folder).map_err(FileError::at("read", folder))? {
        let entry = entry.map_err(FileError::at("read", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix(role.name()).and_then(|rest| rest.strip_prefix('-'));
        let number = number.and_then(|rest| rest.strip_suffix(ending));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}
