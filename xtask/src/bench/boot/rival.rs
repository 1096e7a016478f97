//! Debian 13 with the packages of the minimal image and Debian's cloud kernel, made by mmdebstrap.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use testkit::debian;

use crate::{command, progress, run};

/// What Debian needs besides, to boot: ours has its own kernel, initrd and network settings.
const BESIDES: [&str; 3] = ["linux-image-cloud-amd64", "initramfs-tools", "systemd-boot-efi"];

/// Done in the system, whose folder is `$1`: network and services. All else is Debian's default.
const FINISH: &str = r#"set -eu
printf '[Match]\nName=en*\n[Network]\nDHCP=yes\n' > "$1/etc/systemd/network/80-dhcp.network"
echo 'LABEL=root / ext4 defaults 0 1' > "$1/etc/fstab"
echo debian > "$1/etc/hostname"
chroot "$1" systemctl enable systemd-networkd systemd-resolved ssh docker
"#;

/// Makes the disk in the current folder: GPT, ESP with systemd-boot, the filesystem.
const ASSEMBLE: &str = r#"set -eu
truncate -s 2G root.ext4
mke2fs -q -t ext4 -L root -d root root.ext4
truncate -s 128M esp
mkfs.vfat -n ESP esp > mkfs.log
printf 'title Debian\nlinux /linux\ninitrd /initrd\noptions root=LABEL=root console=ttyS0 quiet\n' > debian.conf
mmd -i esp ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries
mcopy -i esp root/usr/lib/systemd/boot/efi/systemd-bootx64.efi ::/EFI/BOOT/BOOTX64.EFI
mcopy -i esp root/boot/vmlinuz-* ::/linux
mcopy -i esp root/boot/initrd.img-* ::/initrd
mcopy -i esp debian.conf ::/loader/entries/
truncate -s 2178M disk.raw
printf 'label: gpt\nstart=1MiB,size=128MiB,type=U\nstart=129MiB,size=2048MiB,type=L\n' | sfdisk -q disk.raw
dd if=esp of=disk.raw bs=1M seek=1 conv=notrunc,sparse status=none
dd if=root.ext4 of=disk.raw bs=1M seek=129 conv=notrunc,sparse status=none
rm -r root esp root.ext4 debian.conf mkfs.log
"#;

#[derive(Deserialize)]
struct Image {
    packages: Vec<String>,
}

/// The disk; made once for each list of packages, below `target/`. Needs root: it is Debian's
/// own installation, scripts and owners included.
pub(super) fn disk() -> Result<PathBuf> {
    let packages = packages()?;
    let mut hasher = DefaultHasher::new();
    (&packages, FINISH, ASSEMBLE).hash(&mut hasher);
    let name = format!("target/bench/debian-{:016x}", hasher.finish());
    let folder = command::workspace().join(name);
    let disk = folder.join("disk.raw");
    if !disk.exists() {
        progress::show("making a Debian 13 to compare with", || make(&folder, &packages))?;
    }
    Ok(disk)
}

/// The image's packages, as far as they are Debian's, and what Debian needs to boot.
fn packages() -> Result<Vec<String>> {
    let path = command::workspace().join(format!("os/images/{}.toml", run::IMAGE));
    let text = fs::read_to_string(&path).context("cannot read the image's definition")?;
    let image: Image = toml::from_str(&text).context("cannot read the image's definition")?;
    let theirs = image.packages.into_iter().filter(|name| !name.starts_with("preon-"));
    Ok(theirs.chain(BESIDES.map(str::to_owned)).collect())
}

fn make(folder: &Path, packages: &[String]) -> Result<()> {
    let parent = folder.parent().unwrap_or(folder);
    fs::create_dir_all(parent).context("cannot make target/bench")?;
    let staging = tempfile::tempdir_in(parent).context("cannot make a folder in target/bench")?;
    let log = staging.path().join("mmdebstrap.log");
    let include = format!("--include={}", packages.join(","));
    let log_file = format!("--logfile={}", log.display());
    let hook = format!("--customize-hook={FINISH}");
    let options = ["--variant=minbase", "--mode=root", &include, &log_file, &hook];
    let mut bootstrap = command::program("mmdebstrap", &options);
    bootstrap.args(["trixie", "root"]).args(debian::sources()?);
    command::run(bootstrap.current_dir(staging.path())).with_context(|| {
        fs::read_to_string(&log).unwrap_or_else(|_| "mmdebstrap wrote no log".into())
    })?;
    let mut assemble = command::program("sh", &["-c", ASSEMBLE]);
    command::run(assemble.current_dir(staging.path()))?;
    fs::rename(staging.keep(), folder).context("cannot put the disk in its place")
}
