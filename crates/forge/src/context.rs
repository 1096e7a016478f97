//! What every command of `forge` needs: where the product's sources are, the cache, how progress
//! is shown. The only place that reads the environment.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use base::file::{self, FileError};
use base::progress::Shared;
use base::{Explain, Failure};
use packages::archive::Gone;
use serde::Deserialize;

use crate::cache::{Cache, InUse};
use crate::progress;

/// Debian's keys, from the package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Options that every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Debian archive to use instead of the one in this machine's APT sources
    #[arg(long, global = true, value_name = "URI")]
    archive: Option<String>,
    /// Keys that must have signed the archive [default: those of debian-archive-keyring]
    #[arg(long, global = true, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// Use only what the cache holds; fail rather than download
    #[arg(long, global = true)]
    offline: bool,
    /// Make a release: fail where a package of os/packages.lock is gone from the archive, is not built from
    /// source although it is to be, or falls short of os/policy
    #[arg(long, global = true)]
    release: bool,
    /// Folder of the cache [default: ~/.cache/preon]
    #[arg(long, global = true, value_name = "FOLDER", env = "PREON_CACHE")]
    cache: Option<PathBuf>,
}

/// `~/.config/preon/forge.toml`: what a machine always wants different.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Configuration {
    /// As `--archive`.
    archive: Option<String>,
    /// As `--keyring`.
    keyring: Option<PathBuf>,
    /// As `--cache`.
    cache: Option<PathBuf>,
}

/// What every command needs.
#[derive(Clone)]
pub(crate) struct Context {
    /// The checkout: the folder that holds `os/` and `crates/`.
    pub(crate) root: PathBuf,
    /// What is kept between builds.
    pub(crate) cache: Cache,
    /// Held as long as the cache is used.
    pub(crate) in_use: Arc<InUse>,
    /// How progress is shown.
    pub(crate) progress: Shared,
    /// The archive's URI where the user gave one.
    pub(crate) archive: Option<String>,
    /// Whose signature the archive's indexes must carry.
    pub(crate) keyring: PathBuf,
    /// Whether downloading is forbidden.
    pub(crate) offline: bool,
    /// What to do about a locked package that the archive has no more.
    pub(crate) gone: Gone,
    /// The HTTP proxy, if there is one.
    pub(crate) proxy: Option<String>,
    /// Where cargo keeps the crates that it has fetched.
    pub(crate) cargo_home: PathBuf,
    /// Where the keys that sign repositories are, unless the user says otherwise.
    pub(crate) keys: Option<PathBuf>,
}

/// Why `forge` cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextError {
    #[error("no folder above {} holds Preon's sources", .0.display())]
    NoSources(PathBuf),
    #[error("{}: {message}", path.display())]
    Configuration { path: PathBuf, message: String },
    #[error("HOME is not set, so the cache has no place")]
    NoCache,
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for ContextError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoSources(_) => Some("run forge inside a checkout of Preon OS".into()),
            Self::Configuration { .. } => {
                Some("it knows the keys `archive`, `keyring` and `cache`".into())
            }
            Self::NoCache => Some("set HOME, or CARGO_HOME and --cache".into()),
            Self::File(error) => error.hint(),
        }
    }
}

impl Context {
    /// Reads the environment and the configuration file; `options` win over both.
    ///
    /// # Errors
    ///
    /// [`ContextError`].
    pub(crate) fn open(options: Options) -> Result<Self, Failure> {
        let configuration = configuration()?;
        let home_cache = || base_folder("XDG_CACHE_HOME", ".cache");
        let cache = options
            .cache
            .or(configuration.cache)
            .or_else(home_cache)
            .ok_or(ContextError::NoCache)?;
        let (root, cache) = (find_root()?, Cache::new(cache));
        Ok(Self {
            in_use: Arc::new(cache.enter(&outputs(&root)?)?),
            root,
            cache,
            progress: progress::for_stderr(),
            archive: options.archive.or(configuration.archive),
            keyring: options.keyring.or(configuration.keyring).unwrap_or_else(|| KEYRING.into()),
            offline: options.offline,
            gone: if options.release { Gone::Fail } else { Gone::TakeNewest },
            proxy: env::var("http_proxy").ok().filter(|proxy| !proxy.is_empty()),
            cargo_home: cargo_home().ok_or(ContextError::NoCache)?,
            keys: base_folder("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("keys")),
        })
    }

    /// Whether what is made is a release: nothing may stand in for what it is to be made of.
    pub(crate) fn is_release(&self) -> bool {
        self.gone == Gone::Fail
    }

    /// The same for development: what is not there yet may be stood in for.
    pub(crate) fn development(&self) -> Self {
        Self { gone: Gone::TakeNewest, ..self.clone() }
    }

    /// The same with the checkout at `root`.
    pub(crate) fn elsewhere(&self, root: &Path) -> Self {
        Self { root: root.to_owned(), ..self.clone() }
    }

    /// Where the results of building `image` go.
    pub(crate) fn out(&self, image: &str) -> PathBuf {
        self.root.join("out").join(image)
    }
}

/// The folders in which results are or come to be.
fn outputs(root: &Path) -> Result<Vec<PathBuf>, FileError> {
    let out = root.join("out");
    if !out.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&out).map_err(FileError::at("read", &out))?;
    let paths = entries.map(|entry| Ok(entry.map_err(FileError::at("read", &out))?.path()));
    let paths: Result<Vec<_>, FileError> = paths.collect();
    let images = paths?.into_iter().filter(|path| path.is_dir());
    Ok(images.chain([out]).collect())
}

fn configuration() -> Result<Configuration, ContextError> {
    let Some(folder) = base_folder("XDG_CONFIG_HOME", ".config") else {
        return Ok(Configuration::default());
    };
    let path = folder.join("forge.toml");
    if !path.exists() {
        return Ok(Configuration::default());
    }
    toml::from_str(&file::read_text(&path)?)
        .map_err(|error| ContextError::Configuration { path, message: error.to_string() })
}

/// The folder `preon` in one of the XDG base folders.
fn base_folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let folder = match env::var_os(variable).filter(|value| !value.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env::var_os("HOME")?).join(below_home),
    };
    Some(folder.join("preon"))
}

/// Source: The Cargo Book, "Cargo Home".
fn cargo_home() -> Option<PathBuf> {
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home)
}

fn find_root() -> Result<PathBuf, ContextError> {
    let here = env::current_dir().map_err(FileError::at("find the folder", "."))?;
    let is_root = |folder: &&Path| folder.join("os/images").is_dir();
    let root = here.ancestors().find(is_root).map(Path::to_owned);
    root.ok_or(ContextError::NoSources(here))
}
