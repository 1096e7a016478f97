//! Source packages of the archive.

use std::collections::BTreeSet;
use std::path::PathBuf;

use base::file;
use base::progress::Unit;

use super::{Archive, ArchiveError, Options, parts};
use crate::fetch::{FetchError, Wanted};
use crate::source::{Source, SourceFile, SourceIndex};

impl Archive {
    /// The source packages of `suites`: `trixie` means its updates and security updates too.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`] if a suite cannot be fetched, or is not genuine.
    pub fn sources(&self, suites: &[&str]) -> Result<Vec<SourceIndex>, ArchiveError> {
        let parts: BTreeSet<_> = suites.iter().flat_map(|suite| parts(suite)).collect();
        let load = |part: String| {
            let path = self.listed(&part, &self.release(&part)?, "main/source/Sources")?;
            Ok(SourceIndex::new(part, file::read_text(&path)?))
        };
        parts.into_iter().map(load).collect()
    }

    /// Fetches the files of a source package and returns them in the order of [`Source::files`]; `None`
    /// in the place of a `.dsc` that the archive does not have: its index vouches for the others.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`] if another one cannot be fetched, or is not what the lock says.
    pub fn download_source(&self, source: &Source) -> Result<Vec<Option<PathBuf>>, ArchiveError> {
        let mut paths = Vec::new();
        for file in &source.files {
            match self.source_file(&source.suite, file) {
                Ok(path) => paths.push(Some(path)),
                Err(ArchiveError::Fetch(FetchError::NotFound { .. })) if file.is_dsc() => {
                    paths.push(None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(paths)
    }

    /// A file of a source package. Security updates pass on into the main archive and out of their own, so
    /// that either may have it: the digest says that it is the one.
    fn source_file(&self, suite: &str, file: &SourceFile) -> Result<PathBuf, ArchiveError> {
        let Options { sources, fetcher, progress, offline, .. } = &self.options;
        if let Some(path) = fetcher.cache().get(&file.sha256)? {
            return Ok(path);
        }
        let own = self.root(suite);
        if *offline {
            return Err(ArchiveError::Offline { what: format!("{own}/{}", file.filename) });
        }
        let other = if own == sources.main { &sources.security } else { &sources.main };
        let (main, security) = ("pool/main/", "pool/updates/main/");
        let elsewhere = match file.filename.strip_prefix(security) {
            Some(rest) => format!("{main}{rest}"),
            None => file.filename.replacen(main, security, 1),
        };
        let mut result = Err(ArchiveError::Offline { what: file.filename.clone() });
        for uri in [format!("{own}/{}", file.filename), format!("{other}/{elsewhere}")] {
            let wanted = Wanted { uri, size: file.size, digest: file.sha256 };
            let what = format!("fetching {}", file.name());
            let task = progress.begin(&what, Some(file.size), Unit::Bytes);
            result = fetcher.fetch(&wanted, task.as_ref()).map_err(ArchiveError::from);
            if !matches!(result, Err(ArchiveError::Fetch(FetchError::NotFound { .. }))) {
                break;
            }
        }
        result
    }
}
