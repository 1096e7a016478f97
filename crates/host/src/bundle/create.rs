//! Making a bundle on a host that reaches its mirrors.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use base::Failure;
use base::file::{FileError, Staged};
use base::progress::Progress;
use packages::change::Wish;
use packages::fetch::Wanted;
use serde::Serialize;

use super::unpack::{CONTENTS, REPOSITORIES, unpack};
use super::{BundleError, Contents, FORMAT, Installed, Place};
use crate::Host;
use crate::repositories::{Opened, Repositories};
use crate::transaction::{Prepared, Sources, Transaction, now, prepare, state_of};

/// What became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Made {
    /// What the bundle is for.
    pub transaction: Transaction,
    /// How many packages it has.
    pub packages: usize,
}

/// Writes a bundle to `to`: for what `words` and `wish` ask of a host that has `installed`.
///
/// # Errors
///
/// What planning and fetching fail with, [`BundleError`]; there is no new file then.
pub fn create(
    host: &Host,
    to: &Path,
    (words, wish, installed): (&str, &Wish, &Installed),
    progress: &dyn Progress,
) -> Result<Made, Failure> {
    let Installed { manifest, status } = installed;
    let sources = Sources::open(host, None, progress)?;
    let prepared = prepare(sources, (state_of(manifest, status)?, &[]), wish)?;
    if prepared.transaction.is_empty() {
        return Err(BundleError::Nothing.into());
    }
    let Prepared { transaction, downloads, sources, .. } = &prepared;
    let places: Vec<_> = downloads.iter().map(|(places, _)| places.clone()).collect();
    let paths = sources.fetcher.fetch_anywhere(&places, progress, &|_| ())?;
    let mut packages: Vec<_> = places.iter().filter_map(|it| it.first()).zip(paths).collect();
    packages.sort_by(|(one, _), (other, _)| one.uri.cmp(&other.uri));

    let opened = &sources.opened;
    let suites = opened.iter().map(|it| it.trusted.suite().to_owned()).collect();
    let contents = Contents { format: FORMAT, asked: words.to_owned(), at: now(), suites };
    let json = serde_json::to_vec_pretty(&contents).unwrap_or_default(); // our types always can
    let mut staged = Staged::create(to)?;
    let mut tar = Archive { tar: tar::Builder::new(staged.file()), to };
    tar.add(CONTENTS, json.len() as u64, json.as_slice())?;
    for (number, repository) in opened.iter().enumerate() {
        let files = packages.iter().filter(|(wanted, _)| is_of(repository, wanted));
        tar.add_repository(number, repository, sources)?;
        for (wanted, path) in files {
            tar.add_target(number, wanted, path)?;
        }
    }
    tar.tar.finish().map_err(FileError::at("write", to))?;
    drop(tar);
    try_out(host, staged.path(), sources)?;
    staged.commit()?;
    Ok(Made { transaction: transaction.clone(), packages: packages.len() })
}

/// Whether other hosts would believe the bundle: the mirror may have changed while it was made.
fn try_out(host: &Host, path: &Path, sources: &Sources) -> Result<(), Failure> {
    let place = Place::new(host)?;
    unpack(path, &place.folder)?;
    for (number, repository) in sources.opened.iter().enumerate() {
        let at = (place.uri(number), place.folder.join(format!("memory-{number}")));
        Repositories(&host.root).try_out(&repository.name, at, &sources.fetcher)?;
    }
    Ok(())
}

/// Whether the repository has this file.
fn is_of(repository: &Opened, wanted: &Wanted) -> bool {
    wanted.uri.starts_with(&format!("{}/", repository.trusted.mirror()))
}

/// The bundle in the making.
struct Archive<'a> {
    tar: tar::Builder<&'a mut File>,
    to: &'a Path,
}

impl Archive<'_> {
    /// Adds what a repository is believed by, and its index.
    fn add_repository(
        &mut self,
        number: usize,
        repository: &Opened,
        sources: &Sources,
    ) -> Result<(), Failure> {
        for (path, bytes) in repository.trusted.metadata(&sources.fetcher)? {
            let name = format!("{REPOSITORIES}/{number}/{path}");
            self.add(&name, bytes.len() as u64, bytes.as_slice())?;
        }
        let index = repository.trusted.index_file()?;
        let path = sources.fetcher.fetch(&index, &base::progress::Silent)?;
        Ok(self.add_target(number, &index, &path)?)
    }

    fn add_target(&mut self, number: usize, wanted: &Wanted, path: &Path) -> Result<(), FileError> {
        let name = wanted.uri.rsplit('/').next().unwrap_or_default();
        let name = name.replacen('.', "/", 1);
        let file = File::open(path).map_err(FileError::at("read", path))?;
        self.add(&format!("{REPOSITORIES}/{number}/targets/{name}"), wanted.size, file)
    }

    /// Adds a file that is the same whoever made it, and when.
    fn add(&mut self, name: &str, size: u64, bytes: impl Read) -> Result<(), FileError> {
        let add = || -> io::Result<()> {
            let mut header = tar::Header::new_ustar();
            header.set_path(name)?;
            header.set_mode(0o644);
            header.set_size(size);
            header.set_cksum();
            self.tar.append(&header, bytes)
        };
        add().map_err(FileError::at("write", self.to))
    }
}
