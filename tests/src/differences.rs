//! Where two trees differ, and the list of the differences that have a reason.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use globset::GlobSet;
use serde::Deserialize;

use crate::recipes::patterns;
use crate::tree::{Kind, Tree};

/// One thing in which our tree is not as Debian's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The file, as the host sees it.
    pub path: String,
    /// In what it differs.
    pub what: What,
    /// Both sides, for people.
    pub detail: String,
}

/// In what a file differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Only Debian has it.
    Missing,
    /// Only we have it.
    Added,
    /// A file here is a folder or a link there.
    Kind,
    /// A link leads elsewhere.
    Target,
    /// A file holds other bytes.
    Content,
    /// A file that a compiler wrote, on both sides, holds other bytes.
    Compiled,
    /// Permissions.
    Mode,
    /// User or group.
    Owner,
    /// File capabilities and other extended attributes.
    Attributes,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = format!("{:?}", self.what).to_lowercase();
        write!(f, "{what:<10} {}  {}", self.path, self.detail)
    }
}

/// All differences, by path. A folder that one side lacks counts only if it is empty: what is in
/// it is told for itself.
pub fn compare(debian: &Tree, ours: &Tree) -> Vec<Difference> {
    let mut all = Vec::new();
    for (path, theirs) in debian {
        let mut tell = |what, detail| {
            all.push(Difference { path: path.clone(), what, detail });
        };
        let Some(our) = ours.get(path) else {
            if !has_content(debian, path) {
                tell(What::Missing, theirs.kind.to_string());
            }
            continue;
        };
        let versus = |a: &dyn fmt::Display, b: &dyn fmt::Display| format!("{a} there, {b} here");
        match (&theirs.kind, &our.kind) {
            (a, b) if a == b => {}
            (Kind::File(a), Kind::File(b)) if a.compiled && b.compiled => {
                tell(What::Compiled, String::new());
            }
            (Kind::File(_), Kind::File(_)) => tell(What::Content, String::new()),
            (Kind::Link(a), Kind::Link(b)) => tell(What::Target, versus(a, b)),
            (a, b) => tell(What::Kind, versus(a, b)),
        }
        // Permissions of a link mean nothing.
        if theirs.mode != our.mode && !matches!(our.kind, Kind::Link(_)) {
            let octal = |mode| format!("{mode:04o}");
            tell(What::Mode, versus(&octal(theirs.mode), &octal(our.mode)));
        }
        if theirs.owner != our.owner {
            tell(What::Owner, versus(&theirs.owner, &our.owner));
        }
        if theirs.attributes != our.attributes {
            tell(What::Attributes, format!("{:?} {:?}", theirs.attributes, our.attributes));
        }
    }
    let added = ours.iter().filter(|(path, _)| !debian.contains_key(*path));
    for (path, node) in added.filter(|(path, _)| !has_content(ours, path)) {
        let detail = node.kind.to_string();
        all.push(Difference { path: path.clone(), what: What::Added, detail });
    }
    all
}

fn has_content(tree: &Tree, folder: &str) -> bool {
    let start = format!("{folder}/");
    tree.range(start.clone()..).next().is_some_and(|(path, _)| path.starts_with(&start))
}

/// A list of differences with their reasons, from a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Packages that only Debian's installation holds, with the reason.
    #[serde(default)]
    pub packages: BTreeMap<String, String>,
    /// Packages that only Debian's builds need, as long as they stand in for those that recipes build; with the
    /// reason.
    #[serde(default)]
    pub unneeded: BTreeMap<String, String>,
    /// Accounts that only Debian's installation has, or has otherwise, with the reason.
    #[serde(default)]
    pub accounts: BTreeMap<String, String>,
    /// The differences.
    #[serde(rename = "difference")]
    pub entries: Vec<Entry>,
}

/// Differences that have one reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// In what they differ.
    what: What,
    /// Where, as recipes write patterns.
    paths: Vec<String>,
    /// Why this is so.
    reason: String,
}

impl List {
    /// Reads the list.
    ///
    /// # Panics
    ///
    /// If it is malformed, or an entry has no reason.
    pub fn load(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("the list of differences");
        let list: Self = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
        for entry in &list.entries {
            assert!(!entry.reason.is_empty(), "{:?} have no reason", entry.paths);
        }
        list
    }

    /// Takes away the differences that are on the list, and gives the patterns that none had.
    pub fn take(&self, differences: &mut Vec<Difference>) -> Vec<String> {
        let mut useless = Vec::new();
        let mut explained = vec![false; differences.len()];
        for Entry { what, paths, .. } in &self.entries {
            let set: GlobSet = patterns(paths);
            let mut used = vec![false; paths.len()];
            for (at, difference) in differences.iter().enumerate() {
                let matches = set.matches(&difference.path);
                if difference.what == *what && !matches.is_empty() {
                    explained[at] = true;
                    matches.iter().for_each(|pattern| used[*pattern] = true);
                }
            }
            let unused = paths.iter().zip(&used).filter(|(_, used)| !**used);
            useless.extend(unused.map(|(path, _)| format!("{what:?} {path}")));
        }
        let mut explained = explained.into_iter();
        differences.retain(|_| !explained.next().unwrap_or_default());
        useless
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Content, Node};

    fn file(content: u8, mode: u32) -> Node {
        let owner = "root:root".to_owned();
        let kind = Kind::File(Content::of(&[content]));
        Node { kind, mode, owner, attributes: BTreeMap::new() }
    }

    fn program(content: &[u8]) -> Node {
        let content = [b"\x7fELF", content].concat();
        Node { kind: Kind::File(Content::of(&content)), ..file(0, 0o755) }
    }

    fn tree(files: &[(&str, Node)]) -> Tree {
        files.iter().map(|(path, node)| ((*path).to_owned(), node.clone())).collect()
    }

    #[test]
    fn what_differs_is_told_once_for_each_way() {
        let folder = Node { kind: Kind::Folder, ..file(0, 0o755) };
        let debian = tree(&[
            ("/usr/lib", folder.clone()),
            ("/usr/lib/a", file(1, 0o644)),
            ("/usr/same", file(1, 0o644)),
            ("/usr/su", file(1, 0o4755)),
        ]);
        let ours = tree(&[
            ("/usr/new", file(1, 0o644)),
            ("/usr/same", file(1, 0o644)),
            ("/usr/su", file(2, 0o755)),
        ]);
        let told: Vec<_> = compare(&debian, &ours).iter().map(ToString::to_string).collect();
        let expected = [
            "missing    /usr/lib/a  a file",
            "content    /usr/su  ",
            "mode       /usr/su  4755 there, 0755 here",
            "added      /usr/new  a file",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn only_what_a_compiler_wrote_on_both_sides_differs_as_such() {
        let debian = tree(&[
            ("/usr/a", program(b"1")),
            ("/usr/b", program(b"1")),
            ("/usr/c", file(1, 0o755)),
            ("/usr/d", program(b"1")),
        ]);
        let ours = tree(&[
            ("/usr/a", program(b"2")),
            ("/usr/b", file(2, 0o755)),
            ("/usr/c", program(b"2")),
            ("/usr/d", program(b"1")),
        ]);
        let told: Vec<_> = compare(&debian, &ours).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["compiled   /usr/a  ", "content    /usr/b  ", "content    /usr/c  "]);
    }

    #[test]
    fn a_list_takes_what_it_names_and_tells_what_it_names_in_vain() {
        let list =
            "[[difference]]\nwhat = \"missing\"\npaths = [\"/a/*\", \"/b\"]\nreason = \"why\"";
        let list: List = toml::from_str(list).unwrap();
        let difference = |path: &str, what| {
            let detail = String::new();
            Difference { path: path.to_owned(), what, detail }
        };
        let mut differences = vec![
            difference("/a/x", What::Missing),
            difference("/a/x", What::Mode),
            difference("/a/x/y", What::Missing),
        ];
        let left = differences[1..].to_vec();
        assert_eq!(list.take(&mut differences), ["Missing /b"]);
        assert_eq!(differences, left);
    }
}
