//! `forge curate`: makes the curated packages, of images or of everything that recipes cover.

use std::io::Write;
use std::path::PathBuf;

use base::file::{self, FileError};
use base::{ByteSize, Explain, Failure};
use formats::PackageName;
use serde::Serialize;

use crate::context::Context;
use crate::recipe::Recipes;
use crate::supply::{Purpose, Supply};
use crate::tools::ToolRoot;
use crate::{layer, output};
use packages::spelling;

/// Curate packages, whether an image has them or not
#[derive(Debug, clap::Args)]
pub(crate) struct Curate {
    /// Packages to curate [default: all that recipes cover]
    packages: Vec<PackageName>,
    /// Also compose one layer of them, which shows whether they go together, into a folder as an image's
    #[arg(long, value_name = "FOLDER")]
    layer: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Why nothing can be curated.
#[derive(Debug, thiserror::Error)]
#[error("no recipe covers the package {package}")]
pub(crate) struct NotCovered {
    package: PackageName,
    meant: Option<String>,
}

impl Explain for NotCovered {
    fn hint(&self) -> Option<String> {
        Some(match &self.meant {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("write os/packages/{}/recipe.toml", self.package),
        })
    }
}

/// A curated package in the cache.
#[derive(Debug, Serialize)]
struct Made {
    package: PackageName,
    suite: String,
    deb: String,
    sha256: String,
    bytes: u64,
}

impl Curate {
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        if let Some(folder) = &self.layer {
            output::may_replace(folder, |name| ["layers", "manifest.json"].contains(&name))?;
        }
        let recipes = Recipes::load(&context.root.join("os/packages"))?;
        if let Some(other) = self.packages.iter().find(|name| recipes.for_package(name).is_none()) {
            let meant = spelling::nearest(other.as_str(), recipes.packages()).map(str::to_owned);
            return Err(NotCovered { package: other.clone(), meant }.into());
        }
        let curated = match self.packages.is_empty() {
            true => layer::of_recipes(context)?,
            false => {
                let supply = Supply::open(context)?;
                supply.set(&Purpose::repository(&recipes))?; // what is locked is what recipes ask for
                let whole = self.packages.iter().flat_map(|name| with_whole(name, &recipes));
                layer::curate_all(context, &recipes, &supply, &whole.collect())?
                    .complete(context)?
            }
        };
        if let Some(folder) = &self.layer {
            let tools = ToolRoot::open(context, "image")?;
            file::replace_folder(folder, |folder| layer::alone(context, &tools, &curated, folder))?;
        }
        let made = curated.packages.into_iter().map(|(package, suite)| {
            let bytes = std::fs::metadata(&package.path).map_or(0, |file| file.len());
            let (deb, sha256) = (package.path.display().to_string(), package.digest.to_string());
            Made { package: package.name, suite, deb, sha256, bytes }
        });
        let made: Vec<_> = made.collect();
        let text = match self.json {
            true => serde_json::to_string_pretty(&made).unwrap_or_default() + "\n",
            false => table(&made),
        };
        Ok(out.write_all(text.as_bytes()).map_err(FileError::at("write to", "standard output"))?)
    }
}

/// A part is made of the package that it is a part of.
fn with_whole(name: &PackageName, recipes: &Recipes) -> Vec<PackageName> {
    let whole = recipes.part(name).map(|part| part.of.clone());
    [name.clone()].into_iter().chain(whole).collect()
}

fn table(made: &[Made]) -> String {
    let line = |made: &Made| {
        format!("{:<32} {:>10}  {}\n", made.package, ByteSize(made.bytes).to_string(), made.deb)
    };
    let bytes = made.iter().map(|made| made.bytes).sum();
    let sum = format!("{} packages curated, {}\n", made.len(), ByteSize(bytes));
    made.iter().map(line).chain([sum]).collect()
}
