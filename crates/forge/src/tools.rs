//! Tool roots: Debian 13 programs, unpacked with all that they need into the cache and run from
//! there, so that no byte of an image depends on the system of the build machine.
//!
//! No maintainer script runs: what these programs need of them is in `os/tools.toml`.

mod unpack;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use base::child::Program;
use base::digest::Hasher;
use base::file::{self, FileError};
use base::progress::Unit;
use base::{Digest, Explain, Failure};
use formats::{PackageName, Version};
use packages::archive::Fetched;
use packages::lock::Set;
use serde::Deserialize;

use crate::cache::Kind;
use crate::context::Context;
use crate::sandbox::{self, Inside};
use crate::supply::{Purpose, Supply};

/// Rises when unpacking changes.
const METHOD: &[u8] = b"1";

/// `os/tools.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tools {
    /// The roots by name.
    #[serde(rename = "root")]
    pub(crate) roots: BTreeMap<String, Definition>,
}

/// What a tool root is made of.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    /// One line for people.
    #[expect(dead_code, reason = "read by people, in the file")]
    summary: String,
    /// What is asked for; what these depend on comes along.
    pub(crate) packages: Vec<PackageName>,
    /// Take only the named packages, nothing that they depend on.
    #[serde(default)]
    pub(crate) standalone: bool,
    /// The suite that the named packages are taken from; only for what is standalone.
    pub(crate) suite: Option<String>,
    /// Symbolic links that maintainer scripts would have made.
    #[serde(default)]
    links: BTreeMap<String, String>,
}

/// Why there is no such tool root.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolsError {
    #[error("{}: {message}", path.display())]
    Malformed { path: PathBuf, message: String },
    #[error("os/tools.toml describes no root `{0}`")]
    Unknown(String),
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for ToolsError {}

impl Tools {
    /// Reads `os/tools.toml` of the checkout at `root`.
    ///
    /// # Errors
    ///
    /// [`ToolsError`] with line and column.
    pub(crate) fn load(root: &Path) -> Result<Self, ToolsError> {
        let path = root.join("os/tools.toml");
        toml::from_str(&file::read_text(&path)?)
            .map_err(|error| ToolsError::Malformed { path, message: error.to_string() })
    }

    /// The root `name` of the checkout at `root`.
    fn definition(root: &Path, name: &str) -> Result<Definition, ToolsError> {
        let definition = Self::load(root)?.roots.remove(name);
        definition.ok_or_else(|| ToolsError::Unknown(name.to_owned()))
    }
}

impl Definition {
    /// The name in the cache of the root with these packages.
    fn key(&self, packages: &Digest) -> Digest {
        let mut hasher = Hasher::default();
        hasher.field(METHOD).field(packages.as_bytes());
        for (link, target) in &self.links {
            hasher.field(link.as_bytes()).field(target.as_bytes());
        }
        hasher.finish()
    }

    /// The name in the cache of the root of these files, which may be newer than the lock's.
    fn key_of(&self, debs: &[Fetched]) -> Digest {
        let mut digests = Hasher::default();
        for deb in debs {
            digests.field(deb.locked.sha256.as_bytes());
        }
        self.key(&digests.finish())
    }
}

/// A root that is there, to run programs from.
#[derive(Clone, Debug)]
pub(crate) struct ToolRoot {
    folder: PathBuf,
    identity: Digest,
    versions: BTreeMap<PackageName, Version>,
}

impl ToolRoot {
    /// The root `name` of `os/tools.toml`; downloaded and unpacked unless the cache has it.
    ///
    /// # Errors
    ///
    /// [`ToolsError`], or what fetching and unpacking fail with.
    pub(crate) fn open(context: &Context, name: &str) -> Result<Self, Failure> {
        let Locked { definition, supply, set, root } = Locked::look_up(context, name)?;
        if root.folder.is_dir() {
            return Ok(root);
        }
        let debs = supply.fetch(context, &set.packages)?;
        let identity = definition.key_of(&debs);
        let folder = context.cache.folder(Kind::Roots, &identity, |folder| {
            let what = format!("unpacking the {name} root");
            let task =
                context.progress.begin(&what, Some(debs.len() as u64), Unit::Count("packages"));
            for deb in &debs {
                unpack::unpack(&deb.path, folder)?;
                task.advance(1);
            }
            finish(folder, &definition)?;
            Ok(())
        })?;
        Ok(Self { folder, identity, versions: versions(debs) })
    }

    /// What [`Self::open`] gives, as far as lock and cache tell: nothing is fetched or unpacked, so
    /// its files need not be there.
    ///
    /// # Errors
    ///
    /// [`ToolsError`], or a lock that does not serve.
    pub(crate) fn foreseen(context: &Context, name: &str) -> Result<Self, Failure> {
        let Locked { definition, supply, set, root } = Locked::look_up(context, name)?;
        if root.folder.is_dir() {
            return Ok(root);
        }
        // Newer packages may have taken the place of lost ones.
        let Some(debs) = supply.cached(context, &set.packages) else { return Ok(root) };
        let identity = definition.key_of(&debs);
        let folder = context.cache.path(Kind::Roots, &identity);
        Ok(Self { folder, identity, versions: versions(debs) })
    }

    /// What the root was made from: equal for equal roots.
    pub(crate) fn identity(&self) -> Digest {
        self.identity
    }

    /// The version of a package in it.
    pub(crate) fn version(&self, package: &str) -> Option<&Version> {
        self.versions.get(package)
    }

    /// The packages in it.
    pub(crate) fn packages(&self) -> impl Iterator<Item = &PackageName> {
        self.versions.keys()
    }

    /// Where it lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file of the root, by its path from the root's `/`.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.folder.join(path.trim_start_matches('/'))
    }

    /// The program `/usr/bin/name` or `/usr/sbin/name`, run as it lies there with the root's own
    /// libraries: for tools that read and write plain files of this machine.
    pub(crate) fn program(&self, name: &str) -> Program {
        let places = ["usr/bin", "usr/sbin"].map(|folder| self.folder.join(folder).join(name));
        let [first, second] = places;
        let path = if first.exists() { first } else { second };
        Program::from_words([
            self.file("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2").into_os_string(),
            "--library-path".into(),
            self.file("usr/lib/x86_64-linux-gnu").into_os_string(),
            path.into_os_string(),
        ])
    }

    /// A command that runs `program` with the root as `/`; see [`sandbox::command`].
    pub(crate) fn command(&self, program: &str, inside: &Inside<'_>) -> Command {
        sandbox::command(&self.folder, program, inside)
    }
}

/// A root of just the packages that the lock names, and what leads to it.
struct Locked {
    definition: Definition,
    supply: Supply,
    set: Set,
    /// Its folder need not be there.
    root: ToolRoot,
}

impl Locked {
    fn look_up(context: &Context, name: &str) -> Result<Self, Failure> {
        let definition = Tools::definition(&context.root, name)?;
        let supply = Supply::open(context)?;
        let set = supply.set(&Purpose::tools(name, &definition))?.clone();
        let identity = definition.key(&supply.digest(&set));
        let version = |name: &PackageName| {
            Some((name.clone(), supply.lock.packages.get(name)?.version.clone()))
        };
        let versions = set.packages.iter().filter_map(version).collect();
        let folder = context.cache.path(Kind::Roots, &identity);
        Ok(Self { definition, supply, set, root: ToolRoot { folder, identity, versions } })
    }
}

fn versions(debs: Vec<Fetched>) -> BTreeMap<PackageName, Version> {
    debs.into_iter().map(|deb| (deb.name, deb.locked.version)).collect()
}

/// The links and mount points that no package carries.
fn finish(folder: &Path, definition: &Definition) -> Result<(), FileError> {
    for name in ["build", "tmp", "proc", "dev"] {
        file::create_dir_all(&folder.join(name))?;
    }
    for (link, target) in &definition.links {
        let path = folder.join(link.trim_start_matches('/'));
        std::os::unix::fs::symlink(target, &path).map_err(FileError::at("create", &path))?;
    }
    Ok(())
}
