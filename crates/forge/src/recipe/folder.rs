//! The folder that holds all recipes: reading it, and what recipes say about each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::digest::Hasher;
use base::file::{self, FileError};
use base::{Digest, Explain};
use formats::PackageName;
use serde::de::DeserializeOwned;

use super::account::{AccountName, AccountNumber};
use super::reasons::{self, NoReason};
use super::reviewed::Reviewed;
use super::snippets::Snippets;
use super::{Contradiction, Day, Defaults, Part, Recipe, contradiction};
use crate::key;

/// All recipes, by name.
#[derive(Clone, Debug)]
pub(crate) struct Recipes {
    by_name: BTreeMap<PackageName, Recipe>,
    /// Which recipe covers a package.
    covering: BTreeMap<PackageName, PackageName>,
    reviewed: Reviewed,
}

/// Why recipes could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecipeError {
    #[error("{}:{line} is not understood", path.display())]
    Syntax { path: PathBuf, line: usize, source: toml::de::Error },
    #[error("{}:{} does not say why", path.display(), source.line)]
    NoReason { path: PathBuf, source: NoReason },
    #[error("{} contradicts itself", path.display())]
    Contradiction { path: PathBuf, source: Contradiction },
    #[error("the folder {} cannot be the name of a recipe", .0.display())]
    FolderName(PathBuf),
    #[error("{} holds no recipe.toml", .0.display())]
    NoRecipe(PathBuf),
    #[error("the recipes {one} and {other} both cover the package {package}")]
    CoveredTwice { package: PackageName, one: PackageName, other: PackageName },
    #[error("the recipes {one} and {other} both declare {what}")]
    AccountTwice { what: String, one: PackageName, other: PackageName },
    #[error(
        "the user {user} of the recipe {recipe} has the group {group}, which no recipe declares"
    )]
    NoGroup { recipe: PackageName, user: AccountName, group: AccountName },
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for RecipeError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Contradiction { source: Contradiction::SuiteWithoutReason { .. }, .. } => {
                Some("add `suite_reason = \"…\"`".into())
            }
            Self::Contradiction { source: Contradiction::WaiverToCome { .. }, .. } => {
                Some("give the day on which it was decided, or set this machine's clock".into())
            }
            Self::CoveredTwice { package, .. } => {
                Some(format!("name {package} in `packages` of one of them only"))
            }
            Self::Syntax { .. } => Some("docs/curation.md and docs/image.md list every key".into()),
            Self::NoReason { .. } => Some(
                "add `# why` at the end of its line, or on a line of its own above the patterns \
                 that share the reason"
                    .into(),
            ),
            Self::NoRecipe(_) => Some("write one, or remove the folder".into()),
            Self::AccountTwice { .. } => {
                Some("give one of them another name and number; numbers are never reused".into())
            }
            Self::NoGroup { group, .. } => {
                Some(format!("declare it with [[group]], name = \"{group}\", gid = …"))
            }
            Self::File(error) => error.hint(),
            _ => None,
        }
    }
}

impl Recipes {
    /// Reads every recipe below `folder`, and its `defaults.toml` if there is one.
    ///
    /// # Errors
    ///
    /// [`RecipeError`] naming the file, or the recipes that collide.
    pub(crate) fn load(folder: &Path) -> Result<Self, RecipeError> {
        let path = folder.join("defaults.toml");
        let (defaults, text) = match path.exists() {
            true => {
                let text = file::read_text(&path)?;
                (read_reasoned::<Defaults>(&path, &text)?, text)
            }
            false => (Defaults::default(), String::new()),
        };
        let (snippets, snippets_text) = Snippets::load(folder)?;
        let shared = Shared {
            defaults: Arc::new(defaults),
            snippets: Arc::new(snippets),
            text: text + &snippets_text,
            reviewed: Reviewed::load(folder)?,
        };
        let mut recipes = Vec::new();
        for folder in folders(folder)? {
            recipes.push(load_one(&folder, &shared)?);
        }
        let recipes = Self { reviewed: shared.reviewed, ..Self::of(recipes)? };
        recipes.check_accounts()?;
        Ok(recipes)
    }

    fn of(recipes: Vec<Recipe>) -> Result<Self, RecipeError> {
        let mut covering: BTreeMap<PackageName, PackageName> = BTreeMap::new();
        for recipe in &recipes {
            let own = recipe.is_own().then_some(&recipe.name);
            let parts = recipe.declared.parts.keys();
            for package in recipe.packages().iter().chain(own).chain(parts) {
                if let Some(one) = covering.insert(package.clone(), recipe.name.clone()) {
                    let (package, other) = (package.clone(), recipe.name.clone());
                    return Err(RecipeError::CoveredTwice { package, one, other });
                }
            }
        }
        let by_name = recipes.into_iter().map(|recipe| (recipe.name.clone(), recipe)).collect();
        Ok(Self { by_name, covering, reviewed: Reviewed::default() })
    }

    /// Which maintainer scripts were read.
    pub(crate) fn reviewed(&self) -> &Reviewed {
        &self.reviewed
    }

    /// The recipe that covers `package`, or that makes it.
    pub(crate) fn for_package(&self, package: &PackageName) -> Option<&Recipe> {
        self.by_name.get(self.covering.get(package)?)
    }

    /// What `package` is a part of, if it is one.
    pub(crate) fn part(&self, package: &PackageName) -> Option<&Part> {
        self.for_package(package)?.part(package)
    }

    /// The parts that come with `packages`: those among them, and those that one of them is said to need.
    pub(crate) fn parts_of<'a>(
        &'a self,
        packages: impl Iterator<Item = &'a PackageName>,
    ) -> BTreeSet<&'a PackageName> {
        let mut parts = BTreeSet::new();
        let mut open: Vec<_> = packages.collect();
        while let Some(package) = open.pop() {
            match self.part(package) {
                Some(part) if parts.insert(package) => open.extend(&part.needs),
                Some(_) => {}
                None => {
                    let recipe = self.for_package(package).into_iter();
                    let with = recipe.flat_map(|recipe| recipe.declared.with.keys());
                    open.extend(with.filter(|name| self.part(name).is_some()));
                }
            }
        }
        parts
    }

    /// The names of all packages that an image may ask for.
    pub(crate) fn packages(&self) -> impl Iterator<Item = &str> {
        self.covering.keys().map(PackageName::as_str)
    }

    /// All recipes by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Recipe> {
        self.by_name.values()
    }

    /// Names and numbers of accounts mean the same wherever they stand.
    fn check_accounts(&self) -> Result<(), RecipeError> {
        let mut owners = BTreeMap::new();
        for recipe in self.iter() {
            for what in accounts(recipe) {
                if let Some(one) = owners.insert(what.clone(), &recipe.name) {
                    let (one, other) = (one.clone(), recipe.name.clone());
                    return Err(RecipeError::AccountTwice { what, one, other });
                }
            }
        }
        for (recipe, user) in self.iter().flat_map(|r| r.declared.users.iter().map(move |u| (r, u)))
        {
            if let Some(group) = user.group.as_ref().filter(|group| self.gid(group).is_none()) {
                let (recipe, user, group) = (recipe.name.clone(), user.name.clone(), group.clone());
                return Err(RecipeError::NoGroup { recipe, user, group });
            }
        }
        Ok(())
    }

    /// The number of the group `name`, wherever it is declared.
    pub(crate) fn gid(&self, name: &AccountName) -> Option<AccountNumber> {
        let declared = || self.iter().map(|recipe| &recipe.declared);
        let groups = declared().flat_map(|declared| &declared.groups);
        let own = declared().flat_map(|declared| &declared.users).filter(|u| u.group.is_none());
        let mut all = groups.map(|g| (&g.name, g.gid)).chain(own.map(|u| (&u.name, u.uid)));
        all.find(|(known, _)| *known == name).map(|(_, gid)| gid)
    }
}

/// What the recipe claims for itself, in words.
fn accounts(recipe: &Recipe) -> Vec<String> {
    let mut claims = Vec::new();
    for user in &recipe.declared.users {
        claims.push(format!("the user {}", user.name));
        claims.push(format!("the user number {}", user.uid));
        if user.group.is_none() {
            claims.push(format!("the group {}", user.name));
            claims.push(format!("the group number {}", user.uid));
        }
    }
    for group in &recipe.declared.groups {
        claims.push(format!("the group {}", group.name));
        claims.push(format!("the group number {}", group.gid));
    }
    claims
}

/// The recipes' folders in the order of their names: all but hidden ones, which are an editor's.
fn folders(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).map_err(FileError::at("read", folder))? {
        let path = entry.map_err(FileError::at("read", folder))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.is_dir() && !hidden {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// What lies beside the recipes' folders and concerns them all.
struct Shared {
    defaults: Arc<Defaults>,
    snippets: Arc<Snippets>,
    /// The text of the defaults and of the snippets.
    text: String,
    reviewed: Reviewed,
}

fn load_one(folder: &Path, shared: &Shared) -> Result<Recipe, RecipeError> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name: PackageName = name.parse().map_err(|_| RecipeError::FolderName(folder.to_owned()))?;
    let path = folder.join("recipe.toml");
    if !path.exists() {
        return Err(RecipeError::NoRecipe(folder.to_owned()));
    }
    let declared = read_reasoned(&path, &file::read_text(&path)?)?;
    if let Some(source) = contradiction(&name, &declared, Day::last_begun(key::clock())) {
        return Err(RecipeError::Contradiction { path, source });
    }
    let mut recipe = Recipe {
        name,
        folder: folder.to_owned(),
        digest: digest(folder, &shared.text)?,
        declared,
        defaults: shared.defaults.clone(),
        snippets: shared.snippets.clone(),
        reviewed: Reviewed::default(),
    };
    recipe.reviewed = shared.reviewed.of(recipe.packages());
    let mut hasher = Hasher::default();
    hasher.field(recipe.digest.as_bytes()).field(recipe.reviewed.lines().as_bytes());
    recipe.digest = hasher.finish();
    Ok(recipe)
}

/// Reads what has `drop` and `keep`, of which each pattern has its reason.
fn read_reasoned<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, RecipeError> {
    let read = read_toml(path, text)?;
    match reasons::first_without(text) {
        Some(source) => Err(RecipeError::NoReason { path: path.to_owned(), source }),
        None => Ok(read),
    }
}

/// Reads TOML and says where it is wrong.
pub(super) fn read_toml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, RecipeError> {
    toml::from_str(text).map_err(|source: toml::de::Error| {
        let start = source.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        RecipeError::Syntax { path: path.to_owned(), line, source }
    })
}

/// The digest of everything in a recipe's folder and of the defaults. Names, contents, where
/// links point and whether a file may be executed count; owners, times and the umask do not.
fn digest(folder: &Path, defaults_text: &str) -> Result<Digest, FileError> {
    let mut hasher = Hasher::default();
    hasher.field(defaults_text.as_bytes());
    for file in files_below(folder)? {
        hasher.field(file.path.as_bytes());
        match &file.content {
            Content::Folder => hasher.field(b"folder"),
            Content::Link(target) => hasher.field(b"link").field(target.as_bytes()),
            Content::File { executable, bytes } => {
                hasher.field(if *executable { b"program" } else { b"file" }).field(bytes)
            }
        };
    }
    Ok(hasher.finish())
}

/// Something in a recipe's folder.
pub(crate) struct RecipeFile {
    /// Its path below the folder, without a slash at either end.
    pub(crate) path: String,
    /// What it is.
    pub(crate) content: Content,
}

/// What lies at a path in a recipe's folder.
pub(crate) enum Content {
    /// A folder.
    Folder,
    /// A symbolic link to this text.
    Link(String),
    /// A plain file.
    File {
        /// Whether its owner may execute it.
        executable: bool,
        /// What it holds.
        bytes: Vec<u8>,
    },
}

/// Everything below `folder`, by path, whatever order the file system has.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<RecipeFile>, FileError> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(current) = open.pop() {
        for entry in fs::read_dir(&current).map_err(FileError::at("read", &current))? {
            let path = entry.map_err(FileError::at("read", &current))?.path();
            let content = content(&path)?;
            if matches!(content, Content::Folder) {
                open.push(path.clone());
            }
            let below = path.strip_prefix(folder).unwrap_or(&path);
            files.push(RecipeFile { path: text(below)?, content });
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

fn content(path: &Path) -> Result<Content, FileError> {
    let metadata = fs::symlink_metadata(path).map_err(FileError::at("read", path))?;
    if metadata.is_dir() {
        return Ok(Content::Folder);
    }
    if metadata.is_symlink() {
        let target = fs::read_link(path).map_err(FileError::at("read", path))?;
        return text(&target).map(Content::Link);
    }
    if !metadata.is_file() {
        // Reading a pipe would wait for ever.
        let other = std::io::Error::other("it is neither a file nor a folder nor a link");
        return Err(FileError::at("read", path)(other));
    }
    let executable = metadata.permissions().mode() & 0o100 != 0;
    Ok(Content::File { executable, bytes: file::read(path)? })
}

fn text(path: &Path) -> Result<String, FileError> {
    let not_text = || std::io::Error::other("the name is not UTF-8");
    path.to_str().map(str::to_owned).ok_or_else(not_text).map_err(FileError::at("read", path))
}
