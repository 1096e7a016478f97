//! Building the kernel inside a tool root: unpack, configure, check, compile, collect.

mod committed;
mod compile;
mod error;
mod kept;
mod site;
mod source;

use std::path::{Path, PathBuf};
use std::process::Command;

use base::digest::{Digest, Hasher};
use base::file;
use base::progress::Progress;

pub(crate) use committed::{committed, compare};
pub(crate) use error::BuildError;
pub(crate) use kept::Kernel;
pub(crate) use site::wait_for;

use super::config::Config;
use super::fragment::{Wish, merged};
use super::patches::Patch;
use crate::sandbox::Bind;
use committed::{check_committed, parse};
use site::Site;

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
    /// Debian's copyright file of it.
    pub(crate) copyright: PathBuf,
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

/// A final configuration, as it is written and as it is read.
pub(crate) struct Final {
    /// What Kconfig wrote.
    pub(crate) text: String,
    /// The same.
    pub(crate) config: Config,
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
        let path = kernel.config();
        check_committed(recipe, &parse(&path, &file::read_text(&path)?)?, progress)?;
        Ok(kernel)
    };
    if let Some(kernel) = cached(cache, key) {
        site::clear_leftover(cache, progress);
        return checked(kernel);
    }
    let site = Site::open(cache, sandbox, progress)?; // waits here while another process builds
    if let Some(kernel) = cached(cache, key) {
        return checked(kernel);
    }
    site.build(recipe, folder(cache, key))
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
    let second = Site::open(cache, sandbox, progress)?.build(recipe, folder)?;
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

/// The final configuration that `recipe` leads to. Takes half a minute.
///
/// # Errors
///
/// [`BuildError`].
pub(crate) fn configure(
    recipe: &Recipe,
    sandbox: &dyn Sandbox,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<Final, BuildError> {
    Site::open(cache, sandbox, progress)?.configure(recipe)
}

#[cfg(test)]
pub(crate) mod tests;
