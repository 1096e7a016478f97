//! The root that both mount: a small EROFS image and its hash tree, the same on every machine.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base::Digest;
use formats::Guid;
use formats::verity::{Devices, Superblock};

use super::rival;
use crate::command;

/// How many files there are, and how long each is.
const FILES: u32 = 8;
const FILE_BYTES: usize = 1 << 20;

/// `mkfs.erofs` with its own loader and libraries, `$1` being the folder that they are in, `$2` that of the files. Compressed
/// as layers are.
const MKFS: &str = r#"set -eu
"$1/root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$1/root/usr/lib/x86_64-linux-gnu" \
    "$1/root/usr/bin/mkfs.erofs" --quiet --all-root -T0 -U00000000-0000-0000-0000-000000000000 \
    -zzstd,8 -C65536 -Eztailpacking data "$2"
"#;

/// A verity root.
#[derive(Debug)]
pub(in crate::bench) struct Root {
    data: PathBuf,
    tree: PathBuf,
    /// Its length in sectors, a space, its parameters.
    pub(super) target: String,
}

impl Root {
    /// The disks, in the order in which the machine has them.
    pub(in crate::bench) fn disks(&self) -> [PathBuf; 2] {
        [self.data.clone(), self.tree.clone()]
    }
}

/// Makes a root of a few files, in `folder`.
pub(super) fn make(folder: &Path) -> Result<Root> {
    let files = folder.join("files");
    fs::create_dir(&files).context("cannot make the root's folder")?;
    for index in 0..FILES {
        fs::write(files.join(format!("file-{index}")), content(index))
            .context("cannot write a file of the root")?;
    }
    of(&files, folder)
}

/// Makes a root of what lies in `files`, in `folder`.
pub(in crate::bench) fn of(files: &Path, folder: &Path) -> Result<Root> {
    let debian = rival::folder()?.to_string_lossy().into_owned();
    let mut mkfs = command::program("sh", &["-c", MKFS, "sh", &debian]);
    command::run(mkfs.arg(files).current_dir(folder))?;
    let (data, tree) = (folder.join("data"), folder.join("tree"));
    let target = hash(&data, &tree).context("cannot make the root's hash tree")?;
    Ok(Root { data, tree, target })
}

/// Writes the tree; gives the verity target.
fn hash(data: &Path, tree: &Path) -> Result<String> {
    let superblock =
        Superblock::new(data.metadata()?.len(), Digest::from_bytes([0; 32]), Guid::NIL)?;
    let root_hash =
        superblock.write_tree(BufReader::new(File::open(data)?), File::create(tree)?)?;
    let devices = Devices { data: "/dev/vda", tree: "/dev/vdb", root_hash, options: &[] };
    Ok(format!("{} {}\n", superblock.sectors(), superblock.table(&devices)))
}

/// Text that halves when it is compressed: random numbers, the same each time.
///
/// Source: Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8 (14), 2003.
fn content(index: u32) -> Vec<u8> {
    let mut state = u64::from(index) + 1;
    let mut text = Vec::with_capacity(FILE_BYTES + 20);
    while text.len() < FILE_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.extend(format!("{state:x}\n").bytes());
    }
    text.truncate(FILE_BYTES);
    text
}
