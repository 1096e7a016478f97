//! Names of packages.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base::Explain;
use serde::{Deserialize, Serialize};

/// The name of a package: ASCII letters, digits and `+._-`, starting with a letter or digit.
///
/// A copy is cheap. Safe as a file name: it holds no slash and is neither `.` nor `..`.
///
/// Source: Debian Policy, section 5.6.7. Capitals and `_` are allowed here because dpkg allows
/// them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageName(Arc<str>);

/// The text is not the name of a package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a package name (letters, digits and `+._-`, a letter or digit first)")]
pub struct BadName(pub String);

impl Explain for BadName {}

impl PackageName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` may be the name of a package.
pub fn is_name(text: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'_' | b'-');
    text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric) && text.bytes().all(allowed)
}

impl TryFrom<String> for PackageName {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        if is_name(&text) { Ok(Self(text.into())) } else { Err(BadName(text)) }
    }
}

impl FromStr for PackageName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        text.to_owned().try_into()
    }
}

impl From<PackageName> for String {
    fn from(name: PackageName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl AsRef<str> for PackageName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for PackageName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for PackageName {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for PackageName {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_the_door() {
        #[rustfmt::skip]
        let cases = [
            ("docker.io",    true),
            ("libstdc++6",   true),
            ("7zip",         true),
            ("g++-14",       true),
            ("",             false),
            (".hidden",      false),
            ("..",           false),
            ("a/b",          false),
            ("a b",          false),
            ("a\n",          false),
            ("é",            false),
        ];
        for (text, good) in cases {
            assert_eq!(text.parse::<PackageName>().is_ok(), good, "{text:?}");
            let json = serde_json::to_string(text).unwrap();
            assert_eq!(serde_json::from_str::<PackageName>(&json).is_ok(), good, "{text:?}");
        }
    }
}
