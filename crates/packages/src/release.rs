//! What an archive signs: the `InRelease` file of a suite, with the digests of all its indexes.
//!
//! Nothing outside of the signed text is trusted: [`Verify`] gives that text, [`parse`] reads it,
//! [`Release::check`] judges its dates and its name.
//!
//! Source: <https://wiki.debian.org/DebianRepository/Format>, "\"Release\" files".

#[cfg(feature = "openpgp")]
mod openpgp;

use std::collections::BTreeMap;

use base::{ByteSize, Digest, Explain};
use formats::deb822;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

#[cfg(feature = "openpgp")]
pub use openpgp::{Keyring, KeyringError};

/// How far an archive's clock may be ahead of ours, in seconds.
const SKEW: u64 = 10 * 60;

/// Knows whom to believe.
pub trait Verify: Send + Sync {
    /// The text that somebody trusted has signed in `signed` (an `InRelease` file), and nothing
    /// beside it. `now` is in seconds since 1970: keys and signatures must be valid then.
    ///
    /// # Errors
    ///
    /// [`BadSignature`] unless at least one signature is good.
    fn verify(&self, signed: &[u8], now: u64) -> Result<String, BadSignature>;
}

/// A text is not signed by anyone trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// It is no signed text at all.
    #[error("it is not a signed text: {0}")]
    NotSigned(String),
    /// No signature is good; why, for each.
    #[error("no signature is good: {}", .0.join("; "))]
    NoneGood(Vec<String>),
    /// What was signed is not UTF-8.
    #[error("the signed text is not UTF-8")]
    NotText,
}

/// The `Release` file of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The suite by its role (`stable-security`).
    pub suite: String,
    /// The suite by its name (`trixie-security`).
    pub codename: String,
    /// When it was made: seconds since 1970.
    pub date: u64,
    /// Until when it may be used: seconds since 1970; for ever if the archive does not say.
    pub valid_until: Option<u64>,
    /// Whether indexes can be fetched by their digest, which no update of the archive disturbs.
    pub by_hash: bool,
    /// Its indexes by path below the suite's folder.
    pub files: BTreeMap<String, Listed>,
}

/// What a release says about one of its indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its length in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
}

/// A release cannot be read, or must not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// It is no paragraph of fields.
    #[error("it is malformed")]
    Malformed(#[from] deb822::Malformed),
    /// A field is not there.
    #[error("it has no field {0}")]
    Missing(&'static str),
    /// A field cannot be read.
    #[error("`{value}` cannot be its {field}")]
    Field {
        /// The field.
        field: &'static str,
        /// What stands there.
        value: String,
    },
    /// It was valid in the past.
    #[error("it expired on {}", date(*.until))]
    Expired {
        /// Seconds since 1970.
        until: u64,
    },
    /// It was made in the future.
    #[error("it was made on {}, but here it is {}", date(*.made), date(*.now))]
    FromTheFuture {
        /// When it says that it was made.
        made: u64,
        /// When it was checked.
        now: u64,
    },
    /// It is of another suite.
    #[error("it is of the suite {found}, not of {asked}")]
    OtherSuite {
        /// The suite that was asked for.
        asked: String,
        /// The suite that it is of.
        found: String,
    },
}

impl Explain for ReleaseError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Expired { .. } => {
                Some("check this machine's clock; use an archive that is up to date".into())
            }
            Self::FromTheFuture { .. } => Some("set this machine's clock".into()),
            Self::OtherSuite { .. } => Some("give another archive: --archive URI".into()),
            _ => None,
        }
    }
}

impl Release {
    /// Whether it may be used `now` (seconds since 1970) as the release of the suite `asked`,
    /// which may be named by role or by name.
    ///
    /// # Errors
    ///
    /// [`ReleaseError`]: expired, from the future, or of another suite.
    pub fn check(&self, asked: &str, now: u64) -> Result<(), ReleaseError> {
        if asked != self.codename && asked != self.suite {
            let (asked, found) = (asked.to_owned(), self.codename.clone());
            return Err(ReleaseError::OtherSuite { asked, found });
        }
        if self.date > now.saturating_add(SKEW) {
            return Err(ReleaseError::FromTheFuture { made: self.date, now });
        }
        match self.valid_until {
            Some(until) if until < now => Err(ReleaseError::Expired { until }),
            _ => Ok(()),
        }
    }
}

/// Parses the text of a `Release` file, after its signature was verified.
///
/// # Errors
///
/// [`ReleaseError`] if it is malformed or lacks what is needed.
pub fn parse(text: &str) -> Result<Release, ReleaseError> {
    let paragraph = deb822::single(text)?;
    let needed = |name| paragraph.get(name).ok_or(ReleaseError::Missing(name));
    let suite = needed("Suite").or_else(|_| needed("Codename"))?;
    let valid_until = match paragraph.get("Valid-Until") {
        Some(value) => Some(parse_date("Valid-Until", value)?),
        None => None,
    };
    let mut files = BTreeMap::new();
    for line in needed("SHA256")?.lines().filter(|line| !line.trim().is_empty()) {
        let (path, listed) = parse_file(line).ok_or_else(|| ReleaseError::Field {
            field: "SHA256",
            value: line.trim().chars().take(200).collect(),
        })?;
        files.insert(path, listed);
    }
    Ok(Release {
        suite: suite.to_owned(),
        codename: paragraph.get("Codename").unwrap_or(suite).to_owned(),
        date: parse_date("Date", needed("Date")?)?,
        valid_until,
        by_hash: paragraph.get("Acquire-By-Hash") == Some("yes"),
        files,
    })
}

/// Reads `digest size path`.
fn parse_file(line: &str) -> Option<(String, Listed)> {
    let mut words = line.split_whitespace();
    let digest = words.next()?.parse().ok()?;
    let size = words.next()?.parse().ok()?;
    let path = words.next().filter(|path| crate::index::stays_below(path))?;
    words.next().is_none().then(|| (path.to_owned(), Listed { size, digest }))
}

/// Reads a date such as `Sat, 21 Nov 2026 09:15:44 UTC`.
fn parse_date(field: &'static str, value: &str) -> Result<u64, ReleaseError> {
    let parsed = DateTimeParser::new().parse_timestamp(value).ok();
    let seconds = parsed.and_then(|time| u64::try_from(time.as_second()).ok());
    seconds.ok_or_else(|| ReleaseError::Field { field, value: value.to_owned() })
}

/// A time for people: `2026-11-21 09:15 UTC`.
pub(crate) fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|time| Timestamp::from_second(time).ok());
    match time {
        Some(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        None => format!("second {seconds}"),
    }
}

impl Listed {
    /// The size, for people.
    pub fn shown_size(&self) -> ByteSize {
        ByteSize(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Origin: Debian
Suite: stable-security
Codename: trixie-security
Date: Sat, 21 Nov 2026 00:53:03 UTC
Valid-Until: Sat, 28 Nov 2026 00:53:03 UTC
Acquire-By-Hash: yes
SHA256:
 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  2234121 main/binary-amd64/Packages
 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad   307764 main/binary-amd64/Packages.xz
";
    const DATE: u64 = 1_795_222_383;
    const WEEK: u64 = 7 * 24 * 60 * 60;

    #[test]
    fn a_release_file_is_read() {
        let release = parse(TEXT).unwrap();
        assert_eq!((release.date, release.valid_until), (DATE, Some(DATE + WEEK)));
        assert!(release.by_hash);
        assert_eq!(release.files.len(), 2);
        assert_eq!(release.files["main/binary-amd64/Packages"].size, 2_234_121);
    }

    #[test]
    fn dates_and_the_name_decide_whether_a_release_may_be_used() {
        let release = parse(TEXT).unwrap();
        let hour = 60 * 60;
        #[rustfmt::skip]
        let cases = [
            ("trixie-security", DATE,                None),
            ("stable-security", DATE + WEEK,         None),
            ("trixie-security", DATE - 60,           None), // clocks differ a little
            ("trixie-security", DATE - hour,         Some("it was made on 2026-11-21 00:53 UTC, but here it is 2026-11-20 23:53 UTC")),
            ("trixie-security", DATE + WEEK + 1,     Some("it expired on 2026-11-28 00:53 UTC")),
            ("trixie",          DATE,                Some("it is of the suite trixie-security, not of trixie")),
        ];
        for (asked, now, expected) in cases {
            let error = release.check(asked, now).err();
            assert_eq!(
                error.as_ref().map(ToString::to_string).as_deref(),
                expected,
                "{asked} {now}"
            );
            assert!(error.is_none_or(|error| error.hint().is_some()));
        }
    }

    #[test]
    fn what_breaks_a_release_file_is_named() {
        #[rustfmt::skip]
        let cases = [
            ("Date:",     "X-Date:",  "it has no field Date"),
            ("SHA256:",   "SHA512:",  "it has no field SHA256"),
            ("21 Nov",    "31 Feb",   "`Sat, 31 Feb 2026 00:53:03 UTC` cannot be its Date"),
            ("  2234121", "  -1",     "`ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  -1 main/binary-amd64/Packages` cannot be its SHA256"),
            ("21 main/",  "21 ../",   "`ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  2234121 ../binary-amd64/Packages` cannot be its SHA256"),
        ];
        for (from, to, message) in cases {
            let text = TEXT.replacen(from, to, 1);
            assert_ne!(text, TEXT, "{from}");
            assert_eq!(parse(&text).unwrap_err().to_string(), message);
        }
    }
}
