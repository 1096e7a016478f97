//! A tree of files, read from a tar archive: what is compared when two systems are compared.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// All files by their absolute path.
pub type Tree = BTreeMap<String, Node>;

/// A file, a folder, a link, with all but its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is, with its content.
    pub kind: Kind,
    /// Permissions, setuid and its like included.
    pub mode: u32,
    /// User and group, by name.
    pub owner: String,
    /// Extended attributes, file capabilities among them.
    pub attributes: BTreeMap<String, Vec<u8>>,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file.
    File(Content),
    /// A symbolic link with its target.
    Link(String),
    /// A device or a pipe.
    Special,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its digest.
    pub sha256: [u8; 32],
    /// Whether it begins as what compilers and linkers write: ELF, or a static archive.
    pub compiled: bool,
}

impl Content {
    /// That of a file of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        // Source: elf(5), "e_ident"; ar(5).
        let compiled = bytes.starts_with(b"\x7fELF") || bytes.starts_with(b"!<arch>\n");
        Self { sha256: Sha256::digest(bytes).into(), compiled }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder => f.write_str("a folder"),
            Self::File(_) => f.write_str("a file"),
            Self::Link(target) => write!(f, "a link to {target}"),
            Self::Special => f.write_str("a device"),
        }
    }
}

/// An archive's files, and the text of those that say what the numbers of owners mean.
#[derive(Debug)]
pub struct Archive {
    /// All files; owners are still numbers.
    pub tree: Tree,
    /// The text of the small files that were asked for.
    pub texts: BTreeMap<String, String>,
}

/// Reads a tar archive; keeps the text of the files that `wanted` picks by their path.
///
/// # Panics
///
/// If it cannot be read.
pub fn read(archive: &Path, wanted: impl Fn(&str) -> bool) -> Archive {
    let file = File::open(archive).unwrap_or_else(|e| panic!("{}: {e}", archive.display()));
    let mut result = Archive { tree: Tree::new(), texts: BTreeMap::new() };
    let mut reader = tar::Archive::new(BufReader::with_capacity(1 << 20, file));
    for entry in reader.entries().expect("a tar archive") {
        let mut entry = entry.expect("an entry of the archive");
        let path = absolute(&entry.path().expect("a path"));
        let node = node(&mut entry, &path, &wanted, &mut result).expect("the entry's content");
        result.tree.insert(path, node);
    }
    result
}

fn node(
    entry: &mut tar::Entry<'_, impl Read>,
    path: &str,
    wanted: &impl Fn(&str) -> bool,
    so_far: &mut Archive,
) -> io::Result<Node> {
    let target = entry.link_name()?.map(|target| target.to_string_lossy().into_owned());
    let kind = match entry.header().entry_type() {
        tar::EntryType::Directory => Kind::Folder,
        tar::EntryType::Symlink => Kind::Link(target.unwrap_or_default()),
        // Another name of a file that came before.
        tar::EntryType::Link => {
            let first = absolute(Path::new(&target.unwrap_or_default()));
            return Ok(so_far.tree[&first].clone());
        }
        kind if kind.is_file() => {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            if wanted(path) {
                let text = String::from_utf8_lossy(&content).into_owned();
                so_far.texts.insert(path.to_owned(), text);
            }
            Kind::File(Content::of(&content))
        }
        _ => Kind::Special,
    };
    let owner = format!("{}:{}", entry.header().uid()?, entry.header().gid()?);
    let mode = entry.header().mode()? & 0o7777;
    Ok(Node { kind, mode, owner, attributes: attributes(entry)? })
}

/// A value with a line end in it is refused: the `tar` crate cannot read it.
///
/// Source: star(1) and tar(1), the PAX keywords `SCHILY.xattr.*`.
fn attributes(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut attributes = BTreeMap::new();
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        let key = extension.key().unwrap_or_default();
        if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
            attributes.insert(name.to_owned(), extension.value_bytes().to_owned());
        }
    }
    Ok(attributes)
}

/// `./usr/bin/` is `/usr/bin`.
fn absolute(path: &Path) -> String {
    let text = path.to_string_lossy();
    let text = text.strip_prefix('.').unwrap_or(&text);
    format!("/{}", text.trim_matches('/'))
}

/// Writes the owners of `tree` as names, as its own `passwd` and `group` have them.
pub fn name_owners(tree: &mut Tree, passwd: &str, group: &str) {
    let (users, groups) = (names(passwd), names(group));
    for node in tree.values_mut() {
        let (user, group) = node.owner.split_once(':').unwrap_or_default();
        let name = |names: &HashMap<&str, &str>, number: &str| {
            names.get(number).map_or_else(|| number.to_owned(), |name| (*name).to_owned())
        };
        node.owner = format!("{}:{}", name(&users, user), name(&groups, group));
    }
}

/// Numbers to names, of passwd(5) or group(5).
fn names(text: &str) -> HashMap<&str, &str> {
    let pair = |line| -> Option<(&str, &str)> {
        let mut fields = str::split(line, ':');
        let name = fields.next()?;
        Some((fields.nth(1)?, name))
    };
    text.lines().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_read_with_owners_links_and_capabilities() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut archive = tar::Builder::new(file.reopen().unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_uid(0);
        header.set_gid(42);
        header.set_mode(0o102755);
        header.set_size(1);
        archive
            .append_pax_extensions([("SCHILY.xattr.security.capability", &b"\x01\0"[..])])
            .unwrap();
        archive.append_data(&mut header, "./usr/bin/chage", &b"x"[..]).unwrap();
        header.set_size(0);
        for (kind, name) in [(tar::EntryType::Symlink, "soft"), (tar::EntryType::Link, "hard")] {
            header.set_entry_type(kind);
            archive.append_link(&mut header, name, "./usr/bin/chage").unwrap();
        }
        archive.finish().unwrap();

        let Archive { mut tree, texts } = read(file.path(), |path| path == "/usr/bin/chage");
        name_owners(&mut tree, "root:x:0:0::/root:/bin/sh\n", "root:x:0:\nshadow:x:42:\n");
        let chage = &tree["/usr/bin/chage"];
        assert_eq!(chage.kind, Kind::File(Content::of(b"x")));
        assert_eq!((chage.mode, chage.owner.as_str()), (0o2755, "root:shadow"));
        assert_eq!(chage.attributes["security.capability"], b"\x01\0");
        assert_eq!(tree["/hard"], *chage);
        assert_eq!(tree["/soft"].kind, Kind::Link("./usr/bin/chage".to_owned()));
        assert_eq!(texts["/usr/bin/chage"], "x");
    }

    #[test]
    fn what_a_compiler_wrote_is_told_by_its_first_bytes() {
        let cases = [
            (&b"\x7fELF\x02\x01"[..], true),
            (b"!<arch>\ndebian-binary", true),
            (b"ELF", false),
            (b"#!/bin/sh\n", false),
            (b"", false),
        ];
        for (bytes, compiled) in cases {
            assert_eq!(Content::of(bytes).compiled, compiled, "{bytes:?}");
        }
    }
}
