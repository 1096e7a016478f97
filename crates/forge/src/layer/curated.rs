//! The curated packages of an image: those that were built from source where the cache has them, Debian's
//! where it does not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use base::digest::Hasher;
use base::{Explain, Failure};
use formats::PackageName;

use super::needed::needed;
use crate::cache::Kind;
use crate::context::Context;
use crate::curate::{self, Curated, Origin, OwnFiles};
use crate::package;
use crate::programs;
use crate::recipe::{Declaration, ImageDefinition, Recipe, Recipes};
use crate::supply::{Purpose, Supply, SupplyError};

/// Packages that were curated together.
pub(crate) struct CuratedSet {
    /// Each with the suite that it comes from.
    pub(crate) packages: Vec<(Curated, String)>,
    /// Those that are Debian's build although they are to be built from source.
    pub(crate) not_rebuilt: BTreeSet<PackageName>,
}

impl CuratedSet {
    /// The set, unless it is for a release and something in it is not built yet.
    ///
    /// # Errors
    ///
    /// [`NotRebuilt`].
    pub(crate) fn complete(self, context: &Context) -> Result<Self, Failure> {
        if context.is_release() && !self.not_rebuilt.is_empty() {
            return Err(NotRebuilt(self.not_rebuilt).into());
        }
        Ok(self)
    }

    /// The set without what none of `roots` needs.
    fn of(mut self, roots: &[PackageName]) -> Result<Self, Failure> {
        let needed = needed(roots, &self.packages)?;
        self.packages.retain(|(package, _)| needed.contains(&package.name));
        self.not_rebuilt.retain(|name| needed.contains(name));
        Ok(self)
    }
}

/// A release has packages that are not what they are to be.
#[derive(Debug, thiserror::Error)]
#[error("not built from source yet: {}", .0.iter().map(PackageName::as_str).collect::<Vec<_>>().join(", "))]
struct NotRebuilt(BTreeSet<PackageName>);

impl Explain for NotRebuilt {
    fn hint(&self) -> Option<String> {
        Some("run `forge package build --all`; a release takes nothing else for them".into())
    }
}

/// The definition of the image `name` and its curated packages, in the order of their names, without its
/// kernels.
///
/// # Errors
///
/// What reading recipes and lock, fetching and curating fail with; in a release also that a package is not built yet.
pub(super) fn of_image(
    context: &Context,
    name: &str,
) -> Result<(ImageDefinition, CuratedSet), Failure> {
    let recipes = Recipes::load(&context.root.join("os/packages"))?;
    let definition = super::definition(context, name)?;
    let supply = Supply::open(context)?;
    let names = names(&supply, &Purpose::image(name, &definition, &recipes), &definition)?;
    let curated = curate_all(context, &recipes, &supply, &names)?;
    let curated = curated.of(&definition.packages)?.complete(context)?;
    Ok((definition, curated))
}

/// The names of what [`of_image`] curates, but for parts that come along.
///
/// # Errors
///
/// What reading recipes and lock fail with.
pub(super) fn names_of_image(
    context: &Context,
    name: &str,
) -> Result<BTreeSet<PackageName>, Failure> {
    let recipes = Recipes::load(&context.root.join("os/packages"))?;
    let definition = super::definition(context, name)?;
    let purpose = Purpose::image(name, &definition, &recipes);
    Ok(names(&Supply::open(context)?, &purpose, &definition)?)
}

fn names(
    supply: &Supply,
    purpose: &Purpose,
    definition: &ImageDefinition,
) -> Result<BTreeSet<PackageName>, SupplyError> {
    let set = supply.set(purpose)?;
    Ok(set.packages.iter().chain(&definition.packages).cloned().collect())
}

/// All that recipes cover: Debian's packages, our own, and parts, in the order of their names.
///
/// # Errors
///
/// As [`of_image`].
pub(crate) fn of_recipes(context: &Context) -> Result<CuratedSet, Failure> {
    let recipes = Recipes::load(&context.root.join("os/packages"))?;
    let supply = Supply::open(context)?;
    let locked = &supply.set(&Purpose::repository(&recipes))?.packages;
    let own = recipes.iter().filter(|recipe| recipe.is_own()).map(|recipe| &recipe.name);
    let parts = recipes.iter().flat_map(|recipe: &Recipe| recipe.declared.parts.keys());
    let all = locked.iter().chain(own).chain(parts).cloned().collect();
    curate_all(context, &recipes, &supply, &all)?.complete(context)
}

/// Curates `packages`, Debian's and our own, with the parts that come with them. What their authors should
/// know is noted.
///
/// # Errors
///
/// What fetching and curating fail with.
pub(crate) fn curate_all(
    context: &Context,
    recipes: &Recipes,
    supply: &Supply,
    packages: &BTreeSet<PackageName>,
) -> Result<CuratedSet, Failure> {
    let parts = recipes.parts_of(packages.iter());
    let is_own = |name: &PackageName| recipes.for_package(name).is_some_and(Recipe::is_own);
    let debian = packages.iter().filter(|name| !is_own(name) && !parts.contains(name)).cloned();
    let (origins, not_rebuilt) = origins(context, (recipes, supply), &debian.collect())?;
    let mut suites = BTreeMap::new();
    let mut inputs = Vec::new();
    for (name, (origin, suite)) in &origins {
        let of = |part: &&PackageName| recipes.part(part).is_some_and(|part| part.of == *name);
        for name in parts.iter().copied().filter(of).chain([name]) {
            suites.insert(name.clone(), suite.clone());
            inputs.push(curate::Input { name: name.clone(), origin: origin.clone() });
        }
    }
    for name in packages.iter().filter(|name| is_own(name)).cloned() {
        let version = formats::Version::try_from(env!("CARGO_PKG_VERSION").to_owned())?;
        let built = recipes.for_package(&name).map(|recipe| own_files(context, &recipe.declared));
        let built = built.transpose()?.unwrap_or_default();
        inputs.push(curate::Input { name, origin: Origin::Own { version, built } });
    }
    let cache = context.cache.kind(Kind::Curated);
    let curated = curate::curate_all(&inputs, recipes, &cache, context.progress.as_ref())?;
    let with_suite = curated.into_iter().map(|package| {
        for warning in &package.warnings {
            context.progress.note(&format!("note: {}: {warning}", package.name));
        }
        let suite = suites.get(&package.name).map_or("preon", String::as_str).to_owned();
        (package, suite)
    });
    Ok(CuratedSet { packages: with_suite.collect(), not_rebuilt })
}

/// What is built for a package of our own; now, unless the cache has it.
fn own_files(context: &Context, declared: &Declaration) -> Result<Vec<OwnFiles>, Failure> {
    let program = declared.program.map(|it| programs::built(context, it).map(|it| it.program()));
    let manual = declared.manual.map(|it| programs::built(context, it).map(|it| it.manual()));
    let digested = |folder: Result<PathBuf, Failure>| -> Result<_, Failure> {
        let folder = folder?;
        let mut hasher = Hasher::default();
        programs::hash_folder(&folder, &mut hasher)?;
        Ok(OwnFiles { folder, digest: hasher.finish() })
    };
    program.into_iter().chain(manual).map(digested).collect()
}

/// What each package of Debian is made from, with its suite.
type Origins = BTreeMap<PackageName, (Origin, String)>;

/// What Debian's `packages` are made from; beside it, those that are not built from source yet.
fn origins(
    context: &Context,
    (recipes, supply): (&Recipes, &Supply),
    packages: &BTreeSet<PackageName>,
) -> Result<(Origins, BTreeSet<PackageName>), Failure> {
    let package::Rebuilt { packages: built, missing } = package::rebuilt(context, recipes, supply)?;
    let mut origins = Origins::new();
    for (name, package) in built.into_iter().filter(|(name, _)| packages.contains(name)) {
        let suite = supply.lock.packages.get(&name).map(|locked| locked.suite.clone());
        origins.insert(name, (Origin::Rebuilt(package), suite.unwrap_or_default()));
    }
    let others = packages.iter().filter(|name| !origins.contains_key(*name)).cloned().collect();
    for package in supply.fetch(context, &others)? {
        let origin = Origin::Debian { deb: package.path, digest: package.locked.sha256 };
        origins.insert(package.name, (origin, package.locked.suite));
    }
    Ok((origins, missing.intersection(packages).cloned().collect()))
}
