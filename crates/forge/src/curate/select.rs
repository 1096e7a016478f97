//! Which files of a Debian package stay.

use std::collections::{BTreeMap, BTreeSet};

use formats::PackageName;

use super::tree::{Node, Shape, Tree};
use super::{Claim, Problem, Review, links};
use crate::recipe::{Pattern, Recipe, canonical};

/// How many paths an error or warning names before it says how many more there are.
const NAMED: usize = 8;

/// What becomes of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It stays; a folder stays even if it is empty.
    Keep,
    /// It stays; a folder stays if something in it does.
    Default,
    /// It goes, as the recipe or the defaults say.
    Drop,
    /// It is neither below `/usr` nor below `/etc`, and nobody has said that it goes.
    Outside,
}

/// Leaves in `tree` what the recipe keeps of the package `name`.
///
/// # Errors
///
/// [`Problem::Outside`] if a file would be lost that no pattern of `drop` names.
pub(super) fn select(
    tree: &mut Tree,
    recipe: &Recipe,
    name: &PackageName,
    review: &mut Review,
) -> Result<(), Problem> {
    let mut rules = Rules { recipe, document: format!("/usr/share/doc/{name}"), review };
    let folder = |node: &Node| node.shape == Shape::Folder;
    let before: Before =
        tree.nodes.iter().map(|(path, node)| (path.clone(), folder(node))).collect();
    let mut outside = Vec::new();
    let mut folders_outside = Vec::new();
    tree.nodes.retain(|path, node| match (rules.verdict(path, &node.shape), &node.shape) {
        (Verdict::Keep | Verdict::Default, _) => true,
        (Verdict::Drop, _) => false,
        (Verdict::Outside, Shape::Folder) => {
            folders_outside.push(path.clone());
            false
        }
        (Verdict::Outside, _) => {
            outside.push(path.clone());
            false
        }
    });
    if !outside.is_empty() {
        return Err(Problem::Outside { paths: listed(&outside) });
    }
    for (path, mode) in &recipe.declared.modes {
        if tree.set_mode(path.as_str(), mode.bits()) {
            review.used.insert(Claim::Mode(path.to_string()));
        }
    }
    remove_empty_folders(tree, |path| {
        let patterns = recipe.declared.keep.iter().chain(&recipe.defaults.keep);
        patterns.into_iter().any(|pattern| pattern.matches(path))
    });
    warn_of_folders(&folders_outside, &before, recipe, review);
    warn_of_dangling(tree, &before, review);
    Ok(())
}

/// What the package had: whether it is a folder, by path.
type Before = BTreeMap<String, bool>;

struct Rules<'a> {
    recipe: &'a Recipe,
    /// The folder with the package's copyright file, which may be a link to another's.
    document: String,
    review: &'a mut Review,
}

impl Rules<'_> {
    fn verdict(&mut self, path: &str, shape: &Shape) -> Verdict {
        let Recipe { declared, defaults, .. } = self.recipe;
        // Both lists are asked always: a pattern counts as used wherever it matches.
        let drop = self.matches(&declared.drop, path, Claim::Drop)
            || defaults.drop.iter().any(|pattern| pattern.matches(path));
        let keep = self.matches(&declared.keep, path, Claim::Keep)
            || defaults.keep.iter().any(|pattern| pattern.matches(path));
        match (is_inside(path), drop, keep || self.is_copyright(path, shape)) {
            (false, true, _) => Verdict::Drop,
            (false, false, _) => Verdict::Outside,
            (true, _, true) => Verdict::Keep,
            (true, true, false) => Verdict::Drop,
            (true, false, false) => Verdict::Default,
        }
    }

    /// Licences travel with the files that they are about.
    fn is_copyright(&self, path: &str, shape: &Shape) -> bool {
        match path.strip_prefix(&self.document) {
            Some("") => matches!(shape, Shape::Link(_)),
            Some("/copyright") => true,
            _ => false,
        }
    }

    fn matches(&mut self, patterns: &[Pattern], path: &str, claim: fn(String) -> Claim) -> bool {
        let mut any = false;
        for pattern in patterns.iter().filter(|pattern| pattern.matches(path)) {
            any = true;
            self.review.used.insert(claim(pattern.as_str().to_owned()));
        }
        any
    }
}

/// Removes folders with nothing in them, unless they are `kept` by their own name.
pub(super) fn remove_empty_folders(tree: &mut Tree, kept: impl Fn(&str) -> bool) {
    let needed: BTreeSet<String> = tree
        .nodes
        .iter()
        .filter(|(path, node)| node.shape != Shape::Folder || kept(path))
        .flat_map(|(path, _)| above(path).chain([path.as_str()]).map(str::to_owned))
        .collect();
    tree.nodes.retain(|path, _| needed.contains(path));
}

/// A folder below `/var` and the like appears on the host only if a line of tmpfiles makes it.
fn warn_of_folders(folders: &[String], before: &Before, recipe: &Recipe, review: &mut Review) {
    let is_leaf = |path: &&String| {
        let below = format!("{path}/");
        let next = before.range(below.clone()..).next();
        next.is_none_or(|(next, _)| !next.starts_with(&below))
    };
    // Those right below the root are made by the initrd.
    let folders = folders.iter().filter(|path| above(path).next().is_some());
    let made = |path: &str| recipe.declared.tmpfiles.iter().any(|line| line.path() == path);
    for path in folders.filter(is_leaf).filter(|path| !made(path)) {
        review.warn(format!("the empty folder {path} is left out; `tmpfiles` could make it"));
    }
}

/// A link whose target the package had, but has no more. Folders do not count: other packages may
/// bring them too.
fn warn_of_dangling(tree: &Tree, before: &Before, review: &mut Review) {
    for (path, node) in &tree.nodes {
        let Shape::Link(text) = &node.shape else { continue };
        let target = canonical(&links::target(path, text));
        if before.get(&target) == Some(&false) && !tree.nodes.contains_key(&target) {
            review.warn(format!("{path} points to {target}, which is left out"));
        }
    }
}

/// Whether a package may have something at `path`: in `/usr` or `/etc`.
pub(super) fn is_inside(path: &str) -> bool {
    ["/usr", "/etc"].iter().any(|top| {
        path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// The folders above `path`, from the top, without the root.
pub(super) fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').skip(1).map(|(at, _)| &path[..at])
}

/// Some of `paths` in one line.
fn listed(paths: &[String]) -> String {
    let named = paths.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match paths.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!("{named} and {more} more"),
        _ => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_above_a_path_are_named_from_the_top() {
        assert_eq!(above("/usr/bin/sh").collect::<Vec<_>>(), ["/usr", "/usr/bin"]);
        assert_eq!(above("/usr").count(), 0);
    }

    #[test]
    fn long_lists_are_cut() {
        let paths: Vec<_> = (0..10).map(|at| format!("/var/{at}")).collect();
        assert!(listed(&paths).ends_with("/var/7 and 2 more"), "{}", listed(&paths));
        assert_eq!(listed(&paths[..1]), "/var/0");
    }
}
