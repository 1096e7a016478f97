//! A tree as a tar stream whose bytes depend on nothing but the tree and the epoch.
//!
//! Source: pax(1) of POSIX.1-2017, "ustar Interchange Format" and "pax Extended Header";
//! `SCHILY.xattr.` is star's convention, which mkfs.erofs reads.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use tar::{Builder, EntryType, Header};

use crate::path::UsrPath;
use crate::tree::{Content, Kind, Node, Tree};

/// The room for a name or a link's target in a ustar header.
const NAME: usize = 100;

/// Writes `tree` to `output`: sorted, names relative to `/usr`, every time `epoch` (seconds
/// since 1970). Returns how many files there are: one with several names counts once.
///
/// # Errors
///
/// Whatever reading a content or writing fails with.
pub fn write(tree: &Tree, epoch: u64, output: impl Write) -> io::Result<u64> {
    let mut builder = Builder::new(output);
    let mut files = 0;
    let mut first_names: HashMap<*const Content, &UsrPath> = HashMap::new();
    for (path, node) in tree.iter() {
        files += 1;
        let mut entry = Draft::new(path, node, epoch);
        if let Kind::File(content) = &node.kind {
            match first_names.entry(Arc::as_ptr(content)) {
                std::collections::hash_map::Entry::Occupied(first) => {
                    entry.link(EntryType::Link, first.get().in_layer());
                    files -= 1;
                }
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(path);
                    entry.header.set_size(content.len());
                    entry.append(&mut builder, content.reader())?;
                    continue;
                }
            }
        }
        entry.append(&mut builder, io::empty())?;
    }
    builder.into_inner()?.flush()?;
    Ok(files)
}

/// One entry: its header, and what does not fit into it.
struct Draft<'a> {
    header: Header,
    extended: Vec<(String, &'a [u8])>,
}

impl<'a> Draft<'a> {
    fn new(path: &'a UsrPath, node: &'a Node, epoch: u64) -> Self {
        let mut header = Header::new_ustar();
        header.set_mode(node.mode);
        header.set_uid(u64::from(node.uid));
        header.set_gid(u64::from(node.gid));
        header.set_mtime(epoch);
        header.set_size(0);
        let xattrs = node.xattrs.iter();
        let extended = xattrs.map(|(name, value)| (format!("SCHILY.xattr.{name}"), &value[..]));
        let mut entry = Self { header, extended: extended.collect() };
        let name = match path.in_layer() {
            "" => "./",
            name => name,
        };
        copy_start(name, &mut entry.header.as_old_mut().name);
        if name.len() > NAME {
            entry.extended.push(("path".to_owned(), name.as_bytes()));
        }
        match &node.kind {
            Kind::Folder => entry.header.set_entry_type(EntryType::Directory),
            Kind::File(_) => entry.header.set_entry_type(EntryType::Regular),
            Kind::Symlink(target) => entry.link(EntryType::Symlink, target),
            Kind::Whiteout => {
                entry.header.set_entry_type(EntryType::Char);
                entry.header.set_mode(0);
                // In digits: mkfs.erofs takes the header's own empty fields for no number. They exist: it is ustar.
                let _ = entry.header.set_device_major(0);
                let _ = entry.header.set_device_minor(0);
            }
        }
        entry
    }

    fn link(&mut self, kind: EntryType, target: &'a str) {
        self.header.set_entry_type(kind);
        copy_start(target, &mut self.header.as_old_mut().linkname);
        if target.len() > NAME {
            self.extended.push(("linkpath".to_owned(), target.as_bytes()));
        }
    }

    fn append(
        mut self,
        builder: &mut Builder<impl Write>,
        content: impl io::Read,
    ) -> io::Result<()> {
        self.extended.sort();
        if !self.extended.is_empty() {
            let records = self.extended.iter().map(|(key, value)| (key.as_str(), *value));
            builder.append_pax_extensions(records)?;
        }
        self.header.set_cksum();
        builder.append(&self.header, content)
    }
}

/// Copies as much of `text` as fits; the whole is in the extended header then.
fn copy_start(text: &str, field: &mut [u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::tree::Origin;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        let file = |mode| Node { mode, gid: 42, ..Node::file("content", Origin::Composed) };
        let set_id = file(0o4755);
        let long = format!("usr/{}/{}", "d".repeat(90), "é".repeat(90));
        let capability = [("security.capability".to_owned(), vec![1, 0, 0, 2, 0xff, b'\n'])];
        for (path, node) in [
            ("usr/bin/a", set_id.clone()),
            ("usr/bin/b", set_id), // the same file
            ("usr/bin/ping", Node { xattrs: capability.into(), ..file(0o755) }),
            ("usr/lib/gone", Node::new(Kind::Whiteout, Origin::Composed)),
            ("usr/lib64", Node::symlink("x".repeat(120), Origin::Composed)),
            (&long, file(0o600)),
        ] {
            tree.add(UsrPath::new(path).unwrap(), node).unwrap();
        }
        tree
    }

    fn bytes(tree: &Tree) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(tree, 1_700_000_000, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_stream_holds_what_the_tree_holds() {
        let bytes = bytes(&tree());
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut lines = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let link =
                entry.link_name_bytes().map(|name| String::from_utf8(name.into_owned()).unwrap());
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 1_700_000_000, "{path}");
            if header.entry_type() == EntryType::Char {
                let ustar = header.as_ustar().unwrap();
                assert_eq!((&ustar.dev_major, &ustar.dev_minor), (b"0000000\0", b"0000000\0"));
            }
            let (mode, gid) = (header.mode().unwrap(), header.gid().unwrap());
            let kind = header.entry_type();
            lines.push(format!(
                "{kind:?} {path} {mode:o} {gid} {} {text}",
                link.unwrap_or_default()
            ));
        }
        let (d, e, x) = ("d".repeat(90), "é".repeat(90), "x".repeat(120));
        assert_eq!(
            lines,
            [
                "Directory ./ 755 0  ".to_owned(),
                "Directory bin 755 0  ".to_owned(),
                "Regular bin/a 4755 42  content".to_owned(),
                "Link bin/b 4755 42 bin/a ".to_owned(),
                "Regular bin/ping 755 42  content".to_owned(),
                format!("Directory {d} 755 0  "),
                format!("Regular {d}/{e} 600 42  content"),
                "Directory lib 755 0  ".to_owned(),
                "Char lib/gone 0 0  ".to_owned(),
                format!("Symlink lib64 777 0 {x} "),
            ]
        );
    }

    #[test]
    fn capabilities_travel_as_they_are() {
        let record = b"43 SCHILY.xattr.security.capability=\x01\0\0\x02\xff\n\n";
        assert_eq!(record.len(), 43);
        let bytes = bytes(&tree());
        let found = bytes.windows(record.len()).filter(|window| window == record).count();
        assert_eq!(found, 1, "a newline in the value does not end it: the length does");
    }

    #[test]
    fn another_order_of_adding_gives_the_same_bytes() {
        let one = tree();
        let mut other = Tree::default();
        let nodes: Vec<_> = one.iter().map(|(path, node)| (path.clone(), node.clone())).collect();
        for (path, node) in nodes.into_iter().rev() {
            other.add(path, node).unwrap();
        }
        assert_eq!(bytes(&one), bytes(&other));
    }
}
