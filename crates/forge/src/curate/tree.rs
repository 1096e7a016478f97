//! The files of one package, by their path on the host: read from a `.deb`, changed, written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use packages::deb::{Deb, Entry, Kind, Limits, Writer};

use super::links;
use super::{Problem, select};
use crate::recipe::canonical;

/// Where defaults for `/etc` lie in a curated package.
const ETC: &str = "/usr/share/preon/etc";

/// What lies at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Permission bits, with set-user-id, set-group-id and sticky.
    pub(super) mode: u32,
    /// The owner's number.
    pub(super) uid: u32,
    /// The group's number.
    pub(super) gid: u32,
    /// Seconds since 1970.
    pub(super) mtime: u64,
    /// Extended attributes, by full name.
    pub(super) xattrs: Vec<(String, Vec<u8>)>,
    /// What it is.
    pub(super) shape: Shape,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A folder.
    Folder,
    /// A plain file: the number of its content. Hard links share one.
    File(usize),
    /// A symbolic link to this text.
    Link(String),
    /// A device or pipe, which no curated package may hold.
    Special,
}

impl Node {
    /// A node of ours: it belongs to root and has no time.
    pub(super) fn ours(mode: u32, shape: Shape) -> Self {
        Self { mode, uid: 0, gid: 0, mtime: 0, xattrs: Vec::new(), shape }
    }
}

/// The files of a package, by their path on the host (absolute, merged `/usr`, `/etc` in place).
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    /// Everything, by path: a folder sorts before what is in it.
    pub(super) nodes: BTreeMap<String, Node>,
    contents: Vec<Vec<u8>>,
}

impl Tree {
    /// Reads all files of `deb`.
    ///
    /// # Errors
    ///
    /// [`Problem`] if the package is unsound, or has two files where merged `/usr` has one.
    pub(super) fn read(deb: &Deb) -> Result<Self, Problem> {
        let mut tree = Self::default();
        deb.visit(Limits::default(), |entry, content| tree.admit(entry, content))?;
        Ok(tree)
    }

    fn admit(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), Problem> {
        let original = format!("/{}", entry.path);
        let path = canonical(&original);
        if self.is_merged_root(&original, entry) {
            return Ok(());
        }
        let shape = match &entry.kind {
            Kind::Directory => Shape::Folder,
            Kind::Symlink(text) => Shape::Link(links::merged(&original, text)),
            Kind::File => {
                let mut bytes = Vec::new();
                content
                    .read_to_end(&mut bytes)
                    .map_err(|source| Problem::Content { path: original.clone(), source })?;
                self.content(bytes)
            }
            Kind::HardLink(target) => {
                let target = canonical(&format!("/{target}"));
                match self.nodes.get(&target) {
                    Some(Node { shape: Shape::File(number), .. }) => Shape::File(*number),
                    _ => Shape::Special,
                }
            }
            Kind::CharacterDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => Shape::Special,
        };
        let Entry { mode, uid, gid, mtime, ref xattrs, .. } = *entry;
        let node = Node { mode, uid, gid, mtime, xattrs: xattrs.clone(), shape };
        let node = match &entry.kind {
            // One file under two names: what it is stands at the name that came first.
            Kind::HardLink(target) => match self.nodes.get(&canonical(&format!("/{target}"))) {
                Some(Node { mode, uid, gid, mtime, xattrs, .. }) => {
                    let (mode, uid, gid, mtime) = (*mode, *uid, *gid, *mtime);
                    Node { mode, uid, gid, mtime, xattrs: xattrs.clone(), shape: node.shape }
                }
                None => node,
            },
            _ => node,
        };
        self.merge(path, node)
    }

    /// Whether the entry is one of the folders or links `/bin`, `/lib` … themselves.
    fn is_merged_root(&self, original: &str, entry: &Entry) -> bool {
        let top = original.matches('/').count() == 1;
        top && canonical(original) != original && entry.kind != Kind::File
    }

    /// Puts a node in place; where `/bin/x` and `/usr/bin/x` meet, a link to the other yields.
    fn merge(&mut self, path: String, node: Node) -> Result<(), Problem> {
        let yields = |node: &Node| match &node.shape {
            Shape::Link(text) => links::target(&path, text) == path,
            _ => false,
        };
        match self.nodes.get(&path) {
            Some(Node { shape: Shape::Folder, .. }) if node.shape == Shape::Folder => return Ok(()),
            Some(_) if yields(&node) => return Ok(()),
            Some(there) if !yields(there) => return Err(Problem::MetTwice { path }),
            _ => {}
        }
        self.nodes.insert(path, node);
        Ok(())
    }

    /// Keeps `bytes` and gives the shape of a file that holds them.
    fn content(&mut self, bytes: Vec<u8>) -> Shape {
        self.contents.push(bytes);
        Shape::File(self.contents.len() - 1)
    }

    /// Puts a file of ours at `path`, whatever was there.
    pub(super) fn put_file(&mut self, path: String, executable: bool, bytes: Vec<u8>) {
        let shape = self.content(bytes);
        self.nodes.insert(path, Node::ours(if executable { 0o755 } else { 0o644 }, shape));
    }

    /// Gives what is at `path` another mode, by all names that the file has; says whether there is anything.
    pub(super) fn set_mode(&mut self, path: &str, mode: u32) -> bool {
        let Some(shape) = self.nodes.get(path).map(|node| node.shape.clone()) else { return false };
        for (other, node) in &mut self.nodes {
            let is_same = matches!(shape, Shape::File(_)) && node.shape == shape;
            if is_same || other == path {
                node.mode = mode;
            }
        }
        true
    }

    /// The content of the plain file at `path`.
    pub(super) fn bytes(&self, path: &str) -> Option<&[u8]> {
        match self.nodes.get(path)?.shape {
            Shape::File(number) => self.contents.get(number).map(Vec::as_slice),
            _ => None,
        }
    }

    /// The first path below something that is no folder, with what that is: a file of ours may
    /// lie where the package has a link.
    fn below_file(&self) -> Option<(String, String)> {
        self.nodes.keys().find_map(|path| {
            let is_file = |above: &&str| {
                self.nodes.get(*above).is_some_and(|node| node.shape != Shape::Folder)
            };
            let above = select::above(path).find(is_file)?;
            Some((path.clone(), above.to_owned()))
        })
    }

    /// The tree as a curated package holds it: `/etc` moved.
    ///
    /// # Errors
    ///
    /// [`Problem`] if something is left that a curated package must not hold.
    pub(super) fn into_layer(mut self) -> Result<Self, Problem> {
        self.nodes = self.nodes.into_iter().map(|(path, node)| (layer_path(path), node)).collect();
        if let Some((path, above)) = self.below_file() {
            return Err(Problem::BelowFile { path, above });
        }
        if let Some((path, _)) = self.nodes.iter().find(|(_, node)| node.shape == Shape::Special) {
            return Err(Problem::Special { path: path.clone() });
        }
        Ok(self)
    }

    /// Writes all files, in the order of their paths; of hard links the first is the file. Folders that are
    /// missing above them come before them, as no more than implied: dpkg makes none by itself.
    ///
    /// # Errors
    ///
    /// None in practice: everything is in memory.
    pub(super) fn write(&self, writer: &mut Writer) -> io::Result<()> {
        let mut first: BTreeMap<usize, &str> = BTreeMap::new();
        let mut implied = BTreeSet::new();
        for (path, node) in &self.nodes {
            for above in select::above(path) {
                if !self.nodes.contains_key(above) && implied.insert(above) {
                    let entry = Entry::implied_folder(above.trim_start_matches('/'));
                    writer.add(&entry, &mut io::empty())?;
                }
            }
            let mut content: &[u8] = &[];
            let kind = match &node.shape {
                Shape::Folder => Kind::Directory,
                Shape::Link(text) => Kind::Symlink(text.clone()),
                Shape::Special => return Err(io::Error::other(format!("{path} is a device"))),
                Shape::File(number) => match first.get(number) {
                    Some(target) => Kind::HardLink(target.trim_start_matches('/').to_owned()),
                    None => {
                        first.insert(*number, path);
                        content = &self.contents[*number];
                        Kind::File
                    }
                },
            };
            let hard = matches!(kind, Kind::HardLink(_));
            let entry = Entry {
                path: path.trim_start_matches('/').to_owned(),
                kind,
                mode: node.mode,
                uid: node.uid,
                gid: node.gid,
                mtime: node.mtime,
                xattrs: if hard { Vec::new() } else { node.xattrs.clone() },
                size: content.len() as u64,
            };
            writer.add(&entry, &mut content)?;
        }
        Ok(())
    }

    /// The value of `Installed-Size`: files in started kilobytes (1024 bytes), once for all hard
    /// links, and one for everything else.
    ///
    /// Source: Debian Policy, section 5.6.20, and dpkg-gencontrol(1).
    pub(super) fn installed_kilobytes(&self) -> u64 {
        let mut counted = BTreeSet::new();
        let kilobytes = |node: &Node| match node.shape {
            Shape::File(number) if !counted.insert(number) => 0,
            Shape::File(number) => (self.contents[number].len() as u64).div_ceil(1024),
            _ => 1,
        };
        self.nodes.values().map(kilobytes).sum()
    }
}

/// Where the file that is at `path` on the host lies in a layer.
fn layer_path(path: String) -> String {
    match path.strip_prefix("/etc") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{ETC}{rest}"),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etc_is_moved_below_usr() {
        #[rustfmt::skip]
        let cases = [
            ("/etc/ssh/sshd_config", "/usr/share/preon/etc/ssh/sshd_config"),
            ("/etc",                 "/usr/share/preon/etc"),
            ("/etcetera",            "/etcetera"),
            ("/usr/etc/x",           "/usr/etc/x"),
        ];
        for (path, expected) in cases {
            assert_eq!(layer_path(path.to_owned()), expected, "{path}");
        }
    }
}
