//! What people and programs are told of a plan.

use std::collections::{BTreeMap, BTreeSet};

use formats::PackageName;
use formats::loader::PACKAGES;
use packages::change::{self, Direction, Plan, Reason};
use serde::Serialize;

use crate::repositories::Silent;

/// What a change does to a host's packages; all lists are sorted by name.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Transaction {
    /// What comes.
    pub added: Vec<Added>,
    /// What gets another version.
    pub changed: Vec<Changed>,
    /// What goes.
    pub removed: Vec<Removed>,
    /// What stays older than it could be.
    pub held: Vec<Held>,
    /// What nothing needs any more and stays.
    pub unneeded: Vec<PackageName>,
    /// What is needed by others only from then on (`true`), or was asked for (`false`).
    pub marked: BTreeMap<PackageName, bool>,
    /// New pins; those that are gone have no version.
    pub pinned: BTreeMap<PackageName, Option<String>>,
    /// The known flaws that it closes.
    pub closes: BTreeSet<String>,
    /// What has to be fetched, if nothing is cached.
    pub download_bytes: u64,
    /// By how much what is installed grows.
    pub installed_bytes: i64,
    /// The services that run from files which change or go.
    pub restarts: Vec<String>,
    /// What has to start anew before all of it is seen.
    pub reboot: Reboot,
    /// The repositories that could not be asked: what they have is not in the plan.
    pub silent: Vec<Silent>,
}

/// What has to start anew for a change to be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reboot {
    /// Nothing.
    #[default]
    None,
    /// All programs; the kernel stays.
    Soft,
    /// The machine: another kernel starts.
    Full,
}

/// A package that comes.
#[derive(Clone, Debug, Serialize)]
pub struct Added {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it takes.
    pub installed_bytes: u64,
    /// The package that needs it; missing for what was asked for.
    pub needed_by: Option<String>,
}

/// A package that gets another version.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// Its name.
    pub name: String,
    /// The version that is there.
    pub from: String,
    /// The version that comes.
    pub to: String,
    /// Whether it gets older.
    pub downgrade: bool,
    /// The known flaws that this closes.
    pub closes: BTreeSet<String>,
}

/// A package that goes.
#[derive(Clone, Debug, Serialize)]
pub struct Removed {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Why.
    pub reason: String,
}

/// A package that stays older than it could be.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    /// Its name.
    pub name: String,
    /// The version that is there.
    pub version: String,
    /// The newest.
    pub newest: String,
    /// Why.
    pub why: Stays,
}

/// Why a package stays older than it could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stays {
    /// Somebody has pinned it.
    Pinned,
    /// It is the kernel, and something else than `loader.conf` says which one starts.
    Image,
    /// Something is in the way, which asking to upgrade it by name explains.
    Obstacle,
}

impl Transaction {
    /// What `plan` says.
    pub(super) fn of(plan: &Plan<'_>) -> Self {
        let texts =
            |cves: &BTreeSet<_>| cves.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let added = plan.added.iter().map(|it| Added {
            name: it.package.name().to_owned(),
            version: it.package.version_text().to_owned(),
            installed_bytes: it.package.installed_bytes(),
            needed_by: it.why.last().map(|link| link.package.clone()).filter(|it| !it.is_empty()),
        });
        let changed = plan.changed.iter().map(|it| Changed {
            name: it.to.name().to_owned(),
            from: it.from.version_text().to_owned(),
            to: it.to.version_text().to_owned(),
            downgrade: it.direction == Direction::Downgrade,
            closes: texts(&it.closes),
        });
        let removed = plan.removed.iter().map(|it| Removed {
            name: it.package.name().to_owned(),
            version: it.package.version_text().to_owned(),
            reason: reason(&it.reason),
        });
        let held = plan.held.iter().map(|it| Held {
            name: it.package.name().to_owned(),
            version: it.package.version_text().to_owned(),
            newest: it.newest.version_text().to_owned(),
            why: match it.why {
                change::Stays::Pinned => Stays::Pinned,
                change::Stays::Image => Stays::Image,
                change::Stays::Obstacle => Stays::Obstacle,
            },
        });
        let changed: Vec<_> = changed.collect();
        let same = plan.changed.is_empty() && plan.removed.is_empty();
        let kernel = changed.iter().any(|it| it.name.starts_with(PACKAGES));
        let repinned = plan.repinned.iter();
        Self {
            added: added.collect(),
            removed: removed.collect(),
            held: held.collect(),
            unneeded: plan.unneeded.clone(),
            marked: plan.marked.clone(),
            pinned: repinned
                .map(|(n, v)| (n.clone(), v.as_ref().map(ToString::to_string)))
                .collect(),
            closes: changed.iter().flat_map(|it| it.closes.clone()).collect(),
            changed,
            download_bytes: plan.download_bytes,
            installed_bytes: plan.installed_delta,
            restarts: Vec::new(), // a plan does not know what runs
            silent: Vec::new(),   // nor who was asked
            reboot: if kernel {
                Reboot::Full
            } else if same {
                Reboot::None
            } else {
                Reboot::Soft
            },
        }
    }

    /// The packages whose files change or go.
    pub(super) fn replaced(&self) -> Vec<PackageName> {
        let changed = self.changed.iter().map(|it| it.name.as_str());
        let all = changed.chain(self.removed.iter().map(|it| it.name.as_str()));
        all.filter_map(|name| name.parse().ok()).collect()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.same_files() && self.marked.is_empty() && self.pinned.is_empty()
    }

    /// Whether no package comes, goes or changes.
    pub fn same_files(&self) -> bool {
        self.added.is_empty() && self.only_adds()
    }

    /// Whether nothing that is there goes or changes.
    pub fn only_adds(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }
}

fn reason(reason: &Reason) -> String {
    match reason {
        Reason::Asked => "asked for".into(),
        Reason::Needs(name) => format!("needs {name}"),
        Reason::Unneeded => "nothing needs it".into(),
        Reason::Refused => "cannot be beside what comes".into(),
    }
}
