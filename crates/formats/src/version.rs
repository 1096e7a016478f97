//! Versions of Debian packages: how they are written, and which is newer.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use base::Explain;
use serde::{Deserialize, Serialize};

/// What our curated packages add to Debian's version, before the recipe's revision.
const PREON: &str = "+0preon";

/// The version of a Debian package: `[epoch:]upstream[-revision]`.
///
/// Versions that compare alike are equal (`1.0`, `1.00`, `0:1.0` and `1.0-0`), though each keeps
/// and prints the text that it was made from.
///
/// Source: Debian Policy, section 5.6.12.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(String);

/// A [`Version`] whose text lies elsewhere.
#[derive(Clone, Copy)]
pub struct VersionRef<'a>(&'a str);

/// The text is not the version of a Debian package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a Debian version: {why}")]
pub struct BadVersion {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Explain for BadVersion {}

impl Version {
    /// The version as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same version, borrowed.
    pub fn borrowed(&self) -> VersionRef<'_> {
        VersionRef(&self.0)
    }

    /// Debian's part of the version: without `+0preonN`, if it ends so.
    pub fn without_preon(&self) -> Self {
        Self(self.borrowed().without_preon().0.to_owned())
    }

    /// The version that a curated package has: Debian's part with `+0preonN`, where N is the
    /// recipe's `revision`. It sorts above Debian's version and below any later one of Debian.
    pub fn with_preon(&self, revision: u32) -> Self {
        Self(format!("{}{PREON}{revision}", self.borrowed().without_preon().0))
    }
}

impl<'a> VersionRef<'a> {
    /// Checks `text` and makes a version of it.
    ///
    /// # Errors
    ///
    /// [`BadVersion`] says which rule is broken.
    pub fn parse(text: &'a str) -> Result<Self, BadVersion> {
        match flaw(text) {
            None => Ok(Self(text)),
            Some(why) => Err(BadVersion { text: text.to_owned(), why }),
        }
    }

    /// The version as it was written.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The same version with a text of its own.
    pub fn to_version(self) -> Version {
        Version(self.0.to_owned())
    }

    /// Debian's part of the version: without `+0preonN`, if it ends so.
    pub fn without_preon(self) -> Self {
        match self.0.rsplit_once(PREON) {
            Some((debian, number)) if is_number(number) && flaw(debian).is_none() => Self(debian),
            _ => self,
        }
    }

    /// Epoch, upstream version, revision.
    fn parts(self) -> (Option<&'a str>, &'a str, Option<&'a str>) {
        // Byte by byte: `split_once` takes thrice as long on texts this short.
        let (epoch, rest) = match self.0.bytes().position(|byte| byte == b':') {
            Some(colon) => (Some(&self.0[..colon]), &self.0[colon + 1..]),
            None => (None, self.0),
        };
        match rest.bytes().rposition(|byte| byte == b'-') {
            Some(hyphen) => (epoch, &rest[..hyphen], Some(&rest[hyphen + 1..])),
            None => (epoch, rest, None),
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What forbids `text` as a version, by the rules of dpkg's `parseversion`. As there, a version
/// that does not start with a digit passes.
fn flaw(text: &str) -> Option<&'static str> {
    let (epoch, upstream, revision) = VersionRef(text).parts();
    let alphanumeric_or = |text: &str, others: &[u8]| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
    };
    if epoch.is_some_and(|epoch| !is_number(epoch) || epoch.parse::<i32>().is_err()) {
        Some("the epoch is not a number below 2147483648")
    } else if upstream.is_empty() {
        Some("the upstream version is empty")
    } else if revision == Some("") {
        Some("the revision after `-` is empty")
    } else if !alphanumeric_or(upstream, b".-+~:")
        || !alphanumeric_or(revision.unwrap_or_default(), b".+~")
    {
        Some("only letters, digits and `.+~-:` may occur")
    } else {
        None
    }
}

impl Ord for VersionRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (epoch, upstream, revision) = self.parts();
        let (other_epoch, other_upstream, other_revision) = other.parts();
        compare_numbers(epoch.unwrap_or_default(), other_epoch.unwrap_or_default())
            .then_with(|| compare_parts(upstream, other_upstream))
            .then_with(|| {
                compare_parts(revision.unwrap_or_default(), other_revision.unwrap_or_default())
            })
    }
}

/// Compares an upstream version or a revision: runs of other characters and runs of digits in
/// turn, the former by letter, the latter by number.
fn compare_parts(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (Runs(one), Runs(other));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return Ordering::Equal,
            (a, b) => {
                let ((text, number), (other_text, other_number)) =
                    (a.unwrap_or_default(), b.unwrap_or_default());
                let order = compare_texts(text, other_text)
                    .then_with(|| compare_numbers(number, other_number));
                if order.is_ne() {
                    return order;
                }
            }
        }
    }
}

/// Digits as a number of any length; no digits are zero.
fn compare_numbers(one: &str, other: &str) -> Ordering {
    let (one, other) = (without_zeros(one), without_zeros(other));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

fn without_zeros(digits: &str) -> &str {
    let zeros = digits.bytes().position(|byte| byte != b'0');
    &digits[zeros.unwrap_or(digits.len())..]
}

/// Texts without digits: `~` before the end, the end before letters, letters before the rest.
fn compare_texts(one: &str, other: &str) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i16::from(*letter),
        Some(rest) => i16::from(*rest) + 256,
    };
    (0..one.len().max(other.len()))
        .map(|at| weight(one.as_bytes().get(at)).cmp(&weight(other.as_bytes().get(at))))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Splits into pairs of a run without digits and the run of digits after it.
struct Runs<'a>(&'a str);

impl<'a> Iterator for Runs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let digit = |byte: u8| byte.is_ascii_digit();
        let end = self.0.len();
        let digits = self.0.bytes().position(digit).unwrap_or(end);
        let next = self.0[digits..].bytes().position(|byte| !digit(byte));
        let next = next.map_or(end, |length| digits + length);
        let run = (&self.0[..digits], &self.0[digits..next]);
        self.0 = &self.0[next..];
        Some(run)
    }
}

impl PartialOrd for VersionRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for VersionRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for VersionRef<'_> {}

impl Hash for VersionRef<'_> {
    /// Leaves out what the comparison ignores: leading zeros, and a zero at the end of a part.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (epoch, upstream, revision) = self.parts();
        without_zeros(epoch.unwrap_or_default()).hash(state);
        for part in [upstream, revision.unwrap_or_default()] {
            for (text, number) in Runs(part) {
                let number = without_zeros(number);
                if !(text.is_empty() && number.is_empty()) {
                    (text, number).hash(state);
                }
            }
            0_u8.hash(state);
        }
    }
}

impl fmt::Display for VersionRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl fmt::Debug for VersionRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.borrowed().cmp(&other.borrowed())
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrowed().hash(state);
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Version {
    type Error = BadVersion;

    fn try_from(text: String) -> Result<Self, BadVersion> {
        match flaw(&text) {
            None => Ok(Self(text)),
            Some(why) => Err(BadVersion { text, why }),
        }
    }
}

impl FromStr for Version {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        text.to_owned().try_into()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::hash_map::DefaultHasher;

    use base::child::{Program, run};
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn hash(version: &Version) -> u64 {
        let mut hasher = DefaultHasher::new();
        version.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn each_version_of_a_rising_list_is_newer_than_those_before_it() {
        #[rustfmt::skip]
        let rising = [
            "1.0~~", "1.0~~a", "1.0~", "1.0~rc1-1",
            "1.0", "1.0-1~deb13u1", "1.0-1", "1.0-1+0preon1", "1.0-1+0preon2", "1.0-1+b1",
            "1.0-1+deb13u1", "1.0-1.1", "1.0-2", "1.0-10", "1.0a", "1.0+", "1.0.1", "1.2", "1.10",
            "a", // letters sort after digits
            "1:0~1", "1:0.1", "2:0",
        ];
        for (at, older) in rising.iter().enumerate() {
            for newer in &rising[at + 1..] {
                assert!(version(older) < version(newer), "{older} {newer}");
            }
        }
    }

    #[test]
    fn versions_that_compare_alike_are_equal_and_hash_alike() {
        let alike = [
            ("1.0", "1.00"),
            ("1.0", "0:1.0"),
            ("1.0", "1.0-0"),
            ("1.", "1.0"),
            ("1.0~", "1.0~0"),
            ("1.0-1", "1.0-01"),
            ("0", "000-0"),
        ];
        for (one, other) in alike {
            let (one, other) = (version(one), version(other));
            assert_eq!(one, other);
            assert_eq!(hash(&one), hash(&other), "{one} {other}");
        }
    }

    #[test]
    fn numbers_of_any_length_compare() {
        assert!(version("1.99999999999999999999999") < version("1.100000000000000000000000"));
    }

    #[test]
    fn text_that_is_no_version_is_refused() {
        #[rustfmt::skip]
        let cases = [
            "", ":1", "a:1", "+1:1", "-1:1", "2147483648:1", // epochs
            "1:", "-1", "0:-1",                              // no upstream version
            "1-", "1.0-1-",                                  // no revision
            "1 0", "1_0", "1.0-1:1:2_", "é", "1.0\n",
        ];
        for text in cases {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn our_revision_is_added_and_taken_off() {
        #[rustfmt::skip]
        let cases = [
            ("1.0-1",           "1.0-1"),
            ("1.0-1+0preon1",   "1.0-1"),
            ("2:1.0+0preon12",  "2:1.0"),
            ("1.0-1+0preon",    "1.0-1+0preon"),  // no number
            ("1.0-1+0preon1+b1", "1.0-1+0preon1+b1"), // not at the end
        ];
        for (text, debian) in cases {
            assert_eq!(version(text).without_preon().as_str(), debian, "{text}");
            let ours = version(text).with_preon(3);
            assert_eq!(ours.as_str(), format!("{debian}+0preon3"));
            assert_eq!(ours.to_string().parse(), Ok(ours));
        }
    }

    /// Versions made of the pieces that the comparison treats differently.
    fn any_version() -> impl Strategy<Value = Version> {
        "([0-2]:)?[0-9ab.+~]{1,5}(-[0-9ab.+~]{1,3})?".prop_map(|text| version(&text))
    }

    proptest! {
        #[test]
        fn the_order_is_antisymmetric(a in any_version(), b in any_version()) {
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            if a == b {
                prop_assert_eq!(hash(&a), hash(&b));
            }
        }

        #[test]
        fn the_order_is_transitive(a in any_version(), b in any_version(), c in any_version()) {
            let mut sorted = [a, b, c];
            sorted.sort();
            prop_assert!(sorted[0] <= sorted[1] && sorted[1] <= sorted[2] && sorted[0] <= sorted[2]);
        }

        #[test]
        fn our_revision_sorts_right_above_debians_version(a in any_version(), n in 1..9_u32) {
            let ours = a.with_preon(n);
            prop_assert!(a < ours && ours < a.with_preon(n + 1));
            let debian = ours.without_preon();
            prop_assert_eq!(debian.as_str(), a.as_str());
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,12}") {
            if let Ok(version) = text.parse::<Version>() {
                prop_assert_eq!(version.as_str(), text);
            }
        }
    }

    #[test]
    fn the_order_is_dpkgs() {
        let pairs = pairs_for_dpkg();
        let mut script = String::from("compare() { dpkg --compare-versions \"$@\"; }\n");
        for (one, other) in &pairs {
            script += &format!("if compare '{one}' lt '{other}'; then echo lt; ");
            script += &format!("elif compare '{one}' eq '{other}'; then echo eq; ");
            script += &format!("elif compare '{one}' gt '{other}'; then echo gt; fi\n");
        }
        let output = run(Program::new("sh").command().arg("-c").arg(&script)).unwrap();
        let answers = String::from_utf8(output).unwrap();
        assert_eq!(answers.lines().count(), pairs.len());
        for ((one, other), answer) in pairs.iter().zip(answers.lines()) {
            let ours = match one.cmp(other) {
                Ordering::Less => "lt",
                Ordering::Equal => "eq",
                Ordering::Greater => "gt",
            };
            assert_eq!(ours, answer, "{one} {other}");
        }
    }

    /// 300 pairs from a fixed seed, short enough to be close to each other.
    fn pairs_for_dpkg() -> Vec<(Version, Version)> {
        use proptest::strategy::ValueTree;
        use proptest::test_runner::TestRunner;
        let mut runner = TestRunner::deterministic();
        let strategy = (any_version(), any_version());
        (0..300).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
    }
}
