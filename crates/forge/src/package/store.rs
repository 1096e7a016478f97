//! What was built, kept in the cache by the digest of all that it was built from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base::file;
use base::{Digest, Failure};
use formats::{PackageName, Version};
use serde::{Deserialize, Serialize};

use super::build::Job;
use crate::context::Context;
use crate::recipe::Recipes;
use crate::supply::Supply;

/// A source package that was built.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Built {
    /// The packages that were wanted of it.
    pub(crate) packages: BTreeMap<PackageName, BuiltPackage>,
    /// Whether a developer of Debian signed the source; otherwise the archive alone did.
    pub(crate) signed_by_developer: bool,
    /// What dpkg-buildflags gave, by the kind of flags, and variables.
    pub(crate) flags: BTreeMap<String, String>,
    /// Where the files are.
    #[serde(skip)]
    pub(crate) folder: PathBuf,
}

/// One package that was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuiltPackage {
    /// Its version.
    pub(crate) version: Version,
    /// The name of its file in the folder.
    pub(crate) file: String,
    /// The file's digest.
    pub(crate) sha256: Digest,
}

/// The file that says what is beside it.
const DESCRIPTION: &str = "build.json";

impl Built {
    /// Reads what lies in `folder`; `None` if it is not whole.
    pub(super) fn load(folder: &Path) -> Option<Self> {
        let built: Self =
            serde_json::from_slice(&std::fs::read(folder.join(DESCRIPTION)).ok()?).ok()?;
        let built = Self { folder: folder.to_owned(), ..built };
        let whole = |it: &BuiltPackage| {
            Digest::of_file(&built.folder.join(&it.file)).is_ok_and(|found| found == it.sha256)
        };
        built.packages.values().all(whole).then_some(built)
    }

    /// Its packages, as they are curated.
    fn packages(&self) -> impl Iterator<Item = (PackageName, RebuiltPackage)> {
        let flags = self.flags.iter().map(|(kind, words)| format!("{kind}={words:?}"));
        let flags = flags.collect::<Vec<_>>().join(" ");
        self.packages.iter().map(move |(name, package)| {
            let deb = self.folder.join(&package.file);
            (name.clone(), RebuiltPackage { deb, digest: package.sha256, flags: flags.clone() })
        })
    }

    /// Writes it down in its folder.
    pub(super) fn save(&self) -> Result<(), file::FileError> {
        let path = self.folder.join(DESCRIPTION);
        let json = serde_json::to_vec_pretty(self).map_err(std::io::Error::other);
        file::replace(&path, &json.map_err(file::FileError::at("write", &path))?)
    }
}

/// What the cache holds of the packages that recipes build, and what it does not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rebuilt {
    /// The packages that were built.
    pub(crate) packages: BTreeMap<PackageName, RebuiltPackage>,
    /// The packages that were not.
    pub(crate) missing: BTreeSet<PackageName>,
}

/// A package that was built from source.
#[derive(Clone, Debug)]
pub(crate) struct RebuiltPackage {
    /// The `.deb`.
    pub(crate) deb: PathBuf,
    /// Its digest.
    pub(crate) digest: Digest,
    /// What the compiler was told, in one line.
    pub(crate) flags: String,
}

/// Looks into the cache.
///
/// # Errors
///
/// If the lock was made for other recipes.
pub(crate) fn rebuilt(
    context: &Context,
    recipes: &Recipes,
    supply: &Supply,
) -> Result<Rebuilt, Failure> {
    let mut rebuilt = Rebuilt::default();
    for job in Job::of(context, recipes, supply)?.into_values() {
        match job.kept(context) {
            Some(built) => rebuilt.packages.extend(built.packages()),
            None => rebuilt.missing.extend(job.source.packages),
        }
    }
    Ok(rebuilt)
}
