//! `forge update`: chooses the packages of every image and tool root anew and writes the lock.

mod sources;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use base::file::FileError;
use base::progress::Unit;
use base::{Explain, Failure};
use formats::PackageName;
use packages::archive::Contents;
use packages::lock::{Boot, Change, Lock, Locked, Set};
use packages::resolve::{self, Obstacle, Pins, Request, Solution, SolveError, Universe, Without};
use rayon::prelude::*;

use crate::context::Context;
use crate::recipe::{DEFAULT_SUITE, ImageDefinition, Recipe, Recipes};
use crate::supply::{self, Purpose};
use crate::tools::{Definition, Tools};
use crate::uki;
use packages::spelling;

/// Choose packages anew from the archive and write them to os/packages.lock
#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
}

/// Why the lock could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpdateError {
    #[error("cannot choose the packages of {purpose}")]
    Solve { purpose: String, source: Box<SolveError> },
    #[error("the archive has no package {package}, which {purpose} asks for")]
    Missing { package: PackageName, purpose: String, meant: Option<String> },
    #[error("{place}: the archive's {suite} has no package {package}")]
    NotInSuite { place: String, suite: String, package: PackageName, meant: Option<String> },
    #[error("{second} takes {package} {takes}, but {first} takes {has}")]
    TwoFiles { package: PackageName, first: String, has: String, second: String, takes: String },
    #[error("the archive's {suite} is of {now}, older than the {before} of os/packages.lock")]
    Older { suite: String, before: String, now: String },
    #[error("no recipe covers {package}, which {purpose} asks for")]
    NoRecipe { package: PackageName, purpose: String, meant: Option<String> },
}

impl Explain for UpdateError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Solve { source, .. } => match uncovered(source) {
                Some(package) => Some(format!(
                    "write os/packages/{package}/recipe.toml, name {package} in `packages` of \
                     another recipe, or leave the dependency out: [without]"
                )),
                None => source.hint(),
            },
            Self::TwoFiles { package, .. } => Some(format!(
                "one package has one version in the whole product, tools included: take {package} \
                 from {DEFAULT_SUITE} in its recipe"
            )),
            Self::Older { .. } => Some(
                "wait until the mirror has caught up or take another (--archive): an old archive \
                 hides security updates"
                    .into(),
            ),
            Self::Missing { meant: Some(meant), .. } => Some(format!("did you mean {meant}?")),
            Self::Missing { .. } => Some("correct its name in os/tools.toml".into()),
            Self::NotInSuite { meant: Some(meant), .. } => Some(format!(
                "did you mean {meant}? Otherwise take it out, or name the suite that has it: `suite`"
            )),
            Self::NotInSuite { .. } => Some(
                "correct its name, take it out, or name the suite that has it: `suite`; a recipe \
                 covers the package of its folder's name unless `packages` says otherwise"
                    .into(),
            ),
            Self::NoRecipe { package, meant: Some(meant), .. } => Some(format!(
                "did you mean {meant}? Otherwise write os/packages/{package}/recipe.toml"
            )),
            Self::NoRecipe { package, .. } => {
                Some(format!("write os/packages/{package}/recipe.toml"))
            }
        }
    }
}

/// A package that would do and that no recipe covers.
fn uncovered(error: &SolveError) -> Option<&str> {
    let SolveError::Unsolvable(error) = error else { return None };
    match error.obstacles.first()? {
        Obstacle::Missing { forbidden, .. } => forbidden.first().map(String::as_str),
        Obstacle::Conflict { .. } | Obstacle::Versions { .. } => None,
    }
}

impl Update {
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        let path = supply::lock_path(context);
        let before = if path.exists() { Lock::load(&path)? } else { Lock::default() };
        let lock = newest(context, &before)?;
        if !self.dry_run {
            lock.save(&path)?;
        }
        let changes = lock.changes_since(&before);
        let print = |out: &mut dyn Write| -> std::io::Result<()> {
            for Change { name, before, now } in &changes {
                let version = |v: &Option<formats::Version>| {
                    v.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
                };
                writeln!(out, "{name:<28} {} -> {}", version(before), version(now))?;
            }
            writeln!(out, "{} packages locked, {} changed", lock.packages.len(), changes.len())
        };
        Ok(print(out).map_err(FileError::at("write to", "standard output"))?)
    }
}

/// The lock with the newest of everything that the archive has.
///
/// # Errors
///
/// [`UpdateError`], or what reading recipes and asking the archive fails with.
pub(crate) fn newest(context: &Context, before: &Lock) -> Result<Lock, Failure> {
    let recipes = Recipes::load(&context.root.join("os/packages"))?;
    let contents = contents(context, &recipes)?;
    not_older(&contents.releases, &before.releases)?;
    let mut lock = choose(context, &recipes, &contents)?;
    lock.boot = Some(Boot::after(before.boot.as_ref(), uki::parts(&lock)));
    Ok(lock)
}

/// The lock with the newest `package` that the archive has, for a package on which no other depends.
/// All other packages stay; the dates of the suites move, and with them the time in every layer.
///
/// # Errors
///
/// [`UpdateError`], or what asking the archive fails with.
pub(crate) fn with_newest(
    context: &Context,
    before: &Lock,
    package: &PackageName,
) -> Result<Lock, Failure> {
    let contents = supply::archive(context)?.contents(&[DEFAULT_SUITE])?;
    not_older(&contents.releases, &before.releases)?;
    let pins = Pins { base: Some(DEFAULT_SUITE.to_owned()), ..Pins::default() };
    let universe = Universe::new(&contents.indexes, &pins)?;
    let stanza = universe.get(package.as_str()).ok_or_else(|| UpdateError::Missing {
        package: package.clone(),
        purpose: "the kernel".to_owned(),
        meant: meant(package, &universe),
    })?;
    let mut lock = before.clone();
    lock.packages.insert(package.clone(), Locked::of(stanza)?);
    lock.releases.extend(contents.releases);
    Ok(lock)
}

/// The indexes of all suites that a recipe takes from.
fn contents(context: &Context, recipes: &Recipes) -> Result<Contents, Failure> {
    let mut suites = BTreeSet::from([DEFAULT_SUITE]);
    suites.extend(recipes.iter().map(|recipe| recipe.declared.suite.as_str()));
    let suites: Vec<_> = suites.into_iter().collect();
    Ok(supply::archive(context)?.contents(&suites)?)
}

/// The index of a suite that only a tool root takes from. It may have expired: mirrors lag behind in what
/// is no release, and what a root of data needs is a good signature.
fn elsewhere(context: &Context, suite: &str) -> Result<Contents, Failure> {
    let archive = supply::archive_with(context, BTreeSet::from([suite.to_owned()]))?;
    Ok(archive.contents(&[suite])?)
}

fn choose(context: &Context, recipes: &Recipes, contents: &Contents) -> Result<Lock, Failure> {
    let mut lock = Lock { releases: contents.releases.clone(), ..Lock::default() };
    let images = images(context)?;
    let tools = Tools::load(&context.root)?.roots;
    let total = images.len() + tools.len() + 1;
    let task = context.progress.begin("choosing packages", Some(total as u64), Unit::Count("sets"));

    let pins = Pins { base: Some(DEFAULT_SUITE.to_owned()), ..Pins::default() };
    let debian = Universe::new(&contents.indexes, &pins)?;
    for (name, definition) in &tools {
        let purpose = Purpose::tools(name, definition);
        match &definition.suite {
            None => choose_tools(&debian, &purpose, definition, &mut lock)?,
            Some(suite) => {
                let contents = elsewhere(context, suite)?;
                let universe = Universe::new(&contents.indexes, &Pins::default())?;
                choose_tools(&universe, &purpose, definition, &mut lock)?;
            }
        }
        task.advance(1);
    }
    let curated = Universe::new(&contents.indexes, &recipe_pins(recipes))?;
    all_there(context, recipes, &curated)?;
    for (name, definition) in &images {
        let purpose = Purpose::image(name, definition, recipes);
        let request = image_request(&purpose, definition, recipes)?;
        choose_image(&curated, &purpose, request, (recipes, &mut lock))?;
        task.advance(1);
    }
    choose_repository(&curated, recipes, &mut lock)?;
    sources::choose(context, recipes, (&debian, &curated), &mut lock)?;
    task.advance(1);
    Ok(lock)
}

/// Refuses a recipe for a package that its suite does not have: nothing would ever be made of it.
fn all_there(context: &Context, recipes: &Recipes, universe: &Universe<'_>) -> Result<(), Failure> {
    for recipe in recipes.iter() {
        let packages = &mut recipe.packages().iter();
        let Some(package) = packages.find(|name| universe.get(name.as_str()).is_none()) else {
            continue;
        };
        return Err(UpdateError::NotInSuite {
            place: recipe.place(&context.root, &format!("\"{package}\""))?,
            suite: recipe.declared.suite.clone(),
            package: package.clone(),
            meant: meant(package, universe),
        }
        .into());
    }
    Ok(())
}

/// The package that somebody may have meant by a name that no package has.
fn meant(package: &PackageName, universe: &Universe<'_>) -> Option<String> {
    spelling::nearest(package.as_str(), universe.names()).map(str::to_owned)
}

fn images(context: &Context) -> Result<BTreeMap<String, ImageDefinition>, Failure> {
    let folder = context.root.join("os/images");
    let mut images = BTreeMap::new();
    for name in ImageDefinition::names(&folder)? {
        let definition = ImageDefinition::named(&folder, &name)?;
        images.insert(name, definition);
    }
    Ok(images)
}

fn choose_tools(
    universe: &Universe<'_>,
    purpose: &Purpose,
    definition: &Definition,
    lock: &mut Lock,
) -> Result<(), Failure> {
    if !definition.standalone {
        let install = definition.packages.iter().map(ToString::to_string).collect();
        return choose_set(universe, purpose, &Request { install, ..Request::default() }, lock);
    }
    let mut packages = BTreeSet::new();
    for name in &definition.packages {
        let stanza = universe.get(name.as_str()).ok_or_else(|| UpdateError::Missing {
            package: name.clone(),
            purpose: purpose.name.clone(),
            meant: meant(name, universe),
        })?;
        take(lock, name, Locked::of(stanza)?, purpose)?;
        packages.insert(name.clone());
    }
    lock.sets.insert(purpose.name.clone(), Set { request: purpose.request, packages });
    Ok(())
}

/// What is asked for so that an image is whole: from recipes only, without what they leave out.
fn image_request(
    purpose: &Purpose,
    definition: &ImageDefinition,
    recipes: &Recipes,
) -> Result<Request, UpdateError> {
    for package in &definition.packages {
        if recipes.for_package(package).is_none() {
            return Err(UpdateError::NoRecipe {
                package: package.clone(),
                purpose: purpose.name.clone(),
                meant: spelling::nearest(package.as_str(), recipes.packages()).map(str::to_owned),
            });
        }
    }
    Ok(request(definition.packages.iter(), recipes))
}

/// Asks for `packages`, from recipes only, without what they leave out.
fn request<'a>(packages: impl Iterator<Item = &'a PackageName>, recipes: &'a Recipes) -> Request {
    let mut without = Without::default();
    for recipe in recipes.iter() {
        let left_out: BTreeSet<PackageName> = recipe.without().into_iter().cloned().collect();
        for package in recipe.packages() {
            without.of.insert(package.clone(), left_out.clone());
        }
    }
    let only = recipes.iter().flat_map(Recipe::packages).cloned().collect();
    let install = packages.flat_map(|package| asked(package, recipes)).collect();
    Request { install, without, only: Some(only), recommends: false }
}

/// What the archive is asked for instead of `package`: nothing for a package of our own, for a part what it is of.
fn asked(package: &PackageName, recipes: &Recipes) -> Vec<String> {
    match recipes.part(package) {
        Some(part) => {
            part.needs.iter().chain([&part.of]).flat_map(|name| asked(name, recipes)).collect()
        }
        None if recipes.for_package(package).is_some_and(Recipe::is_own) => Vec::new(),
        None => vec![package.to_string()],
    }
}

/// Chooses for `request`, and what the recipes of the chosen packages say is needed beside that.
fn choose_image(
    universe: &Universe<'_>,
    purpose: &Purpose,
    mut request: Request,
    (recipes, lock): (&Recipes, &mut Lock),
) -> Result<(), Failure> {
    loop {
        let solution = solve(universe, purpose, &request)?;
        let mut needed = Vec::new();
        for stanza in &solution.packages {
            let package = stanza.package_name()?;
            let with =
                recipes.for_package(&package).into_iter().flat_map(|it| it.declared.with.keys());
            needed.extend(with.flat_map(|name| asked(name, recipes)));
        }
        needed.retain(|name| !request.install.contains(name));
        if needed.is_empty() {
            return note(&solution, purpose, lock);
        }
        needed.sort();
        needed.dedup();
        request.install.extend(needed);
    }
}

/// Chooses every package that a recipe covers, so that each can be installed by name: whatever is in no image too.
/// They go together, or each goes with what it depends on.
fn choose_repository(
    universe: &Universe<'_>,
    recipes: &Recipes,
    lock: &mut Lock,
) -> Result<(), Failure> {
    let purpose = Purpose::repository(recipes);
    let covered: Vec<_> = recipes.iter().flat_map(Recipe::packages).collect();
    let all = request(covered.iter().copied(), recipes);
    if resolve::solve(universe, &all).is_err() {
        let alone = |package: &&PackageName| {
            let request = Request { install: vec![package.to_string()], ..all.clone() };
            solve(universe, &Purpose { name: package.to_string(), ..purpose.clone() }, &request)
                .err()
        };
        if let Some(error) = covered.par_iter().find_map_first(alone) {
            return Err(error.into());
        }
    }
    let mut packages = BTreeSet::new();
    for package in covered {
        // Every package is in its suite: `all_there`.
        let Some(stanza) = universe.get(package.as_str()) else { continue };
        take(lock, package, Locked::of(stanza)?, &purpose)?;
        packages.insert(package.clone());
    }
    lock.sets.insert(purpose.name.clone(), Set { request: purpose.request, packages });
    Ok(())
}

fn choose_set(
    universe: &Universe<'_>,
    purpose: &Purpose,
    request: &Request,
    lock: &mut Lock,
) -> Result<(), Failure> {
    note(&solve(universe, purpose, request)?, purpose, lock)
}

fn solve<'a>(
    universe: &Universe<'a>,
    purpose: &Purpose,
    request: &Request,
) -> Result<Solution<'a>, UpdateError> {
    resolve::solve(universe, request).map_err(|source| UpdateError::Solve {
        purpose: purpose.name.clone(),
        source: Box::new(source),
    })
}

/// Writes what was chosen into the lock.
fn note(solution: &Solution<'_>, purpose: &Purpose, lock: &mut Lock) -> Result<(), Failure> {
    let mut packages = BTreeSet::new();
    for stanza in &solution.packages {
        let name = stanza.package_name()?;
        take(lock, &name, Locked::of(*stanza)?, purpose)?;
        packages.insert(name);
    }
    lock.sets.insert(purpose.name.clone(), Set { request: purpose.request, packages });
    Ok(())
}

/// Writes a package into the lock, which has one file for each name.
fn take(
    lock: &mut Lock,
    name: &PackageName,
    locked: Locked,
    purpose: &Purpose,
) -> Result<(), UpdateError> {
    let file = |locked: &Locked| format!("{} of {}", locked.version, locked.suite);
    match lock.packages.entry(name.clone()) {
        Entry::Occupied(before) if *before.get() != locked => {
            // All files of a set are taken before the set is noted, so this is another purpose.
            let mut others = lock.sets.iter().filter(|(_, set)| set.packages.contains(name));
            Err(UpdateError::TwoFiles {
                package: name.clone(),
                first: others.next().map_or_else(|| purpose.name.clone(), |(it, _)| it.clone()),
                has: file(before.get()),
                second: purpose.name.clone(),
                takes: file(&locked),
            })
        }
        Entry::Occupied(_) => Ok(()),
        Entry::Vacant(place) => {
            place.insert(locked);
            Ok(())
        }
    }
}

/// Refuses an archive that is older than the one that the lock was made from: its files are signed
/// and may not have expired, but somebody may be hiding what came since.
fn not_older(
    now: &BTreeMap<String, u64>,
    before: &BTreeMap<String, u64>,
) -> Result<(), UpdateError> {
    let older = now.iter().find_map(|(suite, now)| {
        let before = before.get(suite)?;
        (now < before).then(|| (suite.clone(), *before, *now))
    });
    let Some((suite, before, now)) = older else { return Ok(()) };
    let date = |seconds: u64| {
        let second = i64::try_from(seconds).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
        second.map_or_else(|| seconds.to_string(), |time| time.to_string())
    };
    Err(UpdateError::Older { suite, before: date(before), now: date(now) })
}

/// Which suite each package is taken from: what its recipe says.
fn recipe_pins(recipes: &Recipes) -> Pins {
    let pinned = recipes.iter().flat_map(|recipe| {
        let suite = &recipe.declared.suite;
        recipe.packages().iter().map(move |name| (name.to_string(), suite.clone()))
    });
    Pins { base: Some(DEFAULT_SUITE.to_owned()), packages: pinned.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn releases(dates: &[(&str, u64)]) -> BTreeMap<String, u64> {
        dates.iter().map(|(suite, date)| ((*suite).to_owned(), *date)).collect()
    }

    #[test]
    fn an_archive_older_than_the_lock_is_refused() {
        let before = releases(&[("trixie", 100), ("trixie-security", 200)]);
        let newer = releases(&[("trixie", 100), ("trixie-security", 201), ("sid", 1)]);
        not_older(&newer, &before).unwrap();
        let error = not_older(&releases(&[("trixie", 100), ("trixie-security", 199)]), &before);
        assert_eq!(
            error.unwrap_err().to_string(),
            "the archive's trixie-security is of 1970-01-01T00:03:19Z, older than the \
             1970-01-01T00:03:20Z of os/packages.lock"
        );
    }

    #[test]
    fn one_package_has_one_file_in_the_lock() {
        let locked = |version: &str, suite: &str| Locked {
            version: version.parse().unwrap(),
            suite: suite.into(),
            size: 1,
            sha256: base::Digest::of(version.as_bytes()),
            filename: "x".into(),
        };
        let purpose = |name: &str| Purpose { name: name.into(), request: base::Digest::of(b"") };
        let (mut lock, name) = (Lock::default(), "libc6".parse().unwrap());
        let (tools, image) = (purpose("tools/build"), purpose("image/minimal"));
        take(&mut lock, &name, locked("1", "trixie"), &tools).unwrap();
        let set = Set { request: tools.request, packages: BTreeSet::from([name.clone()]) };
        lock.sets.insert(tools.name.clone(), set);
        take(&mut lock, &name, locked("1", "trixie"), &image).unwrap();
        let error = take(&mut lock, &name, locked("2", "sid"), &image).unwrap_err();
        assert_eq!(
            error.to_string(),
            "image/minimal takes libc6 2 of sid, but tools/build takes 1 of trixie"
        );
        assert!(error.hint().unwrap().contains("take libc6 from trixie"));
    }
}
