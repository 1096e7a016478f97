//! Fetching files over HTTP(S) or from a folder: several at once, resumed, retried, verified.
//!
//! A server may cut a file short, stall, refuse to resume or send other bytes: what arrives in the
//! cache has the right length and digest, or nothing arrives.

mod authorities;
mod transport;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use base::file::FileError;
use base::progress::{Progress, Task, Unit};
use base::{ByteSize, Digest, Explain, parallel};

use crate::cache::Cache;
use transport::{Part, Transport};

pub use authorities::{Authorities, NoAuthorities, tls};

/// How to fetch.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// How many files at once.
    pub parallel: usize,
    /// How often a file is tried before its error counts. An attempt that brought 64 kB or more
    /// of what was still missing starts the count anew.
    pub attempts: u32,
    /// How long to wait before the second attempt; doubled before each one after it.
    pub pause: Duration,
    /// How long making a connection may take.
    pub connect: Duration,
    /// How long a server may stay silent.
    pub stall: Duration,
    /// What a server has to bring at least while it is not silent, in bytes a second, measured over times of `stall`:
    /// otherwise one byte now and then would keep us waiting for ever.
    pub slowest: u64,
    /// The proxy to go through (`http://host:port`), if any.
    pub proxy: Option<String>,
    /// Who alone vouches for servers of HTTPS, by the URIs of folders on them; for all others it is Mozilla's list.
    pub authorities: BTreeMap<String, Authorities>,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            parallel: 4,
            attempts: 4,
            pause: Duration::from_millis(500),
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(20),
            slowest: 5000,
            proxy: None,
            authorities: BTreeMap::new(),
        }
    }
}

/// A file that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where it is.
    pub uri: String,
    /// Its length in bytes.
    pub size: u64,
    /// What its bytes must be.
    pub digest: Digest,
}

/// A file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server does not have it.
    #[error("{uri} does not exist")]
    NotFound {
        /// Where it should be.
        uri: String,
    },
    /// The server answered with an error.
    #[error("{uri}: the server answers with status {status}")]
    Status {
        /// What was asked for.
        uri: String,
        /// The HTTP status.
        status: u16,
    },
    /// No connection came about, or it broke.
    #[error("cannot fetch {uri}")]
    Connection {
        /// What was asked for.
        uri: String,
        /// Why.
        source: std::io::Error,
    },
    /// The server fell silent.
    #[error("{uri}: the server sent nothing, or next to nothing, for {} s", silence.as_secs_f32())]
    Stalled {
        /// What was asked for.
        uri: String,
        /// How long we waited.
        silence: Duration,
    },
    /// The file ended too early.
    #[error("{uri} is cut short: {received} of {size} arrived")]
    Truncated {
        /// What was asked for.
        uri: String,
        /// How much arrived.
        received: ByteSize,
        /// How much should have arrived.
        size: ByteSize,
    },
    /// The file is longer than it should be.
    #[error("{uri} is longer than the {size} that it should have")]
    TooLong {
        /// What was asked for.
        uri: String,
        /// How long it should be.
        size: ByteSize,
    },
    /// The bytes are not those that were promised.
    #[error("{uri} is not what was promised: its digest is {found}, not {expected}")]
    Tampered {
        /// What was asked for.
        uri: String,
        /// The digest that was promised.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// The URI or the proxy is of a kind that is not supported.
    #[error("`{0}` cannot be fetched from (http://, https:// or file:///)")]
    BadUri(String),
    /// It could not be written to the cache.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for FetchError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::NotFound { .. } => Some(
                "if only this file is missing, the mirror lacks it: take another or wait; otherwise check its URI and the suite"
                    .into(),
            ),
            Self::BadUri(_) => Some("give a whole URI, as in an APT source".into()),
            Self::Tampered { .. } | Self::TooLong { .. } => Some(
                "try again later or use another mirror: this one may be in the \
                 middle of an update, or somebody changes what it sends"
                    .into(),
            ),
            _ => Some("check the network, or use another mirror".into()),
        }
    }
}

impl FetchError {
    /// Whether another attempt may go better.
    fn is_passing(&self) -> bool {
        match self {
            Self::Status { status, .. } => *status >= 500 || *status == 429 || *status == 408,
            Self::Connection { .. } | Self::Stalled { .. } | Self::Truncated { .. } => true,
            _ => false,
        }
    }

    /// Whether it says that the archive was not reached, rather than what it holds.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.is_passing()
    }
}

/// An attempt that brought this much more of a file shows that the server is well.
const HEADWAY: u64 = 64 << 10;

/// Fetches files into a cache; keeps connections open between them.
#[derive(Debug)]
pub struct Fetcher {
    cache: Cache,
    options: FetchOptions,
    transport: Transport,
}

impl Fetcher {
    /// A fetcher; nothing is contacted yet.
    ///
    /// # Errors
    ///
    /// [`FetchError::BadUri`] if the proxy is none.
    pub fn new(cache: Cache, options: FetchOptions) -> Result<Self, FetchError> {
        let transport = Transport::new(&options)?;
        Ok(Self { cache, options, transport })
    }

    /// Where it puts what it fetches.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Fetches a small file whose digest nobody knows yet: at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`FetchError`].
    pub fn bytes(&self, uri: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        self.retry(|_| {
            let mut bytes = Vec::new();
            self.transport.read_whole(uri, limit, &mut bytes)?;
            Ok(bytes)
        })
    }

    /// Fetches one file into the cache, unless it is there, and returns its path. What has arrived of it before, in a run that
    /// was killed or given up, is not fetched again.
    ///
    /// # Errors
    ///
    /// [`FetchError`]; the cache then has what has arrived, if the rest may come another time, and else is as it was.
    pub fn fetch(&self, wanted: &Wanted, task: &dyn Task) -> Result<PathBuf, FetchError> {
        if let Some(path) = self.cache.get(&wanted.digest)? {
            task.advance(wanted.size);
            return Ok(path);
        }
        let path = self.cache.path(&wanted.digest);
        let mut part = Part::begin(&path, wanted, task)?;
        let fetched = self.retry(|headway| {
            let before = part.furthest();
            let result = self.transport.attempt(wanted, &mut part);
            *headway = part.furthest() >= before + HEADWAY;
            result
        });
        match fetched {
            Ok(()) => part.place()?,
            Err(error) if error.is_passing() => {
                part.keep();
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        Ok(path)
    }

    /// Fetches all files into the cache, several at once, and returns their paths in the same
    /// order.
    ///
    /// # Errors
    ///
    /// The [`FetchError`] of the first file that failed; what was complete by then stays cached.
    pub fn fetch_all(
        &self,
        wanted: &[Wanted],
        progress: &dyn Progress,
    ) -> Result<Vec<PathBuf>, FetchError> {
        self.fetch_telling(wanted, progress, &|_| ())
    }

    /// As [`Fetcher::fetch_all`]; tells `arrived` which one is there, as soon as it is.
    fn fetch_telling(
        &self,
        wanted: &[Wanted],
        progress: &dyn Progress,
        arrived: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<PathBuf>, FetchError> {
        let results = self.fetch_each(wanted, progress, (|_| false, arrived));
        results.into_iter().flatten().collect()
    }

    /// Like [`Fetcher::fetch_all`] for files that are in several places each, best first: where one place fails, all that
    /// is missing is asked of the next. Tells `arrived` once of each file, by its place among `places`, as soon as it is
    /// there: the large ones first.
    ///
    /// # Errors
    ///
    /// The [`FetchError`] of the last place; what was complete by then stays cached.
    pub fn fetch_anywhere(
        &self,
        places: &[Vec<Wanted>],
        progress: &dyn Progress,
        arrived: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<PathBuf>, FetchError> {
        let rounds = places.iter().map(Vec::len).max().unwrap_or(1);
        let told: Vec<_> = places.iter().map(|_| AtomicBool::new(false)).collect();
        let once = |at: usize| {
            if told.get(at).is_some_and(|told| !told.swap(true, Ordering::Relaxed)) {
                arrived(at);
            }
        };
        for round in 1.. {
            let here = places.iter().filter_map(|it| it.get(round - 1).or(it.last())).cloned();
            match self.fetch_telling(&here.collect::<Vec<_>>(), progress, &once) {
                Err(error) if round < rounds && !matches!(error, FetchError::File(_)) => {
                    progress.note(&format!("note: {error}; asking the next mirror"));
                }
                result => return result,
            }
        }
        Ok(Vec::new())
    }

    /// Like [`Fetcher::fetch_all`], but an error that `tolerated` accepts stops nothing. Each file
    /// has a result; those after the first error that was not tolerated may have none. Tells `arrived` of those that are there.
    pub(crate) fn fetch_each(
        &self,
        wanted: &[Wanted],
        progress: &dyn Progress,
        (tolerated, arrived): (impl Fn(&FetchError) -> bool + Sync, &(dyn Fn(usize) + Sync)),
    ) -> Vec<Option<Result<PathBuf, FetchError>>> {
        // What is cached is neither fetched nor counted as fetched.
        let all: Vec<_> = wanted.iter().enumerate().collect();
        let mut results = parallel::each(&all, self.options.parallel, |(at, wanted)| {
            let cached = self.cache.get(&wanted.digest).map_err(FetchError::from).transpose();
            if let Some(Ok(_)) = &cached {
                arrived(*at);
            }
            cached
        });
        let mut missing = all;
        missing.retain(|(at, _)| results.get(*at).is_some_and(Option::is_none));
        if missing.is_empty() {
            return results;
        }
        // So that none of the workers is left with a large one at the end.
        missing.sort_by_key(|(_, wanted)| Reverse(wanted.size));
        let total = missing.iter().map(|(_, wanted)| wanted.size).sum();
        let task = progress.begin("fetching packages", Some(total), Unit::Bytes);
        let stop = AtomicBool::new(false);
        let fetched = parallel::each(&missing, self.options.parallel, |(at, wanted)| {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let result = self.fetch(wanted, task.as_ref());
            match &result {
                Ok(_) => arrived(*at),
                Err(error) if !tolerated(error) => stop.store(true, Ordering::Relaxed),
                Err(_) => {}
            }
            Some(result)
        });
        for ((at, _), result) in missing.into_iter().zip(fetched) {
            if let Some(place) = results.get_mut(at) {
                *place = result;
            }
        }
        results
    }

    /// Tries until it succeeds, an error is final or too many attempts in a row made no headway,
    /// which `attempt` tells by its argument.
    fn retry<T>(
        &self,
        mut attempt: impl FnMut(&mut bool) -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let mut failures = 0;
        loop {
            let mut headway = false;
            let error = match attempt(&mut headway) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            failures = if headway { 1 } else { failures + 1 };
            if failures >= self.options.attempts || !error.is_passing() {
                return Err(error);
            }
            thread::sleep(self.options.pause.saturating_mul(1 << (failures - 1).min(6)));
        }
    }
}
