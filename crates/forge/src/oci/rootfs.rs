//! The root of a container: the tree's `/usr`, `/etc` in its place, and what the initrd makes on
//! a host.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::sync::Arc;

use compose::tree::{Content, Kind, Node, Tree};
use tar::{Builder, EntryType, Header};

/// Folders of the root that belong to no package: path and mode.
const FOLDERS: [(&str, u32); 16] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
];

/// Links of the root: path, target, and what must be in the tree for it.
const LINKS: [(&str, &str, &str); 7] = [
    ("bin", "usr/bin", "usr/bin"),
    ("lib", "usr/lib", "usr/lib"),
    ("lib64", "usr/lib64", "usr/lib64"),
    ("sbin", "usr/sbin", "usr/sbin"),
    ("var/lib/dpkg", "../../usr/lib/preon/dpkg", "usr/lib/preon/dpkg"), // for scanners; tmpfiles makes it on a host
    ("var/lock", "../run/lock", "usr"),
    ("var/run", "../run", "usr"),
];

/// One thing in the root.
enum Item<'a> {
    /// Ours.
    Folder(u32),
    /// Ours.
    Link(&'static str),
    /// The tree's.
    Node(&'a Node),
}

/// Writes the root as a tar stream: sorted, every time 0.
///
/// # Errors
///
/// Whatever reading a content or writing fails with.
pub(super) fn write(tree: &Tree, output: impl Write) -> io::Result<()> {
    let mut builder = Builder::new(output);
    let mut first_names: HashMap<*const Content, String> = HashMap::new();
    for (path, item) in items(tree) {
        let node = match item {
            Item::Folder(mode) => {
                let mut header = header(EntryType::Directory, mode);
                builder.append_data(&mut header, format!("{path}/"), io::empty())?;
                continue;
            }
            Item::Link(target) => {
                builder.append_link(&mut header(EntryType::Symlink, 0o777), path, target)?;
                continue;
            }
            Item::Node(node) => node,
        };
        let Kind::File(content) = &node.kind else {
            append(&mut builder, &path, node)?;
            continue;
        };
        let mut header = of_node(&mut builder, EntryType::Regular, node)?;
        if let Some(first) = first_names.get(&Arc::as_ptr(content)) {
            header.set_entry_type(EntryType::Link);
            builder.append_link(&mut header, &path, first)?;
        } else {
            header.set_size(content.len());
            builder.append_data(&mut header, &path, content.reader())?;
            first_names.insert(Arc::as_ptr(content), path);
        }
    }
    builder.into_inner()?.flush()
}

/// Writes what is no plain file.
fn append(builder: &mut Builder<impl Write>, path: &str, node: &Node) -> io::Result<()> {
    match &node.kind {
        Kind::Folder => {
            let mut header = of_node(builder, EntryType::Directory, node)?;
            builder.append_data(&mut header, format!("{path}/"), io::empty())
        }
        Kind::Symlink(target) => {
            let mut header = of_node(builder, EntryType::Symlink, node)?;
            builder.append_link(&mut header, path, target)
        }
        // A base image has no lower layer whose files could be gone.
        Kind::Whiteout | Kind::File(_) => Ok(()),
    }
}

/// Everything by path, as the container sees it, without a slash in front.
fn items(tree: &Tree) -> BTreeMap<String, Item<'_>> {
    let mut items: BTreeMap<_, _> =
        FOLDERS.iter().map(|(path, mode)| ((*path).to_owned(), Item::Folder(*mode))).collect();
    for (path, target, needs) in LINKS {
        if tree.get(needs).is_some() {
            items.insert(path.to_owned(), Item::Link(target));
        }
    }
    for (path, node) in tree.iter() {
        let path = path.on_host().trim_start_matches('/').to_owned();
        items.insert(path, Item::Node(node));
    }
    items
}

/// The header of a node. Its extended attributes go before it.
fn of_node(builder: &mut Builder<impl Write>, kind: EntryType, node: &Node) -> io::Result<Header> {
    let keys: Vec<_> = node.xattrs.keys().map(|name| format!("SCHILY.xattr.{name}")).collect();
    if !keys.is_empty() {
        let values = node.xattrs.values().map(Vec::as_slice);
        builder.append_pax_extensions(keys.iter().map(String::as_str).zip(values))?;
    }
    let mut header = header(kind, node.mode);
    header.set_uid(u64::from(node.uid));
    header.set_gid(u64::from(node.gid));
    Ok(header)
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}
