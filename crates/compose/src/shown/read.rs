//! Reading what layers are made of.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use base::file::{self, FileError};
use base::{Digest, Explain, parallel};
use formats::PackageName;
use packages::control::{BadControl, Control};
use packages::copyright::Licences;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::entry::{self, BadEntry, Entry};
use super::{Description, FOLDER, Package, Parts, Shown, WHOLE};
use crate::facts::Facts;
use crate::path::UsrPath;
use crate::tree::{Content, Kind, Known, Node, Origin};

/// How many files are read at once.
pub(super) const READERS: usize = 8;

/// The version of both structures.
pub(super) const FORMAT: u32 = 1;

/// What a host shows cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum ShownError {
    /// It does not say what it is made of.
    #[error("{} is missing: nothing says what this system is made of", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It says so in another way.
    #[error("{} has format {found}, but only format {FORMAT} is understood", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It is not JSON, or says something else.
    #[error("{} is malformed", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for ShownError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => {
                Some("this is no Preon OS host, or one of an older version".into())
            }
            Self::Format { .. } => Some("update to a whole new image".into()),
            Self::Malformed { .. } => {
                Some("`preon verify` tells whether the disk is damaged".into())
            }
            Self::File(error) => error.hint(),
        }
    }
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    #[serde(rename = "format")]
    _format: u32,
    description: Description,
    composed: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    control: String,
    digest: Digest,
    suite: String,
    bytes: u64,
    licences: Option<Licences>,
    entries: Vec<Entry>,
}

impl Shown {
    /// Reads what `usr` (a host's `/usr`, or another stack of layers) says that it is made of.
    ///
    /// # Errors
    ///
    /// [`ShownError`].
    pub fn read(usr: &Path) -> Result<Self, ShownError> {
        let path = below(usr, WHOLE);
        let text = match file::read(&path) {
            Err(error) if error.source.kind() == ErrorKind::NotFound => {
                return Err(ShownError::Missing { path });
            }
            text => text?,
        };
        let Format { format: found } = parse(&path, &text)?;
        if found != FORMAT {
            return Err(ShownError::Format { path, found });
        }
        let Whole { description, composed, .. } = parse(&path, &text)?;
        let mut composed = entry::nodes(composed, &Origin::Composed, usr)
            .map_err(|error| malformed(&path, error))?;
        let known = Known {
            length: text.len() as u64,
            digest: Some(Digest::of(&text)),
            facts: Facts::default(),
        };
        let itself = Kind::File(Arc::new(Content::shown(path, known)));
        composed.push((UsrPath::fixed(WHOLE), Node::new(itself, Origin::Composed)));
        let packages = packages(&below(usr, FOLDER), usr)?;
        Ok(Self { description, packages, composed, tree: OnceLock::new() })
    }
}

impl Package {
    /// Reads what `usr` says about one package.
    ///
    /// # Errors
    ///
    /// [`ShownError`], also if there is no such package.
    pub fn read(usr: &Path, name: &PackageName) -> Result<Self, ShownError> {
        Self::read_file(&below(usr, FOLDER).join(format!("{name}.json")), usr)
    }

    fn read_file(path: &Path, usr: &Path) -> Result<Self, ShownError> {
        let Written { control, digest, suite, bytes, licences, entries } =
            parse(path, &file::read(path)?)?;
        let control: Control =
            Control::parse(&control).map_err(|error: BadControl| malformed(path, error))?;
        let origin = Origin::Package(control.name().clone());
        let nodes = entry::nodes(entries, &origin, usr)
            .map_err(|error: BadEntry| malformed(path, error))?;
        Ok(Self(Arc::new(Parts { control, digest, suite, bytes, licences, nodes })))
    }
}

/// Where a path of the host (`usr/lib`) is below this `/usr`.
fn below(usr: &Path, path: &str) -> PathBuf {
    usr.join(path.strip_prefix("usr/").unwrap_or(path))
}

/// All packages that are written down in `folder`, by name.
fn packages(folder: &Path, usr: &Path) -> Result<Vec<Package>, ShownError> {
    let unread = |error| FileError::at("read", folder)(error);
    let entries = fs::read_dir(folder).map_err(unread)?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let paths = paths.map_err(FileError::at("read", folder))?;
    // More threads than processors: they wait for the disk most of the time.
    let read = parallel::each(&paths, READERS, |path| Package::read_file(path, usr));
    let mut packages = read.into_iter().collect::<Result<Vec<_>, _>>()?;
    packages.sort_by(|one, other| one.control().name().cmp(other.control().name()));
    Ok(packages)
}

fn parse<T: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T, ShownError> {
    serde_json::from_slice(text).map_err(|error| malformed(path, error))
}

fn malformed(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> ShownError {
    ShownError::Malformed { path: path.to_owned(), source: Box::new(source) }
}
