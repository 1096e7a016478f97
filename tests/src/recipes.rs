//! What the recipes say about differences to Debian: files left out, files and links of our own,
//! packages that are done without. Each line of them has its reason beside it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::Deserialize;

use crate::differences::{Difference, What};

/// All recipes in `os/packages/`.
#[derive(Debug)]
pub struct Recipes {
    recipes: Vec<Recipe>,
    by_package: HashMap<String, usize>,
    defaults: Recipe,
}

#[derive(Debug)]
struct Recipe {
    text: Text,
    drop: GlobSet,
    keep: GlobSet,
    /// Paths of the files in `files/`, as the host sees them.
    own: BTreeSet<String>,
}

/// The keys of a recipe that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Text {
    packages: Option<Vec<String>>,
    drop: Vec<String>,
    keep: Vec<String>,
    links: BTreeMap<String, String>,
    modes: BTreeMap<String, String>,
    without: BTreeMap<String, String>,
    part: BTreeMap<String, Part>,
    build: Build,
}

/// What a recipe says of building from source.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Build {
    without: BTreeMap<String, String>,
}

/// A package of what a recipe drops.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Part {
    links: BTreeMap<String, String>,
}

impl Recipes {
    /// Reads the recipes of this checkout.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn load() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../os/packages");
        let defaults = Recipe::load(&folder.join("defaults.toml"), Path::new(""));
        let (mut recipes, mut by_package) = (Vec::new(), HashMap::new());
        for entry in fs::read_dir(&folder).expect("the folder of recipes") {
            let path = entry.expect("a recipe").path();
            if !path.join("recipe.toml").exists() {
                continue;
            }
            let recipe = Recipe::load(&path.join("recipe.toml"), &path.join("files"));
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for package in recipe.text.packages.clone().unwrap_or(vec![name]) {
                by_package.insert(package, recipes.len());
            }
            recipes.push(recipe);
        }
        Self { recipes, by_package, defaults }
    }

    /// The names of all packages that recipes cover, and of their parts.
    pub fn packages(&self) -> impl Iterator<Item = &str> {
        let parts = self.recipes.iter().flat_map(|recipe| recipe.text.part.keys());
        self.by_package.keys().chain(parts).map(String::as_str)
    }

    /// Whether a recipe says that the product does without `package`.
    pub fn without(&self, package: &str) -> bool {
        let all = self.recipes.iter().chain([&self.defaults]);
        all.into_iter().any(|Recipe { text, .. }| {
            text.without.contains_key(package) || text.build.without.contains_key(package)
        })
    }

    /// Whether the recipe of `package` leaves the file at `path` out.
    pub fn drops(&self, package: &str, path: &str) -> bool {
        let Some(recipe) = self.by_package.get(package).map(|at| &self.recipes[*at]) else {
            return false;
        };
        let dropped = [recipe, &self.defaults].iter().any(|recipe| recipe.drop.is_match(path));
        dropped && !recipe.keep.is_match(path)
    }

    /// Whether a recipe puts a file or a link of its own where `difference` is.
    pub fn replaces(&self, difference: &Difference) -> bool {
        let path = &difference.path;
        let ours = |Recipe { text, own, .. }: &Recipe| {
            let mut links = text.part.values().map(|part| &part.links).chain([&text.links]);
            let mode = difference.what == What::Mode && text.modes.contains_key(path);
            own.contains(path) || links.any(|links| links.contains_key(path)) || mode
        };
        difference.what != What::Missing && self.recipes.iter().any(ours)
    }
}

impl Recipe {
    fn load(path: &Path, files: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a recipe's text");
        let text: Text =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut own = Vec::new();
        if files.is_dir() {
            walk(files, &mut own);
        }
        let host =
            |path: &PathBuf| format!("/{}", path.strip_prefix(files).unwrap_or(path).display());
        let own = own.iter().map(host).collect();
        Self { drop: patterns(&text.drop), keep: patterns(&text.keep), text, own }
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of files") {
        let path = entry.expect("a file").path();
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// Patterns as recipes write them: `*` stays within a folder, `**` does not.
///
/// # Panics
///
/// If one is malformed.
pub fn patterns(texts: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for text in texts {
        set.add(GlobBuilder::new(text).literal_separator(true).build().expect("a pattern"));
    }
    set.build().expect("patterns")
}
