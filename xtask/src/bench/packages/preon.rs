//! Our side: a host in a folder, whose own `preon` is called in a chroot.
//!
//! `/usr` is the stack of its layers as a host mounts it, but for verity, for which not every kernel has a device.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use base::ByteSize;
use serde::{Deserialize, Serialize};
use sys::{Filesystem, Limits, LoopDevice, block, mount};

use super::repository::{Image, Maker, Package, Repository, Server};
use crate::command;

/// The store, as the crate `generations` names it.
const STORE: &str = "run/preon/data/preon";

/// As the crate `generations` has a layer read ahead.
const READ_AHEAD: ByteSize = ByteSize(512 * 1024);

const READ_ONLY: Limits = Limits { read_only: true, ..Limits::NONE };

/// What the maker of hosts is told.
#[derive(Serialize)]
struct Wanted<'a> {
    layers: Vec<Vec<&'a Package>>,
    asked: &'a std::collections::BTreeSet<String>,
    mkfs: &'a [String],
    uri: &'a str,
    root_metadata: PathBuf,
}

#[derive(Deserialize)]
struct Manifest {
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Layer {
    erofs: String,
}

/// A host in a folder. Its mounts go with the namespace of whoever measures.
pub(super) struct Host {
    root: PathBuf,
}

/// What hosts are made with.
pub(super) struct Making<'a> {
    pub(super) maker: &'a Maker,
    pub(super) mkfs: &'a [String],
    pub(super) curated: &'a std::collections::BTreeMap<String, Package>,
    pub(super) repository: &'a Repository,
    pub(super) server: &'a Server,
}

impl Making<'_> {
    /// A host whose layers have the packages of `images`, each of which holds those of the one before.
    pub(super) fn host(&self, root: PathBuf, images: &[&Image]) -> Result<Host> {
        let last = images.last().context("a host has an image")?;
        let package = |name: &String| {
            self.curated.get(name).with_context(|| format!("{name} was not curated"))
        };
        let packages = |image: &&Image| image.all.iter().map(package).collect::<Result<_>>();
        let wanted = Wanted {
            layers: images.iter().map(packages).collect::<Result<_>>()?,
            asked: &last.asked,
            mkfs: self.mkfs,
            uri: &self.server.uri,
            root_metadata: self.repository.root_metadata(),
        };
        let folder = root.to_string_lossy().into_owned();
        self.maker.run(&["host", &folder], &serde_json::to_string(&wanted)?)?;
        for folder in ["dev", "etc", "proc", "tmp", "usr", "var/tmp"] {
            fs::create_dir_all(root.join(folder))?;
        }
        for link in ["bin", "lib", "lib64", "sbin"] {
            symlink(Path::new("usr").join(link), root.join(link))?;
        }
        let host = Host { root };
        host.boot(1)?;
        command::run(
            command::program("cp", &["-a"])
                .args([host.root.join("usr/share/preon/etc/."), host.root.join("etc")]),
        )?;
        host.unmount()?;
        Ok(host)
    }
}

impl Host {
    /// The same host again in `folder`, which must not be there; not booted.
    pub(super) fn copy(&self, folder: PathBuf) -> Result<Self> {
        command::run(command::program("cp", &["-a"]).arg(&self.root).arg(&folder))?;
        Ok(Self { root: folder })
    }

    /// Shows generation `number` at `/usr`, as the one that runs.
    pub(super) fn boot(&self, number: u32) -> Result<()> {
        let path = self.root.join(format!("{STORE}/generations/{number}/manifest.json"));
        let manifest: Manifest = serde_json::from_str(&fs::read_to_string(&path)?)?;
        if mount::is_mounted(&self.root.join("usr"))? {
            mount::detach(&self.root.join("usr"))?;
        } else {
            let dev = self.root.join("dev");
            mount::bind(Path::new("/dev"), &dev, Limits::NONE)?;
            Filesystem::new("proc").mount(&self.root.join("proc"))?;
        }
        let mut lower = Vec::new();
        for layer in manifest.layers.iter().rev() {
            lower.push(self.mount_layer(&layer.erofs)?);
        }
        let usr = self.root.join("usr");
        match &lower[..] {
            [one] => mount::bind(one, &usr, Limits::NONE)?,
            several => {
                let overlay = Filesystem::new("overlay").limits(READ_ONLY);
                let overlay = several.iter().fold(overlay, |it, one| it.option("lowerdir+", one));
                overlay.mount(&usr)?;
            }
        }
        Ok(fs::write(self.root.join("run/preon/running"), format!("{number}\n"))?)
    }

    /// Where the layer is mounted by itself.
    fn mount_layer(&self, digest: &str) -> Result<PathBuf> {
        let folder = self.root.join("run/layers").join(digest);
        if !folder.exists() {
            fs::create_dir_all(&folder)?;
        }
        if !mount::is_mounted(&folder)? {
            let device =
                LoopDevice::attach(&self.root.join(format!("{STORE}/layers/{digest}.erofs")))?;
            block::set_read_ahead(device.path(), READ_AHEAD)?;
            Filesystem::new("erofs").on(device.path()).limits(READ_ONLY).mount(&folder)?;
        }
        Ok(folder)
    }

    /// Takes all its mounts away.
    pub(super) fn unmount(&self) -> Result<()> {
        for folder in ["usr", "dev", "proc"] {
            mount::detach(&self.root.join(folder))?;
        }
        let layers = self.root.join("run/layers");
        for layer in layers.read_dir().context("cannot read the mounted layers")? {
            mount::detach(&layer?.path())?;
        }
        Ok(fs::remove_dir_all(layers)?)
    }

    /// A call of its own `preon`.
    pub(super) fn preon(&self, words: &[&str]) -> Command {
        let mut command = command::program("chroot", &[]);
        command.arg(&self.root).arg("/usr/bin/preon").args(words);
        command
    }

    /// Makes a package lie ready as one that was downloaded.
    pub(super) fn keep(&self, package: &Package) -> Result<()> {
        let folder = self.root.join("var/cache/preon/archive/by-hash/sha256");
        fs::create_dir_all(&folder)?;
        fs::copy(&package.deb, folder.join(&package.sha256))?;
        Ok(())
    }

    /// Forgets what was refreshed and fetched.
    pub(super) fn forget(&self) -> Result<()> {
        for folder in ["var/lib/preon/repositories", "var/cache/preon/archive"] {
            let folder = self.root.join(folder);
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
        }
        Ok(())
    }

    /// What its layers and manifests take on the disk, in megabytes.
    pub(super) fn store_megabytes(&self) -> Result<f64> {
        let mut du = command::program("du", &["-s", "--block-size=1"]);
        let text = command::read(du.arg(self.root.join(STORE)))?;
        let bytes: f64 = text.split('\t').next().unwrap_or_default().parse()?;
        Ok(bytes / 1e6)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // After an error they would keep the folder from being removed; most often there are none.
        let _ = self.unmount();
    }
}
