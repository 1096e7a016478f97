//! Debian's changelogs: which known flaws each version of a package says it fixes.
//!
//! Source: Debian Policy, section 4.4; the CVE Program's identifier syntax (`CVE-`, the year, `-`, four
//! digits or more).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use formats::version::VersionRef;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde::{Serialize, Serializer};

/// An identifier of the Common Vulnerabilities and Exposures; they sort by year and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cve {
    year: u16,
    number: u64,
}

/// A text is no identifier of a CVE.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the identifier of a CVE")]
pub struct BadCve(pub String);

/// One entry of a changelog: a version and what is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The source package.
    pub source: &'a str,
    /// The version of the source package.
    pub version: VersionRef<'a>,
    /// When it was made; `None` where the line that says so is not there or is broken.
    pub date: Option<Timestamp>,
    /// The flaws that it names, each once.
    pub cves: BTreeSet<Cve>,
}

/// Reads the entries of `text`, in its order: newest first.
///
/// A line that begins an entry with a bad version begins none: what follows it counts to the entry above,
/// which is newer and therefore has the same fixes. What stands above the first entry is left out.
pub fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for line in text.lines() {
        if let Some((source, version)) = heading(line) {
            entries.push(Entry { source, version, date: None, cves: BTreeSet::new() });
        } else if let Some(entry) = entries.last_mut() {
            entry.date = entry.date.or_else(|| date(line));
            entry.cves.extend(named(line));
        }
    }
    entries
}

/// The flaws that the entries of `text` name, of versions above `before`, each once.
pub fn fixed_since(text: &str, before: VersionRef<'_>) -> BTreeSet<Cve> {
    let newer = entries(text).into_iter().take_while(|entry| entry.version > before);
    newer.flat_map(|entry| entry.cves).collect()
}

/// The package and version of the entry that `line` begins: `linux (6.12.118-1) trixie-security; …`.
fn heading(line: &str) -> Option<(&str, VersionRef<'_>)> {
    if line.starts_with(char::is_whitespace) {
        return None;
    }
    let (source, rest) = line.split_once(" (")?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let version = VersionRef::parse(rest.split_once(')')?.0).ok()?;
    source.bytes().all(is_name).then_some((source, version))
}

/// The date of the line that ends an entry: ` -- Somebody <x@example.org>  Thu, 26 Nov 2026 10:00:00 +0000`.
fn date(line: &str) -> Option<Timestamp> {
    let (_, date) = line.strip_prefix(" -- ")?.rsplit_once('>')?;
    Some(rfc2822::parse(date.trim()).ok()?.timestamp())
}

/// The flaws that `text` names.
fn named(text: &str) -> impl Iterator<Item = Cve> {
    text.split("CVE-").skip(1).filter_map(|rest| {
        let (year, rest) = rest.split_once('-')?;
        let end = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
        Cve::of(year, &rest[..end])
    })
}

impl Cve {
    fn of(year: &str, number: &str) -> Option<Self> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let good = year.len() == 4 && number.len() >= 4 && digits(year) && digits(number);
        good.then_some(())?;
        Some(Self { year: year.parse().ok()?, number: number.parse().ok()? })
    }
}

impl fmt::Display for Cve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CVE-{:04}-{:04}", self.year, self.number)
    }
}

impl Serialize for Cve {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Cve {
    type Err = BadCve;

    fn from_str(text: &str) -> Result<Self, BadCve> {
        let parts = text.strip_prefix("CVE-").and_then(|rest| rest.split_once('-'));
        let cve = parts.and_then(|(year, number)| Self::of(year, number));
        cve.ok_or_else(|| BadCve(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "\
linux (6.12.118-1) trixie-security; urgency=high

  * New upstream stable update:
    - net: gso: limit recursion (CVE-2026-98853)
    - two at once (CVE-2025-1234, CVE-2026-98853); CVE-2024-123 and CVE-24-1234 are none

 -- Somebody <x@example.org>  Thu, 26 Nov 2026 10:00:00 +0000

linux (6.12.117-2) trixie-security; urgency=high

  * fixed (CVE-2026-0099)

linux (6.12.117-1) trixie; urgency=medium

  * old news (CVE-2026-11111)
";

    fn texts(cves: &BTreeSet<Cve>) -> Vec<String> {
        cves.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn identifiers_of_newer_entries_are_told_once_and_in_order() {
        #[rustfmt::skip]
        let cases: [(&str, &[&str]); 4] = [
            ("6.12.118-1", &[]),
            ("6.12.117-2", &["CVE-2025-1234", "CVE-2026-98853"]),
            ("6.12.117-1", &["CVE-2025-1234", "CVE-2026-0099", "CVE-2026-98853"]),
            ("6.12.1-1",   &["CVE-2025-1234", "CVE-2026-0099", "CVE-2026-11111", "CVE-2026-98853"]),
        ];
        for (before, expected) in cases {
            let before = VersionRef::parse(before).unwrap();
            assert_eq!(texts(&fixed_since(CHANGELOG, before)), expected, "{before:?}");
        }
    }

    #[test]
    fn each_entry_has_its_version_its_date_and_its_flaws() {
        let entries = entries(CHANGELOG);
        let rows: Vec<_> = entries
            .iter()
            .map(|entry| {
                let date = entry.date.map(|date| date.to_string());
                (entry.source, entry.version.as_str(), date, texts(&entry.cves).join(" "))
            })
            .collect();
        let first = Some("2026-11-26T10:00:00Z".to_owned());
        assert_eq!(
            rows,
            [
                ("linux", "6.12.118-1", first, "CVE-2025-1234 CVE-2026-98853".to_owned()),
                ("linux", "6.12.117-2", None, "CVE-2026-0099".to_owned()),
                ("linux", "6.12.117-1", None, "CVE-2026-11111".to_owned()),
            ]
        );
    }

    #[test]
    fn a_broken_heading_leaves_its_flaws_to_the_newer_entry() {
        let text = "CVE-2020-0001 above all\na (2-1) x; urgency=low\n  * CVE-2020-0002\n -- A <a@b>  not a date\n\
                    a (no version!) x\n  * CVE-2020-0003\n -- A <a@b>  Mon, 02 Mar 2020 00:00:00 +0100\n";
        let entries = entries(text);
        assert_eq!(entries.len(), 1);
        assert_eq!(texts(&entries[0].cves), ["CVE-2020-0002", "CVE-2020-0003"]);
        // The first date that can be read: an approximation, and never of another package.
        assert_eq!(entries[0].date.unwrap().to_string(), "2020-03-01T23:00:00Z");
    }

    #[test]
    fn an_identifier_is_read_as_it_is_written() {
        #[rustfmt::skip]
        let cases = [
            ("CVE-2026-0099",                     true),
            ("CVE-2026-1234567",                  true),
            ("CVE-2026-123",                      false),
            ("CVE-26-1234",                       false),
            ("CVE-+026-1234",                     false),
            ("CVE-2026-1234\nX: y",               false),
            ("CVE-2026-99999999999999999999999",  false),
            ("cve-2026-1234",                     false),
        ];
        for (text, good) in cases {
            let cve = text.parse::<Cve>();
            assert_eq!(cve.is_ok(), good, "{text}");
            if let Ok(cve) = cve {
                assert_eq!(cve.to_string(), text);
            }
        }
    }
}
