//! Where results go that are not printed: folders that somebody names.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base::file::FileError;
use base::{Explain, Failure};

/// A folder that is to be replaced holds what we never wrote.
#[derive(Debug, thiserror::Error)]
#[error("{} holds {name}, which is not of what would replace it", folder.display())]
struct NotOurs {
    folder: PathBuf,
    name: String,
}

impl Explain for NotOurs {
    fn hint(&self) -> Option<String> {
        Some("name a folder that is empty or not there yet".into())
    }
}

/// Refuses to replace the folder `target` where it holds anything whose name is not among ours: somebody else's
/// files would be lost.
///
/// # Errors
///
/// [`NotOurs`], or a folder that cannot be read.
pub(crate) fn may_replace(target: &Path, is_ours: fn(&str) -> bool) -> Result<(), Failure> {
    let entries = match fs::read_dir(target) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(FileError::at("replace", target))?,
    };
    for entry in entries {
        let name = entry.map_err(FileError::at("read", target))?.file_name();
        let name = name.to_string_lossy().into_owned();
        if !is_ours(&name) {
            return Err(NotOurs { folder: target.to_owned(), name }.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_files_of_others_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let may = || may_replace(folder.path(), |name| name.ends_with(".ours"));
        may().unwrap();
        may_replace(&folder.path().join("absent"), |_| false).unwrap();
        fs::write(folder.path().join("a.ours"), "").unwrap();
        may().unwrap();
        fs::create_dir(folder.path().join(".git")).unwrap();
        let error = may().unwrap_err();
        assert!(error.to_string().contains("holds .git, which"), "{error}");
        assert!(error.hint().is_some());
        may_replace(&folder.path().join("a.ours"), |_| true).unwrap_err();
    }
}
