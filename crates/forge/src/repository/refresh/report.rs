//! What a refresh did, for people and as JSON.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use base::Failure;
use formats::Version;
use packages::changelog::Cve;
use packages::publish::Published;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::changes::{Change, Changes};
use crate::key;

/// What a refresh did until it ended, whichever way.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Whether the archive has other packages than the checkout's lock.
    pub(super) newer: bool,
    /// What changed, where that was found out.
    changes: Option<Changes>,
    /// How long each step took.
    pub(super) steps: Steps,
    /// The publication that came of it.
    pub(super) published: Option<Published>,
}

/// The steps that were done, each with its duration; the last one may have failed.
#[derive(Debug, Default)]
pub(super) struct Steps(Vec<(&'static str, Duration)>);

impl Steps {
    /// Does `work` and notes how long it took.
    ///
    /// # Errors
    ///
    /// What `work` fails with.
    pub(super) fn time<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let begin = Instant::now();
        let done = work();
        self.0.push((name, begin.elapsed()));
        done
    }

    fn sum(&self) -> Duration {
        self.0.iter().map(|(_, duration)| *duration).sum()
    }
}

impl Report {
    /// Notes what changed, and says whether anything did.
    pub(super) fn found(&mut self, changes: Changes) -> bool {
        !self.changes.insert(changes).is_empty()
    }

    /// The step at which it ended, where that was due to newer packages.
    pub(super) fn stopped(&self) -> Option<&'static str> {
        self.steps.0.last().map(|(name, _)| *name).filter(|_| self.newer)
    }

    /// All flaws that are fixed.
    fn fixed(&self) -> BTreeSet<Cve> {
        self.changes.as_ref().map(Changes::fixed).unwrap_or_default()
    }

    fn write_changes(&self, changes: &Changes, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_rows(&changes.sources, f)?;
        let (sources, fixed) = (changes.sources.len(), self.fixed().len());
        let tools = changes.tools.len();
        writeln!(
            f,
            "{sources} source packages changed, {fixed} CVEs close; {tools} packages of tools changed"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.changes {
            Some(changes) if changes.is_empty() => writeln!(f, "nothing is newer in the archive")?,
            Some(changes) => self.write_changes(changes, f)?,
            None => {}
        }
        for (name, duration) in &self.steps.0 {
            writeln!(f, "  {name:<20} {:>7.1} s", duration.as_secs_f64())?;
        }
        writeln!(f, "  {:<20} {:>7.1} s", "all steps", self.steps.sum().as_secs_f64())?;
        match &self.published {
            Some(Published { version, added, packages, valid_until }) => {
                let (added, until) = (added.len(), key::day(*valid_until));
                writeln!(
                    f,
                    "publication {version}: {packages} packages, {added} of them new, until {until}"
                )
            }
            None => writeln!(f, "nothing was published"),
        }
    }
}

/// A row for each source package, in columns.
fn write_rows(changes: &[Change], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let version = |version: &Option<Version>| {
        version.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
    };
    let width = |texts: &[String]| texts.iter().map(String::len).max().unwrap_or(0);
    let names: Vec<_> = changes.iter().map(|change| change.source.clone()).collect();
    let before: Vec<_> = changes.iter().map(|change| version(&change.before)).collect();
    let now: Vec<_> = changes.iter().map(|change| version(&change.now)).collect();
    let widths = (width(&names), width(&before), width(&now));
    for (row, change) in changes.iter().enumerate() {
        let (name, before, now) = (&names[row], &before[row], &now[row]);
        let (name_width, before_width, now_width) = widths;
        let line = format!(
            "{:<9} {name:<name_width$}  {before:<before_width$} -> {now:<now_width$}  {}",
            change.class.to_string(),
            some(&change.fixes)
        );
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

/// The first of `cves`, and how many more there are: a kernel fixes hundreds.
fn some(cves: &BTreeSet<Cve>) -> String {
    const SHOWN: usize = 6;
    let shown: Vec<_> = cves.iter().rev().take(SHOWN).map(ToString::to_string).collect();
    match cves.len().saturating_sub(SHOWN) {
        0 => shown.join(" "),
        more => format!("{} and {more} more", shown.join(" ")),
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Step {
            name: &'static str,
            seconds: f64,
        }
        #[derive(Serialize)]
        struct Publication<'a> {
            version: u64,
            added: &'a [String],
            packages: usize,
            valid_until: u64,
        }
        let steps = self.steps.0.iter();
        let steps: Vec<_> =
            steps.map(|(name, it)| Step { name, seconds: it.as_secs_f64() }).collect();
        let publication = self.published.as_ref().map(|it| Publication {
            version: it.version,
            added: &it.added,
            packages: it.packages,
            valid_until: it.valid_until,
        });
        let mut report = serializer.serialize_struct("Report", 4)?;
        report.serialize_field("changes", &self.changes)?;
        report.serialize_field("fixes", &self.fixed())?;
        report.serialize_field("steps", &steps)?;
        report.serialize_field("publication", &publication)?;
        report.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_flaws_are_named_and_the_others_counted() {
        let cves = |count: u32| (0..count).map(|n| format!("CVE-2026-{n:04}").parse().unwrap());
        let cves = |count| cves(count).collect::<BTreeSet<Cve>>();
        assert_eq!(some(&cves(0)), "");
        assert_eq!(some(&cves(2)), "CVE-2026-0001 CVE-2026-0000");
        assert!(some(&cves(7)).ends_with(" CVE-2026-0001 and 1 more"), "{}", some(&cves(7)));
    }
}
