//! The Debian archive, verified from the signature of a suite down to every `.deb`.
//!
//! `InRelease` is signed and names the digests of the indexes, an index names the digests of the
//! packages. What was fetched once is taken from the cache; with a warm cache no network is needed
//! for as long as the suites' signed dates allow.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use base::digest::Hasher;
use base::file::{self, FileError, Staged};
use base::progress::{Shared, Unit};
use base::{ByteSize, Digest, Explain};
use formats::{PackageName, Version};

use crate::fetch::{FetchError, Fetcher, Wanted};
use crate::index::{Index, IndexError, LoadIndexError, Stanza};
use crate::lock::{Lock, Locked};
use crate::release::{self, BadSignature, Listed, Release, ReleaseError, Verify};
use crate::resolve::{Pins, Universe, family};
use crate::sources::{Sources, is_security};

/// Everything an [`Archive`] works with.
pub struct Options {
    /// Where it is.
    pub sources: Sources,
    /// How to fetch, and into which cache.
    pub fetcher: Fetcher,
    /// Who must have signed it.
    pub verify: Box<dyn Verify>,
    /// The time, in seconds since 1970.
    pub now: u64,
    /// Never ask the network: only what is cached counts.
    pub offline: bool,
    /// Suites that are used, with a note, although what they were valid until is past.
    pub stale: BTreeSet<String>,
    /// Who is told what goes on.
    pub progress: Shared,
}

/// Debian's archive and its security archive.
pub struct Archive {
    options: Options,
}

/// What some suites hold.
#[derive(Debug)]
pub struct Contents {
    /// One index a suite.
    pub indexes: Vec<Index>,
    /// When each suite was made, in seconds since 1970: what a [`Lock`] keeps.
    pub releases: BTreeMap<String, u64>,
}

/// Something of an archive cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It cannot be read from or written to the cache.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nobody trusted has signed it.
    #[error("{uri} is not signed by anyone trusted")]
    Signature {
        /// The `InRelease` file.
        uri: String,
        /// Why not.
        source: BadSignature,
    },
    /// Its signed text cannot be used.
    #[error("{uri} cannot be used")]
    Release {
        /// The `InRelease` file.
        uri: String,
        /// Why not.
        source: ReleaseError,
    },
    /// The suite has no such index.
    #[error("{uri} lists no index {name}")]
    NoIndex {
        /// The `InRelease` file.
        uri: String,
        /// The index.
        name: String,
    },
    /// An index cannot be unpacked, or is not what is signed.
    #[error("cannot unpack the index {uri}")]
    Unpack {
        /// The index.
        uri: String,
        /// Why not.
        source: io::Error,
    },
    /// An index is malformed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Without network, and it is not in the cache.
    #[error("{what} is not in the cache, and the network is not to be used")]
    Offline {
        /// What was needed.
        what: String,
    },
    /// A file that the lock names is no longer in the archive.
    #[error("{name} {version} is neither in the archive any more nor in the cache")]
    Gone {
        /// The package.
        name: PackageName,
        /// The version that the lock names.
        version: Version,
    },
}

impl From<LoadIndexError> for ArchiveError {
    fn from(error: LoadIndexError) -> Self {
        match error {
            LoadIndexError::File(error) => error.into(),
            LoadIndexError::Index(error) => error.into(),
        }
    }
}

impl Explain for ArchiveError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Fetch(error) => error.hint(),
            Self::File(error) => error.hint(),
            Self::Index(error) => error.hint(),
            Self::Release { source, .. } => source.hint(),
            Self::Signature { .. } => Some(
                "use another archive (--archive URI), or install the package \
                 debian-archive-keyring of the newest release"
                    .into(),
            ),
            Self::NoIndex { .. } | Self::Unpack { .. } => {
                Some("use another archive: --archive URI".into())
            }
            Self::Offline { .. } => {
                Some("run once without --offline, so that it is fetched".into())
            }
            Self::Gone { .. } => {
                Some("run `forge update`, or use an archive that keeps old files".into())
            }
        }
    }
}

/// What to do when a file that a lock names is gone from the archive and the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Take the newest version of the same suite, and say so: development.
    TakeNewest,
    /// Fail: a release.
    Fail,
}

/// A package of a lock that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its name.
    pub name: PackageName,
    /// What it is; differs from the lock if `replaces` is there.
    pub locked: Locked,
    /// Where it lies in the cache.
    pub path: PathBuf,
    /// The version that the lock names, where the archive has only a newer one.
    pub replaces: Option<Version>,
}

/// The largest `InRelease` that is read; Debian's are below 300 kB.
const RELEASE_LIMIT: u64 = 8 << 20;

/// The parts of a suite: a release by its name means its updates and security updates too, all
/// others stand for themselves.
pub fn parts(suite: &str) -> Vec<String> {
    let alone = suite.contains('-') || matches!(suite, "sid" | "unstable" | "experimental");
    let endings: &[&str] = if alone { &[""] } else { &["", "-updates", "-security"] };
    endings.iter().map(|ending| format!("{suite}{ending}")).collect()
}

impl Archive {
    /// An archive; nothing is fetched yet.
    pub fn open(options: Options) -> Self {
        Self { options }
    }

    /// The indexes of `suites`: `trixie` means its updates and security updates too.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`] if a suite cannot be fetched, or is not genuine.
    pub fn contents(&self, suites: &[&str]) -> Result<Contents, ArchiveError> {
        let mut contents = Contents { indexes: Vec::new(), releases: BTreeMap::new() };
        for part in suites.iter().flat_map(|suite| parts(suite)) {
            if contents.releases.contains_key(&part) {
                continue;
            }
            let release = self.release(&part)?;
            contents.indexes.push(self.index(&part, &release)?);
            contents.releases.insert(part, release.date);
        }
        Ok(contents)
    }

    /// Fetches packages of this archive's indexes and returns their files in the same order.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`] if one cannot be fetched, or is not what its index says.
    pub fn download(&self, packages: &[Stanza<'_>]) -> Result<Vec<PathBuf>, ArchiveError> {
        let locked: Result<Vec<_>, _> = packages.iter().map(|&stanza| Locked::of(stanza)).collect();
        let wanted: Vec<_> = locked?.iter().map(|locked| self.wanted(locked)).collect();
        self.check_offline(&wanted)?;
        let Options { fetcher, progress, .. } = &self.options;
        Ok(fetcher.fetch_all(&wanted, progress.as_ref())?)
    }

    /// Fetches the packages `names` of a lock; names that it does not hold are passed over.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Gone`] if a file is gone and `gone` is [`Gone::Fail`], or the suite has no
    /// such package at all any more; [`ArchiveError::Offline`] where that is not known, because the
    /// network must not be asked; others as [`Archive::download`].
    pub fn download_locked<'n>(
        &self,
        lock: &Lock,
        names: impl IntoIterator<Item = &'n PackageName>,
        gone: Gone,
    ) -> Result<Vec<Fetched>, ArchiveError> {
        let named: Vec<_> =
            names.into_iter().filter_map(|name| lock.packages.get_key_value(name)).collect();
        let wanted: Vec<_> = named.iter().map(|(_, locked)| self.wanted(locked)).collect();
        let is_gone = |error: &FetchError| matches!(error, FetchError::NotFound { .. });
        let Options { fetcher, progress, offline, .. } = &self.options;
        if *offline && gone == Gone::Fail {
            self.check_offline(&wanted)?;
        }
        let results = if *offline {
            wanted.iter().map(|wanted| self.cached(wanted)).collect()
        } else {
            fetcher.fetch_each(&wanted, progress.as_ref(), (is_gone, &|_| ()))
        };
        // By position: what replaces a lost file keeps its place.
        let mut fetched = BTreeMap::new();
        let mut lost = Vec::new();
        for (at, (&(name, locked), result)) in named.iter().zip(results).enumerate() {
            match result {
                Some(Ok(path)) => {
                    let (name, locked) = (name.clone(), locked.clone());
                    fetched.insert(at, Fetched { name, locked, path, replaces: None });
                }
                Some(Err(error)) if is_gone(&error) => lost.push((at, (name, locked))),
                Some(Err(error)) => return Err(error.into()),
                None => {} // the error that stopped it follows
            }
        }
        let (places, lost): (Vec<_>, Vec<_>) = lost.into_iter().unzip();
        fetched.extend(places.into_iter().zip(self.replacements(&lost, gone)?));
        Ok(fetched.into_values().collect())
    }

    /// The newest versions of the packages whose locked files cannot be had, in the same order.
    fn replacements(
        &self,
        lost: &[(&PackageName, &Locked)],
        gone: Gone,
    ) -> Result<Vec<Fetched>, ArchiveError> {
        let Some(&first) = lost.first() else { return Ok(Vec::new()) };
        if gone == Gone::Fail {
            return Err(self.lost(first));
        }
        let suites: BTreeSet<_> = lost.iter().map(|(_, locked)| family(&locked.suite)).collect();
        let contents = self.contents(&suites.into_iter().collect::<Vec<_>>());
        let newest = self.newest(&contents.map_err(|error| self.blamed(error, first))?, lost)?;
        let lacks = if self.options.offline { "not in the cache" } else { "gone from the archive" };
        for Fetched { name, locked, replaces, .. } in &newest {
            if let Some(old) = replaces {
                let new = &locked.version;
                let line = format!("note: {name} {old} is {lacks}: {new} is used instead");
                self.options.progress.note(&line);
            }
        }
        Ok(newest)
    }

    /// Fetches the newest versions of packages, each from the suite that the lock names.
    fn newest(
        &self,
        contents: &Contents,
        lost: &[(&PackageName, &Locked)],
    ) -> Result<Vec<Fetched>, ArchiveError> {
        let pin = |&(name, locked): &(&PackageName, &Locked)| {
            (name.to_string(), family(&locked.suite).to_owned())
        };
        let packages = lost.iter().map(pin).collect();
        let universe = Universe::new(&contents.indexes, &Pins { base: None, packages })?;
        let mut stanzas = Vec::new();
        let mut newest = Vec::new();
        for &(name, locked) in lost {
            let stanza = universe.get(name.as_str()).ok_or_else(|| self.lost((name, locked)))?;
            let found = Locked::of(stanza)?;
            if found == *locked {
                return Err(self.lost((name, locked))); // the archive names it still
            }
            let cached = self.check_offline(&[self.wanted(&found)]);
            cached.map_err(|error| self.blamed(error, (name, locked)))?;
            stanzas.push(stanza);
            newest.push((name.clone(), found, locked.version.clone()));
        }
        let paths = self.download(&stanzas)?.into_iter().zip(newest);
        let fetched = paths.map(|(path, (name, locked, old))| Fetched {
            name,
            locked,
            path,
            replaces: Some(old),
        });
        Ok(fetched.collect())
    }

    /// Blames what is missing in the first place, not what could have replaced it.
    fn blamed(&self, error: ArchiveError, lost: (&PackageName, &Locked)) -> ArchiveError {
        if matches!(error, ArchiveError::Offline { .. }) { self.lost(lost) } else { error }
    }

    /// What to say of a locked file that cannot be had. Without network nobody can tell whether the
    /// archive has it.
    fn lost(&self, (name, locked): (&PackageName, &Locked)) -> ArchiveError {
        if self.options.offline {
            return ArchiveError::Offline { what: self.wanted(locked).uri };
        }
        ArchiveError::Gone { name: name.clone(), version: locked.version.clone() }
    }

    fn wanted(&self, locked: &Locked) -> Wanted {
        let uri = format!("{}/{}", self.root(&locked.suite), locked.filename);
        Wanted { uri, size: locked.size, digest: locked.sha256 }
    }

    fn cached(&self, wanted: &Wanted) -> Option<Result<PathBuf, FetchError>> {
        let cached =
            self.options.fetcher.cache().get(&wanted.digest).map_err(FetchError::from).transpose();
        Some(cached.unwrap_or_else(|| Err(FetchError::NotFound { uri: wanted.uri.clone() })))
    }

    fn check_offline(&self, wanted: &[Wanted]) -> Result<(), ArchiveError> {
        for wanted in wanted.iter().filter(|_| self.options.offline) {
            if self.options.fetcher.cache().get(&wanted.digest)?.is_none() {
                return Err(ArchiveError::Offline { what: wanted.uri.clone() });
            }
        }
        Ok(())
    }

    /// The root of the archive that has this suite.
    fn root(&self, suite: &str) -> &str {
        let Sources { main, security } = &self.options.sources;
        if is_security(suite) { security } else { main }
    }

    /// The verified release of one suite: fetched, or the cached one where the archive cannot be
    /// reached, or has an older one.
    fn release(&self, suite: &str) -> Result<Release, ArchiveError> {
        let release = self.newest_release(suite)?;
        if release.valid_until.is_some_and(|until| until < self.options.now) {
            let note = format!("note: the archive's {suite} has expired, and is used nevertheless");
            self.options.progress.note(&note);
        }
        Ok(release)
    }

    fn newest_release(&self, suite: &str) -> Result<Release, ArchiveError> {
        let Options { fetcher, progress, offline, .. } = &self.options;
        let cache = fetcher.cache();
        let root = self.root(suite);
        let uri = format!("{root}/dists/{suite}/InRelease");
        let path = cache.release_path(root, suite);
        let cached = path.is_file().then(|| file::read(&path)).transpose()?;
        let cached = cached.map(|signed| self.checked(&uri, suite, &signed));
        let fetched = if *offline {
            Err(ArchiveError::Offline { what: uri.clone() })
        } else {
            fetcher.bytes(&uri, RELEASE_LIMIT).map_err(ArchiveError::from)
        };
        match (fetched, cached) {
            (Ok(signed), cached) => {
                let release = self.checked(&uri, suite, &signed)?;
                if let Some(Ok(cached)) = cached
                    && cached.date > release.date
                {
                    progress.note(&format!("{uri} is older than what it was before: ignored"));
                    return Ok(cached);
                }
                cache.keep_release(root, suite, &signed)?;
                Ok(release)
            }
            (Err(error), Some(cached)) if may_use_cache(&error) => {
                let release = cached?;
                if !offline {
                    progress.note(&format!("{error}: using the cached release of {suite}"));
                }
                Ok(release)
            }
            (Err(error), _) => Err(error),
        }
    }

    fn checked(&self, uri: &str, suite: &str, signed: &[u8]) -> Result<Release, ArchiveError> {
        let now = self.options.now;
        let text = self.options.verify.verify(signed, now);
        let text =
            text.map_err(|source| ArchiveError::Signature { uri: uri.to_owned(), source })?;
        let bad = |source| ArchiveError::Release { uri: uri.to_owned(), source };
        let release = release::parse(&text).map_err(bad)?;
        match release.check(suite, now) {
            Err(ReleaseError::Expired { .. }) if self.options.stale.contains(suite) => {}
            checked => checked.map_err(bad)?,
        }
        Ok(release)
    }

    /// The index of one suite, from the cache or fetched; kept unpacked.
    fn index(&self, suite: &str, release: &Release) -> Result<Index, ArchiveError> {
        let path = self.listed(suite, release, "main/binary-amd64/Packages")?;
        Ok(Index::load(suite, &path)?)
    }

    /// The unpacked file `name` of a suite, from the cache or fetched.
    fn listed(&self, suite: &str, release: &Release, name: &str) -> Result<PathBuf, ArchiveError> {
        let root = format!("{}/dists/{suite}", self.root(suite));
        let packed_name = format!("{name}.xz");
        let plain = release.files.get(name).ok_or_else(|| ArchiveError::NoIndex {
            uri: format!("{root}/InRelease"),
            name: name.to_owned(),
        })?;
        let Options { fetcher, progress, offline, .. } = &self.options;
        let cache = fetcher.cache();
        let cached = cache.get(&plain.digest)?;
        match (cached, release.files.get(&packed_name)) {
            (Some(path), _) => Ok(path),
            (None, _) if *offline => Err(ArchiveError::Offline { what: format!("{root}/{name}") }),
            (None, packed) => {
                let (name, listed) =
                    packed.map_or((name, plain), |packed| (packed_name.as_str(), packed));
                let uri = index_uri(&root, name, release, listed);
                let wanted = Wanted { uri, size: listed.size, digest: listed.digest };
                let what = format!("fetching the index of {suite}");
                let task = progress.begin(&what, Some(listed.size), Unit::Bytes);
                let path = fetcher.fetch(&wanted, task.as_ref())?;
                if packed.is_some() { self.unpack(&wanted.uri, &path, plain) } else { Ok(path) }
            }
        }
    }

    /// Unpacks an index into the cache. The packed one stays: another process may be reading it.
    fn unpack(&self, uri: &str, packed: &Path, plain: &Listed) -> Result<PathBuf, ArchiveError> {
        let path = self.options.fetcher.cache().path(&plain.digest);
        let bad = |source| ArchiveError::Unpack { uri: uri.to_owned(), source };
        let open = std::fs::File::open(packed).map_err(FileError::at("read", packed))?;
        let mut reader = crate::deb::unpack_xz(io::BufReader::new(open)).map_err(bad)?;
        let mut staged = Staged::create(&path)?;
        let mut hasher = Hasher::default();
        let mut size = 0;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = reader.read(&mut buffer).map_err(bad)?;
            if count == 0 {
                break;
            }
            size += count as u64;
            if size > plain.size {
                let text = format!("it unpacks to more than {}", ByteSize(plain.size));
                return Err(bad(io::Error::other(text)));
            }
            hasher.update(&buffer[..count]);
            staged.write_all(&buffer[..count]).map_err(FileError::at("write", &path))?;
        }
        let found: Digest = hasher.finish();
        if found != plain.digest {
            let expected = plain.digest;
            return Err(FetchError::Tampered { uri: uri.to_owned(), expected, found }.into());
        }
        staged.commit()?;
        Ok(path)
    }
}

/// Whether a cached release may stand in for what failed: the archive was not reached.
fn may_use_cache(error: &ArchiveError) -> bool {
    match error {
        ArchiveError::Offline { .. } => true,
        ArchiveError::Fetch(error) => error.is_unreachable(),
        _ => false,
    }
}

/// By digest where the archive offers that, so that an update of it disturbs nobody.
fn index_uri(root: &str, name: &str, release: &Release, listed: &Listed) -> String {
    match name.rsplit_once('/') {
        Some((folder, _)) if release.by_hash => {
            format!("{root}/{folder}/by-hash/SHA256/{}", listed.digest)
        }
        _ => format!("{root}/{name}"),
    }
}
