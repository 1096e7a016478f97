//! `forge review`: the maintainer scripts that nobody has read yet, and noting that somebody has.

use std::collections::BTreeSet;
use std::io::Write;

use base::file::FileError;
use base::{Digest, Explain, Failure};
use formats::PackageName;
use packages::deb::Deb;
use serde::Serialize;

use crate::context::Context;
use crate::curate::scripts::{Standing, keyed, standing};
use crate::recipe::{Recipes, Reviewed, ScriptKey, script_digest};
use crate::supply::{REPOSITORY, Supply};
use packages::spelling;

/// Show maintainer scripts that nobody has read yet, or that changed since
#[derive(Debug, clap::Args)]
pub(crate) struct Review {
    /// Packages to look at [default: all that recipes cover]
    packages: Vec<PackageName>,
    /// Note that you have read them, and that the recipes say what replaces them
    #[arg(long, requires = "packages")]
    accept: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Why nothing can be reviewed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReviewError {
    #[error("the lock has no package {package} that a recipe covers")]
    NotCovered { package: PackageName, meant: Option<String> },
    #[error("no recipe covers the package {0}")]
    NoRecipe(PackageName),
    #[error("no recipe says what replaces {0}")]
    Unanswered(String),
}

impl Explain for ReviewError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotCovered { meant: Some(meant), .. } => format!("did you mean {meant}?"),
            Self::NotCovered { .. } => "run `forge review` to see those that are waiting".into(),
            Self::NoRecipe(package) => format!("write os/packages/{package}/recipe.toml"),
            Self::Unanswered(key) => {
                format!("write below [scripts] of its recipe: \"{key}\" = \"what replaces it\"")
            }
        })
    }
}

/// A script that waits for its reader.
#[derive(Debug, Serialize)]
struct Waiting {
    script: String,
    version: String,
    /// Whether another text of it was read before.
    changed: bool,
    text: String,
    #[serde(skip)]
    found: Found,
}

/// A script of a package in the lock.
#[derive(Debug)]
struct Found {
    key: ScriptKey,
    digest: Digest,
    standing: Standing,
}

impl Review {
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        let folder = context.root.join("os/packages");
        let recipes = Recipes::load(&folder)?;
        let supply = Supply::open(context)?;
        let all = covered(&supply);
        if let Some(other) = self.packages.iter().find(|package| !all.contains(*package)) {
            let known = all.iter().map(PackageName::as_str);
            let meant = spelling::nearest(other.as_str(), known).map(str::to_owned);
            return Err(ReviewError::NotCovered { package: other.clone(), meant }.into());
        }
        let chosen: BTreeSet<_> = self.packages.iter().cloned().collect();
        let chosen = if chosen.is_empty() { all.clone() } else { chosen };
        let waiting = waiting(context, &recipes, &supply, &chosen)?;
        let text = match (self.accept, self.json) {
            (true, _) => {
                let mut reviewed = recipes.reviewed().clone();
                reviewed.retain(|key| key.package.as_ref().is_some_and(|name| all.contains(name)));
                accept(&mut reviewed, &waiting)?;
                reviewed.save(&folder)?;
                format!("{} scripts noted as read\n", waiting.len())
            }
            (false, true) => serde_json::to_string_pretty(&waiting).unwrap_or_default() + "\n",
            (false, false) => waiting.iter().map(shown).chain([summary(&waiting)]).collect(),
        };
        let written = out.write_all(text.as_bytes());
        Ok(written.map_err(FileError::at("write to", "standard output"))?)
    }
}

/// All packages that the lock names because a recipe covers them.
fn covered(supply: &Supply) -> BTreeSet<PackageName> {
    supply.lock.sets.get(REPOSITORY).map(|set| set.packages.clone()).unwrap_or_default()
}

/// The scripts of `chosen` that nobody has read, in the order of their names.
fn waiting(
    context: &Context,
    recipes: &Recipes,
    supply: &Supply,
    chosen: &BTreeSet<PackageName>,
) -> Result<Vec<Waiting>, Failure> {
    let mut waiting = Vec::new();
    for package in supply.fetch(context, chosen)? {
        let recipe = recipes.for_package(&package.name);
        let recipe = recipe.ok_or_else(|| ReviewError::NoRecipe(package.name.clone()))?;
        let deb = Deb::open(&package.path)?;
        for (key, text) in keyed(deb.scripts(), &package.name) {
            let standing = standing(&key, text, recipe);
            if standing.is_settled() {
                continue;
            }
            waiting.push(Waiting {
                script: key.to_string(),
                version: package.locked.version.to_string(),
                changed: standing == Standing::Changed,
                text: String::from_utf8_lossy(text).into_owned(),
                found: Found { key, digest: script_digest(text), standing },
            });
        }
    }
    Ok(waiting)
}

/// Notes all of them as read.
fn accept(reviewed: &mut Reviewed, waiting: &[Waiting]) -> Result<(), ReviewError> {
    for Waiting { found: Found { key, digest, standing }, .. } in waiting {
        if *standing == Standing::Unanswered {
            return Err(ReviewError::Unanswered(key.to_string()));
        }
        reviewed.accept(key.clone(), *digest);
    }
    Ok(())
}

fn shown(waiting: &Waiting) -> String {
    let Waiting { script, version, found, .. } = waiting;
    let why = match found.standing {
        Standing::Changed => "changed since it was read",
        Standing::Unanswered => "no recipe says what replaces it",
        _ => "not noted as read",
    };
    let text: String = waiting.text.lines().map(|line| format!("  | {line}\n")).collect();
    format!("{script} of {version}: {why}\n{text}\n")
}

fn summary(waiting: &[Waiting]) -> String {
    match waiting.len() {
        0 => "every script was read\n".into(),
        count => format!("{count} scripts wait to be read\n"),
    }
}
