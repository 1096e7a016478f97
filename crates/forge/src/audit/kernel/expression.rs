//! What a check demands: `CONFIG_MICROCODE_AMD=y or CONFIG_MICROCODE=y and since 6.6`.
//!
//! Ways are joined by `or`, the terms of a way by `and`, which binds tighter. The first term is
//! what the check is about; the others are when it need not hold, or what must hold besides.
//!
//! | term | holds when |
//! | --- | --- |
//! | `NAME=VALUE` | it has that value. An option that is not there is `n`; a value that is itself an option's name stands for that option's value |
//! | `NAME~WORD` | its list, with commas between, has the word |
//! | `NAME!=off` | it is there, and not `off` or `0` |
//! | `NAME` | it is there, whatever its value |
//! | `!NAME` | it is not there |
//! | `since VERSION` | the kernel's version is that or a later one |

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A demand: at least one way, each of at least one term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expression {
    /// Any of which is enough.
    pub(crate) ways: Vec<Vec<Term>>,
    /// What the check is about: the first term of the first way.
    pub(crate) subject: Claim,
}

/// One term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    /// The kernel's version is this or a later one.
    Since(Version),
    /// Something has a value.
    Claim(Claim),
}

/// That an option, a word of the command line or a kernel parameter has a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    /// Its name: `CONFIG_BUG`, `nosmt`, `kernel.kptr_restrict`.
    pub(crate) name: String,
    /// What it must be.
    pub(crate) test: Test,
}

/// What something must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Test {
    /// There.
    Present,
    /// Not there.
    Absent,
    /// There, and not switched off.
    NotOff,
    /// Just this.
    Is(String),
    /// A list, with commas between, that has this.
    Has(String),
}

/// A kernel's version, such as 6.12.118.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version([u32; 3]);

/// The text demands nothing that can be checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadExpression {
    #[error(
        "`{0}` is no term: NAME=VALUE, NAME~WORD, NAME!=off, NAME, !NAME or since VERSION, \
         with `and` and `or` between"
    )]
    Term(String),
    #[error("`{0}` begins with a version; what the check is about comes first")]
    VersionFirst(String),
}

impl Version {
    /// Reads `6.12.118`, `6.6` or `7.0.0-rc1`: up to three numbers; what follows them is left out.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = [0; 3];
        for (number, part) in numbers.iter_mut().zip(text.split('.')) {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            *number = part[..digits].parse().ok()?;
        }
        Some(Self(numbers))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([major, minor, patch]) = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl FromStr for Expression {
    type Err = BadExpression;

    fn from_str(text: &str) -> Result<Self, BadExpression> {
        let way = |way: &str| way.split(" and ").map(term).collect::<Result<Vec<_>, _>>();
        let ways: Vec<Vec<Term>> = text.split(" or ").map(way).collect::<Result<_, _>>()?;
        match ways.first().and_then(|way| way.first()) {
            Some(Term::Claim(subject)) => Ok(Self { subject: subject.clone(), ways }),
            _ => Err(BadExpression::VersionFirst(text.to_owned())),
        }
    }
}

fn term(text: &str) -> Result<Term, BadExpression> {
    let text = text.trim();
    match text.strip_prefix("since ") {
        Some(version) => Version::parse(version.trim()).map(Term::Since),
        None => claim(text).map(Term::Claim),
    }
    .ok_or_else(|| BadExpression::Term(text.to_owned()))
}

/// Reads what is no version.
fn claim(text: &str) -> Option<Claim> {
    let (name, test) = if let Some(name) = text.strip_prefix('!') {
        (name, Test::Absent)
    } else if let Some(name) = text.strip_suffix("!=off") {
        (name, Test::NotOff)
    } else if let Some((name, value)) = text.split_once('=') {
        (name, Test::Is(word(value)?))
    } else if let Some((name, value)) = text.split_once('~') {
        (name, Test::Has(word(value)?))
    } else {
        (text, Test::Present)
    };
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let good = !matches!(name, "" | "since" | "and" | "or") && name.bytes().all(good);
    good.then(|| Claim { name: name.to_owned(), test })
}

impl FromStr for Claim {
    type Err = BadExpression;

    fn from_str(text: &str) -> Result<Self, BadExpression> {
        claim(text).ok_or_else(|| BadExpression::Term(text.to_owned()))
    }
}

/// Reads a text within the visitor: only so does TOML's reader put its caret below the text, and
/// not below the list that it is in.
struct FromText<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Claim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText(PhantomData))
    }
}

fn word(text: &str) -> Option<String> {
    let good = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| text.to_owned())
}

impl Claim {
    /// Whether it is about an option of Kconfig.
    pub(crate) fn is_option(&self) -> bool {
        is_option(&self.name)
    }
}

/// Whether `name` is that of an option of Kconfig.
pub(crate) fn is_option(name: &str) -> bool {
    name.starts_with("CONFIG_")
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.pad("there"),
            Self::Absent => f.pad("not there"),
            Self::NotOff => f.pad("not off"),
            Self::Is(value) if is_option(value) => f.pad("the most"),
            Self::Is(value) => f.pad(value),
            Self::Has(value) => f.pad(&format!("has {value}")),
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.test {
            Test::Present => f.pad(name),
            Test::Absent => f.pad(&format!("!{name}")),
            Test::NotOff => f.pad(&format!("{name}!=off")),
            Test::Is(value) => f.pad(&format!("{name}={value}")),
            Test::Has(value) => f.pad(&format!("{name}~{value}")),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Since(version) => write!(f, "since {version}"),
            Self::Claim(claim) => claim.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        #[rustfmt::skip]
        let cases = [
            ("CONFIG_BUG=y",                                     vec!["CONFIG_BUG=y"]),
            ("CONFIG_LSM~yama",                                  vec!["CONFIG_LSM~yama"]),
            ("mds!=off or mitigations=auto,nosmt and !mds",      vec!["mds!=off", "mitigations=auto,nosmt and !mds"]),
            ("nosmt",                                            vec!["nosmt"]),
            ("A=y and B=n or C=y and since 6.6 or since 5.4.208", vec!["A=y and B=n", "C=y and since 6.6.0", "since 5.4.208"]),
            ("  A=y  or  B=y ",                                  vec!["A=y", "B=y"]),
            ("root=a=b",                                         vec!["root=a=b"]), // the first `=` counts
        ];
        for (text, expected) in cases {
            let expression = text.parse::<Expression>().unwrap();
            let way = |way: &Vec<Term>| {
                way.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
            };
            assert_eq!(expression.ways.iter().map(way).collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn what_demands_nothing_is_refused() {
        let cases = [
            "",
            "A=",
            "=y",
            "A b=y",
            "A=y or",
            "A=y and",
            "or A=y",
            "A=y B=n",
            "A!=on",
            "!",
            "A~",
            "since",
            "A=y and since x",
            "A=y, B=y C",
        ];
        for text in cases {
            let result = text.parse::<Expression>();
            assert!(matches!(result, Err(BadExpression::Term(_))), "{text}: {result:?}");
        }
        let first = "since 6.6 or A=y".parse::<Expression>();
        assert!(matches!(first, Err(BadExpression::VersionFirst(_))));
    }

    #[test]
    fn versions_are_compared_by_number() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("6.12.118") > version("6.6.8"));
        assert!(version("6.6") < version("6.6.8"));
        assert_eq!(version("7.0.0-rc1"), version("7.0"));
        assert_eq!(Version::parse("six"), None);
    }
}
