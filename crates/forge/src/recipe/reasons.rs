//! The reasons of `drop` and `keep`: comments in TOML, which its reader drops, so this looks at the text.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

/// The patterns of a recipe or of the defaults, with their places in the text.
#[derive(Deserialize)]
struct Places {
    drop: Option<Spanned<Vec<Spanned<String>>>>,
    keep: Option<Spanned<Vec<Spanned<String>>>>,
}

/// A pattern in `drop` or `keep` that no comment gives a reason for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is in `{key}` without a reason\n{excerpt}")]
pub(crate) struct NoReason {
    key: &'static str,
    pattern: String,
    /// Its line, counted from 1.
    pub(crate) line: usize,
    /// The line with a caret below the pattern.
    excerpt: String,
}

/// Finds the first pattern without a reason in the text of a recipe or of the defaults.
///
/// The reason is a comment at the end of its line, or a comment line of its own above it in the
/// same list, with other patterns between at most: a blank line ends what a comment speaks of.
/// Text that is not TOML has none, for the reader of TOML complains about it.
pub(crate) fn first_without(text: &str) -> Option<NoReason> {
    let places: Places = toml::from_str(text).ok()?;
    let lists = [("drop", places.drop), ("keep", places.keep)];
    lists.into_iter().find_map(|(key, list)| {
        let list = list?;
        let start = list.span().start;
        let patterns = list.into_inner();
        let bare = patterns.iter().find(|pattern| {
            let Range { start: begins, end } = pattern.span();
            // What follows the last pattern of the line is no part of a string.
            let ends = patterns.iter().map(|other| other.span().end).filter(|other| *other >= end);
            let last = ends.take_while(|other| !text[end..*other].contains('\n')).last();
            !ends_in_reason(&text[last.unwrap_or(end)..])
                && !stands_below_reason(&text[start..begins])
        })?;
        Some(NoReason {
            key,
            pattern: bare.get_ref().clone(),
            line: text[..bare.span().start].matches('\n').count() + 1,
            excerpt: excerpt(text, bare.span()),
        })
    })
}

/// Whether the line that `rest` begins with has a reason after what closes the list.
fn ends_in_reason(rest: &str) -> bool {
    let line = rest.lines().next().unwrap_or_default();
    is_reason(line.trim_start_matches([',', ']', ' ', '\t']))
}

/// Whether the lines of the list before a pattern have a reason that speaks of it too.
fn stands_below_reason(before: &str) -> bool {
    // The last piece is the beginning of the pattern's own line, the first the line of the key.
    let lines: Vec<_> = before.split('\n').map(str::trim).collect();
    let above = lines.get(1..lines.len() - 1).unwrap_or_default();
    let speaks = above.iter().rev().find(|line| line.is_empty() || line.starts_with('#'));
    speaks.is_some_and(|line| is_reason(line))
}

/// A comment that says something.
fn is_reason(text: &str) -> bool {
    text.strip_prefix('#').is_some_and(|words| words.contains(char::is_alphabetic))
}

/// The line of `place` with carets below it, as TOML's own errors show it.
fn excerpt(text: &str, place: Range<usize>) -> String {
    let start = text[..place.start].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let number = (text[..start].matches('\n').count() + 1).to_string();
    let gutter = " ".repeat(number.len());
    let before = " ".repeat(text[start..place.start].chars().count());
    let carets = "^".repeat(text[place].chars().count());
    format!("{gutter} |\n{number} | {line}\n{gutter} | {before}{carets}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_comment_on_the_line_or_above_the_group() {
        #[rustfmt::skip]
        let cases = [
            ("drop = []",                                          None),
            ("drop = [\"/a\"] # why",                              None),
            ("drop = [\"/a\"]",                                    Some(("/a", 1))),
            ("drop = [\"/a\", \"/b\"] # why",                      None),           // one reason for the line
            ("drop = [\"/#a\"]",                                   Some(("/#a", 1))), // not a comment
            ("drop = [\"/#a\", \"/# b\"]",                         Some(("/#a", 1))),
            ("# why\ndrop = [\"/a\"]",                             Some(("/a", 2))), // may be about the recipe
            ("drop = [ # why\n\"/a\",\n]",                         Some(("/a", 2))),
            ("drop = [\n\"/a\", # why\n\"/b\",\n]",                Some(("/b", 3))), // the next line is not meant
            ("drop = [\n# why\n\"/a\",\n\"/b\",\n]",               None),
            ("drop = [\n# why\n\"/a\", # also\n\"/b\",\n]",        None),
            ("drop = [\n# why\n\"/a\",\n\n\"/b\",\n]",             Some(("/b", 5))), // a blank line ends a group
            ("drop = [\n# why\n\"/a\",\n#\n\"/b\",\n]",            Some(("/b", 5))), // and so does another comment
            ("drop = [\n# why\n\n# also\n\"/a\",\n]",              None),
            ("drop = [\n\"/a\", # ---\n]",                         Some(("/a", 2))), // a rule is not a reason
            ("drop = [\"/a\", # why\n  \"/b\"]",                   Some(("/b", 2))),
            ("drop = [\"/a\"] # why\nkeep = [\n\"/c\",\n]",        Some(("/c", 3))),
            ("drop = [",                                           None),           // TOML's reader complains
        ];
        for (text, expected) in cases {
            let found = first_without(text);
            let found = found.as_ref().map(|found| (found.pattern.as_str(), found.line));
            assert_eq!(found, expected, "{text}");
        }
    }
}
