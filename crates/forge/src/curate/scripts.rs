//! Maintainer scripts: none ever runs, so each must have been read by somebody.

use formats::PackageName;

use super::{Claim, Problem, Review};
use crate::recipe::{Recipe, Script, ScriptKey, script_digest};

/// How many lines of an unreviewed script are shown.
const SHOWN: usize = 12;

/// Where a maintainer script of a package stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The defaults answer its kind, whatever it says.
    Default,
    /// The recipe says what replaces it, and this very text was read.
    Reviewed,
    /// The recipe says what replaces it, but of another text.
    Changed,
    /// The recipe says what replaces it, but no text was noted as read.
    Unread,
    /// Nobody has said what replaces it.
    Unanswered,
}

/// Where `text`, the script `key` of a package that `recipe` covers, stands.
pub(crate) fn standing(key: &ScriptKey, text: &[u8], recipe: &Recipe) -> Standing {
    let answers = &recipe.declared.scripts;
    let general = ScriptKey { package: None, script: key.script };
    if !answers.contains_key(key) && !answers.contains_key(&general) {
        let default = recipe.defaults.scripts.contains_key(&key.script);
        return if default { Standing::Default } else { Standing::Unanswered };
    }
    if recipe.reviewed.holds(key, script_digest(text)) {
        Standing::Reviewed
    } else if recipe.reviewed.knows(key) {
        Standing::Changed
    } else {
        Standing::Unread
    }
}

/// The scripts of a package by their names in recipes.
pub(crate) fn keyed<'a>(
    scripts: impl IntoIterator<Item = (&'static str, &'a [u8])>,
    name: &PackageName,
) -> Vec<(ScriptKey, &'a [u8])> {
    let known = |file: &str| Script::ALL.into_iter().find(|script| script.file_name() == file);
    let keyed = scripts.into_iter().filter_map(|(file, text)| {
        Some((ScriptKey { package: Some(name.clone()), script: known(file)? }, text))
    });
    keyed.collect()
}

/// Checks that the recipe says what replaces each script of the package `name`, and that somebody
/// has read these very scripts.
///
/// # Errors
///
/// [`Problem::Script`] with the beginning of the first script that nobody has reviewed.
pub(super) fn review<'a>(
    scripts: impl IntoIterator<Item = (&'static str, &'a [u8])>,
    recipe: &Recipe,
    name: &PackageName,
    review: &mut Review,
) -> Result<(), Problem> {
    let mut unreviewed = None;
    for (key, text) in keyed(scripts, name) {
        let keys = [key.clone(), ScriptKey { package: None, script: key.script }];
        let declared = keys.iter().filter(|key| recipe.declared.scripts.contains_key(key));
        review.used.extend(declared.map(|key| Claim::Script(key.to_string())));
        let standing = standing(&key, text, recipe);
        if !matches!(standing, Standing::Default | Standing::Reviewed) {
            let begins = beginning(&String::from_utf8_lossy(text));
            unreviewed.get_or_insert(Problem::Script { script: key.script, standing, begins });
        }
    }
    unreviewed.map_or(Ok(()), Err)
}

/// The first lines that do something: no comments, no empty lines, no `set -e`.
fn beginning(text: &str) -> String {
    let says = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#') && line != "set -e"
    };
    let lines = text.lines().filter(says).take(SHOWN);
    lines.map(|line| format!("\n  | {line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_do_something_are_shown() {
        let text = "#!/bin/sh\nset -e\n\n# Comment\nadduser x\n  rm y\n";
        assert_eq!(beginning(text), "\n  | adduser x\n  |   rm y");
    }
}
