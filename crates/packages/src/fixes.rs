//! The flaws that the versions of a package fix, as a field of its control file.
//!
//! Curation drops changelogs; this is what stays of them. One line a version, newest first:
//! ```text
//! Preon-Fixes:
//!  3.5.4-1~deb13u1 2026-01-27T19:02:11Z CVE-2025-11187 CVE-2025-15467
//!  3.5.1-1 - CVE-2025-4575
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use base::Explain;
use formats::Version;
use formats::version::{BadVersion, VersionRef};
use jiff::Timestamp;

use crate::changelog::{self, BadCve, Cve};
use crate::control::Control;

/// The name of the field.
pub const FIELD: &str = "Preon-Fixes";

/// The field with the digest of the package that a curated one was made from.
pub const ORIGIN_FIELD: &str = "Preon-Origin-SHA256";

/// The field with the package whose folder holds this one's changelog and copyright file.
pub const DOCUMENTATION_FIELD: &str = "Preon-Documentation";

/// What versions of a source package fix, newest first; versions that fix nothing known are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fixes(Vec<Fixed>);

/// What one version fixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// The version of the source package.
    pub version: Version,
    /// When it was made, where the changelog says so.
    pub date: Option<Timestamp>,
    /// The flaws; at least one.
    pub cves: BTreeSet<Cve>,
}

/// A field does not hold what [`Fixes`] writes.
#[derive(Debug, thiserror::Error)]
pub enum BadFixes {
    /// A line has too few words.
    #[error("`{0}` is not a version, a date and flaws")]
    Line(String),
    /// A version is none.
    #[error(transparent)]
    Version(#[from] BadVersion),
    /// A date is none.
    #[error("`{0}` is no date")]
    Date(String),
    /// A flaw is none.
    #[error(transparent)]
    Cve(#[from] BadCve),
}

impl Explain for BadFixes {
    fn hint(&self) -> Option<String> {
        Some(format!("the field {FIELD} of the package is broken: curate it again"))
    }
}

impl Fixes {
    /// What a changelog says.
    pub fn of_changelog(text: &str) -> Self {
        let entries = changelog::entries(text).into_iter();
        let entries = entries.filter(|entry| !entry.cves.is_empty()).map(|entry| Fixed {
            version: entry.version.to_version(),
            date: entry.date,
            cves: entry.cves,
        });
        Self(entries.collect())
    }

    /// What the field of `control` says; nothing where there is none.
    ///
    /// # Errors
    ///
    /// [`BadFixes`].
    pub fn of_control(control: &Control) -> Result<Self, BadFixes> {
        control.get(FIELD).map_or_else(|| Ok(Self::default()), str::parse)
    }

    /// The versions, newest first.
    pub fn versions(&self) -> &[Fixed] {
        &self.0
    }

    /// Whether nothing is known to be fixed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The flaws that versions above `before` fix, each once.
    pub fn since(&self, before: VersionRef<'_>) -> BTreeSet<Cve> {
        let newer = self.0.iter().take_while(|fixed| fixed.version.borrowed() > before);
        newer.flat_map(|fixed| fixed.cves.iter().copied()).collect()
    }

    /// In which version each flaw was fixed. Where several versions name one, the newest of them counts: the
    /// first may have fixed it in part.
    pub fn by_flaw(&self) -> BTreeMap<Cve, &Fixed> {
        let mut flaws: BTreeMap<Cve, &Fixed> = BTreeMap::new();
        for fixed in &self.0 {
            for cve in &fixed.cves {
                let known = flaws.entry(*cve).or_insert(fixed);
                if known.version < fixed.version {
                    *known = fixed;
                }
            }
        }
        flaws
    }
}

/// The value of the field: every line begins with a space.
impl fmt::Display for Fixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Fixed { version, date, cves } in &self.0 {
            write!(f, "\n {version} ")?;
            match date {
                Some(date) => write!(f, "{date}")?,
                None => write!(f, "-")?,
            }
            cves.iter().try_for_each(|cve| write!(f, " {cve}"))?;
        }
        Ok(())
    }
}

impl FromStr for Fixes {
    type Err = BadFixes;

    fn from_str(text: &str) -> Result<Self, BadFixes> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(Self(lines.map(fixed).collect::<Result<_, _>>()?))
    }
}

fn fixed(line: &str) -> Result<Fixed, BadFixes> {
    let mut words = line.split_ascii_whitespace();
    let (Some(version), Some(date)) = (words.next(), words.next()) else {
        return Err(BadFixes::Line(line.to_owned()));
    };
    let date = match date {
        "-" => None,
        date => Some(date.parse().map_err(|_| BadFixes::Date(date.to_owned()))?),
    };
    let cves: BTreeSet<_> = words.map(str::parse).collect::<Result<_, _>>()?;
    if cves.is_empty() {
        return Err(BadFixes::Line(line.to_owned()));
    }
    Ok(Fixed { version: version.parse()?, date, cves })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "\
a (2:3-1) trixie; urgency=high

  * CVE-2026-0003, and the rest of CVE-2026-0001

 -- A <a@b>  Thu, 26 Nov 2026 10:00:00 +0000

a (2:2-1) trixie; urgency=high

  * nothing

a (2:1-1) trixie; urgency=high

  * CVE-2026-0001 CVE-2026-0002
";

    #[test]
    fn what_a_changelog_says_survives_a_control_file() {
        let fixes = Fixes::of_changelog(CHANGELOG);
        let mut control = Control::parse("Package: a\nVersion: 1\nArchitecture: all\n").unwrap();
        control.set(FIELD, &fixes.to_string());
        let text = control.to_string();
        assert!(
            text.ends_with(
                "Preon-Fixes:\n 2:3-1 2026-11-26T10:00:00Z CVE-2026-0001 CVE-2026-0003\n \
                 2:1-1 - CVE-2026-0001 CVE-2026-0002\n"
            ),
            "{text}"
        );
        let read = Control::parse(&text).unwrap();
        assert_eq!(Fixes::of_control(&read).unwrap(), fixes);
    }

    #[test]
    fn a_flaw_is_fixed_in_the_newest_version_that_names_it() {
        let fixes = Fixes::of_changelog(CHANGELOG);
        let rows: Vec<_> = fixes
            .by_flaw()
            .into_iter()
            .map(|(cve, fixed)| format!("{cve} {}", fixed.version))
            .collect();
        assert_eq!(rows, ["CVE-2026-0001 2:3-1", "CVE-2026-0002 2:1-1", "CVE-2026-0003 2:3-1"]);
    }

    #[test]
    fn what_is_fixed_since_a_version_is_what_newer_ones_fix() {
        let fixes = Fixes::of_changelog(CHANGELOG);
        #[rustfmt::skip]
        let cases = [
            ("2:3-1", ""),
            ("2:2-1", "CVE-2026-0001 CVE-2026-0003"),
            ("2:1-1", "CVE-2026-0001 CVE-2026-0003"),
            ("1",     "CVE-2026-0001 CVE-2026-0002 CVE-2026-0003"),
        ];
        for (before, expected) in cases {
            let since = fixes.since(VersionRef::parse(before).unwrap());
            let since: Vec<_> = since.iter().map(ToString::to_string).collect();
            assert_eq!(since.join(" "), expected, "{before}");
        }
    }

    #[test]
    fn a_package_without_the_field_fixes_nothing_known() {
        let control = Control::parse("Package: a\nVersion: 1\nArchitecture: all\n").unwrap();
        assert!(Fixes::of_control(&control).unwrap().is_empty());
    }

    #[test]
    fn a_broken_field_is_refused() {
        for text in ["1-1", "1-1 -", "1-1 yesterday CVE-2020-1234", "! - CVE-2020-1234", "1 - X"] {
            assert!(text.parse::<Fixes>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_changelog_cannot_inject_fields() {
        let text = "a (1-1\nEvil: yes) x\n  * CVE-2020-1234\n\na (1-1) x\n  * CVE-2020-1234\nEvil: (yes) CVE-2020-9999\n";
        let fixes = Fixes::of_changelog(text).to_string();
        assert_eq!(fixes, "\n 1-1 - CVE-2020-1234 CVE-2020-9999");
    }
}
