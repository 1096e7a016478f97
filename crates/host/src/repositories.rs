//! Which repositories a host knows, and what it remembers of them.
//!
//! ```text
//! /etc/preon/repositories/NAME.toml         where it is
//! /etc/preon/repositories/NAME.root.json    the metadata from which all trust in it comes
//! /etc/preon/repositories/NAME.ca.pem       who vouches for its servers of HTTPS, where that is not for all to know
//! /var/lib/preon/repositories/NAME/         the newest metadata that was seen, see `packages::remote`
//! /var/lib/preon/repositories/NAME.json     what the last refresh found
//! /var/cache/preon/archive/                 what was fetched
//! ```

mod add;
mod asked;

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use base::file::{self, FileError};
use base::{Digest, Explain, Failure};
use packages::cache::Cache;
use packages::fetch::{Authorities, FetchOptions, Fetcher, NoAuthorities};
use packages::index::Index;
use packages::remote::{self, Remote, Trusted};
use serde::{Deserialize, Serialize};

use crate::Root;

pub use add::NotAdded;
pub(crate) use asked::named;
pub use asked::{Asked, NotAsked, Silent};

const CONFIGURED: &str = "/etc/preon/repositories";
const REMEMBERED: &str = "/var/lib/preon/repositories";
pub(crate) const CACHE: &str = "/var/cache/preon/archive";

/// What a repository's TOML file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configured {
    /// Where it is, best first: URIs of folders with `dists` and `targets`.
    pub uris: Vec<String>,
    /// The suite.
    pub suite: String,
    /// A file of the host with the certificates, as PEM, of those who alone vouch for its servers of HTTPS; Mozilla's list
    /// where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

impl Configured {
    /// Lets nobody but those in the file `ca`, if there is one, vouch for its servers.
    fn vouch(&self, ca: Option<&Path>, options: &mut FetchOptions) -> Result<(), RepositoryError> {
        if let Some(ca) = ca.map(authorities).transpose()? {
            options.authorities.extend(self.uris.iter().map(|uri| (uri.clone(), ca.clone())));
        }
        Ok(())
    }
}

/// What the last refresh found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The mirror that was believed.
    pub mirror: String,
    /// The number of the publication.
    pub version: u64,
    /// Until when it may be used, seconds since 1970.
    pub valid_until: u64,
    /// How many packages it has.
    pub packages: usize,
    /// Its index, in the cache.
    index: Digest,
}

impl Found {
    /// What is in the index: the same for each publication of the same packages.
    pub(crate) fn index(&self) -> Digest {
        self.index
    }
}

/// A repository whose metadata was verified just now.
pub(crate) struct Opened {
    pub(crate) name: String,
    pub(crate) trusted: Trusted,
    pub(crate) index: Index,
    pub(crate) found: Found,
}

/// What is wrong with a repository.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// No repository can be called so.
    #[error("`{0}` is no name for a repository")]
    Name(String),
    /// Another one is called so.
    #[error("the repository {0} is there already")]
    There(String),
    /// None is called so.
    #[error("there is no repository {0}")]
    Unknown(String),
    /// There is none at all.
    #[error("no repository is known")]
    None,
    /// A file of it is not what it should be.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// What is remembered of it is damaged.
    #[error("what is remembered of a repository in {} cannot be read", path.display())]
    Remembered {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Who vouches for its servers is written in a file that cannot be read.
    #[error("it is not known who vouches for the servers of a repository")]
    NoAuthorities(#[source] FileError),
    /// Nobody is named who vouches for its servers.
    #[error("{} cannot vouch for servers", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NoAuthorities,
    },
    /// It was never refreshed.
    #[error("nothing is known yet of what the repository {0} has")]
    NotRefreshed(String),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for RepositoryError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Name(_) => Some("take letters, digits and hyphens".into()),
            Self::There(name) => Some(format!("remove it first: `preon repo remove {name}`")),
            Self::Unknown(_) => Some("`preon repo list` names all".into()),
            Self::None => Some("add one: `preon repo add NAME URI --root-metadata FILE`".into()),
            Self::Malformed { .. } => {
                Some("see `uris = [\"https://…\"]` and `suite = \"…\"`".into())
            }
            Self::Remembered { .. } => Some("`preon refresh` writes it anew".into()),
            Self::NoAuthorities(_) => Some(
                "put the certificates there, or name another file as `ca` in /etc/preon/repositories".into(),
            ),
            Self::Authorities { source, .. } => source.hint(),
            Self::NotRefreshed(_) => Some("run `preon refresh`".into()),
            Self::File(error) => error.hint(),
        }
    }
}

/// The repositories of a host.
#[derive(Clone, Debug)]
pub struct Repositories<'a>(pub &'a Root);

impl Repositories<'_> {
    /// The names of all, sorted.
    pub fn names(&self) -> Result<Vec<String>, RepositoryError> {
        let folder = self.0.below(CONFIGURED);
        let entries = match folder.read_dir() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(FileError::at("read", &folder))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(FileError::at("read", &folder))?.file_name();
            names.extend(
                name.to_str().and_then(|name| name.strip_suffix(".toml")).map(str::to_owned),
            );
        }
        names.sort();
        Ok(names)
    }

    /// The names of all, of which there is one at least.
    pub fn some(&self) -> Result<Vec<String>, RepositoryError> {
        let names = self.names()?;
        if names.is_empty() { Err(RepositoryError::None) } else { Ok(names) }
    }

    /// What is configured for `name`.
    pub fn configured(&self, name: &str) -> Result<Configured, RepositoryError> {
        let path = self.place(name, "toml")?;
        match file::read_text(&path) {
            Ok(text) => toml::from_str(&text)
                .map_err(|error| RepositoryError::Malformed { path, message: error.to_string() }),
            Err(error) if error.source.kind() == ErrorKind::NotFound => {
                Err(RepositoryError::Unknown(name.to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a repository with all that is remembered of it.
    pub fn remove(&self, name: &str) -> Result<(), RepositoryError> {
        let path = self.place(name, "toml")?;
        if !path.exists() {
            return Err(RepositoryError::Unknown(name.to_owned()));
        }
        remove(&path)?;
        remove(&self.place(name, "root.json")?)?;
        remove(&self.place(name, "ca.pem")?)?;
        self.forget(name)
    }

    fn forget(&self, name: &str) -> Result<(), RepositoryError> {
        remove(&self.found_path(name))?;
        let memory = self.memory(name);
        if memory.exists() {
            file::remove_folder(&memory)?;
        }
        Ok(())
    }

    /// Fetches and verifies the newest metadata and index of `name`, and remembers what it found.
    ///
    /// # Errors
    ///
    /// What is remembered is as before, but for newer metadata, unless it was verified.
    pub fn refresh(&self, name: &str) -> Result<Found, Failure> {
        let fetcher = self.fetcher(&[name.to_owned()], FetchOptions::default())?;
        Ok(self.open(name, self.configured(name)?, &fetcher)?.found)
    }

    /// As [`Repositories::refresh`], of all that are known, whichever of them fails.
    ///
    /// # Errors
    ///
    /// [`RepositoryError`] if none is known.
    pub fn refresh_all(&self) -> Result<Asked<(String, Found)>, RepositoryError> {
        let all = self.some()?.into_iter().map(|name| (name, ()));
        Ok(Asked::each(all.collect(), |name, ()| Ok((name.to_owned(), self.refresh(name)?))))
    }

    /// The newest metadata and index of `name`, which is configured so, fetched and verified now.
    ///
    /// # Errors
    ///
    /// As [`Repositories::refresh`].
    pub(crate) fn open(
        &self,
        name: &str,
        configured: Configured,
        fetcher: &Arc<Fetcher>,
    ) -> Result<Opened, Failure> {
        let trusted = self.remote(name, configured)?.refresh(fetcher)?;
        let index = trusted.index(fetcher)?;
        let found = self.remember(name, &trusted, &index)?;
        Ok(Opened { name: name.to_owned(), trusted, index, found })
    }

    /// Whether a host that knows nothing yet but the root of `name` would believe what is at `uri`; `memory` is an empty
    /// folder.
    pub(crate) fn try_out(
        &self,
        name: &str,
        (uri, memory): (String, PathBuf),
        fetcher: &Arc<Fetcher>,
    ) -> Result<(), Failure> {
        let configured = Configured { uris: vec![uri], ..self.configured(name)? };
        let remote = Remote { memory, ..self.remote(name, configured)? };
        remote.refresh(fetcher)?.index(fetcher)?;
        Ok(())
    }

    fn remote(&self, name: &str, configured: Configured) -> Result<Remote, RepositoryError> {
        let root = file::read(&self.place(name, "root.json")?)?;
        Ok(self.remote_of(configured, root, self.memory(name)))
    }

    fn remote_of(&self, configured: Configured, root: Vec<u8>, memory: PathBuf) -> Remote {
        let Configured { uris: mirrors, suite, .. } = configured;
        Remote { mirrors, suite, root, memory, made: self.made() }
    }

    fn remember(&self, name: &str, trusted: &Trusted, index: &Index) -> Result<Found, Failure> {
        let found = Found {
            mirror: trusted.mirror().to_owned(),
            version: trusted.version(),
            valid_until: trusted.valid_until(),
            packages: index.len(),
            index: trusted.index_file()?.digest,
        };
        let json = serde_json::to_vec_pretty(&found).unwrap_or_default(); // our types always can
        let path = self.found_path(name);
        if file::read(&path).is_ok_and(|before| before == json) {
            return Ok(found); // nothing new: spare the disk
        }
        file::replace(&path, &json)?;
        Ok(found)
    }

    /// What the last refresh found in `name`.
    pub fn found(&self, name: &str) -> Result<Option<Found>, RepositoryError> {
        let path = self.found_path(name);
        match file::read(&path) {
            Ok(json) => match serde_json::from_slice(&json) {
                Ok(found) => Ok(Some(found)),
                Err(source) => Err(RepositoryError::Remembered { path, source }),
            },
            Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The packages that the last refresh found in `name`; for looking only: what is installed is verified anew.
    pub fn index(&self, name: &str) -> Result<Index, Failure> {
        let suite = self.configured(name)?.suite;
        let unknown = || RepositoryError::NotRefreshed(name.to_owned());
        let found = self.found(name)?.ok_or_else(unknown)?;
        let path = self.cache().get(&found.index)?.ok_or_else(unknown)?;
        Ok(remote::read_index(&suite, &path)?)
    }

    /// The packages that the last refresh found in each repository that was refreshed, by its name; for looking only.
    ///
    /// # Errors
    ///
    /// As [`Repositories::index`].
    pub fn known_indexes(&self) -> Result<Vec<(String, Index)>, Failure> {
        let mut indexes = Vec::new();
        for name in self.names()? {
            if self.found(&name)?.is_some() {
                let index = self.index(&name)?;
                indexes.push((name, index));
            }
        }
        Ok(indexes)
    }

    /// Those of `files` that the last refresh of some repository found: its index, and packages that this names.
    ///
    /// # Errors
    ///
    /// If an index cannot be read.
    pub(crate) fn known(&self, files: &BTreeSet<Digest>) -> Result<BTreeSet<Digest>, Failure> {
        let mut known = BTreeSet::new();
        for name in self.names()? {
            let Some(found) = self.found(&name)? else { continue };
            if !files.contains(&found.index) {
                continue; // the next refresh fetches it
            }
            let index = self.index(&name)?;
            let packages = index.stanzas().filter_map(|it| it.download().ok()).map(|it| it.digest);
            known.extend(packages.filter(|digest| files.contains(digest)));
            known.insert(found.index);
        }
        Ok(known)
    }

    /// Where what was fetched is kept.
    pub(crate) fn cache(&self) -> Cache {
        Cache::new(self.0.below(CACHE))
    }

    /// What fetches from these repositories into the host's cache.
    pub(crate) fn fetcher(
        &self,
        names: &[String],
        mut options: FetchOptions,
    ) -> Result<Arc<Fetcher>, Failure> {
        for name in names {
            let configured = self.configured(name)?;
            let ca = configured.ca.as_ref().map(|ca| self.0.below(&ca.to_string_lossy()));
            configured.vouch(ca.as_deref(), &mut options)?;
        }
        Ok(Arc::new(Fetcher::new(self.cache(), options)?))
    }

    /// When the system was made: the time of every file of a layer.
    fn made(&self) -> u64 {
        let time = fs::metadata(self.0.below("/usr/lib/os-release")).and_then(|it| it.modified());
        let since = time.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        since.map_or(0, |since| since.as_secs())
    }

    fn place(&self, name: &str, ending: &str) -> Result<PathBuf, RepositoryError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if name.is_empty() || name.starts_with('-') || !name.bytes().all(good) {
            return Err(RepositoryError::Name(name.to_owned()));
        }
        Ok(self.0.below(CONFIGURED).join(format!("{name}.{ending}")))
    }

    fn memory(&self, name: &str) -> PathBuf {
        self.0.below(REMEMBERED).join(name)
    }

    fn found_path(&self, name: &str) -> PathBuf {
        self.0.below(REMEMBERED).join(format!("{name}.json"))
    }
}

/// Who vouches for servers, as this file says.
fn authorities(path: &Path) -> Result<Authorities, RepositoryError> {
    let bad = |source| RepositoryError::Authorities { path: path.to_owned(), source };
    let pem = file::read(path).map_err(RepositoryError::NoAuthorities)?;
    Authorities::from_pem(&pem).map_err(bad)
}

/// Removes a file; none is as good.
fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(FileError::at("remove", path)(error))
        }
        _ => Ok(()),
    }
}
