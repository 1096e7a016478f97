//! A repository as a host sees it: what its metadata for TUF vouches for, whichever mirror gives it.
//!
//! The crate `tough` judges the metadata. Here is what it leaves to its callers: several mirrors, a memory that
//! survives power cuts, a clock that cannot be right, and errors that say what to do.
//!
//! Source: The Update Framework Specification 1.0.34, section 5 (what a client does).

mod error;
mod transport;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base::file::{self, FileError};
use base::progress::Silent;
use base::{Digest, Lock};
use jiff::Timestamp;
use tough::{Repository, RepositoryLoader, TargetName};
use url::Url;

use crate::fetch::{FetchError, Fetcher, Wanted};
use crate::index::{self, Index};
pub use error::{Detail, Refusal, RemoteError};
use transport::FetchTransport;

/// Where metadata is put before it takes the place of what was seen before. What a killed process leaves of it goes, by
/// its name, at the next look.
const FRESH: &str = ".seen.part";

/// The file in which `tough` notes the time of each look; all others change with what is published.
const CLOCK: &str = "latest_known_time.json";

/// A repository, wherever it is, and what is known of it beforehand.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Where it is, best first: URIs of the folder that has `dists` and `targets`.
    pub mirrors: Vec<String>,
    /// The suite (`preon-trixie`).
    pub suite: String,
    /// The metadata of a root, of any number, that is believed without proof: all trust comes from it.
    pub root: Vec<u8>,
    /// The folder that remembers the newest metadata that was seen, and has nothing else in it; made when it is missing.
    /// Without it, a host believes metadata that is older than what it has seen.
    pub memory: PathBuf,
    /// When what is running was made, seconds since 1970: a clock that stands before that is wrong.
    pub made: u64,
}

/// What a repository vouches for.
#[derive(Debug)]
pub struct Trusted {
    /// The one that it is from, then the others.
    mirrors: Vec<String>,
    suite: String,
    repository: Repository,
}

impl Remote {
    /// Fetches the newest metadata and verifies it: signatures and thresholds from the known root to the newest one,
    /// expiry, and that nothing is older than what was seen. The mirrors are asked in their order; the first one that
    /// is believed counts.
    ///
    /// What was verified is remembered, even if something after it fails; after a power cut the memory is the old or
    /// the new one. Of two processes the second one waits.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]. With one mirror it is [`RemoteError::Refused`], with several [`RemoteError::NoneUsable`].
    pub fn refresh(&self, fetcher: &Arc<Fetcher>) -> Result<Trusted, RemoteError> {
        self.check_clock()?;
        let _lock = self.lock()?;
        file::remove_unfinished(&self.memory)?;
        let (seen, fresh) = (self.memory.join("seen"), self.memory.join(FRESH));
        file::create_dir_all(&fresh)?;
        let before = files(&seen)?;
        for (name, bytes) in &before {
            let path = fresh.join(name);
            fs::write(&path, bytes).map_err(FileError::at("write", path))?;
        }
        let outcome = self.ask(fetcher, &fresh);
        match &outcome {
            // Half of a file may be there.
            Err(error) if error.is_forgetful() => file::remove_folder(&fresh)?,
            _ => keep(&fresh, &seen, &before)?,
        }
        outcome
    }

    fn check_clock(&self) -> Result<(), RemoteError> {
        let time = |seconds: u64| {
            i64::try_from(seconds).ok().and_then(|it| Timestamp::from_second(it).ok())
        };
        let made = time(self.made).unwrap_or(Timestamp::MAX);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let now = time(now).unwrap_or(Timestamp::MAX);
        if now < made { Err(RemoteError::Clock { now, made }) } else { Ok(()) }
    }

    /// Keeps others from reading the same memory, for as long as the result lives.
    fn lock(&self) -> Result<Lock, RemoteError> {
        file::create_dir_all(&self.memory)?;
        Ok(Lock::after_others(&self.memory.join("lock"))?)
    }

    fn ask(&self, fetcher: &Arc<Fetcher>, memory: &Path) -> Result<Trusted, RemoteError> {
        let mut errors = Vec::new();
        for (at, mirror) in self.mirrors.iter().enumerate() {
            match self.ask_one(mirror, fetcher, memory) {
                Ok(mut trusted) => {
                    // Those that failed come last: they may still have files that the believed one lacks.
                    let (failed, rest) = (self.mirrors.get(..at), self.mirrors.get(at + 1..));
                    let others = rest.into_iter().chain(failed).flatten();
                    trusted.mirrors.extend(others.map(|it| trimmed(it).to_owned()));
                    return Ok(trusted);
                }
                Err(error) if error.is_forgetful() => return Err(error),
                Err(error) => errors.push(error),
            }
        }
        match errors.len() {
            0 => Err(RemoteError::NoMirror),
            1 => Err(errors.remove(0)),
            _ => Err(RemoteError::NoneUsable(errors)),
        }
    }

    fn ask_one(
        &self,
        mirror: &str,
        fetcher: &Arc<Fetcher>,
        memory: &Path,
    ) -> Result<Trusted, RemoteError> {
        let mirror = trimmed(mirror);
        let folder = |path: &str| {
            let uri = format!("{mirror}/{path}/");
            Url::parse(&uri).map_err(|_| FetchError::BadUri(uri))
        };
        let metadata = folder(&format!("dists/{}/tuf", self.suite))?;
        let targets = folder("targets")?;
        let newest = memory.join("root.json");
        let root = if newest.exists() { file::read(&newest)? } else { self.root.clone() };
        let loader = RepositoryLoader::new(&root, metadata, targets)
            .transport(FetchTransport::new(fetcher))
            .datastore(memory);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(FileError::at("start a thread for", memory))?;
        let repository = runtime.block_on(loader.load()).map_err(|error| RemoteError::Refused {
            mirror: mirror.to_owned(),
            refusal: Refusal::of(&error),
            source: Detail::of(&error),
        })?;
        Ok(Trusted { mirrors: vec![mirror.to_owned()], suite: self.suite.clone(), repository })
    }
}

impl Trusted {
    /// The mirror that it is from.
    pub fn mirror(&self) -> &str {
        self.mirrors.first().map_or("", String::as_str)
    }

    /// The suite.
    pub fn suite(&self) -> &str {
        &self.suite
    }

    /// The files that it is believed by, by their path from the repository's folder, as the mirror gives them now: what
    /// another host needs to come to the same view. Roots are there from the second one on.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Fetch`]: the mirror has them no more.
    pub fn metadata(&self, fetcher: &Fetcher) -> Result<Vec<(String, Vec<u8>)>, RemoteError> {
        let snapshot = self.repository.snapshot().signed.version;
        let targets = self.repository.targets().signed.version;
        let roots = (2..=self.root_version()).map(|number| format!("{number}.root.json"));
        let rest = [
            "timestamp.json".to_owned(),
            format!("{snapshot}.snapshot.json"),
            format!("{targets}.targets.json"),
        ];
        let file = |name: String| {
            let path = format!("dists/{}/tuf/{name}", self.suite);
            let bytes = fetcher.bytes(&format!("{}/{path}", self.mirror()), transport::LIMIT)?;
            Ok((path, bytes))
        };
        roots.chain(rest).map(file).collect()
    }

    /// The number of the publication.
    pub fn version(&self) -> u64 {
        self.repository.timestamp().signed.version.get()
    }

    /// The number of the newest root.
    pub fn root_version(&self) -> u64 {
        self.repository.root().signed.version.get()
    }

    /// Until when it may be used, seconds since 1970: the earliest end of all its metadata.
    pub fn valid_until(&self) -> u64 {
        let ends = [
            self.repository.timestamp().signed.expires,
            self.repository.snapshot().signed.expires,
            self.repository.targets().signed.expires,
            self.repository.root().signed.expires,
        ];
        ends.iter().filter_map(|time| u64::try_from(time.as_second()).ok()).min().unwrap_or(0)
    }

    /// How to fetch the file that is published as `name` (`bash_5.2.37-2+0preon1_amd64.deb`).
    ///
    /// # Errors
    ///
    /// [`RemoteError::NotListed`].
    pub fn wanted(&self, name: &str) -> Result<Wanted, RemoteError> {
        let unknown = || RemoteError::NotListed(name.to_owned());
        if name.contains('/') || !index::stays_below(name) {
            return Err(unknown());
        }
        let target = TargetName::new(name).map_err(|_| unknown())?;
        let target = self.repository.targets().signed.targets.get(&target).ok_or_else(unknown)?;
        let digest = target.hashes.sha256.as_ref().try_into().map_err(|_| unknown())?;
        let digest = Digest::from_bytes(digest);
        let uri = format!("{}/targets/{digest}.{name}", self.mirror());
        Ok(Wanted { uri, size: target.length, digest })
    }

    /// Where else a file is that is [`Trusted::wanted`]: at all mirrors, the believed one first. Its bytes are the same
    /// wherever it is from.
    pub fn everywhere(&self, wanted: &Wanted) -> Vec<Wanted> {
        let path = wanted.uri.strip_prefix(self.mirror()).unwrap_or_default();
        let at = |mirror: &String| Wanted { uri: format!("{mirror}{path}"), ..wanted.clone() };
        self.mirrors.iter().map(at).collect()
    }

    /// How to fetch the index of all packages, which [`read_index`] reads.
    ///
    /// # Errors
    ///
    /// [`RemoteError::NotListed`].
    pub fn index_file(&self) -> Result<Wanted, RemoteError> {
        self.wanted(&format!("{}_main_binary-amd64_Packages.zst", self.suite))
    }

    /// Fetches the index of all packages, from the first mirror that has it.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]: it is not listed, cannot be fetched, or is malformed.
    pub fn index(&self, fetcher: &Fetcher) -> Result<Index, RemoteError> {
        let places = [self.everywhere(&self.index_file()?)];
        let paths = fetcher.fetch_anywhere(&places, &Silent, &|_| ())?;
        let path = paths.first().ok_or_else(|| RemoteError::NotListed(self.suite.clone()))?;
        read_index(&self.suite, path)
    }

    /// How to fetch the package whose file the index calls `filename` (`pool/main/b/bash/bash_….deb`).
    ///
    /// # Errors
    ///
    /// [`RemoteError::NotListed`].
    pub fn package(&self, filename: &str) -> Result<Wanted, RemoteError> {
        self.wanted(filename.rsplit('/').next().unwrap_or(filename))
    }
}

/// Reads the compressed index of the packages of `suite` at `path`.
///
/// # Errors
///
/// [`RemoteError`]: it cannot be read, or is malformed.
pub fn read_index(suite: &str, path: &Path) -> Result<Index, RemoteError> {
    let file = fs::File::open(path).map_err(FileError::at("read", path))?;
    let mut text = String::new();
    let not_text = |_| RemoteError::NotText(suite.to_owned());
    let mut unpacked = zstd::Decoder::new(file).map_err(not_text)?;
    unpacked.read_to_string(&mut text).map_err(not_text)?;
    Ok(Index::parse(suite, text)?)
}

/// A mirror's URI without slashes at its end.
fn trimmed(mirror: &str) -> &str {
    mirror.trim_end_matches('/')
}

/// Puts the metadata in `fresh` in the place of that in `seen`. Where only the time of the look is new, that alone is
/// noted, and not waited for: after a power cut the one before it may be there, or none, which forbids nothing.
fn keep(fresh: &Path, seen: &Path, before: &Files) -> Result<(), FileError> {
    let after = files(fresh)?;
    let same = |(name, bytes): (&OsString, &Vec<u8>)| {
        name == CLOCK || before.get(name).is_some_and(|before| says_the_same(before, bytes))
    };
    let published = after.len() != before.len() || !after.iter().all(same) || !seen.exists();
    let clock = fresh.join(CLOCK);
    if published {
        file::replace_flushed_folder(seen, |folder| {
            after.iter().try_for_each(|(name, bytes)| file::create(&folder.join(name), bytes))
        })?;
    } else if clock.exists() {
        fs::rename(&clock, seen.join(CLOCK)).map_err(FileError::at("move", clock))?;
    }
    fs::remove_dir_all(fresh).map_err(FileError::at("remove", fresh))
}

/// Whether two files of metadata differ in the order of their fields at most: `tough` writes it anew each time, in any.
fn says_the_same(one: &[u8], other: &[u8]) -> bool {
    let read = |bytes| serde_json::from_slice::<serde_json::Value>(bytes);
    one == other || matches!((read(one), read(other)), (Ok(one), Ok(other)) if one == other)
}

/// Files by their names.
type Files = BTreeMap<OsString, Vec<u8>>;

/// The files in a folder, by name; none where there is no folder.
fn files(folder: &Path) -> Result<Files, FileError> {
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Files::new()),
        entries => entries.map_err(FileError::at("read", folder))?,
    };
    let mut files = Files::new();
    for entry in entries {
        let entry = entry.map_err(FileError::at("read", folder))?;
        files.insert(entry.file_name(), file::read(&entry.path())?);
    }
    Ok(files)
}
