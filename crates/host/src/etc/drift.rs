//! How two states of `/etc` differ.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::entry::Entry;
use super::underneath::Underneath;
use super::view::{Seen, View};

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// It is new.
    Added,
    /// It holds something else, or is something else.
    Changed,
    /// Only its permissions, its owner or its attributes are others.
    Attributes,
    /// It is gone.
    Removed,
}

/// A file, link or folder of `/etc` that is not as it is in the image, or as it was.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Its path below `/etc`.
    pub path: PathBuf,
    /// What became of it.
    pub what: What,
    /// What it was; missing if it is new.
    pub before: Option<Entry>,
    /// What it is; missing if it is gone.
    pub now: Option<Entry>,
    /// What became of the default since it was edited, if anything.
    pub underneath: Option<Underneath>,
    /// Where its bytes were.
    #[serde(skip)]
    pub before_at: Option<PathBuf>,
    /// Where its bytes are.
    #[serde(skip)]
    pub now_at: Option<PathBuf>,
    /// Whether what it was is a default.
    #[serde(skip)]
    pub(super) to_default: bool,
}

/// How `now` differs from `before`, by path, a folder before what is in it.
pub(super) fn differences(before: &View, now: &View) -> Vec<Difference> {
    let gone = before.iter().filter(|(path, _)| !now.contains_key(*path));
    let mut all: Vec<_> = gone.map(|(path, it)| difference(path, Some(it), None)).collect();
    for (path, seen) in now {
        let old = before.get(path);
        if old.is_none_or(|old| old.entry != seen.entry) {
            all.push(difference(path, old, Some(seen)));
        }
    }
    all.sort_by(|one, other| one.path.cmp(&other.path));
    all
}

fn difference(path: &Path, before: Option<&Seen>, now: Option<&Seen>) -> Difference {
    let what = match (before, now) {
        (None, _) => What::Added,
        (_, None) => What::Removed,
        (Some(before), Some(now)) if before.entry.kind == now.entry.kind => What::Attributes,
        _ => What::Changed,
    };
    Difference {
        path: path.to_owned(),
        what,
        before: before.map(|it| it.entry.clone()),
        now: now.map(|it| it.entry.clone()),
        underneath: None,
        before_at: before.map(|it| it.at.clone()),
        now_at: now.map(|it| it.at.clone()),
        to_default: before.is_none_or(|it| !it.edited),
    }
}
