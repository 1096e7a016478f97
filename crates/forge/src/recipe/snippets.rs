//! What debhelper writes into maintainer scripts: the same lines with other names, answered once for all recipes.
//!
//! `os/packages/snippets.toml` holds each text that was read, with marks where names stand. A section of a script
//! is answered if it is one of these texts, or several in a row, to the last byte. What a mark may stand for is
//! narrow: nothing that a shell would look into.

use std::path::Path;

use base::file::{self, FileError};
use formats::PackageName;
use serde::Deserialize;

use super::folder::{RecipeError, read_toml};
use super::words::Reason;

/// The first words of a section, before the name and version of the tool that wrote it.
const BEGINS: &str = "# Automatically added by ";
/// The line after a section.
const ENDS: &str = "# End automatically added section";

/// All texts that were read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Snippets {
    #[serde(default, rename = "snippet")]
    all: Vec<Snippet>,
}

/// One text.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Snippet {
    /// What replaces it.
    #[serde(rename = "answer")]
    _answer: Reason,
    /// Whether the recipe must say of each `@unit@` if it starts.
    #[serde(default)]
    presets: bool,
    text: Template,
}

/// Lines of shell with marks.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Mark(Mark),
}

/// What may stand for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// `@package@`: the package's own name.
    Package,
    /// `@unit@`: the name of a unit; the same wherever it stands in one text.
    Unit,
    /// `@units@`: one unit or more, each in single quotes, with a blank between.
    Units,
    /// `@name@`: a file's name or a path; the same wherever it stands.
    Name,
    /// `@words@`: arguments, with nothing in them that a shell would replace.
    Words,
}

impl Mark {
    const ALL: [(&str, Self); 5] = [
        ("@package@", Self::Package),
        ("@unit@", Self::Unit),
        ("@units@", Self::Units),
        ("@name@", Self::Name),
        ("@words@", Self::Words),
    ];

    fn admits(self, value: &str, package: &PackageName) -> bool {
        let is_name = |text: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"@:._\\-+/".contains(&byte);
            !text.is_empty() && text.bytes().all(allowed)
        };
        let is_quoted = |text: &str| {
            text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).is_some_and(is_name)
        };
        match self {
            Self::Package => value == package.as_str(),
            Self::Unit | Self::Name => is_name(value),
            Self::Units => value.split(' ').all(is_quoted),
            Self::Words => value.split(' ').all(|word| is_name(&word.replace('~', "-"))),
        }
    }
}

/// The text has a mark that is not known, or two without anything between.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}`: marks are @package@, @unit@, @units@, @name@ and @words@, each with other text behind it"
)]
struct BadTemplate(String);

impl TryFrom<String> for Template {
    type Error = BadTemplate;

    fn try_from(text: String) -> Result<Self, BadTemplate> {
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let first = Mark::ALL
                .iter()
                .filter_map(|known| Some((rest.find(known.0)?, known)))
                .min_by_key(|(at, _)| *at);
            let Some((at, (word, mark))) = first else {
                pieces.push(Piece::Literal(rest.to_owned()));
                break;
            };
            match (at, pieces.last()) {
                (0, Some(Piece::Mark(_))) => return Err(BadTemplate((*word).to_owned())),
                (0, _) => {}
                _ => pieces.push(Piece::Literal(rest[..at].to_owned())),
            }
            pieces.push(Piece::Mark(*mark));
            rest = &rest[at + word.len()..];
        }
        match pieces.last() {
            Some(Piece::Literal(last)) if last.ends_with('\n') => Ok(Self(pieces)),
            _ => Err(BadTemplate(text)),
        }
    }
}

impl Template {
    /// What is left of `text` behind this template, and the units that it names, if `text` begins with it.
    fn strip<'a>(&self, text: &'a str, package: &PackageName) -> Option<(&'a str, Vec<&'a str>)> {
        let mut rest = text;
        let mut values: Vec<(Mark, &str)> = Vec::new();
        for (at, piece) in self.0.iter().enumerate() {
            match piece {
                Piece::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
                Piece::Mark(mark) => {
                    // The last piece is a literal: a mark ends where the literal behind it first begins.
                    let Some(Piece::Literal(next)) = self.0.get(at + 1) else { return None };
                    let value = &rest[..rest.find(next.as_str())?];
                    let same = |(known, before): &(Mark, &str)| known != mark || *before == value;
                    let is_one = matches!(mark, Mark::Unit | Mark::Name);
                    if !mark.admits(value, package) || is_one && !values.iter().all(same) {
                        return None;
                    }
                    values.push((*mark, value));
                    rest = &rest[value.len()..];
                }
            }
        }
        let units = values.into_iter().filter(|(mark, _)| *mark == Mark::Unit);
        Some((rest, units.map(|(_, value)| value).collect()))
    }
}

/// What is to be read of a script, and what is answered already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The lines that no snippet answers; without those that do nothing.
    pub(crate) own: Vec<String>,
    /// The units of which the recipe must say whether they start.
    pub(crate) units: Vec<String>,
}

impl Snippets {
    /// Where they lie below the folder of all recipes.
    pub(super) fn path(folder: &Path) -> std::path::PathBuf {
        folder.join("snippets.toml")
    }

    /// Reads the file below `folder`, and its text; where there is none, nothing is answered.
    ///
    /// # Errors
    ///
    /// [`RecipeError`] naming the file.
    pub(super) fn load(folder: &Path) -> Result<(Self, String), RecipeError> {
        let path = Self::path(folder);
        if !path.exists() {
            return Ok((Self::default(), String::new()));
        }
        let text = file::read_text(&path).map_err(|error: FileError| RecipeError::File(error))?;
        Ok((read_toml(&path, &text)?, text))
    }

    /// Tells what is generated in the script `text` of `package` from what somebody wrote.
    pub(crate) fn read(&self, text: &str, package: &PackageName) -> Reading {
        let mut reading = Reading::default();
        let mut lines = text.split_inclusive('\n');
        while let Some(line) = lines.next() {
            if !line.starts_with(BEGINS) {
                reading.add_own(line);
                continue;
            }
            let section: Vec<_> =
                lines.by_ref().take_while(|line| line.trim_end() != ENDS).collect();
            match self.answer(&section.concat(), package) {
                Some(units) => reading.units.extend(units),
                None => section.into_iter().for_each(|line| reading.add_own(line)),
            }
        }
        reading
    }

    /// The units that the text of a section decides about, if snippets answer all of it.
    fn answer(&self, section: &str, package: &PackageName) -> Option<Vec<String>> {
        let mut units = Vec::new();
        let mut rest = section;
        while !rest.is_empty() {
            let found = self
                .all
                .iter()
                .find_map(|snippet| Some((snippet, snippet.text.strip(rest, package)?)));
            let (snippet, (behind, named)) = found?;
            if snippet.presets {
                units.extend(named.first().map(|unit| (*unit).to_owned()));
            }
            rest = behind;
        }
        Some(units)
    }
}

impl Reading {
    /// Lines that do nothing need no reader.
    fn add_own(&mut self, line: &str) {
        let line = line.trim_end();
        let told = line.trim_start();
        if !told.is_empty() && !told.starts_with('#') && !["set -e", "exit 0"].contains(&told) {
            self.own.push(line.to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
