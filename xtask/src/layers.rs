//! `cargo xtask layers`: nothing points up or sideways.
//!
//! The table of crates in docs/architecture.md says which crate may use which; cargo says which
//! does. Test dependencies are free, so long as they do not make a cycle, which cargo refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::command::{self, cargo};

/// The page and the heading of the table.
const PAGE: &str = "docs/architecture.md";
const HEADER: &str = "| crate | is | may use |";

/// For each crate, the crates of ours that it may use or does use.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// Prints every dependency that the table does not allow.
///
/// # Errors
///
/// If there is one, or the table or cargo cannot be read.
pub(crate) fn check() -> Result<()> {
    let path = command::workspace().join(PAGE);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    let allowed = table(&text).with_context(|| format!("{PAGE} has no table `{HEADER}`"))?;
    let metadata = command::read(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    let actual = dependencies(&metadata)?;
    let violations = violations(&allowed, &actual);
    if violations.is_empty() {
        println!("{} crates depend on each other as {PAGE} says", actual.len());
        return Ok(());
    }
    bail!("{}", violations.join("\n"))
}

/// The rows of the table in the text of the page.
fn table(page: &str) -> Option<Uses> {
    let (_, rows) = page.split_once(HEADER)?;
    let rows = rows.trim_start_matches('\n').lines().take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let name = cells.next()?.trim_matches('`').to_owned();
        let uses = cells.next_back()?;
        let uses = if uses.starts_with('-') { "" } else { uses };
        let words = uses.split(',').map(str::trim).filter(|word| !word.is_empty());
        Some((name, words.map(str::to_owned).collect()))
    };
    Some(rows.filter(|line| !line.starts_with("| ---")).filter_map(row).collect())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
}

/// What `cargo metadata` says of the crates below `crates/`.
fn dependencies(metadata: &str) -> Result<Uses> {
    let metadata: Metadata =
        serde_json::from_str(metadata).context("cannot read cargo metadata")?;
    let is_crate = |package: &Package| package.manifest_path.contains("/crates/");
    let ours = |dependency: &Dependency| {
        dependency.path.is_some() && dependency.kind.as_deref() != Some("dev")
    };
    let uses = |package: Package| {
        let used = package.dependencies.into_iter().filter(ours).map(|used| used.name);
        (package.name, used.collect())
    };
    Ok(metadata.packages.into_iter().filter(is_crate).map(uses).collect())
}

fn violations(allowed: &Uses, actual: &Uses) -> Vec<String> {
    let mut found = Vec::new();
    for (name, uses) in actual {
        let Some(may_use) = allowed.get(name) else {
            found.push(format!("`{name}` has no row in {PAGE}"));
            continue;
        };
        for used in uses.difference(may_use) {
            found.push(format!("`{name}` uses `{used}`, which its row in {PAGE} does not name"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
# Page
| crate | is | may use |
| --- | --- | --- |
| `base` | words, `Digest` | - |
| `sys` | the kernel | base |
| `login-pam` | a module | - (std only) |
| `forge` | program | base, sys |

| other | table |
";

    fn uses(list: &[(&str, &[&str])]) -> Uses {
        let own = |name: &&str| (*name).to_owned();
        list.iter().map(|(name, used)| (own(name), used.iter().map(own).collect())).collect()
    }

    #[test]
    fn the_table_is_read_from_the_page() {
        let none: &[&str] = &[];
        let expected = uses(&[
            ("base", none),
            ("sys", &["base"]),
            ("login-pam", none),
            ("forge", &["base", "sys"]),
        ]);
        assert_eq!(table(TABLE), Some(expected));
        assert_eq!(table("no table"), None);
    }

    #[test]
    fn what_the_table_does_not_name_is_a_violation() {
        let allowed = table(TABLE).unwrap();
        let actual = uses(&[("base", &["sys"]), ("forge", &["sys"]), ("new", &[])]);
        let expected = [
            "`base` uses `sys`, which its row in docs/architecture.md does not name",
            "`new` has no row in docs/architecture.md",
        ];
        assert_eq!(violations(&allowed, &actual), expected);
    }

    #[test]
    fn test_dependencies_and_foreign_crates_are_free() {
        let metadata = r#"{"packages": [
            {"name": "sys", "manifest_path": "/p/crates/sys/Cargo.toml", "dependencies": [
                {"name": "base", "kind": null, "path": "/p/crates/base"},
                {"name": "testkit", "kind": "dev", "path": "/p/crates/testkit"},
                {"name": "rustix", "kind": null, "path": null}]},
            {"name": "xtask", "manifest_path": "/p/xtask/Cargo.toml", "dependencies": []}]}"#;
        assert_eq!(dependencies(metadata).unwrap(), uses(&[("sys", &["base"])]));
    }
}
