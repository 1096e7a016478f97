//! For tests: the real image tools, and disks that are soon full.

use std::path::Path;
use std::process::Command;

use base::child;
use clap::Parser;

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
