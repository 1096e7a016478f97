//! Who has a slot: what is in the store.

use std::collections::BTreeMap;
use std::fmt;

use base::output::plain;
use serde::{Deserialize, Serialize};

/// A host that restarts, or did not come back well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its name, for people.
    pub name: String,
    /// Since when, seconds since 1970 by its own clock.
    pub since: u64,
    /// The generation into which it restarts.
    pub generation: u64,
}

/// Those that have a slot, by their numbers. The list is JSON, and may get further fields: they stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holders {
    holders: BTreeMap<String, Holder>,
    #[serde(flatten)]
    others: BTreeMap<String, serde_json::Value>,
}

impl Holders {
    /// How many slots are taken.
    pub fn len(&self) -> usize {
        self.holders.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }

    /// All, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Holder)> {
        self.holders.iter().map(|(id, holder)| (id.as_str(), holder))
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.holders.contains_key(id)
    }

    pub(super) fn insert(&mut self, id: &str, holder: &Holder) {
        self.holders.insert(id.to_owned(), holder.clone());
    }

    /// Takes the host with this number out, else the only one with this name.
    pub(super) fn remove(&mut self, host: &str) -> Option<Holder> {
        if let Some(holder) = self.holders.remove(host) {
            return Some(holder);
        }
        let mut named = self.holders.iter().filter(|(_, holder)| holder.name == host);
        let id = match (named.next(), named.next()) {
            (Some((id, _)), None) => id.clone(),
            _ => return None,
        };
        self.holders.remove(&id)
    }
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.holders.values().map(ToString::to_string).collect();
        f.write_str(&names.join(", "))
    }
}

/// Its name, as [`plain`] text: any host of the fleet has written it.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&plain(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(name: &str) -> Holder {
        Holder { name: name.into(), since: 1, generation: 2 }
    }

    #[test]
    fn a_host_is_taken_out_by_its_number_or_by_a_name_that_only_it_has() {
        let mut all = Holders::default();
        for (id, name) in [("1", "web"), ("2", "web"), ("3", "db"), ("db", "x\n")] {
            all.insert(id, &holder(name));
        }
        assert_eq!(all.to_string(), "web, web, db, x\\n");
        assert_eq!(all.remove("web"), None); // which one?
        assert_eq!(all.remove("nobody"), None);
        assert_eq!(all.remove("db"), Some(holder("x\n"))); // numbers first
        assert_eq!(all.remove("db"), Some(holder("db")));
        assert_eq!(all.remove("1"), Some(holder("web")));
        assert_eq!(all.remove("web"), Some(holder("web")));
        assert!(all.is_empty());
    }

    #[test]
    fn what_a_later_version_adds_stays() {
        let json = r#"{"holders":{},"paused":"by me"}"#;
        let mut all: Holders = serde_json::from_str(json).unwrap();
        all.insert("1", &holder("web"));
        assert!(serde_json::to_string(&all).unwrap().contains(r#""paused":"by me""#));
    }
}
