//! Maintainer scripts: none ever runs, so each must have been read by somebody.

use formats::PackageName;

use super::{Claim, Problem, Review};
use crate::recipe::{Reading, Recipe, Script, ScriptKey, script_digest};

/// How many lines of an unreviewed script are shown.
const SHOWN: usize = 12;

/// Where a maintainer script of a package stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The defaults answer its kind, whatever it says.
    Default,
    /// All of it was written by debhelper, and answered for every recipe.
    Generated,
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
        return match default {
            true => Standing::Default,
            false if reading(key, text, recipe).own.is_empty() => Standing::Generated,
            false => Standing::Unanswered,
        };
    }
    if recipe.reviewed.holds(key, script_digest(text)) {
        Standing::Reviewed
    } else if recipe.reviewed.knows(key) {
        Standing::Changed
    } else {
        Standing::Unread
    }
}

/// What of `text`, the script `key`, somebody has to read.
pub(crate) fn reading(key: &ScriptKey, text: &[u8], recipe: &Recipe) -> Reading {
    let name = key.package.as_ref().unwrap_or(&recipe.name);
    recipe.snippets.read(&String::from_utf8_lossy(text), name)
}

impl Standing {
    /// Whether nobody has to look at the script.
    pub(crate) fn is_settled(self) -> bool {
        matches!(self, Self::Default | Self::Generated | Self::Reviewed)
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
        let Reading { own, units } = reading(&key, text, recipe);
        if !standing.is_settled() {
            let begins = own.iter().take(SHOWN).map(|line| format!("\n  | {line}")).collect();
            unreviewed.get_or_insert(Problem::Script { script: key.script, standing, begins });
        }
        if let (Standing::Generated, Some(unit)) = (standing, undecided(units, recipe)) {
            unreviewed.get_or_insert(Problem::NoPreset { script: key.script, unit });
        }
    }
    unreviewed.map_or(Ok(()), Err)
}

/// The first of `units` of which the recipe does not say whether it starts; one that it drops never does.
fn undecided(units: Vec<String>, recipe: &Recipe) -> Option<String> {
    let declared = &recipe.declared;
    let dropped = |unit: &str| {
        let path = format!("/usr/lib/systemd/system/{unit}");
        declared.drop.iter().any(|pattern| pattern.matches(&path))
    };
    units.into_iter().find(|unit| !declared.presets.contains_key(unit) && !dropped(unit))
}
