//! What a host remembers of its automatic updates, and what it tells of them.

use std::io::ErrorKind;

use base::file::{self, FileError};
use serde::{Deserialize, Serialize};

use super::decide::Step;
use crate::Root;
use crate::coordinator;
use crate::repositories::Silent;

/// Where it is.
const PATH: &str = "/var/lib/preon/updates.json";

/// What is remembered; moments are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// When the last turn was; 0 if there was none.
    pub at: u64,
    /// What it did, or why it did nothing; missing if it failed.
    pub step: Option<Step>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// What the repositories offer beside what runs: a transaction, as `preon upgrade --dry-run --json` prints it.
    pub available: Option<serde_json::Value>,
    /// The repositories that could not be asked: what they offer is not known.
    pub silent: Vec<Silent>,
    /// What the repositories have, whatever it means for this host.
    pub publication: Option<Seen>,
    /// Since when there has been something that the host has not taken.
    pub waiting_since: Option<u64>,
    /// What it staged last.
    pub staged: Option<Staged>,
    /// The restart of which nobody knows yet whether it was good.
    pub restart: Option<Restarting>,
}

/// A state of the repositories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// A digest of their indexes.
    pub name: String,
    /// When it was seen first.
    pub at: u64,
}

/// A generation that was staged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// Its number.
    pub generation: u64,
    /// When the turn began that made it.
    pub at: u64,
    /// A digest of what it changed.
    pub plan: String,
    /// Whether it was booted, or was to be.
    pub tried: bool,
}

/// A restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarting {
    /// Into which generation.
    pub generation: u64,
    /// When it was asked for.
    pub at: u64,
    /// Whether a slot was taken for it, as far as anybody knows.
    pub slot: bool,
    /// Who was asked for the slot: the configuration may say another one since, or none. Missing where nobody was.
    pub asked: Option<coordinator::Config>,
    /// Why the slot is still taken.
    pub kept: Option<String>,
}

impl Restarting {
    /// Who is to get the slot back: the servers that are configured `now`, if there are any, but the group in which it was
    /// taken.
    pub(super) fn coordinator(
        &self,
        now: Option<&coordinator::Config>,
    ) -> Option<coordinator::Config> {
        match (&self.asked, now) {
            (Some(asked), Some(now)) => {
                Some(coordinator::Config { group: asked.group.clone(), ..now.clone() })
            }
            (asked, now) => asked.as_ref().or(now).cloned(),
        }
    }
}

impl Memory {
    /// What the host remembers; nothing, where there is no file or one that is damaged.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn read(root: &Root) -> Result<Self, FileError> {
        match file::read(&root.below(PATH)) {
            Ok(json) => Ok(serde_json::from_slice(&json).unwrap_or_default()),
            Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, root: &Root) -> Result<(), FileError> {
        let json = serde_json::to_vec_pretty(self).unwrap_or_default(); // our types always can
        file::replace(&root.below(PATH), &json)
    }

    /// Takes note of what the repositories have at `now`. A clock that was set back begins anew.
    pub(super) fn see(&mut self, now: u64, publication: String) {
        let known = self.publication.as_ref();
        if known.is_none_or(|seen| seen.name != publication || seen.at > now) {
            self.publication = Some(Seen { name: publication, at: now });
        }
    }

    /// Takes note of whether there is something at `now` that the host has not taken.
    pub(super) fn wait(&mut self, now: u64, is_waiting: bool) {
        let since = self.waiting_since.filter(|since| *since <= now).unwrap_or(now);
        self.waiting_since = is_waiting.then_some(since);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_again_and_what_is_damaged_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root(dir.path().into());
        assert_eq!(Memory::read(&root).unwrap(), Memory::default());
        let memory = Memory {
            at: 7,
            step: Some(Step::Wait { until: Some(9), why: "x".into() }),
            staged: Some(Staged { generation: 2, at: 7, plan: "p".into(), tried: true }),
            ..Memory::default()
        };
        memory.write(&root).unwrap();
        assert_eq!(Memory::read(&root).unwrap(), memory);
        file::replace(&root.below(PATH), b"{").unwrap();
        assert_eq!(Memory::read(&root).unwrap(), Memory::default());
    }

    #[test]
    fn a_publication_is_as_old_as_it_was_seen_first() {
        let mut memory = Memory::default();
        let mut seen = |now, name: &str| {
            memory.see(now, name.into());
            memory.publication.clone().unwrap().at
        };
        assert_eq!([seen(10, "a"), seen(20, "a"), seen(30, "b")], [10, 10, 30]);
        assert_eq!(seen(5, "b"), 5); // the clock was wrong
    }

    #[test]
    fn waiting_begins_with_the_first_thing_and_ends_when_nothing_is_left() {
        let mut memory = Memory::default();
        let mut waiting = |now, is| {
            memory.wait(now, is);
            memory.waiting_since
        };
        let found = [waiting(10, true), waiting(20, true), waiting(30, false), waiting(40, true)];
        assert_eq!(found, [Some(10), Some(10), None, Some(40)]);
        assert_eq!(waiting(5, true), Some(5));
    }
}
