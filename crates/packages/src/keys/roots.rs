//! The chain of TUF's roots: each is signed by the root before it and by itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::file;
use ed25519_dalek::SigningKey;

use super::{KeyError, Role};
use crate::tuf::{self, Edition, Root};

/// All roots from the first to the newest; never empty.
pub(super) struct Chain {
    files: BTreeMap<String, Vec<u8>>,
    roots: Vec<Root>,
    newest: Root,
}

fn name(version: u64) -> String {
    format!("{version}.root.json")
}

impl Chain {
    /// Reads the roots in `folder`; `None` if there is no first one.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if one cannot be read, or is not signed by the one before it.
    pub(super) fn load(folder: &Path) -> Result<Option<Self>, KeyError> {
        let mut files = BTreeMap::new();
        let mut roots: Vec<Root> = Vec::new();
        for version in 1.. {
            let path = folder.join(name(version));
            if !path.is_file() {
                break;
            }
            let bytes = file::read(&path)?;
            roots.push(checked(&path, &bytes, roots.last(), version)?);
            files.insert(name(version), bytes);
        }
        let newest = roots.last().cloned();
        Ok(newest.map(|newest| Self { files, roots, newest }))
    }

    pub(super) fn newest(&self) -> &Root {
        &self.newest
    }

    pub(super) fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    pub(super) fn roots(&self) -> impl DoubleEndedIterator<Item = &Root> {
        self.roots.iter()
    }
}

fn checked(
    path: &Path,
    bytes: &[u8],
    before: Option<&Root>,
    version: u64,
) -> Result<Root, KeyError> {
    let bad = |source| KeyError::Root { path: PathBuf::from(path), source };
    let root = tuf::read_root(bytes).map_err(bad)?;
    if let Some(before) = before {
        tuf::read::<Root>(bytes, Role::Root.name(), [before]).map_err(bad)?;
    }
    if root.head.version != version {
        return Err(bad(tuf::TufError::Other));
    }
    Ok(root)
}

/// Writes a root that names the keys of `signers`; signed by the old root's key, too.
pub(super) fn write(
    folder: &Path,
    edition: Edition,
    signers: &BTreeMap<Role, SigningKey>,
    old: Option<&SigningKey>,
) -> Result<(), KeyError> {
    let keys = signers.iter().map(|(role, key)| (role.name(), key.verifying_key()));
    let root = Root::new(edition, keys);
    let new = &signers[&Role::Root];
    let old = old.filter(|old| old.verifying_key() != new.verifying_key());
    let by: Vec<_> = old.into_iter().chain([new]).collect();
    Ok(file::replace(&folder.join(name(edition.version)), &tuf::sign(&root, &by))?)
}
