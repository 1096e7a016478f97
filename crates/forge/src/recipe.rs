//! Recipes: which Debian packages are in the product, what is kept of them, and why.
//!
//! A recipe is a folder below `os/packages`: `recipe.toml`, and in `files/` what we add, at the
//! path it has on the host. It is data, not a program: what it may say is [`Declaration`].

mod account;
mod build;
mod folder;
mod image;
mod paths;
mod reasons;
mod reviewed;
mod snippets;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use base::{Digest, Explain};
use formats::PackageName;
use serde::Deserialize;

use crate::programs::Program;

pub(crate) use account::{AccountName, AccountPath, Group, User};
pub(crate) use build::{Build, Method};
pub(crate) use folder::{Content, RecipeError, Recipes, files_below};
pub(crate) use image::ImageDefinition;
pub(crate) use paths::{HostPath, Pattern, canonical};
pub(crate) use reviewed::{Reviewed, script_digest};
pub(crate) use snippets::{Reading, Snippets};
pub(crate) use words::{
    Day, LinkTarget, Mode, Preset, Reason, Script, ScriptKey, Shortcoming, TmpfilesLine, Waiver,
};

/// The suite that packages come from unless their recipe says otherwise; it includes the updates
/// and the security archive.
pub(crate) const DEFAULT_SUITE: &str = "trixie";

/// What `recipe.toml` says. Unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Declaration {
    /// One line for people.
    pub(crate) summary: Reason,
    /// The binary packages it covers; the one that is named like the folder, if it is left out.
    /// Empty: a package of our own, made of `files/`, `program` and `manual` only.
    packages: Option<Vec<PackageName>>,
    /// The program that a package of our own holds, in `/usr/bin`, with what completes its command line in shells.
    pub(crate) program: Option<Program>,
    /// The program of which a package of our own holds the man pages.
    pub(crate) manual: Option<Program>,
    /// Rises when the recipe would make other bytes; the N of `+0preonN` rises with it.
    #[serde(default = "first_revision")]
    pub(crate) revision: u32,
    /// The suite that the packages are taken from.
    #[serde(default = "default_suite")]
    pub(crate) suite: String,
    /// Why another suite than [`DEFAULT_SUITE`].
    pub(crate) suite_reason: Option<Reason>,
    /// Files that are left out.
    #[serde(default)]
    pub(crate) drop: Vec<Pattern>,
    /// Exceptions to `drop`, here and in the defaults.
    #[serde(default)]
    pub(crate) keep: Vec<Pattern>,
    /// Which units start.
    #[serde(default)]
    pub(crate) presets: BTreeMap<String, Preset>,
    /// Symbolic links, by the path where they lie.
    #[serde(default)]
    pub(crate) links: BTreeMap<HostPath, LinkTarget>,
    /// Lines of tmpfiles.d(5).
    #[serde(default)]
    pub(crate) tmpfiles: Vec<TmpfilesLine>,
    /// What replaces each maintainer script.
    #[serde(default)]
    pub(crate) scripts: BTreeMap<ScriptKey, Reason>,
    /// Dependencies that are left out, each with the reason.
    #[serde(default)]
    pub(crate) without: BTreeMap<PackageName, Reason>,
    /// Dependencies that Debian does not name or the defaults leave out, each with the reason.
    #[serde(default)]
    pub(crate) with: BTreeMap<PackageName, Reason>,
    /// Files and folders that get other permission bits than Debian's.
    #[serde(default)]
    pub(crate) modes: BTreeMap<HostPath, Mode>,
    /// Packages of what the recipe drops, for images that want it.
    #[serde(default, rename = "part")]
    pub(crate) parts: BTreeMap<PackageName, Part>,
    /// Users, with fixed numbers.
    #[serde(default, rename = "user")]
    pub(crate) users: Vec<User>,
    /// Groups, with fixed numbers.
    #[serde(default, rename = "group")]
    pub(crate) groups: Vec<Group>,
    /// Its packages are built from source; Debian's builds are taken where this is not there.
    pub(crate) build: Option<Build>,
    /// Findings of the audit that are accepted; with `build`, of Debian's build only.
    #[serde(default)]
    pub(crate) waive: BTreeMap<Pattern, Vec<Waiver>>,
}

/// A package of files that are dropped from one of Debian's.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// One line for people.
    pub(crate) summary: Reason,
    /// The package that Debian has the files in; it comes along.
    pub(crate) of: PackageName,
    /// The files.
    pub(crate) files: Vec<Pattern>,
    /// What the files need beside it.
    #[serde(default)]
    pub(crate) needs: Vec<PackageName>,
    /// Symbolic links, by the path where they lie.
    #[serde(default)]
    pub(crate) links: BTreeMap<HostPath, LinkTarget>,
}

fn first_revision() -> u32 {
    1
}

fn default_suite() -> String {
    DEFAULT_SUITE.to_owned()
}

/// What `defaults.toml` says; it holds for every recipe.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Defaults {
    /// Files that are left out.
    #[serde(default)]
    pub(crate) drop: Vec<Pattern>,
    /// Exceptions to `drop`.
    #[serde(default)]
    pub(crate) keep: Vec<Pattern>,
    /// What replaces a kind of maintainer script everywhere.
    #[serde(default)]
    pub(crate) scripts: BTreeMap<Script, Reason>,
    /// Dependencies that are left out everywhere.
    #[serde(default)]
    pub(crate) without: BTreeMap<PackageName, Reason>,
}

/// A recipe that was read and checked.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// The name of its folder.
    pub(crate) name: PackageName,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// What changes when anything in its folder, in `defaults.toml` or of its scripts' review does.
    pub(crate) digest: Digest,
    /// What it says.
    pub(crate) declared: Declaration,
    /// What holds for every recipe.
    pub(crate) defaults: std::sync::Arc<Defaults>,
    /// What debhelper writes into scripts, answered for every recipe.
    pub(crate) snippets: std::sync::Arc<Snippets>,
    /// Which texts of its packages' scripts were read.
    pub(crate) reviewed: Reviewed,
}

impl Recipe {
    /// The binary packages that it covers; none for a package of our own.
    pub(crate) fn packages(&self) -> &[PackageName] {
        self.declared.packages.as_deref().unwrap_or(std::slice::from_ref(&self.name))
    }

    /// The package that carries what the recipe adds: the first that it covers.
    pub(crate) fn carrier(&self) -> &PackageName {
        self.packages().first().unwrap_or(&self.name)
    }

    /// Whether it makes a package of our own, of `files/` only.
    pub(crate) fn is_own(&self) -> bool {
        self.packages().is_empty()
    }

    /// Where its declaration is, as `path:line` below `root`; the line is the first with `text`,
    /// and none is named if there is none.
    ///
    /// # Errors
    ///
    /// [`FileError`] if it cannot be read.
    pub(crate) fn place(&self, root: &Path, text: &str) -> Result<String, FileError> {
        let path = self.folder.join("recipe.toml");
        let line = file::read_text(&path)?.lines().position(|line| line.contains(text));
        let path = path.strip_prefix(root).unwrap_or(&path).display();
        Ok(line.map_or_else(|| path.to_string(), |line| format!("{path}:{}", line + 1)))
    }

    /// The folder with the files that it adds; it need not exist.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// The dependencies that are left out, by the recipe or everywhere.
    pub(crate) fn without(&self) -> BTreeSet<&PackageName> {
        let everywhere = self.defaults.without.keys();
        let everywhere = everywhere.filter(|name| !self.declared.with.contains_key(*name));
        self.declared.without.keys().chain(everywhere).collect()
    }

    /// What `package` is a part of, if it is one.
    pub(crate) fn part(&self, package: &PackageName) -> Option<&Part> {
        self.declared.parts.get(package)
    }
}

/// What a recipe says is well formed, but cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Contradiction {
    #[error("the suite is `{suite}`, but `suite_reason` does not say why")]
    SuiteWithoutReason { suite: String },
    #[error("`suite_reason` is given for the default suite, {DEFAULT_SUITE}")]
    ReasonWithoutSuite,
    #[error("the package {package} is listed twice")]
    PackageTwice { package: PackageName },
    #[error("`{key}` in [scripts] names a package that the recipe does not cover")]
    ScriptOfOther { key: ScriptKey },
    #[error("the account {name} is declared twice")]
    AccountTwice { name: AccountName },
    #[error("`{unit}` in presets is not the name of a unit")]
    NotAUnit { unit: String },
    #[error("a package of our own has no Debian package to say `{key}` about")]
    OwnPackage { key: &'static str },
    #[error("only a package of our own has a `program` or a `manual`: packages = []")]
    ProgramOfOther,
    #[error("`revision` is 0; it counts from 1")]
    RevisionZero,
    #[error("{package} is both left out and wanted: [without] and [with]")]
    WithAndWithout { package: PackageName },
    #[error("the part {part} is of {of}, which the recipe does not cover")]
    PartOfOther { part: PackageName, of: PackageName },
    #[error("a waiver of {path} was decided on {on}, which is yet to come")]
    WaiverToCome { path: String, on: Day },
}

impl Explain for Contradiction {}

/// What the keys of one recipe say about each other, and about a day after `today`.
fn contradiction(name: &PackageName, declared: &Declaration, today: Day) -> Option<Contradiction> {
    let own = declared.packages.as_ref().is_some_and(Vec::is_empty);
    let packages = declared.packages.as_deref().unwrap_or(std::slice::from_ref(name));
    suite(declared)
        .or_else(|| own.then(|| about_debian(declared)).flatten())
        .or_else(|| {
            let other = declared.program.or(declared.manual).is_some() && !own;
            other.then_some(Contradiction::ProgramOfOther)
        })
        .or_else(|| {
            let package = first_repeated(packages)?.clone();
            Some(Contradiction::PackageTwice { package })
        })
        .or_else(|| {
            let other = |key: &&ScriptKey| {
                key.package.as_ref().is_some_and(|package| !packages.contains(package))
            };
            let key = declared.scripts.keys().find(other)?.clone();
            Some(Contradiction::ScriptOfOther { key })
        })
        .or_else(|| {
            // A group may have the name of a user only where the user does not bring it along.
            let users = declared.users.iter().map(|user| &user.name);
            let own = declared.users.iter().filter(|user| user.group.is_none());
            let groups = declared.groups.iter().map(|group| &group.name);
            let brought: Vec<_> = own.map(|user| &user.name).chain(groups).collect();
            let users: Vec<_> = users.collect();
            let name = first_repeated(&users).or_else(|| first_repeated(&brought))?;
            Some(Contradiction::AccountTwice { name: (*name).clone() })
        })
        .or_else(|| {
            let package = declared.with.keys().find(|name| declared.without.contains_key(*name))?;
            Some(Contradiction::WithAndWithout { package: package.clone() })
        })
        .or_else(|| {
            let (part, Part { of, .. }) =
                declared.parts.iter().find(|(_, part)| !packages.contains(&part.of))?;
            Some(Contradiction::PartOfOther { part: part.clone(), of: of.clone() })
        })
        .or_else(|| {
            let unit = declared.presets.keys().find(|unit| !words::is_unit(unit))?.clone();
            Some(Contradiction::NotAUnit { unit })
        })
        .or_else(|| {
            let all = declared.waive.iter();
            let mut all =
                all.flat_map(|(path, waivers)| waivers.iter().map(move |it| (path, it.on)));
            let (path, on) = all.find(|(_, on)| *on > today)?;
            Some(Contradiction::WaiverToCome { path: path.as_str().to_owned(), on })
        })
}

fn suite(declared: &Declaration) -> Option<Contradiction> {
    match (declared.suite.as_str(), &declared.suite_reason) {
        (DEFAULT_SUITE, Some(_)) => Some(Contradiction::ReasonWithoutSuite),
        (DEFAULT_SUITE, None) | (_, Some(_)) => {
            (declared.revision == 0).then_some(Contradiction::RevisionZero)
        }
        (suite, None) => Some(Contradiction::SuiteWithoutReason { suite: suite.to_owned() }),
    }
}

/// The keys that only make sense where there is a Debian package.
fn about_debian(declared: &Declaration) -> Option<Contradiction> {
    let said = [
        ("drop", !declared.drop.is_empty()),
        ("keep", !declared.keep.is_empty()),
        ("scripts", !declared.scripts.is_empty()),
        ("without", !declared.without.is_empty()),
        ("modes", !declared.modes.is_empty()),
        ("part", !declared.parts.is_empty()),
        ("suite", declared.suite != DEFAULT_SUITE),
        ("build", declared.build.is_some()),
    ];
    let (key, _) = said.into_iter().find(|(_, said)| *said)?;
    Some(Contradiction::OwnPackage { key })
}

fn first_repeated<T: PartialEq>(items: &[T]) -> Option<&T> {
    items.iter().enumerate().find(|(at, item)| items[..*at].contains(item)).map(|(_, item)| item)
}

#[cfg(test)]
mod tests;
