//! `os/kernel/package.toml`: what is ours in the version of the kernels' packages.

use std::path::{Path, PathBuf};

use base::Explain;
use base::file::{self, FileError};
use serde::Deserialize;

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Package {
    revision: std::num::NonZeroU32,
}

/// The file does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RevisionError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: {message}", path.display())]
    Malformed { path: PathBuf, message: String },
}

impl Explain for RevisionError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Malformed { .. } => Some("it has one line: `revision = 1`, or more".into()),
        }
    }
}

/// The number behind `+0preon` in the version of a kernel's package.
///
/// # Errors
///
/// [`RevisionError`] with line and column.
pub(crate) fn load(path: &Path) -> Result<u32, RevisionError> {
    let package: Package = toml::from_str(&file::read_text(path)?).map_err(|error| {
        RevisionError::Malformed { path: path.into(), message: error.to_string() }
    })?;
    Ok(package.revision.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_counts_from_one_and_stands_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("package.toml");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            load(&path).map_err(|error| error.to_string())
        };
        assert_eq!(load("# why\nrevision = 2\n"), Ok(2));
        for text in ["", "revision = 0", "revision = \"1\"", "revision = 1\nother = 1"] {
            assert!(load(text).unwrap_err().contains("package.toml"), "{text}");
        }
    }
}
