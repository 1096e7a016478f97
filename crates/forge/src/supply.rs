//! Where packages come from: the lock says which, the archive and its cache have them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base::digest::Hasher;
use base::progress::{Shared, Silent};
use base::{Digest, Explain, Failure};
use formats::PackageName;
use packages::archive::{Archive, Fetched, Options};
use packages::fetch::{FetchOptions, Fetcher};
use packages::lock::{Lock, Set};
use packages::release::Keyring;
use packages::sources::Sources;

use crate::cache::Kind;
use crate::context::Context;
use crate::recipe::{Build, ImageDefinition, Method, Recipes};
use crate::tools::Definition;

/// The packages of `os/packages.lock`.
pub(crate) struct Supply {
    /// The lock.
    pub(crate) lock: Lock,
}

/// Why the lock does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SupplyError {
    #[error("os/packages.lock says nothing about {0}")]
    NoSet(String),
    #[error("os/packages.lock was made for another {0} than the one that is described now")]
    Outdated(String),
    #[error("os/packages.lock names no source for what the recipe {0} builds")]
    NoSource(PackageName),
}

impl Explain for SupplyError {
    fn hint(&self) -> Option<String> {
        Some("run `cargo forge update`".into())
    }
}

/// A purpose for which packages are chosen together.
#[derive(Clone, Debug)]
pub(crate) struct Purpose {
    /// Its name in the lock.
    pub(crate) name: String,
    /// Stands for what is asked for.
    pub(crate) request: Digest,
}

impl Purpose {
    /// A tool root.
    pub(crate) fn tools(name: &str, definition: &Definition) -> Self {
        let mut hasher = Hasher::default();
        hasher.field(&[u8::from(definition.standalone)]);
        if let Some(suite) = &definition.suite {
            hasher.field(suite.as_bytes());
        }
        let packages: BTreeSet<_> = definition.packages.iter().collect();
        packages.iter().for_each(|package| {
            hasher.field(package.as_str().as_bytes());
        });
        Self { name: Self::name_of_tools(name), request: hasher.finish() }
    }

    /// What the lock calls the tool root `name`.
    pub(crate) fn name_of_tools(name: &str) -> String {
        format!("tools/{name}")
    }

    /// The root that version `version` of the source package `source` is built in.
    pub(crate) fn build(
        source: &PackageName,
        version: &str,
        method: &Method,
        build: &Build,
    ) -> Self {
        let mut hasher = Hasher::default();
        hasher.field(version.as_bytes()).field(method.profiles.join(" ").as_bytes());
        build.needs.iter().for_each(|need| {
            hasher.field(need.as_bytes());
        });
        build.packages.iter().flatten().for_each(|package| {
            hasher.field(b"package").field(package.as_str().as_bytes());
        });
        Self { name: format!("build/{source}"), request: hasher.finish() }
    }

    /// An image: what it starts from, and what recipes say about choosing.
    pub(crate) fn image(name: &str, definition: &ImageDefinition, recipes: &Recipes) -> Self {
        let mut hasher = Hasher::default();
        let roots: BTreeSet<_> = definition.packages.iter().collect();
        for root in roots {
            hasher.field(root.as_str().as_bytes());
        }
        hash_choosing(recipes, &mut hasher);
        Self { name: format!("image/{name}"), request: hasher.finish() }
    }

    /// All packages that recipes cover, whether an image has them or not.
    pub(crate) fn repository(recipes: &Recipes) -> Self {
        let mut hasher = Hasher::default();
        hash_choosing(recipes, &mut hasher);
        Self { name: REPOSITORY.to_owned(), request: hasher.finish() }
    }
}

/// The set in the lock of all packages that recipes cover.
pub(crate) const REPOSITORY: &str = "repository";

/// What recipes say about choosing.
fn hash_choosing(recipes: &Recipes, hasher: &mut Hasher) {
    for recipe in recipes.iter() {
        hasher.field(b"recipe").field(recipe.declared.suite.as_bytes());
        for package in recipe.packages() {
            hasher.field(package.as_str().as_bytes());
        }
        for package in recipe.without() {
            hasher.field(b"without").field(package.as_str().as_bytes());
        }
        for package in recipe.declared.with.keys() {
            hasher.field(b"with").field(package.as_str().as_bytes());
        }
        for (name, part) in &recipe.declared.parts {
            hasher.field(b"part").field(name.as_str().as_bytes());
            for package in std::iter::once(&part.of).chain(&part.needs) {
                hasher.field(package.as_str().as_bytes());
            }
        }
    }
}

impl Supply {
    /// Reads the lock of the checkout.
    ///
    /// # Errors
    ///
    /// [`packages::lock::LockError`].
    pub(crate) fn open(context: &Context) -> Result<Self, Failure> {
        Ok(Self { lock: Lock::load(&lock_path(context))? })
    }

    /// The packages that were chosen for `purpose`.
    ///
    /// # Errors
    ///
    /// [`SupplyError`] if there was no choice yet, or it was made for another request.
    pub(crate) fn set(&self, purpose: &Purpose) -> Result<&Set, SupplyError> {
        let set = self.lock.sets.get(&purpose.name);
        let set = set.ok_or_else(|| SupplyError::NoSet(purpose.name.clone()))?;
        if set.request == purpose.request {
            Ok(set)
        } else {
            Err(SupplyError::Outdated(purpose.name.clone()))
        }
    }

    /// A digest of the files that the lock names for `set`.
    pub(crate) fn digest(&self, set: &Set) -> Digest {
        let mut hasher = Hasher::default();
        for name in &set.packages {
            if let Some(locked) = self.lock.packages.get(name) {
                hasher.field(locked.sha256.as_bytes());
            }
        }
        hasher.finish()
    }

    /// Fetches the packages `names`. Where the archive has only a newer version than the lock, a
    /// development build takes that one, and says so; a release build fails.
    ///
    /// # Errors
    ///
    /// [`packages::archive::ArchiveError`].
    pub(crate) fn fetch(
        &self,
        context: &Context,
        names: &BTreeSet<PackageName>,
    ) -> Result<Vec<Fetched>, Failure> {
        Ok(archive(context)?.download_locked(&self.lock, names, context.gone)?)
    }

    /// What [`Self::fetch`] gives where the cache holds all of it; nothing is asked of the network
    /// or said.
    pub(crate) fn cached(
        &self,
        context: &Context,
        names: &BTreeSet<PackageName>,
    ) -> Option<Vec<Fetched>> {
        let progress: Shared = Arc::new(Silent);
        let archive =
            open(context, Quiet { offline: true, progress, stale: BTreeSet::new() }).ok()?;
        archive.download_locked(&self.lock, names, context.gone).ok()
    }
}

/// Where the lock lies.
pub(crate) fn lock_path(context: &Context) -> PathBuf {
    context.root.join("os/packages.lock")
}

/// Debian's archive, as this machine or the user names it.
///
/// # Errors
///
/// Whatever reading the machine's APT sources or the keyring fails with.
pub(crate) fn archive(context: &Context) -> Result<Archive, Failure> {
    archive_with(context, BTreeSet::new())
}

/// The same with suites that may have expired.
///
/// # Errors
///
/// As [`archive`].
pub(crate) fn archive_with(context: &Context, stale: BTreeSet<String>) -> Result<Archive, Failure> {
    let (offline, progress) = (context.offline, context.progress.clone());
    open(context, Quiet { offline, progress, stale })
}

/// How much an archive may do and say.
struct Quiet {
    stale: BTreeSet<String>,
    offline: bool,
    progress: Shared,
}

fn open(context: &Context, quiet: Quiet) -> Result<Archive, Failure> {
    let sources = match &context.archive {
        Some(uri) => Sources::given(uri, None)?,
        None => Sources::load(Path::new("/"))?,
    };
    let cache = packages::cache::Cache::new(context.cache.kind(Kind::Archive));
    let options = FetchOptions { proxy: context.proxy.clone(), ..FetchOptions::default() };
    let fetcher = Fetcher::new(cache, options)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok(Archive::open(Options {
        sources,
        fetcher,
        verify: Box::new(Keyring::load(&context.keyring)?),
        now,
        offline: quiet.offline,
        stale: quiet.stale,
        progress: quiet.progress,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_of_what_images_and_recipes_describe_now() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let (images, lock) =
            (root.join("os/images"), Lock::load(&root.join("os/packages.lock")).unwrap());
        let recipes = Recipes::load(&root.join("os/packages")).unwrap();
        let mut purposes = vec![Purpose::repository(&recipes)];
        for name in ImageDefinition::names(&images).unwrap() {
            let definition = ImageDefinition::named(&images, &name).unwrap();
            purposes.push(Purpose::image(&name, &definition, &recipes));
        }
        let outdated = purposes.iter().filter(|it| lock.sets[&it.name].request != it.request);
        let outdated: Vec<_> = outdated.map(|it| format!("{} = {}", it.name, it.request)).collect();
        assert!(outdated.is_empty(), "run `forge update` for {outdated:#?}");
    }
}
