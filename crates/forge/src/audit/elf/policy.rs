//! `os/policy/elf.toml`: what files may do that others may not, and why.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base::Explain;
use base::file::{self, FileError};
use serde::{Deserialize, Serialize};

use crate::recipe::{HostPath, Reason};

/// What the policy allows. Unknown keys are refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    /// Folders in which programs look for libraries before all other places.
    #[serde(default)]
    pub(crate) search: BTreeMap<HostPath, Reason>,
    /// Files that run with more rights than their caller.
    #[serde(default)]
    pub(crate) privileged: BTreeMap<HostPath, Privileged>,
}

/// A file that runs with more rights than its caller.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Privileged {
    /// Whose.
    pub(crate) with: Privilege,
    /// What for.
    pub(crate) reason: Reason,
}

/// Whose rights a program runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Privilege {
    /// Its owner's.
    Setuid,
    /// Its group's.
    Setgid,
    /// Some of root's.
    Capabilities,
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Setuid => "setuid",
            Self::Setgid => "setgid",
            Self::Capabilities => "capabilities",
        })
    }
}

/// Why the policy could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} is not understood\n{message}", path.display())]
    Syntax { path: PathBuf, message: String },
}

impl Explain for PolicyError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Syntax { .. } => Some("docs/audit.md has every key".into()),
        }
    }
}

impl Policy {
    /// Reads the policy at `path`.
    ///
    /// # Errors
    ///
    /// [`PolicyError`].
    pub(crate) fn load(path: &Path) -> Result<Self, PolicyError> {
        toml::from_str(&file::read_text(path)?).map_err(|error| PolicyError::Syntax {
            path: path.to_owned(),
            message: error.to_string(),
        })
    }
}
