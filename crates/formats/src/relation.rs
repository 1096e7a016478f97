//! Relations between packages: the value of `Depends`, `Conflicts`, `Provides` and their kin.
//!
//! Source: Debian Policy, section 7.1; profiles in `<>`: deb-src-control(5).

use std::fmt;

use base::Explain;

use crate::name::is_name;
use crate::version::{BadVersion, VersionRef};

/// A list of groups, each of which must be met (`Depends: a, b | c` has two).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relations<'a> {
    /// The groups in the order of the field.
    pub groups: Vec<Group<'a>>,
}

/// Alternatives of which one is enough; the first is preferred. There is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// The alternatives in the order of the field.
    pub alternatives: Vec<Relation<'a>>,
}

/// One package that is meant: `name:qualifier (>= version) [architectures] <profiles>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The name; it passes [`crate::PackageName`]'s check.
    pub name: &'a str,
    /// What follows the name after `:`, such as `any`, `native` or an architecture.
    pub qualifier: Option<&'a str>,
    /// Which versions are meant; all, if `None`.
    pub version: Option<Constraint<'a>>,
    /// What stands in `[]`: architectures apart by spaces, either all or none with `!` before it.
    pub architectures: Option<&'a str>,
    /// What stands in `<>`, from the first `<` to the last `>`.
    pub profiles: Option<&'a str>,
}

/// A set of versions: those that are older, newer or equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constraint<'a> {
    /// How a version must compare.
    pub operator: Operator,
    /// With what it is compared.
    pub version: VersionRef<'a>,
}

/// How a version must compare with the one that a relation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

/// A field with relations breaks the grammar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRelation {
    /// Nothing stands where a package should be named.
    #[error("a package name is missing in the relation `{relation}`")]
    NoName {
        /// The relation.
        relation: String,
    },
    /// What stands where a version, architecture or profile should be is none, or has no end.
    #[error("`{rest}` is not understood in the relation `{relation}`")]
    Rest {
        /// The relation.
        relation: String,
        /// What is not understood.
        rest: String,
    },
    /// The version is none.
    #[error("the relation `{relation}` names a bad version")]
    Version {
        /// The relation.
        relation: String,
        /// Why it is none.
        source: BadVersion,
    },
}

impl Explain for BadRelation {}

impl Constraint<'_> {
    /// Whether `version` is in the set.
    pub fn allows(&self, version: VersionRef<'_>) -> bool {
        let order = version.cmp(&self.version);
        match self.operator {
            Operator::Earlier => order.is_lt(),
            Operator::EarlierOrEqual => order.is_le(),
            Operator::Equal => order.is_eq(),
            Operator::LaterOrEqual => order.is_ge(),
            Operator::Later => order.is_gt(),
        }
    }
}

impl<'a> Relations<'a> {
    /// Reads the value of a field. An empty value, and nothing between two commas, is no group.
    ///
    /// # Errors
    ///
    /// [`BadRelation`] quotes the relation that breaks the grammar.
    pub fn parse(field: &'a str) -> Result<Self, BadRelation> {
        let groups = field.split(',').map(str::trim_ascii).filter(|group| !group.is_empty());
        Ok(Self { groups: groups.map(Group::parse).collect::<Result<_, _>>()? })
    }
}

impl<'a> Group<'a> {
    fn parse(text: &'a str) -> Result<Self, BadRelation> {
        let alternatives = text.split('|').map(|one| Relation::parse(one.trim_ascii()));
        Ok(Self { alternatives: alternatives.collect::<Result<_, _>>()? })
    }
}

impl<'a> Relation<'a> {
    /// Reads one relation, without white space around it.
    fn parse(text: &'a str) -> Result<Self, BadRelation> {
        let relation = || text.to_owned();
        let ends = |byte: u8| matches!(byte, b' ' | b'(' | b'[' | b'<' | b'\t' | b'\n' | b'\r');
        let end = text.bytes().position(ends);
        let (subject, mut rest) = text.split_at(end.unwrap_or(text.len()));
        let (name, qualifier) = match subject.bytes().position(|byte| byte == b':') {
            Some(colon) => (&subject[..colon], Some(&subject[colon + 1..])),
            None => (subject, None),
        };
        if !is_name(name) || qualifier.is_some_and(|qualifier| !is_name(qualifier)) {
            return Err(BadRelation::NoName { relation: relation() });
        }
        let version = match enclosed(&mut rest, '(', ')') {
            None => None,
            Some(inside) => {
                let (operator, version) = Operator::split(inside).ok_or_else(|| {
                    BadRelation::Rest { relation: relation(), rest: format!("({inside})") }
                })?;
                let version = VersionRef::parse(version)
                    .map_err(|source| BadRelation::Version { relation: relation(), source })?;
                Some(Constraint { operator, version })
            }
        };
        let architectures = enclosed(&mut rest, '[', ']');
        rest = rest.trim_ascii();
        let profiles = (rest.starts_with('<') && rest.ends_with('>')).then_some(rest);
        if profiles.is_none() && !rest.is_empty() {
            return Err(BadRelation::Rest { relation: relation(), rest: rest.to_owned() });
        }
        Ok(Self { name, qualifier, version, architectures, profiles })
    }
}

/// Takes what stands between `open` and `close` off the front of `rest`, if it is there.
fn enclosed<'a>(rest: &mut &'a str, open: char, close: char) -> Option<&'a str> {
    let (inside, after) = rest.trim_ascii_start().strip_prefix(open)?.split_once(close)?;
    *rest = after;
    Some(inside.trim_ascii())
}

impl Operator {
    /// Splits what stands in parentheses into operator and version.
    fn split(text: &str) -> Option<(Self, &str)> {
        let end = text.bytes().position(|byte| !matches!(byte, b'<' | b'>' | b'='));
        let end = end.unwrap_or(text.len());
        let (operator, version) = text.split_at(end);
        let operator = match operator {
            "<<" => Self::Earlier,
            "<=" | "<" => Self::EarlierOrEqual, // `<` and `>` are deprecated and mean this
            "=" => Self::Equal,
            ">=" | ">" => Self::LaterOrEqual,
            ">>" => Self::Later,
            _ => return None,
        };
        Some((operator, version.trim_ascii_start()))
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        })
    }
}

impl fmt::Display for Constraint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operator, self.version)
    }
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(qualifier) = self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        if let Some(version) = self.version {
            write!(f, " ({version})")?;
        }
        if let Some(architectures) = self.architectures {
            write!(f, " [{architectures}]")?;
        }
        match self.profiles {
            Some(profiles) => write!(f, " {profiles}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(f, &self.alternatives, " | ")
    }
}

impl fmt::Display for Relations<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(f, &self.groups, ", ")
    }
}

fn joined<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T], with: &str) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            f.write_str(with)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_a_relation_is_read_and_printed() {
        #[rustfmt::skip]
        let cases = [
            ("",                                  ""),
            ("a",                                 "a"),
            ("a,b|c",                             "a, b | c"),
            (" a , , b, ",                        "a, b"),
            ("libc6(>=2.3~)",                     "libc6 (>= 2.3~)"),
            ("a (< 1), b (> 2)",                  "a (<= 1), b (>= 2)"), // deprecated spellings
            ("python3:any (<< 3.14)",             "python3:any (<< 3.14)"),
            ("a (= 1:2-3) [amd64 !i386] <!nocheck> <stage1>", "a (= 1:2-3) [amd64 !i386] <!nocheck> <stage1>"),
            ("a\n , b [linux-any]",               "a, b [linux-any]"),
        ];
        for (text, printed) in cases {
            assert_eq!(Relations::parse(text).unwrap().to_string(), printed, "{text:?}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_quoted() {
        #[rustfmt::skip]
        let cases = [
            ("a | ",       "a package name is missing in the relation ``"),
            ("(>= 1)",     "a package name is missing in the relation `(>= 1)`"),
            ("a:",         "a package name is missing in the relation `a:`"),
            ("a, b c",     "`c` is not understood in the relation `b c`"),
            ("a (>= 1",    "`(>= 1` is not understood in the relation `a (>= 1`"),
            ("a (1)",      "`(1)` is not understood in the relation `a (1)`"),
            ("a (=> 1)",   "`(=> 1)` is not understood in the relation `a (=> 1)`"),
            ("a (>= )",    "the relation `a (>= )` names a bad version"),
            ("a <b",       "`<b` is not understood in the relation `a <b`"),
        ];
        for (text, message) in cases {
            assert_eq!(Relations::parse(text).unwrap_err().to_string(), message, "{text:?}");
        }
    }

    #[test]
    fn a_constraint_allows_the_versions_that_it_names() {
        #[rustfmt::skip]
        let cases = [
            ("a (<< 2)", [true,  false, false]),
            ("a (<= 2)", [true,  true,  false]),
            ("a (= 2)",  [false, true,  false]),
            ("a (>= 2)", [false, true,  true]),
            ("a (>> 2)", [false, false, true]),
        ];
        for (text, expected) in cases {
            let relations = Relations::parse(text).unwrap();
            let constraint = relations.groups[0].alternatives[0].version.unwrap();
            let allowed =
                ["1", "2", "3"].map(|text| constraint.allows(VersionRef::parse(text).unwrap()));
            assert_eq!(allowed, expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(text in "[ab1:()<>=!,| \\[\\]]{0,24}") {
            if let Ok(relations) = Relations::parse(&text) {
                let printed = relations.to_string();
                let again = Relations::parse(&printed);
                prop_assert_eq!(again, Ok(relations));
            }
        }
    }
}
