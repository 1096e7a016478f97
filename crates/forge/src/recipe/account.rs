//! Users and groups that a recipe declares, with the numbers they have on every host for ever.

use std::fmt;

use serde::Deserialize;

use super::words::Reason;

/// The name of a user or group.
///
/// Source: systemd's "User/Group Name Syntax", strict mode.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct AccountName(String);

/// The text is not the name of a user or group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an account name (letters, digits, `_-`, at most 31, a letter or `_` first)")]
pub(crate) struct BadAccountName(String);

impl TryFrom<String> for AccountName {
    type Error = BadAccountName;

    fn try_from(text: String) -> Result<Self, BadAccountName> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
        let first = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
        let good = text.len() <= 31
            && text.as_bytes().first().is_some_and(first)
            && text.as_bytes().iter().all(allowed);
        if good { Ok(Self(text)) } else { Err(BadAccountName(text)) }
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The number of a system user or group: 0 to 999, or 65534 (nobody).
///
/// Source: Debian Policy, section 9.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "u32")]
pub(crate) struct AccountNumber(u32);

/// The number is not one that a recipe may give away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not the number of a system account (0 to 999, or 65534)")]
pub(crate) struct BadAccountNumber(u32);

impl TryFrom<u32> for AccountNumber {
    type Error = BadAccountNumber;

    fn try_from(number: u32) -> Result<Self, BadAccountNumber> {
        match number {
            0..=999 | 65534 => Ok(Self(number)),
            _ => Err(BadAccountNumber(number)),
        }
    }
}

impl fmt::Display for AccountNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    /// Its name.
    pub(crate) name: AccountName,
    /// Its number.
    pub(crate) uid: AccountNumber,
    /// Its primary group; if there is none, a group of the same name and number is made.
    pub(crate) group: Option<AccountName>,
    /// Its home folder; `/` if there is none.
    pub(crate) home: Option<AccountPath>,
    /// Its shell; none that lets anybody in, if it is left out.
    pub(crate) shell: Option<AccountPath>,
    /// What it is for.
    pub(crate) description: Option<Reason>,
}

/// A path as `/etc/passwd` holds it: absolute, and as people are used to it (`/`, `/bin/bash`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct AccountPath(String);

/// The text cannot stand in `/etc/passwd` as a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an absolute path without `.`, `..`, `//`, colons or white space")]
pub(crate) struct BadAccountPath(String);

impl AccountPath {
    /// The path as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AccountPath {
    type Error = BadAccountPath;

    fn try_from(text: String) -> Result<Self, BadAccountPath> {
        let bad = |c: char| c == ':' || c.is_whitespace() || c.is_control();
        let good = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(bad);
        match text.strip_prefix('/') {
            Some(rest) if rest.is_empty() || rest.split('/').all(good) => Ok(Self(text)),
            _ => Err(BadAccountPath(text)),
        }
    }
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    /// Its name.
    pub(crate) name: AccountName,
    /// Its number.
    pub(crate) gid: AccountNumber,
    /// The users who are in it beside those whose primary group it is.
    #[serde(default)]
    pub(crate) members: Vec<AccountName>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_names_are_checked_at_the_door() {
        #[rustfmt::skip]
        let cases = [
            ("sshd",             true),
            ("systemd-network",  true),
            ("_apt",             true),
            ("www-data",         true),
            ("",                 false),
            ("1st",              false),
            ("-x",               false),
            ("a b",              false),
            ("a:b",              false),
            ("a\nb",             false),
            (&*"a".repeat(32),   false),
        ];
        for (name, good) in cases {
            assert_eq!(AccountName::try_from(name.to_owned()).is_ok(), good, "{name:?}");
        }
    }

    #[test]
    fn paths_of_accounts_are_checked_at_the_door() {
        #[rustfmt::skip]
        let cases = [
            ("/",                 true),
            ("/bin/bash",         true), // as people are used to it
            ("/usr/sbin/nologin", true),
            ("",                  false),
            ("bin/bash",          false),
            ("/root/",            false),
            ("/../root",          false),
            ("/a:b",              false),
            ("/a b",              false),
        ];
        for (path, good) in cases {
            assert_eq!(AccountPath::try_from(path.to_owned()).is_ok(), good, "{path:?}");
        }
    }

    #[test]
    fn numbers_of_people_and_of_containers_are_refused() {
        #[rustfmt::skip]
        let cases = [
            (0, true), (105, true), (999, true), (65534, true),
            (1000, false), (60001, false), (61184, false), (65535, false), (100_000, false),
        ];
        for (number, good) in cases {
            assert_eq!(AccountNumber::try_from(number).is_ok(), good, "{number}");
        }
    }
}
