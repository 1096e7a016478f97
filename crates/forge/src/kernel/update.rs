//! `forge kernel update`: to the newest source in the archive, checked as a whole before it is taken.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use base::file;
use base::{Explain, Failure};
use formats::Version;
use packages::changelog::{Cve, fixed_since};
use packages::lock::Lock;
use serde::Serialize;

use super::build;
use super::config::Difference;
use super::{Flavour, Need, Profile, Workshop, changelog, json, kernel, print, recipe};
use crate::audit;
use crate::trial::Trial;

/// Move to the newest source in the archive, check, and build
///
/// The lock and the committed configurations follow the source; the policy is checked for every
/// kernel and profile; the hardened kernel is built. All of that is tried beside the checkout, which
/// changes only when everything has succeeded.
#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    /// Only say whether there is a newer source
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The source that the lock names, and the newest that the archive has.
pub(crate) struct Newest {
    /// The lock's version.
    pub(crate) before: Version,
    /// The archive's.
    pub(crate) now: Version,
    /// The suite that has it.
    pub(crate) suite: String,
    /// Whether the archive was not asked: it is the newest of what the cache holds.
    pub(crate) offline: bool,
    /// The lock with the newest source, and the suites' dates; no other package moves.
    pub(crate) lock: Lock,
}

/// What an update did. Prints as lines for people.
#[derive(Debug, Serialize)]
struct Report {
    /// Version of Debian's source package before.
    before: String,
    /// And now.
    now: String,
    /// Whether that is newer.
    newer: bool,
    /// The suite that it comes from.
    suite: String,
    /// Whether the archive was not asked: it is the newest of what the cache holds.
    offline: bool,
    #[serde(flatten)]
    followed: Followed,
}

/// What came of it that everything of the kernel follows another source.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Followed {
    /// The flaws that the changelog of newer versions says are fixed; none where it was not read.
    cves: Vec<Cve>,
    /// What changed in the configurations.
    changes: Vec<Changes>,
    /// The built hardened kernel.
    image: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Changes {
    flavour: Flavour,
    /// Each as `CONFIG_X: n → y`.
    options: Vec<String>,
}

/// The archive's source is older than the lock's: somebody may be hiding what came since.
#[derive(Debug, thiserror::Error)]
#[error("the newest source of {suite} is linux {now}, older than the {before} of os/packages.lock")]
struct Backwards {
    before: Version,
    now: Version,
    suite: String,
}

impl Explain for Backwards {
    fn hint(&self) -> Option<String> {
        Some("wait until the mirror has caught up, or take another: --archive".into())
    }
}

impl Update {
    pub(super) fn run(self, shop: &dyn Workshop, out: &mut dyn Write) -> Result<(), Failure> {
        let newest = shop.newest()?;
        if newest.now < newest.before {
            let Newest { before, now, suite, .. } = newest;
            return Err(Backwards { before, now, suite }.into());
        }
        let mut report = Report {
            before: newest.before.to_string(),
            now: newest.now.to_string(),
            newer: newest.now > newest.before,
            offline: newest.offline,
            suite: newest.suite.clone(),
            followed: Followed::default(),
        };
        if report.newer && !self.dry_run {
            let (real, cache) = (shop.repository(), shop.cache());
            let trial = Trial::begin(real, cache, &newest.lock, shop.progress())?;
            shop.elsewhere(&trial.root, &mut |shop| {
                report.followed = follow(shop, &newest.before)?;
                Ok(())
            })?;
            trial.keep()?;
        }
        print(out, &if self.json { json(&report)? } else { report.to_string() })
    }
}

/// Makes everything fit the source that the lock names now: the committed configurations, which must meet the
/// policy, and the hardened kernel. `before` is the source's version until now.
///
/// # Errors
///
/// What configuring, auditing and building fail with.
pub(crate) fn follow(shop: &dyn Workshop, before: &Version) -> Result<Followed, Failure> {
    let cves = fixes(shop, before)?.into_iter().collect();
    let mut changes = Vec::new();
    for flavour in Flavour::CONFIGURED {
        let options = configure(shop, flavour)?.iter().map(ToString::to_string).collect();
        changes.push(Changes { flavour, options });
    }
    for flavour in Flavour::ALL {
        for profile in [Profile::Default, Profile::Strict] {
            audit::kernel::Kernel::of(flavour, profile).run(shop.repository(), &mut io::sink())?;
        }
    }
    let image = Some(kernel(shop, Flavour::Hardened)?.kernel.image());
    Ok(Followed { cves, changes, image })
}

/// The flaws that the changelog of the kernel's source names as fixed since the version `before`.
///
/// # Errors
///
/// What fetching and reading the source fails with.
pub(crate) fn fixes(shop: &dyn Workshop, before: &Version) -> Result<BTreeSet<Cve>, Failure> {
    Ok(fixed_since(&changelog::read(&shop.source(Need::Files)?)?, before.borrowed()))
}

/// Writes the committed configuration of `flavour` anew, and returns what changed in it.
fn configure(shop: &dyn Workshop, flavour: Flavour) -> Result<Vec<Difference>, Failure> {
    let recipe = recipe(shop, flavour, Need::Files)?;
    let sandbox = shop.sandbox(Need::Files)?;
    let made = build::configure(&recipe, sandbox.as_ref(), shop.cache(), shop.progress())?;
    let before = build::committed(&recipe.committed)?;
    file::replace(&recipe.committed, made.text.as_bytes())?;
    Ok(before.differences(&made.config))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, now, suite, followed, .. } = self;
        let Followed { cves, changes, image } = followed;
        if !self.newer {
            let of = if self.offline { " of what the cache holds" } else { "" };
            return writeln!(f, "linux {now} of {suite} is the newest{of}");
        }
        let newest = if self.offline { ", the newest of what the cache holds" } else { "" };
        writeln!(f, "linux {before} -> {now} of {suite}{newest}")?;
        for Changes { flavour, options } in changes {
            let policy = if Flavour::ALL.contains(flavour) { ", meets the policy" } else { "" };
            match options.len() {
                0 => writeln!(f, "{flavour}: configured as before{policy}")?,
                count => writeln!(f, "{flavour}: {count} options changed{policy}")?,
            }
            for option in options {
                writeln!(f, "  {option}")?;
            }
        }
        let Some(image) = image else { return Ok(()) };
        writeln!(f, "built: {}", image.display())?;
        writeln!(
            f,
            "fixed, says the changelog: {}",
            match cves.len() {
                0 => "no CVE".to_owned(),
                count => {
                    let cves: Vec<_> = cves.iter().map(ToString::to_string).collect();
                    format!("{count} ({})", cves.join(" "))
                }
            }
        )
    }
}

#[cfg(test)]
mod tests;
