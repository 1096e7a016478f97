//! `forge update`: chooses the packages of every image and tool root anew and writes the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;

use base::file::FileError;
use base::progress::Unit;
use base::{Explain, Failure};
use formats::PackageName;
use packages::archive::Contents;
use packages::lock::{Change, Lock, Locked, Set};
use packages::resolve::{self, Pins, Request, SolveError, Universe, Without};

use crate::context::Context;
use crate::recipe::{DEFAULT_SUITE, ImageDefinition, Recipe, Recipes};
use crate::supply::{self, Purpose};
use crate::tools::{Definition, Tools};

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
    Missing { package: PackageName, purpose: String },
    #[error("no recipe covers {package}, which {purpose} asks for")]
    NoRecipe { package: PackageName, purpose: String },
}

impl Explain for UpdateError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Solve { source, .. } => source.hint(),
            Self::Missing { .. } => Some("check its name, and the suite its recipe takes".into()),
            Self::NoRecipe { package, .. } => {
                Some(format!("write os/packages/{package}/recipe.toml"))
            }
        }
    }
}

impl Update {
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        let recipes = Recipes::load(&context.root.join("os/packages"))?;
        let contents = contents(context, &recipes)?;
        let lock = choose(context, &recipes, &contents)?;
        let path = supply::lock_path(context);
        let before = if path.exists() { Lock::load(&path)? } else { Lock::default() };
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

/// The indexes of all suites that a recipe takes from.
fn contents(context: &Context, recipes: &Recipes) -> Result<Contents, Failure> {
    let mut suites = BTreeSet::from([DEFAULT_SUITE]);
    suites.extend(recipes.iter().map(|recipe| recipe.declared.suite.as_str()));
    let suites: Vec<_> = suites.into_iter().collect();
    Ok(supply::archive(context)?.contents(&suites)?)
}

fn choose(context: &Context, recipes: &Recipes, contents: &Contents) -> Result<Lock, Failure> {
    let mut lock = Lock { releases: contents.releases.clone(), ..Lock::default() };
    let images = images(context)?;
    let tools = Tools::load(&context.root)?.roots;
    let total = images.len() + tools.len();
    let task = context.progress.begin("choosing packages", Some(total as u64), Unit::Count("sets"));

    let pins = Pins { base: Some(DEFAULT_SUITE.to_owned()), ..Pins::default() };
    let debian = Universe::new(&contents.indexes, &pins)?;
    for (name, definition) in &tools {
        let purpose = Purpose::tools(name, definition);
        choose_tools(&debian, &purpose, definition, &mut lock)?;
        task.advance(1);
    }
    let curated = Universe::new(&contents.indexes, &recipe_pins(recipes))?;
    for (name, definition) in &images {
        let purpose = Purpose::image(name, definition, recipes);
        let request = image_request(&purpose, definition, recipes)?;
        choose_set(&curated, &purpose, &request, &mut lock)?;
        task.advance(1);
    }
    Ok(lock)
}

fn images(context: &Context) -> Result<BTreeMap<String, ImageDefinition>, Failure> {
    let folder = context.root.join("os/images");
    let mut images = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).map_err(FileError::at("read", &folder))? {
        let path: PathBuf = entry.map_err(FileError::at("read", &folder))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            images.insert(name, ImageDefinition::load(&path)?);
        }
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
        })?;
        lock.packages.insert(name.clone(), Locked::of(stanza)?);
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
    let mut install = Vec::new();
    for package in &definition.packages {
        let recipe = recipes.for_package(package).ok_or_else(|| UpdateError::NoRecipe {
            package: package.clone(),
            purpose: purpose.name.clone(),
        })?;
        if !recipe.is_own() {
            install.push(package.to_string());
        }
    }
    let mut without = Without::default();
    for recipe in recipes.iter() {
        let left_out: BTreeSet<PackageName> = recipe.without().into_iter().cloned().collect();
        for package in recipe.packages() {
            without.of.insert(package.clone(), left_out.clone());
        }
    }
    let only = recipes.iter().flat_map(Recipe::packages).cloned().collect();
    Ok(Request { install, without, only: Some(only), recommends: false })
}

fn choose_set(
    universe: &Universe<'_>,
    purpose: &Purpose,
    request: &Request,
    lock: &mut Lock,
) -> Result<(), Failure> {
    let solution = resolve::solve(universe, request).map_err(|source| UpdateError::Solve {
        purpose: purpose.name.clone(),
        source: Box::new(source),
    })?;
    let mut packages = BTreeSet::new();
    for stanza in &solution.packages {
        let name = stanza.package_name()?;
        lock.packages.insert(name.clone(), Locked::of(*stanza)?);
        packages.insert(name);
    }
    lock.sets.insert(purpose.name.clone(), Set { request: purpose.request, packages });
    Ok(())
}

/// Which suite each package is taken from: what its recipe says.
fn recipe_pins(recipes: &Recipes) -> Pins {
    let pinned = recipes.iter().flat_map(|recipe| {
        let suite = &recipe.declared.suite;
        recipe.packages().iter().map(move |name| (name.to_string(), suite.clone()))
    });
    Pins { base: Some(DEFAULT_SUITE.to_owned()), packages: pinned.collect() }
}
