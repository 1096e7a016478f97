//! Debian 13's cloud kernel and its modules, taken out of the package.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Kernel, modules};
use crate::bench::unpacked::Unpacked;
use crate::command;

/// What Debian's kernel needs to reach a verity root on a virtio disk. That SHA-256 has instructions
/// of its own its userspace knows from the processor; here it is said.
const MODULES: [&str; 5] = ["virtio_pci", "virtio_blk", "sha256-ssse3", "dm-verity", "erofs"];

/// `depmod` with its own loader and libraries: it writes what the package's script would.
const DEPMOD: &str = r#"set -eu
version=$(ls root/usr/lib/modules)
root/usr/lib64/ld-linux-x86-64.so.2 --library-path root/usr/lib/x86_64-linux-gnu \
    --argv0 depmod root/usr/bin/kmod -b root/usr "$version"
"#;

const DEBIAN: Unpacked = Unpacked {
    name: "kernel-13",
    what: "kernel",
    packages: "linux-image-cloud-amd64,kmod,erofs-utils",
};

/// The folder with Debian's files in `root`, `mkfs.erofs` among them.
pub(super) fn folder() -> Result<PathBuf> {
    DEBIAN.folder(|folder| {
        let mut depmod = command::program("sh", &["-c", DEPMOD]);
        command::run(depmod.current_dir(folder))
    })
}

/// Debian's kernel. Its modules stay compressed: the kernel unpacks them itself, as it does with
/// those in an initrd of Debian's.
pub(super) fn kernel() -> Result<Kernel> {
    let root = folder()?.join("root");
    let tree = only(&root.join("usr/lib/modules"), "")?;
    let read = |name: &str| {
        let path = tree.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let order = modules::order(&read("modules.dep")?, &read("modules.builtin")?, &MODULES)?;
    Ok(Kernel {
        image: only(&root.join("boot"), "vmlinuz-")?,
        command_line: "console=ttyS0 quiet".into(),
        modules: order.iter().map(|path| tree.join(path)).collect(),
    })
}

/// What is in `folder` and starts with `prefix`.
fn only(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(folder);
    let entries = entries.with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let found = paths.find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    });
    found.with_context(|| format!("there is no {prefix}* in {}", folder.display()))
}
