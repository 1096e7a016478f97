//! What is chosen so that packages can be built from source: the source packages, and for each the
//! packages of the root that it is built in.

use std::collections::{BTreeMap, BTreeSet};

use base::{Explain, Failure};
use formats::PackageName;
use packages::lock::Lock;
use packages::resolve::{Request, Universe};
use packages::source::{self, Found};

use super::choose_set;
use crate::context::Context;
use crate::recipe::{Build, DEFAULT_SUITE, Method, Recipes};
use crate::supply::{self, Purpose};

/// What is in every build root. `fakeroot`: some packages want to be root where files get owners.
const ALWAYS: [&str; 2] = ["build-essential", "fakeroot"];

/// The archive has a package, but not what it was built from.
#[derive(Debug, thiserror::Error)]
#[error("the archive has no source package {name} {version}, from which {package} was built")]
pub(crate) struct NoSource {
    name: PackageName,
    version: String,
    package: PackageName,
}

impl Explain for NoSource {
    fn hint(&self) -> Option<String> {
        Some("wait until the mirror has caught up, or take another: --archive".into())
    }
}

/// A source package that some recipe builds.
struct Wanted<'a> {
    version: String,
    build: &'a Build,
    packages: BTreeSet<PackageName>,
}

/// Writes into the lock what the recipes with a `[build]` need. `debian` is what build roots are
/// chosen from, `curated` what the packages of images were.
pub(super) fn choose(
    context: &Context,
    recipes: &Recipes,
    (debian, curated): (&Universe<'_>, &Universe<'_>),
    lock: &mut Lock,
) -> Result<(), Failure> {
    let wanted = wanted(recipes, curated, lock)?;
    if wanted.is_empty() {
        return Ok(());
    }
    let method = Method::load(&context.root.join("os/packages"))?;
    let indexes = supply::archive(context)?.sources(&[DEFAULT_SUITE])?;
    let essential: Vec<String> = essential(debian);
    for (name, Wanted { version, build, packages }) in wanted {
        let mut found: Option<Found> = None;
        for index in &indexes {
            found = found.or(index.find(name.as_str(), &version)?);
        }
        let Found { mut source, needs } = found.ok_or_else(|| NoSource {
            name: name.clone(),
            version: version.clone(),
            package: packages.first().cloned().unwrap_or_else(|| name.clone()),
        })?;
        let method = method.with(build);
        let mut install = essential.clone();
        install.extend(ALWAYS.map(str::to_owned));
        install.extend(source::build_needs(&needs, &method.profiles)?);
        install.extend(build.needs.iter().cloned());
        let purpose = Purpose::build(&name, &version, &method, build);
        choose_set(debian, &purpose, &Request { install, ..Request::default() }, lock)?;
        source.packages = packages;
        lock.sources.insert(name, source);
    }
    Ok(())
}

/// The source packages of the recipes with a `[build]`, with all curated packages of the lock that
/// are of them.
fn wanted<'a>(
    recipes: &'a Recipes,
    curated: &Universe<'_>,
    lock: &Lock,
) -> Result<BTreeMap<PackageName, Wanted<'a>>, Failure> {
    let is_curated = |name: &str| name.starts_with("image/") || name == supply::REPOSITORY;
    let curated_sets = lock.sets.iter().filter(|(name, _)| is_curated(name));
    let chosen: BTreeSet<_> = curated_sets.flat_map(|(_, set)| &set.packages).collect();
    let mut wanted: BTreeMap<PackageName, Wanted<'_>> = BTreeMap::new();
    for recipe in recipes.iter() {
        let Some(build) = &recipe.declared.build else { continue };
        for package in recipe.packages() {
            let Some(stanza) = curated.get(package.as_str()) else { continue };
            let (name, version) = stanza.source();
            wanted.entry(name.parse()?).or_insert_with(|| Wanted {
                version: version.to_owned(),
                build,
                packages: BTreeSet::new(),
            });
        }
    }
    for package in chosen {
        let Some(stanza) = curated.get(package.as_str()) else { continue };
        let Some(wanted) = wanted.get_mut(stanza.source().0) else { continue };
        // What is the same for all processors has nothing that a compiler made.
        let named = wanted.build.packages.as_ref().is_none_or(|named| named.contains(package));
        if named && stanza.architecture() != "all" {
            wanted.packages.insert(package.clone());
        }
    }
    wanted.retain(|_, wanted| !wanted.packages.is_empty());
    Ok(wanted)
}

/// The packages that every Debian system has.
fn essential(universe: &Universe<'_>) -> Vec<String> {
    let names = universe.names().filter(|name| {
        universe.get(name).is_some_and(|stanza| stanza.field("Essential") == Some("yes"))
    });
    names.map(str::to_owned).collect()
}
