//! Maintainer scripts: none ever runs, so each must have been read by somebody.

use formats::PackageName;

use super::{Claim, Problem, Review};
use crate::recipe::{Recipe, Script, ScriptKey};

/// How many lines of an unreviewed script are shown.
const SHOWN: usize = 12;

/// Checks that the recipe says what replaces each script of the package `name`.
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
    for (file, text) in scripts {
        let Some(script) = Script::ALL.into_iter().find(|known| known.file_name() == file) else {
            continue;
        };
        let keys = [Some(name.clone()), None].map(|package| ScriptKey { package, script });
        let declared = keys.iter().filter(|key| recipe.declared.scripts.contains_key(key));
        let claims: Vec<_> = declared.map(|key| Claim::Script(key.to_string())).collect();
        if claims.is_empty() && !recipe.defaults.scripts.contains_key(&script) {
            let begins = beginning(&String::from_utf8_lossy(text));
            unreviewed.get_or_insert(Problem::Script { script, begins });
        }
        review.used.extend(claims);
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
