//! Debian's copyright files as licence expressions of SPDX.
//!
//! A file in Debian's machine-readable format gives an expression of all that it names; of licences without
//! a certain counterpart in SPDX, and of files in no format at all, the text itself is kept.
//!
//! Source: Debian's machine-readable copyright format 1.0; SPDX 2.3, clause 10 and annex D.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base::Digest;
use formats::deb822::{self, Field, Paragraph};
use serde::{Deserialize, Serialize};

use crate::licence;

/// The licences of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Licences {
    /// An expression of SPDX: all of it holds.
    pub expression: String,
    /// The licences in it that SPDX does not know, by their identifiers.
    pub extracted: BTreeMap<String, Extracted>,
}

/// A licence that SPDX does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extracted {
    /// What the copyright file calls it.
    pub name: String,
    /// Its text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

impl Licences {
    /// The same without the texts of licences, for where the copyright file is at hand.
    pub fn without_texts(mut self) -> Self {
        self.extracted.values_mut().for_each(|licence| licence.text.clear());
        self
    }
}

/// What [`Licences`] calls a copyright file that no program can read.
const WHOLE_FILE: &str = "copyright file";

/// Reads a copyright file. Of a file that is not in the machine-readable format, or breaks it, the whole is
/// one licence.
pub fn licences(text: &str) -> Licences {
    parse(text).unwrap_or_else(|| {
        let mut extracted = BTreeMap::new();
        let expression = keep(&mut extracted, WHOLE_FILE, text);
        Licences { expression, extracted }
    })
}

/// The licences of a file in the machine-readable format, if it is one.
fn parse(text: &str) -> Option<Licences> {
    let paragraphs: Vec<_> = deb822::paragraphs(text).collect::<Result<_, _>>().ok()?;
    paragraphs.first()?.get("Format")?;
    let mut texts = BTreeMap::new();
    for licence in paragraphs.iter().filter_map(licence_field) {
        let (name, text) = name_and_text(licence);
        if !text.is_empty() {
            texts.entry(name).or_insert(text);
        }
    }
    let mut reader = Reader { texts, extracted: BTreeMap::new() };
    let mut all = Vec::new();
    for paragraph in paragraphs.iter().filter(|paragraph| paragraph.get("Files").is_some()) {
        let (name, text) = name_and_text(licence_field(paragraph)?);
        all.push(reader.read(&name, &text));
    }
    let whole = Term::joined(Operator::And, all)?;
    Some(Licences { expression: whole.to_string(), extracted: reader.extracted })
}

fn licence_field<'a>(paragraph: &Paragraph<'a>) -> Option<Field<'a>> {
    paragraph.fields.iter().copied().find(|field| field.name.eq_ignore_ascii_case("License"))
}

/// The first line of the field `License`, and the others.
fn name_and_text(licence: Field<'_>) -> (String, String) {
    let mut lines = licence.lines();
    let words: Vec<_> = lines.next().unwrap_or_default().split_whitespace().collect();
    let text: Vec<_> = lines.collect();
    (words.join(" "), text.join("\n").trim().to_owned())
}

/// Keeps a licence that SPDX does not know; returns its identifier. The same text has the same, whichever
/// package it comes from.
fn keep(extracted: &mut BTreeMap<String, Extracted>, name: &str, text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '.';
    let plain = name.replace(|letter| !is_plain(letter), "-");
    let digest = Digest::of(format!("{name}\n{text}").as_bytes()).short();
    let id = format!("LicenseRef-Debian-{}-{digest}", plain.trim_matches('-'));
    let kept = Extracted { name: name.to_owned(), text: text.to_owned() };
    extracted.entry(id.clone()).or_insert(kept);
    id
}

/// Two ways to join licences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operator {
    And,
    Or,
}

/// A licence, or several that are joined.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Term {
    One(String),
    Joined(Operator, Vec<Term>),
}

impl Term {
    /// `terms` joined, each once; `None` if there are none.
    fn joined(operator: Operator, terms: Vec<Self>) -> Option<Self> {
        let flat = terms.into_iter().flat_map(|term| match term {
            Self::Joined(inner, terms) if inner == operator => terms,
            term => vec![term],
        });
        let mut seen = BTreeSet::new();
        let mut all: Vec<_> = flat.filter(|term| seen.insert(term.clone())).collect();
        match all.len() {
            0 => None,
            1 => all.pop(),
            _ => Some(Self::Joined(operator, all)),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Joined(operator, terms) = self else {
            let Self::One(name) = self else { return Ok(()) };
            return write!(f, "{name}");
        };
        for (at, term) in terms.iter().enumerate() {
            if at > 0 {
                write!(f, " {} ", if *operator == Operator::And { "AND" } else { "OR" })?;
            }
            match term {
                Self::One(name) => write!(f, "{name}")?,
                Self::Joined(..) => write!(f, "({term})")?,
            }
        }
        Ok(())
    }
}

/// Reads names of licences, with the texts that the file has for them.
struct Reader {
    texts: BTreeMap<String, String>,
    extracted: BTreeMap<String, Extracted>,
}

impl Reader {
    /// What the first line of a field `License` says: names joined by `and`, which binds most, by `or`, and
    /// by `, and` and `, or`, which bind least. `text` is what stands below it.
    fn read(&mut self, line: &str, text: &str) -> Term {
        let mut parts = line.split(", ");
        let mut whole = self.segment(parts.next().unwrap_or_default(), text);
        for part in parts {
            let (operator, rest) = match part.split_once(' ') {
                Some((word, rest)) if word.eq_ignore_ascii_case("and") => (Operator::And, rest),
                Some((word, rest)) if word.eq_ignore_ascii_case("or") => (Operator::Or, rest),
                _ => return self.unknown(line, text), // a comma that joins nothing
            };
            let next = self.segment(rest, text);
            whole = Term::joined(operator, vec![whole.clone(), next]).unwrap_or(whole);
        }
        whole
    }

    fn segment(&mut self, segment: &str, text: &str) -> Term {
        let mut alternatives = vec![Vec::new()];
        let mut words: Vec<&str> = Vec::new();
        for word in segment.split_whitespace() {
            let (is_and, is_or) =
                (word.eq_ignore_ascii_case("and"), word.eq_ignore_ascii_case("or"));
            if is_and || is_or {
                alternatives.last_mut().into_iter().for_each(|all| all.push(words.join(" ")));
                words.clear();
            } else {
                words.push(word);
            }
            if is_or {
                alternatives.push(Vec::new());
            }
        }
        alternatives.last_mut().into_iter().for_each(|all| all.push(words.join(" ")));
        let mut terms = Vec::new();
        for names in alternatives {
            let names = names.iter().map(|name| self.name(name, text)).collect();
            terms.extend(Term::joined(Operator::And, names));
        }
        Term::joined(Operator::Or, terms).unwrap_or_else(|| self.unknown(segment, text))
    }

    fn name(&mut self, name: &str, text: &str) -> Term {
        match licence::spdx(name) {
            Some(id) => {
                let ids = id.split(" OR ").map(|id| Term::One(id.to_owned())).collect();
                Term::joined(Operator::Or, ids).unwrap_or(Term::One(id))
            }
            None => self.unknown(name, text),
        }
    }

    /// A licence that SPDX does not know: its text is that of its own paragraph, or what stands below its name.
    fn unknown(&mut self, name: &str, text: &str) -> Term {
        let text = self.texts.get(name).cloned().unwrap_or_else(|| text.to_owned());
        Term::One(keep(&mut self.extracted, name, &text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str =
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n";

    fn expression(licence: &str) -> String {
        let text = format!("{FORMAT}Files: *\nCopyright: x\nLicense: {licence}\n");
        let expression = licences(&text).expression;
        let parsed = spdx::Expression::parse(&expression);
        assert!(parsed.is_ok(), "{expression}: {parsed:?}");
        // What a text digests to is of no interest here.
        let words =
            expression.split(' ').map(|word| match word.strip_prefix("LicenseRef-Debian-") {
                Some(rest) => format!("?{}", rest.rsplit_once('-').map_or(rest, |(name, _)| name)),
                None => word.to_owned(),
            });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn names_are_joined_as_debian_joins_them() {
        #[rustfmt::skip]
        let cases = [
            ("GPL-2+",                       "GPL-2.0-or-later"),
            ("GPL-2+ or ISC",                "GPL-2.0-or-later OR ISC"),
            ("GPL-2 and ISC and ISC",        "GPL-2.0-only AND ISC"),
            ("ISC or GPL-2 and Expat",       "ISC OR (GPL-2.0-only AND MIT)"),
            ("ISC or GPL-2, and Expat",      "(ISC OR GPL-2.0-only) AND MIT"),
            ("GPL-2 OR ISC",                 "GPL-2.0-only OR ISC"),
            ("Perl and ISC",                 "(Artistic-1.0-Perl OR GPL-1.0-or-later) AND ISC"),
            ("GPL-2 with Linux-syscall-note exception or ISC",
                                             "GPL-2.0-only WITH Linux-syscall-note OR ISC"),
            ("MIT/X11",                      "?MIT-X11"),
            ("__AUTO__",                     "?AUTO"),
            ("GPL-2+ or Own, see below",     "?GPL-2--or-Own--see-below"),
            ("(ISC) ) AND evil(",            "?ISC AND ?evil"),
        ];
        for (line, expected) in cases {
            assert_eq!(expression(line), expected, "{line}");
        }
    }

    #[test]
    fn all_files_count_each_licence_once_and_texts_are_found() {
        let text = format!(
            "{FORMAT}Files: *\nCopyright: x\nLicense: GPL-2+\n\nFiles: a\nCopyright: x\nLicense: Own or ISC\n\n\
             Files: b\nCopyright: x\nLicense: GPL-2+\n\nFiles: c\nCopyright: x\nLicense: Odd\n Do\n .\n what you want.\n\n\
             License: Own\n Mine.\n"
        );
        let Licences { expression, extracted } = licences(&text);
        let rows: Vec<_> =
            extracted.values().map(|it| (it.name.as_str(), it.text.as_str())).collect();
        assert_eq!(rows, [("Odd", "Do\n\nwhat you want."), ("Own", "Mine.")]);
        let ids: Vec<_> = extracted.keys().collect();
        assert_eq!(expression, format!("GPL-2.0-or-later AND ({} OR ISC) AND {}", ids[1], ids[0]));
    }

    #[test]
    fn a_file_in_no_format_is_one_licence_with_its_text() {
        let field_twice = format!("{FORMAT}Files: *\nLicense: ISC\nLicense: MIT\n");
        for text in ["It may be copied.\n", "", "Files: *\nLicense: ISC\n", FORMAT, &field_twice] {
            let Licences { expression, extracted } = licences(text);
            let (id, kept) = extracted.first_key_value().unwrap();
            assert_eq!((&expression, kept.text.as_str()), (id, text));
            assert!(id.starts_with("LicenseRef-Debian-copyright-file-"), "{id}");
            assert!(spdx::Expression::parse(&expression).is_ok());
        }
    }

    #[test]
    fn the_same_text_has_the_same_identifier_and_another_has_another() {
        let of = |text: &str| licences(text).expression;
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
    }
}
