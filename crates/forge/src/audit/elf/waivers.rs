//! What recipes accept of the files that were measured, and which of their waivers accept nothing.

use std::collections::{BTreeMap, BTreeSet};

use formats::PackageName;

use super::Subject;
use super::report::Finding;
use crate::recipe::{Pattern, Recipe, Recipes, Shortcoming, Waiver};

/// The waivers of all recipes, and which of them were of use.
pub(super) struct Waivers<'a> {
    recipes: &'a Recipes,
    subject: &'a Subject,
    /// By recipe, pattern and finding.
    used: BTreeSet<(&'a PackageName, &'a Pattern, Shortcoming)>,
    /// Patterns that would accept something of a package in which each file has to be named.
    broad: BTreeMap<(&'a Pattern, Shortcoming), PackageName>,
}

impl<'a> Waivers<'a> {
    /// Those of `recipes`, for the packages of `subject`.
    pub(super) fn new(recipes: &'a Recipes, subject: &'a Subject) -> Self {
        Self { recipes, subject, used: BTreeSet::new(), broad: BTreeMap::new() }
    }

    /// The waiver that accepts `finding`, and the path or pattern that it is for.
    pub(super) fn accept(&mut self, finding: &Finding) -> Option<(&'a Pattern, &'a Waiver)> {
        let package: PackageName = finding.package.parse().ok()?;
        let recipe = self.recipes.for_package(&package)?;
        if recipe.declared.build.is_some() && self.subject.rebuilt.contains(&package) {
            return None; // they are about Debian's build
        }
        let matching = recipe.declared.waive.iter().filter(|(path, _)| path.matches(&finding.path));
        let all = matching.flat_map(|(path, waivers)| waivers.iter().map(move |w| (path, w)));
        for (path, waiver) in all.filter(|(_, waiver)| waiver.finding == finding.finding) {
            self.used.insert((&recipe.name, path, waiver.finding));
            if self.subject.release && self.subject.minimal.contains(&package) {
                return None; // it is there for development
            }
            if path.is_exact() || !self.subject.minimal.contains(&package) {
                return Some((path, waiver));
            }
            self.broad.entry((path, waiver.finding)).or_insert_with(|| package.clone());
        }
        None
    }

    /// How many accepted something.
    pub(super) fn used(&self) -> usize {
        self.used.len() - self.broad.len()
    }

    /// The waivers that are wrong themselves: too broad, or of recipes all of whose packages were looked at
    /// without anything to accept.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let broad = self.broad.iter().map(|((path, finding), package)| Finding {
            package: package.to_string(),
            path: path.as_str().to_owned(),
            finding: Shortcoming::BroadWaiver,
            detail: Some(finding.to_string()),
        });
        let whole = self.recipes.iter().filter(|recipe| self.is_judged(recipe));
        broad.chain(whole.flat_map(|recipe| self.idle(recipe))).collect()
    }

    /// Whether all that the recipe's waivers may be about was looked at.
    fn is_judged(&self, recipe: &Recipe) -> bool {
        let Subject { packages, rebuilt, .. } = self.subject;
        let mut all = recipe.packages().iter().chain(recipe.declared.parts.keys());
        let built = recipe.packages().iter().any(|package| rebuilt.contains(package));
        all.all(|package| packages.contains(package)) && !built
    }

    fn idle(&self, recipe: &'a Recipe) -> Vec<Finding> {
        let waivers = recipe.declared.waive.iter();
        let all =
            waivers.flat_map(|(path, waivers)| waivers.iter().map(move |w| (path, w.finding)));
        let idle = all.filter(|(path, what)| !self.used.contains(&(&recipe.name, path, *what)));
        let finding = |(path, what): (&Pattern, Shortcoming)| Finding {
            package: recipe.carrier().to_string(),
            path: path.as_str().to_owned(),
            finding: Shortcoming::IdleWaiver,
            detail: Some(what.to_string()),
        };
        idle.map(finding).collect()
    }
}
