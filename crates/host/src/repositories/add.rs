//! Adding a repository: tried before anything is written, unless somebody knows better.

use std::error::Error;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use base::file::{self, FileError};
use base::{Explain, Failure};
use packages::fetch::{FetchOptions, Fetcher};
use packages::remote::{Refusal, RemoteError};

use super::{CONFIGURED, Configured, Found, Repositories, RepositoryError, authorities};

/// A repository that is to be added cannot be asked, or what it answers is not believed.
#[derive(Debug)]
pub struct NotAdded {
    name: String,
    why: Failure,
}

impl fmt::Display for NotAdded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the repository {} is not added, because it failed a first look", self.name)
    }
}

impl Error for NotAdded {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.why)
    }
}

impl Explain for NotAdded {
    fn hint(&self) -> Option<String> {
        let why: &(dyn Error + 'static) = &*self.why;
        let away = matches!(
            why.downcast_ref(),
            Some(RemoteError::Refused { refusal: Refusal::Unreachable, .. })
        );
        let hint = self.why.hint()?;
        Some(if away { format!("{hint}; `--no-check` adds it unseen") } else { hint })
    }
}

impl Repositories<'_> {
    /// As [`Repositories::add`], once its newest metadata and index were fetched and verified from this root on, which are
    /// remembered.
    ///
    /// # Errors
    ///
    /// [`NotAdded`], [`RepositoryError`]; the host is as before then.
    pub fn try_and_add(
        &self,
        name: &str,
        configured: &Configured,
        root: &[u8],
    ) -> Result<Found, Failure> {
        self.demand_new(name)?;
        let mut options = FetchOptions::default();
        configured.vouch(configured.ca.as_deref(), &mut options)?;
        let fetcher = Arc::new(Fetcher::new(self.cache(), options)?);
        let memory = self.memory(name);
        let fresh = memory.with_file_name(format!(".{name}.part"));
        if fresh.exists() {
            file::remove_folder(&fresh)?; // of one that was killed
        }
        let remote = self.remote_of(configured.clone(), root.to_owned(), fresh.clone());
        let look = || -> Result<_, Failure> {
            let trusted = remote.refresh(&fetcher)?;
            let index = trusted.index(&fetcher)?;
            Ok((trusted, index))
        };
        let add = || -> Result<_, Failure> {
            let seen = look().map_err(|why| NotAdded { name: name.to_owned(), why })?;
            self.add(name, configured, root)?;
            Ok(seen)
        };
        let (trusted, index) = add().inspect_err(|_| drop(fs::remove_dir_all(&fresh)))?;
        // Without its memory the next refresh makes it anew.
        fs::rename(&fresh, &memory).map_err(FileError::at("move", &fresh))?;
        self.remember(name, &trusted, &index)
    }

    fn demand_new(&self, name: &str) -> Result<(), RepositoryError> {
        if self.place(name, "toml")?.exists() {
            return Err(RepositoryError::There(name.to_owned()));
        }
        Ok(())
    }

    /// Adds a repository as it is, whose trust comes from the metadata `root`. The file that `configured` names as its `ca` is copied
    /// beside it, and the copy counts.
    ///
    /// # Errors
    ///
    /// [`RepositoryError`], also if one of this name is there.
    pub fn add(
        &self,
        name: &str,
        configured: &Configured,
        root: &[u8],
    ) -> Result<(), RepositoryError> {
        self.demand_new(name)?;
        configured.ca.as_deref().map(authorities).transpose()?;
        self.forget(name)?; // of one that had this name before
        let mut configured = configured.clone();
        if let Some(ca) = &mut configured.ca {
            file::replace(&self.place(name, "ca.pem")?, &file::read(ca)?)?;
            *ca = Path::new(CONFIGURED).join(format!("{name}.ca.pem"));
        }
        file::replace(&self.place(name, "root.json")?, root)?;
        let text = toml::to_string(&configured).unwrap_or_default(); // two lists of words always can
        Ok(file::replace(&self.place(name, "toml")?, text.as_bytes())?)
    }
}
