//! Unpacking what somebody else has packed: plain files at the places where a bundle has them, or nothing.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use base::ByteSize;
use base::file::{self, FileError};
use base::output::plain;
use tar::{Entry, EntryType};

use super::BundleError;

/// What says what a bundle is.
pub(super) const CONTENTS: &str = "bundle.json";
/// The folder of all repositories.
pub(super) const REPOSITORIES: &str = "repositories";

/// The longest `bundle.json`, in bytes.
const LONGEST: u64 = 1 << 20;
/// The most files.
const MOST: usize = 100_000;

/// Unpacks the bundle at `path` into the empty folder `to`.
pub(super) fn unpack(path: &Path, to: &Path) -> Result<(), BundleError> {
    let damaged = |source| BundleError::Damaged { path: path.to_owned(), source };
    let file = File::open(path).map_err(FileError::at("read", path))?;
    let mut archive = tar::Archive::new(BufReader::new(file));
    let mut room = file::free_bytes(to)?;
    // Raw: long names and the like are entries of their own, which no bundle has.
    let entries = archive.entries().map_err(damaged)?.raw(true);
    for (count, entry) in entries.enumerate() {
        let mut entry = entry.map_err(damaged)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let place = place(&entry, &name).filter(|_| count < MOST);
        let strange = || BundleError::Strange { path: path.to_owned(), name: plain(&name) };
        let target = to.join(place.ok_or_else(strange)?);
        let size = entry.size();
        if size > room {
            return Err(BundleError::NoRoom { needed: ByteSize(size), free: ByteSize(room) });
        }
        room -= size;
        file::create_dir_all(target.parent().unwrap_or(to))?;
        let mut file = File::create_new(&target).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => strange(),
            _ => FileError::at("write", &target)(error).into(),
        })?;
        match io::copy(&mut entry, &mut file) {
            Ok(written) if written == size => {}
            Ok(_) => return Err(damaged(ErrorKind::UnexpectedEof.into())),
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                return Err(FileError::at("write", &target)(error).into());
            }
            Err(error) => return Err(damaged(error)),
        }
    }
    if to.join(CONTENTS).exists() { Ok(()) } else { Err(damaged(ErrorKind::UnexpectedEof.into())) }
}

/// Where an entry belongs; `None` for what no bundle has.
fn place<R: io::Read>(entry: &Entry<'_, R>, name: &str) -> Option<PathBuf> {
    if entry.header().entry_type() != EntryType::Regular {
        return None;
    }
    if name == CONTENTS {
        return (entry.size() <= LONGEST).then(|| name.into());
    }
    place_of(name)
}

/// Where a file of a repository belongs.
fn place_of(name: &str) -> Option<PathBuf> {
    let word = |word: &&str| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+~:%=".contains(&byte);
        !word.is_empty() && !word.starts_with('.') && word.bytes().all(good)
    };
    let words: Vec<_> = name.split('/').collect();
    if !words.iter().all(word) {
        return None;
    }
    match words.as_slice() {
        [REPOSITORIES, number, "dists", _, "tuf", _] if number.parse::<u16>().is_ok() => {
            Some(name.into())
        }
        [REPOSITORIES, number, "targets", digest, file] if number.parse::<u16>().is_ok() => {
            Some(format!("{REPOSITORIES}/{number}/targets/{digest}.{file}").into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_repository_has_has_a_place() {
        #[rustfmt::skip]
        let cases = [
            ("repositories/0/dists/preon-trixie/tuf/1.root.json", Some("repositories/0/dists/preon-trixie/tuf/1.root.json")),
            ("repositories/0/targets/ab/git_1%3a2~3+4_amd64.deb", Some("repositories/0/targets/ab.git_1%3a2~3+4_amd64.deb")),
            ("repositories/x/targets/ab/git.deb",                 None),
            ("repositories/0/targets/git.deb",                    None),
            ("repositories/0/targets/../git.deb",                 None),
            ("repositories/0/targets/ab/..",                      None),
            ("repositories/0/targets//git.deb",                   None),
            ("/repositories/0/targets/ab/git.deb",                None),
            ("repositories/0/targets/ab/g\nit.deb",               None),
            ("etc/passwd",                                        None),
            ("",                                                  None),
        ];
        for (name, place) in cases {
            assert_eq!(place_of(name), place.map(PathBuf::from), "{name}");
        }
    }
}
