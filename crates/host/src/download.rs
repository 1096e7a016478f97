//! Packages as files in a folder: fetched and verified as for an installation, and not installed.

use std::fs::File;
use std::path::{Path, PathBuf};

use base::Failure;
use base::file::{self, FileError, Staged};
use base::progress::Progress;
use packages::change::{ChangeError, Selector};
use packages::fetch::FetchOptions;
use packages::index::Stanza;
use packages::spelling;
use serde::Serialize;

use crate::Root;
use crate::repositories::{Asked, Opened, Repositories};
use crate::transaction::{prepare, silent};

/// A package that was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Downloaded {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
}

/// Fetches packages, each in the newest version or the one that is asked for, into `folder`. What they need is not fetched
/// with them. What was fetched before is not fetched again.
///
/// # Errors
///
/// If a repository cannot be believed, a package is not there, or cannot be fetched or written; then none is written, but for
/// a full disk.
pub fn download(
    root: &Root,
    asked: &[Selector],
    folder: &Path,
    progress: &dyn Progress,
) -> Result<Vec<Downloaded>, Failure> {
    let repositories = Repositories(root);
    let names = repositories.some()?;
    let fetcher = repositories.fetcher(&names, FetchOptions::default())?;
    let names = names.into_iter().map(|name| (name, ())).collect();
    let open =
        |name: &str, (): &()| repositories.open(name, repositories.configured(name)?, &fetcher);
    let Asked { answered: opened, silent } = Asked::each(names, open).some(progress)?;
    let chosen = |it| chosen(it, &opened).map_err(|error| silent::needed(error, &silent));
    let stanzas: Vec<_> = asked.iter().map(chosen).collect::<Result<_, _>>()?;
    let wanted = stanzas.iter().map(|stanza| prepare::wanted(*stanza, &opened));
    let wanted: Vec<_> = wanted.collect::<Result<_, _>>()?;
    file::create_dir_all(folder)?;
    let cached = fetcher.fetch_anywhere(&wanted, progress, &|_| ())?;
    let mut done = Vec::new();
    for ((from, stanza), wanted) in cached.iter().zip(stanzas).zip(wanted) {
        let path = folder.join(file_name(stanza));
        copy(from, &path)?;
        let (name, version) = (stanza.name().to_owned(), stanza.version_text().to_owned());
        done.push(Downloaded {
            name,
            version,
            path,
            bytes: wanted.first().map_or(0, |it| it.size),
        });
    }
    Ok(done)
}

/// The package that is asked for: the newest, where no version is.
fn chosen<'a>(asked: &Selector, opened: &'a [Opened]) -> Result<Stanza<'a>, ChangeError> {
    let all = || opened.iter().flat_map(|repository| repository.index.stanzas());
    let mut newest: Option<Stanza<'a>> = None;
    let mut there = Vec::new();
    for stanza in all().filter(|stanza| stanza.name() == asked.name.as_str()) {
        let version = stanza.version()?;
        if asked.version.as_ref().is_some_and(|it| it.borrowed() != version) {
            there.push(stanza.version_text().to_owned());
            continue;
        }
        if newest.map(Stanza::version).transpose()?.is_none_or(|newest| newest < version) {
            newest = Some(stanza);
        }
    }
    if let Some(newest) = newest {
        return Ok(newest);
    }
    let name = asked.name.clone();
    Err(match asked.version.clone() {
        Some(version) if !there.is_empty() => ChangeError::NoVersion { name, version, there },
        _ => {
            let nearest = spelling::nearest(name.as_str(), all().map(Stanza::name));
            let nearest = nearest.map(str::to_owned);
            ChangeError::Unknown { name: name.to_string(), nearest }
        }
    })
}

/// `NAME_VERSION_ARCHITECTURE.deb`, as APT calls it: colons would be mistaken for hosts by some programs.
fn file_name(stanza: Stanza<'_>) -> String {
    let version = stanza.version_text().replace(':', "%3a");
    format!("{}_{version}_{}.deb", stanza.name(), stanza.architecture())
}

/// Copies a file, so that it is there whole or not at all.
fn copy(from: &Path, to: &Path) -> Result<(), FileError> {
    let mut staged = Staged::create(to)?;
    let mut source = File::open(from).map_err(FileError::at("open", from))?;
    std::io::copy(&mut source, staged.file()).map_err(FileError::at("write", to))?;
    staged.commit()
}
