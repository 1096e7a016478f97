//! Programs that a host does not have and a test of it needs, on a disk of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::{as_root, run};

/// The label of the disk's filesystem.
pub const LABEL: &str = "tools";
/// Rises when the disk would be another one for the same packages.
const METHOD: &str = "1";
/// Debian's, with what they depend on.
const PACKAGES: [&str; 15] = [
    "base-files",
    "bash",
    "btrfs-progs",
    "busybox-static",
    "coreutils",
    "cryptsetup-bin",
    "fuse2fs",
    "ipvsadm",
    "iputils-ping",
    "keyutils",
    "nfs-common",
    "nfs-kernel-server",
    "python3",
    "socat",
    "wireguard-tools",
];
/// Packs what comes as a tar archive into the filesystem `$2` with the label `$1`, in the folder `$0`.
const PACK: &str = r#"cd "$0" && PATH="$PATH:/usr/sbin:/sbin" && mkdir tree &&
    tar -xf tools.tar -C tree --exclude='./dev/*' &&
    mke2fs -q -t ext4 -O ^has_journal -m 0 -L "$1" -d tree "$2" 224M && rm -r tree"#;

/// A raw disk with the programs. Made once for each list of packages, kept in `folder`: what it is to
/// do is to run, not to be up to date.
///
/// # Panics
///
/// If mmdebstrap or mke2fs cannot make it.
pub fn disk(folder: &Path) -> PathBuf {
    let digest = Sha256::digest(format!("{METHOD} {PACKAGES:?}"));
    let name: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let disk = folder.join(format!("tools-{name}.ext4"));
    if disk.exists() {
        return disk;
    }
    fs::create_dir_all(folder).expect("a folder for the tools");
    let staging = tempfile::tempdir_in(folder).expect("a temporary folder");
    let mut bootstrap = Command::new("mmdebstrap");
    bootstrap
        // Unpacked only: no script need run for programs that are called by their path.
        .args(["--variant=extract", &format!("--include={}", PACKAGES.join(","))])
        .args(
            ["doc", "man", "locale"]
                .map(|kind| format!("--dpkgopt=path-exclude=/usr/share/{kind}/*")),
        )
        .args([Path::new("trixie"), &staging.path().join("tools.tar")])
        .args(testkit::debian::sources().expect("Debian's archive"));
    run(&mut bootstrap);
    run(as_root("sh").args(["-c", PACK]).arg(staging.path()).args([LABEL, "tools.ext4"]));
    fs::rename(staging.path().join("tools.ext4"), &disk).expect("the disk in its place");
    disk
}
