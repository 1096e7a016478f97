//! Our patches to the source: few, each with what it is for at its head.

use std::fs;
use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use base::{Digest, Explain};

/// A change to the source, in the form that `patch -p1` takes.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    /// The file.
    pub(crate) path: PathBuf,
    /// Stands for its content, words included.
    pub(crate) digest: Digest,
}

/// Why patches could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PatchError {
    /// The folder or a file in it cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The change begins at once.
    #[error("{} does not say what it is for", path.display())]
    NoReason {
        /// The patch.
        path: PathBuf,
    },
}

impl Explain for PatchError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::NoReason { .. } => {
                Some("begin it with a line that says what it does, and why below".into())
            }
        }
    }
}

/// The patches (`*.patch`) in `folder`, in the order of their names; none where there is no folder.
///
/// # Errors
///
/// [`PatchError`].
pub(crate) fn load(folder: &Path) -> Result<Vec<Patch>, PatchError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let at = || FileError::at("list", folder);
    let mut patches = Vec::new();
    for entry in fs::read_dir(folder).map_err(at())? {
        let path = entry.map_err(at())?.path();
        if path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let text = file::read_text(&path)?;
        let head = text.split("\n--- ").next().unwrap_or_default().trim();
        if head.is_empty() || head.starts_with("--- ") {
            return Err(PatchError::NoReason { path });
        }
        patches.push(Patch { digest: Digest::of(text.as_bytes()), path });
    }
    patches.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(patches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_come_in_order_and_each_says_what_it_is_for() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(load(&folder.path().join("none")).unwrap().len(), 0);
        for (name, text) in [
            ("0002-b.patch", "Why b\n---\n--- a/b\n"),
            ("0001-a.patch", "Why a\n--- a/a\n"),
            ("README", ""),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let names = load(folder.path()).unwrap().into_iter().map(|patch| patch.path);
        let names: Vec<_> = names.map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["0001-a.patch", "0002-b.patch"]);

        fs::write(folder.path().join("0003-c.patch"), "--- a/c\n+++ b/c\n").unwrap();
        let error = load(folder.path()).unwrap_err();
        assert!(error.to_string().ends_with("0003-c.patch does not say what it is for"), "{error}");
    }
}
