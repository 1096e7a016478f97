//! Curation: a Debian package and its recipe make the package that the product holds.
//!
//! The result is a `.deb` too: `data.tar` holds only `/usr` (defaults for `/etc` lie in
//! `/usr/share/preon/etc`), no script is in it, and what integration needs travels inside, in the
//! formats that systemd reads. The same package, recipe and code give the same bytes.

pub(crate) mod command;
mod facts;
mod integration;
mod links;
mod part;
mod relations;
pub(crate) mod scripts;
mod select;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use base::digest::Hasher;
use base::file::{self, FileError};
use base::progress::{Progress, Unit};
use base::{Digest, Explain};
use formats::relation::BadRelation;
use formats::{PackageName, Version};
use packages::control::{self, BadControl, Control};
use packages::deb::{Deb, DebError, Writer};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::package::RebuiltPackage;
use crate::recipe::{Recipe, Recipes, Script, files_below};
use scripts::Standing;
use tree::Tree;

/// Rises by one when the same package and recipe would give other bytes than before. It counts to the revision of
/// every package, because what was published under a version never changes.
const METHOD: u32 = 1;

/// How hard zstd tries; the packages only pass through the cache on their way into a layer.
const COMPRESSION_LEVEL: i32 = 3;

/// A package to be curated.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    /// Its name.
    pub(crate) name: PackageName,
    /// What it is made from.
    pub(crate) origin: Origin,
}

/// What a curated package is made from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// A package of Debian, beside the recipe.
    Debian {
        /// The file.
        deb: PathBuf,
        /// Its digest, as the archive names it.
        digest: Digest,
    },
    /// What was built from the source of a package of Debian, beside the recipe.
    Rebuilt(RebuiltPackage),
    /// The recipe's own files, and a program of ours.
    Own {
        /// The version that it gets.
        version: Version,
        /// What was built for it.
        built: Vec<OwnFiles>,
    },
}

/// Files of ours that were built: a program, or its manual.
#[derive(Clone, Debug)]
pub(crate) struct OwnFiles {
    /// Where they lie, each at its path on the host.
    pub(crate) folder: PathBuf,
    /// The digest of all of them.
    pub(crate) digest: Digest,
}

/// A curated package in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Curated {
    /// Its name.
    pub(crate) name: PackageName,
    /// The file.
    pub(crate) path: PathBuf,
    /// The file's digest.
    pub(crate) digest: Digest,
    /// What its author should know, in whole sentences.
    pub(crate) warnings: Vec<String>,
}

/// Why packages could not be curated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CurateError {
    #[error("no recipe covers the package {package}")]
    NoRecipe { package: PackageName },
    #[error("cannot curate the package {package}")]
    Package { package: PackageName, recipe: PathBuf, source: Box<Problem> },
    #[error("the recipe {recipe} leaves out {name}, on which none of its packages depends")]
    Stale { recipe: PackageName, name: String },
    #[error("{} packages cannot be curated{}", .0.len(), .0.iter().map(bullet).collect::<String>())]
    Several(Vec<CurateError>),
    #[error(transparent)]
    File(#[from] FileError),
}

/// What is wrong with one package, or with what its recipe says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{}; it begins:{begins}", not_reviewed(*script, *standing))]
    Script { script: Script, standing: Standing, begins: String },
    #[error("its {script} enables {unit}, of which `presets` says nothing")]
    NoPreset { script: Script, unit: String },
    #[error("it has files outside of /usr and /etc: {paths}")]
    Outside { paths: String },
    #[error("it has two files where merged /usr has one, at {path}")]
    MetTwice { path: String },
    #[error("{path} would lie below {above}, which is no folder")]
    BelowFile { path: String, above: String },
    #[error("{path} is a device, a pipe or a link to one")]
    Special { path: String },
    #[error("files{path} would lie at {real}, where no package may put it")]
    FilePlace { path: String, real: String },
    #[error("cannot read {path} in it")]
    Content { path: String, source: io::Error },
    #[error("its field {field} is broken")]
    Relation { field: &'static str, source: BadRelation },
    #[error("the file is {found}, not {expected}")]
    Other { found: PackageName, expected: PackageName },
    #[error("it was built from source and depends on {name} nevertheless")]
    StillNeeded { name: PackageName },
    #[error("cannot write the curated package")]
    Write(#[source] io::Error),
    #[error(transparent)]
    Deb(#[from] DebError),
    #[error(transparent)]
    Control(#[from] BadControl),
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for CurateError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoRecipe { package } => Some(format!(
                "write os/packages/{package}/recipe.toml, or name it in `packages` of another"
            )),
            Self::Package { package, recipe, source } => source.hint(package, recipe),
            Self::Stale { name, .. } => {
                Some(format!("remove {name} from [without] or [build.without]"))
            }
            Self::Several(errors) => {
                let hints: BTreeSet<_> = errors.iter().filter_map(Explain::hint).collect();
                let hints = hints.into_iter().collect::<Vec<_>>().join("\n      ");
                (!hints.is_empty()).then_some(hints)
            }
            Self::File(error) => error.hint(),
        }
    }
}

impl Problem {
    fn hint(&self, package: &PackageName, recipe: &Path) -> Option<String> {
        let recipe = recipe.display();
        match self {
            Self::Script { script, standing: Standing::Unanswered, .. } => Some(format!(
                "read it (`forge review {package}`), write below [scripts] in {recipe}: \
                 \"{package}/{script}\" = \"what replaces it\", \
                 then run `forge review --accept {package}`"
            )),
            Self::Script { .. } => Some(format!(
                "read it (`forge review {package}`), see whether [scripts] in {recipe} still says \
                 what replaces it, then run `forge review --accept {package}`"
            )),
            Self::NoPreset { unit, .. } => Some(format!(
                "write below [presets] in {recipe}: \"{unit}\" = \"disable\", or \"enable\""
            )),
            Self::Outside { .. } => Some(format!(
                "name them in `drop` in {recipe}; `tmpfiles` and `files/usr` replace them"
            )),
            Self::BelowFile { .. } => Some(format!(
                "name the one that is no folder in `drop` in {recipe}, or put the other elsewhere"
            )),
            Self::Special { .. } => {
                Some(format!("name it in `drop` in {recipe}; `tmpfiles` can make one at boot"))
            }
            Self::FilePlace { .. } => {
                Some("put it below files/usr or files/etc, at its path on the host".into())
            }
            Self::StillNeeded { name } => Some(format!(
                "see why in its build.log, or remove {name} from [build.without] in {recipe}"
            )),
            Self::Relation { .. } => Some(format!(
                "Debian's package is at fault: take {package} from another suite in {recipe}"
            )),
            Self::Deb(error) => error.hint(),
            Self::File(error) => error.hint(),
            // No recipe can mend these.
            Self::MetTwice { .. } | Self::Content { .. } | Self::Other { .. } => None,
            Self::Write(_) | Self::Control(_) => None,
        }
    }
}

/// What is wrong with a script that stands so.
fn not_reviewed(script: Script, standing: Standing) -> String {
    match standing {
        Standing::Changed => format!("its {script} has changed since somebody read it"),
        Standing::Unread => format!("nobody has noted that they read its {script}"),
        _ => format!("nobody has said what replaces its {script}"),
    }
}

/// One of several errors, with its causes, in lines of its own.
fn bullet(error: &CurateError) -> String {
    let mut text = format!("\n- {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// Something that a recipe says about Debian's packages, and that one of them must bear out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Claim {
    /// A pattern of `drop` matches something.
    Drop(String),
    /// A pattern of `keep` matches something.
    Keep(String),
    /// A script exists.
    Script(String),
    /// A dependency exists.
    Without(String),
    /// A file that gets another mode exists.
    Mode(String),
}

/// What curating a package brought to light; kept in the cache beside the package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Review {
    warnings: Vec<String>,
    used: BTreeSet<Claim>,
}

impl Review {
    fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }
}

/// What the cache says about a curated package.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    digest: Digest,
    review: Review,
}

/// Curates `inputs`, several at once; what `cache` holds already is not made again.
///
/// The results are in the order of `inputs`. What a recipe says in vain is an error (`without`) or
/// a warning (patterns, scripts), as soon as all packages that it covers are among `inputs`.
///
/// # Errors
///
/// [`CurateError`]: all packages that fail are named, and nothing half-written is in the cache.
pub(crate) fn curate_all(
    inputs: &[Input],
    recipes: &Recipes,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<Vec<Curated>, CurateError> {
    let task =
        progress.begin("curating packages", Some(inputs.len() as u64), Unit::Count("packages"));
    let results: Vec<_> = inputs
        .par_iter()
        .map(|input| {
            let result = curate_cached(input, recipes, cache);
            task.advance(1);
            result
        })
        .collect();
    let mut done = Vec::new();
    let mut failed = Vec::new();
    for result in results {
        match result {
            Ok(curated) => done.push(curated),
            Err(error) => failed.push(error),
        }
    }
    if failed.is_empty() {
        failed = weigh_claims(&mut done, recipes);
    }
    match failed.len() {
        0 => Ok(done.into_iter().map(|(curated, _)| curated).collect()),
        1 => Err(failed.remove(0)),
        _ => Err(CurateError::Several(failed)),
    }
}

/// Finds what recipes say in vain.
fn weigh_claims(done: &mut [(Curated, BTreeSet<Claim>)], recipes: &Recipes) -> Vec<CurateError> {
    let mut places: BTreeMap<&PackageName, usize> = BTreeMap::new();
    let names: Vec<_> = done.iter().map(|(curated, _)| curated.name.clone()).collect();
    for (at, name) in names.iter().enumerate() {
        places.insert(name, at);
    }
    let mut stale = Vec::new();
    for recipe in recipes.iter().filter(|recipe| !recipe.is_own()) {
        let covered: Option<Vec<_>> =
            recipe.packages().iter().map(|name| places.get(name).copied()).collect();
        let Some(covered) = covered else { continue };
        let used: BTreeSet<_> = covered.iter().flat_map(|at| done[*at].1.clone()).collect();
        for claim in claims(recipe).difference(&used) {
            let warning = match claim {
                Claim::Without(name) => {
                    let (recipe, name) = (recipe.name.clone(), name.clone());
                    stale.push(CurateError::Stale { recipe, name });
                    continue;
                }
                Claim::Drop(pattern) => format!("`drop` matches nothing with {pattern}"),
                Claim::Keep(pattern) => format!("`keep` matches nothing with {pattern}"),
                Claim::Mode(path) => format!("[modes] has {path}, which does not exist"),
                Claim::Script(script) => format!("[scripts] has {script}, which does not exist"),
            };
            done[covered[0]].0.warnings.push(warning);
        }
    }
    stale
}

/// All that `recipe` claims about its packages.
fn claims(recipe: &Recipe) -> BTreeSet<Claim> {
    let declared = &recipe.declared;
    let drop = declared.drop.iter().map(|pattern| Claim::Drop(pattern.as_str().to_owned()));
    let keep = declared.keep.iter().map(|pattern| Claim::Keep(pattern.as_str().to_owned()));
    let scripts = declared.scripts.keys().map(|key| Claim::Script(key.to_string()));
    let built_without = declared.build.iter().flat_map(|build| build.without.keys());
    let without = declared.without.keys().chain(built_without);
    let without = without.map(|name| Claim::Without(name.to_string()));
    let modes = declared.modes.keys().map(|path| Claim::Mode(path.to_string()));
    drop.chain(keep).chain(scripts).chain(without).chain(modes).collect()
}

/// Curates one package, or finds that the cache has it.
fn curate_cached(
    input: &Input,
    recipes: &Recipes,
    cache: &Path,
) -> Result<(Curated, BTreeSet<Claim>), CurateError> {
    let package = || input.name.clone();
    let recipe = recipes
        .for_package(&input.name)
        .ok_or_else(|| CurateError::NoRecipe { package: package() })?;
    let key = key(input, recipe, recipes);
    let path = cache.join(format!("{key}.deb"));
    let record_path = cache.join(format!("{key}.json"));
    let record = match recorded(&path, &record_path) {
        Some(record) => record,
        None => {
            let (bytes, record) = curate(input, recipe, recipes).map_err(|source| {
                let recipe = recipe.folder.join("recipe.toml");
                CurateError::Package { package: package(), recipe, source: Box::new(source) }
            })?;
            file::replace(&path, &bytes)?;
            // Last, because the record says that the package is there.
            let json = serde_json::to_vec(&record).map_err(io::Error::other);
            file::replace(&record_path, &json.map_err(FileError::at("write", &record_path))?)?;
            record
        }
    };
    let Record { digest, review } = record;
    let Review { warnings, used } = review;
    let name = package();
    Ok((Curated { name, path, digest, warnings }, used))
}

/// What the result depends on.
fn key(input: &Input, recipe: &Recipe, recipes: &Recipes) -> Digest {
    let mut hasher = Hasher::default();
    hasher.field(b"curate").field(&METHOD.to_le_bytes()).field(input.name.as_str().as_bytes());
    hasher.field(recipe.digest.as_bytes());
    match &input.origin {
        Origin::Debian { digest, .. } => hasher.field(b"debian").field(digest.as_bytes()),
        Origin::Rebuilt(RebuiltPackage { digest, flags, .. }) => {
            hasher.field(b"rebuilt").field(digest.as_bytes()).field(flags.as_bytes())
        }
        Origin::Own { version, built } => {
            hasher.field(b"own").field(version.as_str().as_bytes());
            built.iter().fold(&mut hasher, |hasher, it| hasher.field(it.digest.as_bytes()))
        }
    };
    // The only thing that is taken from other recipes: the numbers of groups.
    for group in recipe.declared.users.iter().filter_map(|user| user.group.as_ref()) {
        let gid = recipes.gid(group).map(|gid| gid.to_string()).unwrap_or_default();
        hasher.field(gid.as_bytes());
    }
    hasher.finish()
}

/// What the cache says of a package that it holds; anything unreadable or damaged counts as not
/// there.
fn recorded(path: &Path, record_path: &Path) -> Option<Record> {
    let json = std::fs::read(record_path).ok()?;
    let record: Record = serde_json::from_slice(&json).ok()?;
    (Digest::of_file(path).ok()? == record.digest).then_some(record)
}

/// Curates one package: the bytes of the new one, and what is to be known about it.
fn curate(input: &Input, recipe: &Recipe, recipes: &Recipes) -> Result<(Vec<u8>, Record), Problem> {
    let mut review = Review::default();
    let (mut tree, control) = match &input.origin {
        Origin::Own { version, built } => own(recipe, version, built)?,
        Origin::Debian { deb, digest } | Origin::Rebuilt(RebuiltPackage { deb, digest, .. }) => {
            let mut deb = Deb::open(deb)?;
            deb.control_mut().remove_all(control::OURS);
            if let Origin::Rebuilt(RebuiltPackage { flags, .. }) = &input.origin {
                deb.control_mut().set(control::BUILD_FLAGS, flags);
            }
            let part = recipe.part(&input.name);
            let expected = part.map_or(&input.name, |part| &part.of).clone();
            let found = deb.control().name().clone();
            if found != expected {
                return Err(Problem::Other { found, expected });
            }
            if let Some(part) = part {
                return part::curated(&deb, (&input.name, part), recipe);
            }
            scripts::review(deb.scripts(), recipe, &input.name, &mut review)?;
            let mut control = relations::curated(deb.control(), recipe, &mut review)?;
            let mut tree = Tree::read(&deb)?;
            facts::note(&mut control, &tree, digest, &mut review);
            select::select(&mut tree, recipe, &input.name, &mut review)?;
            (tree, control)
        }
    };
    if recipe.carrier() == &input.name {
        integration::add(&mut tree, recipe, recipes, &mut review)?;
    }
    written(tree, control, review)
}

/// The bytes of the package with these files.
fn written(tree: Tree, mut control: Control, review: Review) -> Result<(Vec<u8>, Record), Problem> {
    let tree = tree.into_layer()?;
    control.set("Installed-Size", &tree.installed_kilobytes().to_string());
    let mut writer = Writer::new(COMPRESSION_LEVEL, 0).map_err(Problem::Write)?;
    tree.write(&mut writer).map_err(Problem::Write)?;
    let bytes = writer.finish(&control).map_err(Problem::Write)?;
    let digest = Digest::of(&bytes);
    Ok((bytes, Record { digest, review }))
}

/// The version of the curated package that `recipe` makes of version `of`. What we built from source sorts above the
/// same made of Debian's build, which may stand in for it: they are two packages, and one may follow the other.
fn version(of: &Version, recipe: &Recipe, control: Option<&Control>) -> Version {
    let is_built = control.is_some_and(|control| control.get(control::BUILD_FLAGS).is_some());
    let revision = recipe.declared.revision.saturating_add(METHOD - 1);
    of.with_preon(revision.saturating_mul(2) - u32::from(!is_built))
}

/// A package of our own, without what the recipe's folder adds.
fn own(recipe: &Recipe, version: &Version, built: &[OwnFiles]) -> Result<(Tree, Control), Problem> {
    let Recipe { name, declared, .. } = recipe;
    let version = self::version(version, recipe, None);
    let mut control = Control::parse(&format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Preon OS\n\
         Description: {}\n",
        declared.summary
    ))?;
    relations::add_needs(&mut control, recipe)?;
    let mut tree = Tree::default();
    for files in built {
        for file in files_below(&files.folder)? {
            integration::put(&mut tree, format!("/{}", file.path), file.content);
        }
    }
    Ok((tree, control))
}

#[cfg(test)]
mod tests;
