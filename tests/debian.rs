//! The composed tree beside Debian's own installation of the same packages: dpkg, with all
//! maintainer scripts run. What differs is on a list with its reason: in the recipes, or in
//! differences.toml.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use system_tests::differences::{self, Difference, List, What};
use system_tests::recipes::Recipes;
use system_tests::tree::{self, Archive, Kind, Tree};
use system_tests::{Image, debian, open};

/// Where the layer keeps the defaults of `/etc`.
const DEFAULTS: &str = "/share/preon/etc/";
/// dpkg's lists of the files of each package.
const LISTS: &str = "/var/lib/dpkg/info/";

/// What both sides are.
struct Systems {
    debian: Archive,
    ours: Archive,
    /// Packages by the path of a file of theirs, on Debian's side.
    owners: BTreeMap<String, Vec<String>>,
    /// The packages in the image.
    packages: BTreeSet<String>,
    /// Those that were built from source.
    rebuilt: BTreeSet<String>,
    /// What has a reason in this image.
    list: List,
    /// What has one in the images beneath, and may here.
    beneath: Vec<List>,
}

/// Images, and what is to be said of each beside those before it.
const IMAGES: [(&str, &str); 3] = [
    ("minimal", "differences.toml"),
    ("full", "differences-full.toml"),
    ("everything", "differences-everything.toml"),
];

static MINIMAL: LazyLock<Systems> = LazyLock::new(|| Systems::of(0));
static FULL: LazyLock<Systems> = LazyLock::new(|| Systems::of(1));
static EVERYTHING: LazyLock<Systems> = LazyLock::new(|| Systems::of(2));

fn list(name: &str) -> List {
    List::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
}

impl Systems {
    /// The image at `place` in [`IMAGES`].
    fn of(place: usize) -> Self {
        let (image, list) = IMAGES[place];
        let (image, list) = (open(image), self::list(list));
        let beneath = IMAGES[..place].iter().map(|(_, list)| self::list(list)).collect();
        let manifest = image.manifest();
        let installed = debian::installation(&manifest, Path::new(env!("CARGO_TARGET_TMPDIR")));
        let accounts = |path: &str| ["passwd", "group"].iter().any(|name| path.ends_with(name));
        let mut debian = tree::read(&installed, |path| {
            path.starts_with(LISTS) && path.ends_with(".list") || accounts(path)
        });
        tree::name_owners(
            &mut debian.tree,
            &debian.texts["/etc/passwd"],
            &debian.texts["/etc/group"],
        );
        debian.tree = units(debian.tree);
        let rebuilt = manifest.packages.iter().filter(|package| package.rebuilt);
        Self {
            rebuilt: rebuilt.map(|package| package.name.clone()).collect(),
            owners: owners(&debian),
            ours: ours(&image),
            packages: manifest.packages.into_iter().map(|package| package.name).collect(),
            list,
            beneath,
            debian,
        }
    }
}

/// The layer, at the paths that the host sees.
fn ours(image: &Image) -> Archive {
    let folder = tempfile::tempdir().unwrap();
    let Archive { tree, texts } = tree::read(&image.archive(folder.path()), |path| {
        path.starts_with(DEFAULTS) && (path.ends_with("/passwd") || path.ends_with("/group"))
    });
    let host = |path: &str| match path.strip_prefix(DEFAULTS) {
        Some(default) => format!("/etc/{default}"),
        None if path == DEFAULTS.trim_end_matches('/') => "/etc".to_owned(),
        None => format!("/usr{}", path.trim_end_matches('/')),
    };
    let texts: BTreeMap<_, _> = texts.into_iter().map(|(path, text)| (host(&path), text)).collect();
    let mut tree = tree.into_iter().map(|(path, node)| (host(&path), node)).collect();
    tree::name_owners(&mut tree, &texts["/etc/passwd"], &texts["/etc/group"]);
    Archive { tree: units(tree), texts }
}

/// With the links that enable units all in one place: some are a package's own and lie in `/usr`,
/// others are made in `/etc`.
fn units(tree: Tree) -> Tree {
    let place = |path: &str, kind: &mut Kind| -> Option<String> {
        let Kind::Link(target) = kind else { return None };
        let rest = path.strip_prefix("/usr/lib").or(path.strip_prefix("/etc"))?;
        let rest = rest.strip_prefix("/systemd/")?;
        if !rest.starts_with("system/") && !rest.starts_with("user/") {
            return None;
        }
        *target = target.rsplit('/').next().unwrap_or_default().to_owned();
        Some(format!("/etc/systemd/{rest}"))
    };
    let is_emptied = |path: &str, kind: &Kind| {
        let emptied = [".wants", ".requires"].iter().any(|ending| path.ends_with(ending));
        emptied && path.contains("/systemd/") && *kind == Kind::Folder
    };
    let pairs = tree.into_iter().filter(|(path, node)| !is_emptied(path, &node.kind));
    let placed = pairs.map(|(path, mut node)| {
        let placed = place(&path, &mut node.kind);
        (placed.unwrap_or(path), node)
    });
    placed.collect()
}

fn owners(debian: &Archive) -> BTreeMap<String, Vec<String>> {
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (list, text) in &debian.texts {
        let Some(name) = list.strip_prefix(LISTS) else { continue };
        let name = name.trim_end_matches(".list");
        let package = name.split(':').next().unwrap_or(name);
        for path in text.lines() {
            owners.entry(merged(path)).or_default().push(package.to_owned());
        }
    }
    owners
}

/// `/lib/x` is `/usr/lib/x`.
fn merged(path: &str) -> String {
    let first = path.split('/').nth(1).unwrap_or_default();
    let merged = ["bin", "sbin", "lib", "lib64"].contains(&first);
    if merged { format!("/usr{path}") } else { path.to_owned() }
}

impl Systems {
    /// The packages that only Debian's side holds.
    fn only_debian(&self) -> BTreeSet<&str> {
        let installed: BTreeSet<_> = self.owners.values().flatten().map(String::as_str).collect();
        installed.into_iter().filter(|name| !self.packages.contains(*name)).collect()
    }

    /// Whether the recipes say why: the package is left out, or built from source and a compiler wrote the file, or
    /// the file is left out, or it is one of ours.
    fn is_declared(&self, difference: &Difference, recipes: &Recipes) -> bool {
        // A link that enables a unit may be a package's own: then it lies in /usr.
        let path = &difference.path;
        let unit =
            path.strip_prefix("/etc/systemd/").map(|unit| format!("/usr/lib/systemd/{unit}"));
        let is_left_out = |path: &String| {
            let left_out =
                |package: &String| !self.packages.contains(package) || recipes.drops(package, path);
            self.owners.get(path).is_some_and(|owners| owners.iter().all(left_out))
        };
        let is_rebuilt = |owners: &Vec<String>| owners.iter().all(|it| self.rebuilt.contains(it));
        let compiled =
            difference.what == What::Compiled && self.owners.get(path).is_some_and(is_rebuilt);
        let missing = difference.what == What::Missing;
        compiled
            || missing && [Some(path), unit.as_ref()].into_iter().flatten().any(is_left_out)
            || recipes.replaces(difference)
    }
}

#[test]
fn every_difference_to_debians_own_installation_has_its_reason() {
    differences_have_reasons(&MINIMAL);
}

#[test]
#[ignore = "nightly: needs the image `full`"]
fn every_difference_of_the_full_image_has_its_reason() {
    differences_have_reasons(&FULL);
}

#[test]
#[ignore = "nightly: needs the layer of everything"]
fn every_difference_of_everything_that_is_curated_has_its_reason() {
    differences_have_reasons(&EVERYTHING);
}

fn differences_have_reasons(systems: &Systems) {
    let recipes = Recipes::load();
    let mut differences = differences::compare(&systems.debian.tree, &systems.ours.tree);
    differences.retain(|difference| !systems.is_declared(difference, &recipes));
    for beneath in &systems.beneath {
        beneath.take(&mut differences);
    }
    let useless = systems.list.take(&mut differences);
    let text: Vec<_> = differences.iter().map(ToString::to_string).collect();
    assert!(text.is_empty(), "{} without a reason:\n{}", text.len(), text.join("\n"));
    assert!(useless.is_empty(), "the list has what there is not: {useless:#?}");
}

#[test]
fn every_package_that_only_debians_own_installation_needs_has_its_reason() {
    packages_have_reasons(&MINIMAL);
}

#[test]
#[ignore = "nightly: needs the image `full`"]
fn every_package_that_only_debian_needs_for_the_full_image_has_its_reason() {
    packages_have_reasons(&FULL);
}

#[test]
#[ignore = "nightly: needs the layer of everything"]
fn every_package_that_only_debian_needs_for_everything_has_its_reason() {
    packages_have_reasons(&EVERYTHING);
}

fn packages_have_reasons(systems: &Systems) {
    let recipes = Recipes::load();
    let only = systems.only_debian();
    let known = |name: &&str| {
        let mut beneath = systems.beneath.iter();
        recipes.without(name) || beneath.any(|list| list.packages.contains_key(*name))
    };
    let unneeded = systems.list.unneeded.keys();
    let unneeded = unneeded.filter(|name| !systems.packages.contains(name.as_str()));
    let listed: BTreeSet<_> =
        systems.list.packages.keys().chain(unneeded).map(String::as_str).collect();
    let unlisted: BTreeSet<_> = only.iter().copied().filter(|name| !known(name)).collect();
    assert_eq!(unlisted, listed);
}

/// The lines of passwd(5) or group(5) by name. Numbers that Debian leaves to chance are left out:
/// ours are fixed.
fn accounts(text: &str) -> BTreeMap<&str, String> {
    let is_chance = |number: u32| (100..60000).contains(&number);
    let line = |line| {
        let fields: Vec<_> = str::split(line, ':').collect();
        let told = fields.iter().skip(2).map(|field| match field.parse() {
            Ok(number) if is_chance(number) => "a number".to_owned(),
            Ok(_) => (*field).to_owned(),
            Err(_) => merged(field),
        });
        (fields[0], told.collect::<Vec<_>>().join(":"))
    };
    text.lines().map(line).collect()
}

#[test]
fn every_account_of_debians_own_installation_is_there() {
    accounts_are_there(&MINIMAL);
}

#[test]
#[ignore = "nightly: needs the image `full`"]
fn every_account_of_the_full_image_is_there() {
    accounts_are_there(&FULL);
}

#[test]
#[ignore = "nightly: needs the layer of everything"]
fn every_account_of_everything_that_is_curated_is_there() {
    accounts_are_there(&EVERYTHING);
}

fn accounts_are_there(systems: &Systems) {
    let mut differing = BTreeMap::new();
    for file in ["/etc/passwd", "/etc/group"] {
        let theirs = accounts(&systems.debian.texts[file]);
        let ours = accounts(&systems.ours.texts[file]);
        for (name, line) in theirs {
            let our = ours.get(name);
            if our != Some(&line) {
                differing.insert(name, format!("{file}: {line:?} there, {our:?} here"));
            }
        }
    }
    for beneath in &systems.beneath {
        differing.retain(|name, _| !beneath.accounts.contains_key(*name));
    }
    let listed: BTreeSet<_> = systems.list.accounts.keys().map(String::as_str).collect();
    let names: BTreeSet<_> = differing.keys().copied().collect();
    assert_eq!(names, listed, "{differing:#?}");
}
