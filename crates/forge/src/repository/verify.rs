//! `forge repo verify`: what a host would say about a repository.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::file::{self, FileError};
use base::{ByteSize, Explain, Failure};
use packages::cache::Cache;
use packages::fetch::{FetchOptions, Fetcher, Wanted};
use packages::index::Index;
use packages::remote::{Remote, RemoteError, Trusted};
use serde_json::json;

use super::{Folder, SUITE};
use crate::context::Context;
use crate::key::{self, KeysFolder};

/// Verify a repository as a host does, wherever it is
///
/// Each mirror is looked at by itself, through the signed metadata for hosts and nothing else; one that cannot be used
/// makes the command fail after all were looked at.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// URI or path of a folder with `dists` and `targets`; several are mirrors of each other [default: the
    /// repository's folder]
    #[arg(value_name = "URI")]
    mirrors: Vec<String>,
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    keys: KeysFolder,
    /// Root metadata that hosts are given [default: 1.root.json in the folder of the keys]
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Folder in which to remember what was seen: from the second time on, an older repository is refused
    #[arg(long, value_name = "FOLDER")]
    memory: Option<PathBuf>,
    /// Fetch every package too
    #[arg(long)]
    packages: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Not all mirrors are good.
#[derive(Debug, thiserror::Error)]
#[error("{} of {mirrors} mirrors cannot be used{}", .errors.len(), lines(.errors))]
struct SomeBad {
    mirrors: usize,
    errors: Vec<RemoteError>,
}

fn lines(errors: &[RemoteError]) -> String {
    errors.iter().map(|error| format!("\n  {}", error.in_one_line())).collect()
}

impl Explain for SomeBad {
    fn hint(&self) -> Option<String> {
        self.errors.first().and_then(Explain::hint)
    }
}

/// What a mirror holds.
struct Seen {
    mirror: String,
    version: u64,
    root: u64,
    valid_until: u64,
    packages: usize,
    /// Of all packages.
    bytes: u64,
}

impl Verify {
    /// Looks at each mirror and prints what it holds.
    ///
    /// # Errors
    ///
    /// If a mirror cannot be read, or gives what a host would not believe.
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        let root = self.root(context)?;
        let mirrors = self.mirrors(context)?;
        let (mut seen, mut errors) = (Vec::new(), Vec::new());
        for mirror in &mirrors {
            // A folder for each: what one mirror gave must not stand in for what the next one lacks.
            let scratch = tempfile::tempdir();
            let scratch = scratch.map_err(FileError::at("create", std::env::temp_dir()))?;
            let cache = Cache::new(scratch.path().join("files"));
            let options = FetchOptions { proxy: context.proxy.clone(), ..FetchOptions::default() };
            let remote = Remote {
                mirrors: vec![mirror.clone()],
                suite: SUITE.into(),
                root: root.clone(),
                memory: self.memory.clone().unwrap_or_else(|| scratch.path().join("memory")),
                made: 0,
            };
            match self.look(&remote, &Arc::new(Fetcher::new(cache, options)?), context) {
                Ok(one) => seen.push(one),
                Err(error) => errors.push(error),
            }
        }
        let printed = if self.json { print_json(&seen, out) } else { print(&seen, out) };
        printed.map_err(FileError::at("write to", "standard output"))?;
        match errors.len() {
            0 => Ok(()),
            1 if mirrors.len() == 1 => Err(errors.remove(0).into()),
            _ => Err(SomeBad { mirrors: mirrors.len(), errors }.into()),
        }
    }

    fn root(&self, context: &Context) -> Result<Vec<u8>, Failure> {
        let path = match &self.root {
            Some(path) => path.clone(),
            None => self.keys.open(context)?.folder().join("1.root.json"),
        };
        Ok(file::read(&path)?)
    }

    fn mirrors(&self, context: &Context) -> Result<Vec<String>, FileError> {
        let uri = |folder: &Path| {
            let folder = folder.canonicalize().map_err(FileError::at("find", folder))?;
            Ok(format!("file://{}", folder.display()))
        };
        let named = |mirror: &String| match mirror.contains("://") {
            true => Ok(mirror.clone()),
            false => uri(Path::new(mirror)),
        };
        match self.mirrors.is_empty() {
            true => Ok(vec![uri(&self.folder.path(context))?]),
            false => self.mirrors.iter().map(named).collect(),
        }
    }

    fn look(
        &self,
        remote: &Remote,
        fetcher: &Arc<Fetcher>,
        context: &Context,
    ) -> Result<Seen, RemoteError> {
        let trusted = remote.refresh(fetcher)?;
        let index = trusted.index(fetcher)?;
        let files = files(&trusted, &index)?;
        if self.packages {
            fetcher.fetch_all(&files, &*context.progress)?;
        }
        Ok(Seen {
            mirror: trusted.mirror().to_owned(),
            version: trusted.version(),
            root: trusted.root_version(),
            valid_until: trusted.valid_until(),
            packages: files.len(),
            bytes: files.iter().map(|file| file.size).sum(),
        })
    }
}

/// All packages of the index, as the metadata vouches for them.
fn files(trusted: &Trusted, index: &Index) -> Result<Vec<Wanted>, RemoteError> {
    let mut files = Vec::new();
    for stanza in index.stanzas() {
        files.push(trusted.package(&stanza.download()?.filename)?);
    }
    Ok(files)
}

fn print(seen: &[Seen], out: &mut dyn Write) -> io::Result<()> {
    for Seen { mirror, version, root, valid_until, packages, bytes } in seen {
        let (until, bytes) = (key::day(*valid_until), ByteSize(*bytes));
        writeln!(
            out,
            "{mirror}: publication {version}, root {root}, until {until}, {packages} packages, {bytes}"
        )?;
    }
    Ok(())
}

fn print_json(seen: &[Seen], out: &mut dyn Write) -> io::Result<()> {
    let row = |seen: &Seen| {
        let Seen { mirror, version, root, valid_until, packages, bytes } = seen;
        json!({
            "mirror": mirror, "version": version, "root": root, "valid_until": valid_until,
            "packages": packages, "bytes": bytes,
        })
    };
    writeln!(out, "{}", json!({ "mirrors": seen.iter().map(row).collect::<Vec<_>>() }))
}
