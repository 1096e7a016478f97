//! For tests: the real image tools, disks that are soon full, programs for UEFI.

use std::path::Path;
use std::process::Command;

use base::child;
use clap::Parser;
use formats::pe::{self, Addition};

use crate::Forge;
use crate::context::Context;
use crate::tools::ToolRoot;

/// The checkout that is tested, and mkfs.erofs and mke2fs as an image build runs them: fetched
/// unless the cache has them.
pub(crate) fn image_tools() -> (Context, ToolRoot) {
    let context = Context::open(Forge::parse_from(["forge", "cache", "show"]).options);
    let context = context.unwrap_or_else(|error| panic!("{error}"));
    let tools = ToolRoot::open(&context, "image").unwrap_or_else(|error| panic!("{error}"));
    (context, tools)
}

/// A disk of so many kibibytes, in memory; only root in a mount namespace can have one.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub(crate) fn new(kibibytes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={kibibytes}k");
        let mut mount = Command::new("mount");
        child::run(mount.args(["-t", "tmpfs", "-o", &size, "none"]).arg(folder.path())).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The namespace takes it along anyway.
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// Bytes that no compression makes fewer.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(step).flatten().take(bytes).collect()
}

/// A program for UEFI with these sections, as small as they come.
pub(crate) fn program(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = vec![0; 0x400];
    #[rustfmt::skip]
    let fields: [(usize, &[u8]); 9] = [
        (0x00, b"MZ"), (0x3c, &[0x40]), (0x40, b"PE"), (0x44, &[0x64, 0x86]), // for x86-64
        (0x54, &[0xf0]), (0x58, &[0x0b, 0x02]),                               // size of the optional header, PE32+
        (0x78, &[0x00, 0x10]), (0x7c, &[0x00, 0x02]),                         // alignment in memory and in the file
        (0x94, &[0x00, 0x04]),                                                // size of the headers
    ];
    for (at, bytes) in fields {
        file[at..at + bytes.len()].copy_from_slice(bytes);
    }
    file[0x91] = 0x10; // size of the image
    file[0xc4] = 16; // data directories
    let additions = sections.iter().map(|(name, content)| Addition { name, content });
    pe::append(&file, &additions.collect::<Vec<_>>()).unwrap()
}
