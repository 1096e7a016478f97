//! What hosts will get that they do not have: by source package, because that is what a security fix is made for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base::{Explain, Failure};
use formats::version::VersionRef;
use formats::{PackageName, Version};
use packages::changelog::Cve;
use packages::control::Control;
use packages::deb::Deb;
use packages::fixes::Fixes;
use packages::lock;
use serde::Serialize;

use super::Found;
use crate::context::Context;
use crate::curate::Curated;
use crate::kernel::{self, SOURCE_PACKAGE};
use crate::recipe::DEFAULT_SUITE;
use crate::supply::REPOSITORY;
use crate::workshop::KernelShop;

/// Why a package moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Class {
    /// Known flaws are fixed, or the archive's security team has it in its suite.
    Security,
    /// An update of the release.
    Stable,
    /// From another suite, or it came or went, or our recipe changed.
    Other,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Security => "security",
            Self::Stable => "stable",
            Self::Other => "other",
        })
    }
}

/// What changed of one source package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    /// Why.
    pub(super) class: Class,
    /// The source package; the package itself where it went.
    pub(super) source: String,
    /// Its version before; none where it came.
    pub(super) before: Option<Version>,
    /// And now; none where it went.
    pub(super) now: Option<Version>,
    /// The packages made of it that moved.
    pub(super) packages: BTreeSet<PackageName>,
    /// The flaws that its changelog names as fixed since.
    pub(super) fixes: BTreeSet<Cve>,
}

/// What changed.
#[derive(Debug, Default, Serialize)]
pub(super) struct Changes {
    /// Of what is published: security first.
    pub(super) sources: Vec<Change>,
    /// Packages that only our tools and build roots are made of.
    pub(super) tools: BTreeSet<PackageName>,
}

/// A package of which hosts have another version than the archive.
struct Moved {
    name: PackageName,
    before: Option<Version>,
    now: Option<Version>,
}

impl Changes {
    /// What moved of the curated `packages`, beside what was published, or beside the lock before where
    /// nothing was; and what moved in the lock.
    ///
    /// # Errors
    ///
    /// A curated package that cannot be read.
    pub(super) fn of(
        found: &Found<'_>,
        context: &Context,
        packages: &[Curated],
    ) -> Result<Self, Failure> {
        let mut sources: BTreeMap<String, Change> = BTreeMap::new();
        for package in packages {
            let deb = Deb::open(&package.path)?;
            let Some(moved) = found.moved(deb.control()) else { continue };
            moved.expect_forwards()?;
            let locked = found.now.packages.get(&package.name);
            let suite = locked.map_or("preon", |locked| &locked.suite);
            join(&mut sources, of_package(&moved, deb.control(), suite)?);
        }
        let curated: BTreeSet<_> = packages.iter().map(|package| &package.name).collect();
        let mut tools = BTreeSet::new();
        for change in found.now.changes_since(found.before) {
            let lock::Change { name, before, now } = change;
            match (curated.contains(&name), now.is_none() && found.was_covered(&name)) {
                (true, _) => {}
                (false, true) => join(&mut sources, gone(&Moved { name, before, now })),
                (false, false) if name.as_str() == SOURCE_PACKAGE => {}
                (false, false) => _ = tools.insert(name),
            }
        }
        let mut sources: Vec<_> = sources.into_values().chain(kernel(found, context)?).collect();
        sources.sort_by(|a, b| (a.class, &a.source).cmp(&(b.class, &b.source)));
        Ok(Self { sources, tools })
    }

    /// Whether nothing moved.
    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.tools.is_empty()
    }

    /// All flaws that are fixed.
    pub(super) fn fixed(&self) -> BTreeSet<Cve> {
        self.sources.iter().flat_map(|change| change.fixes.iter().copied()).collect()
    }
}

/// The archive has an older version than hosts.
#[derive(Debug, thiserror::Error)]
#[error("the archive has {name} {now}, but {before} was there before")]
struct Backwards {
    name: PackageName,
    before: Version,
    now: Version,
}

impl Explain for Backwards {
    fn hint(&self) -> Option<String> {
        Some(
            "wait until the mirror has caught up, or take another (--archive): hosts never go back"
                .into(),
        )
    }
}

impl Moved {
    /// Refuses an older version than there was: hosts would keep theirs, and nobody would see why.
    fn expect_forwards(&self) -> Result<(), Backwards> {
        match (&self.before, &self.now) {
            (Some(before), Some(now)) if now < before => {
                let (name, before, now) = (self.name.clone(), before.clone(), now.clone());
                Err(Backwards { name, before, now })
            }
            _ => Ok(()),
        }
    }
}

impl Found<'_> {
    /// How the curated package with this control file moved, if it did.
    fn moved(&self, control: &Control) -> Option<Moved> {
        let (name, now) = (control.name(), control.version());
        let (before, moved) = if self.published.is_empty() {
            // The lock has Debian's versions, and nothing about packages of our own.
            let before = self.before.packages.get(name).map(|locked| locked.version.clone());
            let is_locked = self.now.packages.contains_key(name);
            (before.clone(), is_locked && before != Some(now.without_preon()))
        } else {
            let before = self.published.get(name).cloned();
            (before.clone(), before.as_ref() != Some(now))
        };
        let debians = |version: Version| version.without_preon();
        moved.then(|| Moved {
            name: name.clone(),
            before: before.map(debians),
            now: Some(debians(now.clone())),
        })
    }

    /// Whether it was curated.
    fn was_covered(&self, name: &PackageName) -> bool {
        self.before.sets.get(REPOSITORY).is_some_and(|set| set.packages.contains(name))
    }
}

/// What changed of the kernel, whose source is no curated package.
fn kernel(found: &Found<'_>, context: &Context) -> Result<Option<Change>, Failure> {
    let (Some(before), Some(locked)) =
        (found.kernel_before(), found.now.packages.get(SOURCE_PACKAGE))
    else {
        return Ok(None);
    };
    let fixes = kernel::fixes(&KernelShop::new(context), before)?;
    Ok(Some(Change {
        class: class(&locked.suite, true, &fixes),
        source: "linux".to_owned(),
        before: Some(before.clone()),
        now: Some(locked.version.clone()),
        packages: [SOURCE_PACKAGE.parse()?].into(),
        fixes,
    }))
}

/// Adds `change` to what moved of the same source package.
fn join(sources: &mut BTreeMap<String, Change>, change: Change) {
    let Some(known) = sources.get_mut(&change.source) else {
        sources.insert(change.source.clone(), change);
        return;
    };
    known.class = known.class.min(change.class);
    known.before = known.before.take().or(change.before);
    known.now = known.now.take().or(change.now);
    known.packages.extend(change.packages);
    known.fixes.extend(change.fixes);
}

/// Why something is of `suite` now that may have been another version before, and fixes these flaws.
fn class(suite: &str, was_other: bool, fixes: &BTreeSet<Cve>) -> Class {
    match was_other {
        _ if !fixes.is_empty() || suite.ends_with("-security") => Class::Security,
        true if suite.starts_with(DEFAULT_SUITE) => Class::Stable,
        _ => Class::Other,
    }
}

/// What moved of a package that has this control file now.
fn of_package(moved: &Moved, control: &Control, suite: &str) -> Result<Change, Failure> {
    let (source, version) = control.source();
    let before = source_version(moved, version);
    let fixes = Fixes::of_control(control)?;
    let fixes = before.map_or_else(BTreeSet::new, |before| fixes.since(before));
    // What only our revision tells apart, no archive has changed.
    let was_other = moved.before.is_some() && moved.before != moved.now;
    let class = class(suite, was_other, &fixes);
    Ok(Change {
        class,
        source: source.to_owned(),
        before: before.map(VersionRef::to_version).or_else(|| moved.before.clone()),
        now: Some(version.parse()?),
        packages: [moved.name.clone()].into(),
        fixes,
    })
}

/// The source package's version before, where the package's own tells: both are the same but for builds
/// of the same source (`+b1`). Other packages of the same source tell what this one does not.
fn source_version<'a>(moved: &'a Moved, now: &str) -> Option<VersionRef<'a>> {
    let unbuilt = |version: &'a Version| {
        let (text, build) = version.as_str().rsplit_once("+b").unwrap_or((version.as_str(), ""));
        let is_build = build.bytes().all(|byte| byte.is_ascii_digit());
        if is_build { text } else { version.as_str() }
    };
    let (before, after) = (moved.before.as_ref()?, moved.now.as_ref()?);
    (unbuilt(after) == now).then(|| VersionRef::parse(unbuilt(before)).ok())?
}

/// A package that is no more.
fn gone(moved: &Moved) -> Change {
    Change {
        class: Class::Other,
        source: moved.name.to_string(),
        before: moved.before.clone(),
        now: None,
        packages: [moved.name.clone()].into(),
        fixes: BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved((before, now): (&str, &str)) -> Moved {
        let version = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        Moved { name: "libx1".parse().unwrap(), before: version(before), now: version(now) }
    }

    fn control(source: &str) -> Control {
        Control::parse(&format!(
            "Package: libx1\nSource: {source}\nVersion: 9\nArchitecture: amd64\nPreon-Fixes:\n \
             3-1 - CVE-2026-0003\n 2-1 - CVE-2026-0002\n 1-1 - CVE-2026-0001\n"
        ))
        .unwrap()
    }

    #[test]
    fn a_change_is_classified_by_what_it_fixes_and_where_it_comes_from() {
        #[rustfmt::skip]
        let cases = [
            // before, now            source      suite              class            before            fixes
            (("1-1", "3-1"),         "x (3-1)", "trixie",           Class::Security, Some("1-1"),      "CVE-2026-0002 CVE-2026-0003"),
            (("2-1+b3", "3-1+b1"),   "x (3-1)", "trixie",           Class::Security, Some("2-1"),      "CVE-2026-0003"),
            (("3-1", "3-1+b1"),      "x (3-1)", "trixie",           Class::Stable,   Some("3-1"),      ""),
            (("3-1", "4-1"),         "x (4-1)", "trixie-updates",   Class::Stable,   Some("3-1"),      ""),
            (("3-1", "4-1"),         "x (4-1)", "trixie-security",  Class::Security, Some("3-1"),      ""),
            (("3-1", "4-1"),         "x (4-1)", "sid",              Class::Other,    Some("3-1"),      ""),
            (("3-1", "3-1"),         "x (3-1)", "trixie",           Class::Other,    Some("3-1"),      ""),
            (("", "3-1"),            "x (3-1)", "trixie",           Class::Other,    None,             ""),
            // The package has a version of its own: what its source had before is not known.
            (("1:1-1", "1:2-1"),     "x (3-1)", "trixie",           Class::Stable,   Some("1:1-1"),    ""),
        ];
        for (versions, source, suite, class, before, fixes) in cases {
            let change = of_package(&moved(versions), &control(source), suite).unwrap();
            let fixed: Vec<_> = change.fixes.iter().map(ToString::to_string).collect();
            let was = change.before.as_ref().map(Version::as_str);
            assert_eq!(
                (change.class, was, fixed.join(" ")),
                (class, before, fixes.to_owned()),
                "{versions:?}"
            );
        }
    }

    #[test]
    fn packages_of_one_source_are_one_change_of_the_gravest_class() {
        let mut sources = BTreeMap::new();
        let (stable, fixed) = (("3-1", "3-1+b1"), ("2-1", "3-1"));
        for versions in [stable, fixed] {
            join(
                &mut sources,
                of_package(&moved(versions), &control("x (3-1)"), "trixie").unwrap(),
            );
        }
        let [change] = &sources.into_values().collect::<Vec<_>>()[..] else { panic!("one source") };
        assert_eq!((change.class, change.fixes.len()), (Class::Security, 1));
    }
}
