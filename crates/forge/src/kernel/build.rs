//! Building the kernel inside a tool root: unpack, configure, check, compile, collect.

mod compile;
mod kept;
mod source;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use base::child::ChildError;
use base::digest::{Digest, Hasher};
use base::file::{self, FileError};
use base::progress::{Progress, Unit};
use base::{Explain, child};

pub(crate) use kept::Kernel;

use super::config::{BadConfig, Config, Difference, NotGranted, Value};
use super::fragment::{Wish, merged};
use super::patches::Patch;
use crate::sandbox::Bind;

/// Raised when the steps below change what they make of the same inputs.
const STEPS: u32 = 2;

/// Fixed, so that the same inputs give the same bytes; `uname -v` shows it behind the version.
const TIMESTAMP: &str = "2026-01-01";

/// A Debian root in which programs run: no network, a fixed environment, and of the machine's own
/// files only what is bound.
pub(crate) trait Sandbox {
    /// A command that runs `program` in the root, seeing `binds`; arguments can be added to it.
    fn command(&self, program: &str, binds: &[Bind]) -> Command;
    /// Stands for all that lies in the root: another compiler has another identity.
    fn identity(&self) -> Digest;
}

/// The kernel's source, with Debian's patches.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The `linux-source-….tar.xz` of Debian's package; a folder of the same name is in it.
    pub(crate) archive: PathBuf,
    /// Debian's changelog of it, in gzip.
    pub(crate) changelog: PathBuf,
    /// Debian's version, such as `6.12.117-1`.
    pub(crate) version: String,
    /// Stands for what is in it: the digest of the package, or of the archive.
    pub(crate) digest: Digest,
}

/// What a kernel is built from, apart from the compiler.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// The source.
    pub(crate) source: Source,
    /// What we change in it.
    pub(crate) patches: Vec<Patch>,
    /// What the fragments ask for.
    pub(crate) wishes: Vec<Wish>,
    /// Where the final configuration is committed.
    pub(crate) committed: PathBuf,
}

impl Recipe {
    /// The name of the result in the cache: changes with whatever changes the result. Reasons do not.
    pub(crate) fn key(&self, sandbox: &dyn Sandbox) -> Digest {
        let mut hasher = Hasher::default();
        hasher
            .field(b"kernel")
            .field(&STEPS.to_le_bytes())
            .field(self.source.digest.as_bytes())
            .field(self.source.version.as_bytes())
            .field(merged(&self.wishes).as_bytes())
            .field(sandbox.identity().as_bytes());
        for patch in &self.patches {
            hasher.field(patch.digest.as_bytes());
        }
        hasher.finish()
    }
}

/// Why a kernel could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// A file of the build or the cache.
    #[error(transparent)]
    File(#[from] FileError),
    /// The archive is damaged, or holds something else.
    #[error("cannot unpack the kernel's source from {}", archive.display())]
    Unpack {
        /// The archive.
        archive: PathBuf,
        /// Why.
        source: ChildError,
    },
    /// The source is another one than the patch was made for.
    #[error("cannot apply {} to the kernel's source", patch.display())]
    Patch {
        /// The patch.
        patch: PathBuf,
        /// Why.
        source: ChildError,
    },
    /// Kconfig failed.
    #[error("cannot expand the fragments into a configuration")]
    Configure {
        /// Why.
        source: ChildError,
    },
    /// Kconfig wrote something else than a configuration, or the committed file is none.
    #[error("the configuration cannot be read")]
    BadConfig {
        /// Why.
        source: BadConfig,
    },
    /// What was asked for did not come out.
    #[error("{} of the options asked for did not come out{}", missed.len(), lines(missed))]
    NotGranted {
        /// Which.
        missed: Vec<NotGranted>,
    },
    /// The committed configuration is another one.
    #[error("{} is not what the fragments lead to{}", committed.display(), lines(differences))]
    Differs {
        /// The committed file.
        committed: PathBuf,
        /// In which options.
        differences: Vec<Difference>,
    },
    /// The same inputs gave other bytes.
    #[error("building the kernel again gave another {}", files.join(", "))]
    NotReproduced {
        /// The names of the files.
        files: Vec<&'static str>,
        /// The folder of the first result.
        first: PathBuf,
        /// The folder of the second one.
        second: PathBuf,
    },
    /// The compiler could not be started.
    #[error("cannot start the kernel's build")]
    Start {
        /// Why.
        source: std::io::Error,
    },
    /// What was compiled could not be put together.
    #[error("cannot pack the kernel's modules")]
    Modules {
        /// Why.
        source: ChildError,
    },
    /// Compiling failed.
    #[error("the kernel's build failed with {status}\n{output}")]
    Compile {
        /// How it ended.
        status: std::process::ExitStatus,
        /// The errors and the last lines that it printed.
        output: String,
    },
}

fn lines(items: &[impl ToString]) -> String {
    items.iter().map(|item| format!("\n  {}", item.to_string())).collect()
}

impl Explain for BuildError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Unpack { .. } => Some(
                "free space where the cache is, or run `forge cache clear roots`, so that the source \
                 is fetched and unpacked again"
                    .into(),
            ),
            Self::Patch { .. } => Some("adapt the patch to this source, or drop it if the source has the change by now".into()),
            Self::Configure { source } | Self::Modules { source } => source.hint(),
            Self::BadConfig { .. } => Some("run `forge kernel config` to write it anew".into()),
            Self::NotGranted { missed } if missed.iter().any(NotGranted::is_plugins) => Some(
                "GCC plugins need plugin headers: add the package gcc-NN-plugin-dev of that very \
                 compiler to the root `build` of os/tools.toml"
                    .into(),
            ),
            Self::NotGranted { .. } => Some(
                "look up what each depends on in the source's Kconfig and ask for that too, drop the \
                 line, or mark it with `?` and say why it may be absent"
                    .into(),
            ),
            Self::Differs { .. } => {
                Some("run `forge kernel config`, then read and commit the difference".into())
            }
            Self::NotReproduced { first, second, .. } => {
                Some(format!("compare {} with {}", first.display(), second.display()))
            }
            Self::Compile { output, .. } if output.contains("No space left on device") => {
                Some("free 4 GB where the cache is, 12 GB for `full`; --cache takes another place".into())
            }
            Self::Compile { output, .. } if output.contains("Killed") => {
                Some("the compiler was out of memory: 2 GB for each processor do".into())
            }
            Self::Start { .. } | Self::Compile { .. } => None,
        }
    }
}

/// The kernel with this key, if the cache holds it and every file of it is as it was built.
pub(crate) fn cached(cache: &Path, key: Digest) -> Option<Kernel> {
    let kernel = Kernel { folder: folder(cache, key) };
    kernel.is_whole().then_some(kernel)
}

/// Where the kernel with this key is, or would be.
pub(crate) fn folder(cache: &Path, key: Digest) -> PathBuf {
    cache.join(key.short())
}

/// The kernel of `recipe`: from `cache`, or built now, which takes long (docs/kernel.md). Nothing half-built is
/// ever found in the cache.
///
/// # Errors
///
/// [`BuildError`].
pub(crate) fn build(
    recipe: &Recipe,
    sandbox: &dyn Sandbox,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<Kernel, BuildError> {
    let key = recipe.key(sandbox);
    let checked = |kernel: Kernel| {
        check_committed(recipe, &file::read_text(&kernel.config())?, progress)?;
        Ok(kernel)
    };
    if let Some(kernel) = cached(cache, key) {
        return checked(kernel);
    }
    let site = Site::open(cache, sandbox)?; // waits here while another process builds
    if let Some(kernel) = cached(cache, key) {
        return checked(kernel);
    }
    site.build(recipe, folder(cache, key), progress)
}

/// Builds the kernel of `recipe` once more and compares every file with that of the cache (built
/// before where it held none).
///
/// # Errors
///
/// [`BuildError::NotReproduced`]: the second result is kept then, beside the first.
pub(crate) fn again(
    recipe: &Recipe,
    sandbox: &dyn Sandbox,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<Kernel, BuildError> {
    let first = build(recipe, sandbox, cache, progress)?;
    let folder = first.folder.with_extension("again");
    let second = Site::open(cache, sandbox)?.build(recipe, folder, progress)?;
    let files = first.differences(&second)?;
    if !files.is_empty() {
        return Err(BuildError::NotReproduced {
            files,
            first: first.folder,
            second: second.folder,
        });
    }
    file::remove_folder(&second.folder)?;
    Ok(first)
}

/// The text of the final configuration that `recipe` leads to. Takes half a minute.
///
/// # Errors
///
/// [`BuildError`].
pub(crate) fn configure(
    recipe: &Recipe,
    sandbox: &dyn Sandbox,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<String, BuildError> {
    Site::open(cache, sandbox)?.configure(recipe, progress)
}

/// Compares the committed configuration with the one that came out.
///
/// # Errors
///
/// [`BuildError::Differs`], or that the committed one cannot be read.
pub(crate) fn compare(committed: &Path, config: &Config) -> Result<(), BuildError> {
    let differences = parse(&file::read_text(committed)?)?.differences(config);
    if differences.is_empty() {
        return Ok(());
    }
    Err(BuildError::Differs { committed: committed.to_owned(), differences })
}

fn parse(text: &str) -> Result<Config, BuildError> {
    Config::parse(text).map_err(|source| BuildError::BadConfig { source })
}

/// Compares the committed configuration with the final one, `text`; where the source's version is
/// another than the committed file's, the difference is only a note.
fn check_committed(recipe: &Recipe, text: &str, progress: &dyn Progress) -> Result<(), BuildError> {
    match compare(&recipe.committed, &parse(text)?) {
        Err(BuildError::Differs { committed, differences })
            if is_of_another_version(&committed, text) =>
        {
            progress.note(&format!(
                "the source is newer than {}; it differs in{}",
                committed.display(),
                lines(&differences)
            ));
            Ok(())
        }
        compared => compared,
    }
}

/// Whether the committed configuration is one of another version of the source than `text`.
fn is_of_another_version(committed: &Path, text: &str) -> bool {
    let version = |text: &str| Config::parse(text).ok()?.version;
    file::read_text(committed).is_ok_and(|committed| version(&committed) != version(text))
}

/// The place where one build goes on: a folder beside the results, emptied before and after.
struct Site<'a> {
    sandbox: &'a dyn Sandbox,
    work: PathBuf,
    /// Held until the build has ended: one build at a time per cache.
    _lock: File,
}

impl<'a> Site<'a> {
    fn open(cache: &Path, sandbox: &'a dyn Sandbox) -> Result<Self, BuildError> {
        file::create_dir_all(cache)?;
        let path = cache.join("lock");
        let lock = File::create(&path).map_err(FileError::at("create", &path))?;
        lock.lock().map_err(FileError::at("lock", &path))?;
        let site = Self { sandbox, work: cache.join("work"), _lock: lock };
        site.clear()?; // what a build left that was killed
        Ok(site)
    }

    fn clear(&self) -> Result<(), FileError> {
        match fs::remove_dir_all(&self.work) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(FileError::at("remove", &self.work)(error))
            }
            _ => Ok(()),
        }
    }

    /// Where the source is, on the machine.
    fn source(&self) -> PathBuf {
        self.work.join("source")
    }

    /// Where objects go, on the machine.
    fn out(&self) -> PathBuf {
        self.work.join("out")
    }

    /// `tar`, which sees `archive` as `/build/source.tar.xz` and writes to the source's folder.
    fn tar(&self, archive: &Path) -> Command {
        let binds = [
            Bind::writable(&self.source(), "/build/source"),
            Bind::read_only(archive, "/build/source.tar.xz"),
        ];
        self.sandbox.command("tar", &binds)
    }

    /// `patch`, which sees `patch` as `/build/change.patch` and changes the source's folder.
    fn patch(&self, patch: &Path) -> Command {
        let binds = [
            Bind::writable(&self.source(), "/build/source"),
            Bind::read_only(patch, "/build/change.patch"),
        ];
        self.sandbox.command("patch", &binds)
    }

    /// `make`, for which source and objects lie in fixed places: their paths are part of the result.
    fn make(&self) -> Command {
        let binds = [
            Bind::read_only(&self.source(), "/build/source"),
            Bind::writable(&self.out(), "/build/out"),
        ];
        let mut command = self.sandbox.command("make", &binds);
        command.args(["-C", "/build/source", "O=/build/out"]);
        command
    }

    /// Unpacks the source, expands the fragments, and checks that all that was asked for came out.
    fn configure(&self, recipe: &Recipe, progress: &dyn Progress) -> Result<String, BuildError> {
        let _task = progress.begin("configuring the kernel", None, Unit::Nothing);
        source::unpack(self, recipe)?;
        let asked = self.out().join("asked.config");
        file::replace(&asked, merged(&recipe.wishes).as_bytes())?;
        child::run(self.make().args([
            "-s",
            "KCONFIG_ALLCONFIG=/build/out/asked.config",
            "allnoconfig",
        ]))
        .map_err(|source| BuildError::Configure { source })?;
        let text = file::read_text(&self.out().join(".config"))?;
        let missed = parse(&text)?.not_granted(&recipe.wishes, &source::declared(&self.source())?);
        if !missed.is_empty() {
            return Err(BuildError::NotGranted { missed });
        }
        Ok(text)
    }

    /// Configures, compiles, and keeps the result in `folder`.
    fn build(
        &self,
        recipe: &Recipe,
        folder: PathBuf,
        progress: &dyn Progress,
    ) -> Result<Kernel, BuildError> {
        let text = self.configure(recipe, progress)?;
        check_committed(recipe, &text, progress)?;
        let job = compile::Job {
            version: &recipe.source.version,
            key: recipe.key(self.sandbox),
            modules: *parse(&text)?.get("CONFIG_MODULES") == Value::Yes,
        };
        compile::compile(self, &job, progress)?;
        file::replace_folder(&folder, |folder| kept::collect(&self.out(), folder))?;
        Ok(Kernel { folder })
    }
}

impl Drop for Site<'_> {
    fn drop(&mut self) {
        // The build's own result matters more; the next build clears what is left.
        let _ = self.clear();
    }
}

#[cfg(test)]
pub(crate) mod tests;
