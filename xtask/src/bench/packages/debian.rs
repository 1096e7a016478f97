//! apt's side: Debian 13 with the same packages, in a chroot.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use sys::{Filesystem, Limits, mount};
use testkit::debian;

use super::repository::{Repository, Server};
use crate::{command, progress};

/// Nothing but our repository, whose packages win over Debian's: but for two without which dpkg does not run. Of
/// base-files an image has the links from its initrd, of libc-bin no ldconfig.
const PREFERENCES: &str = "\
Package: *
Pin: origin \"127.0.0.1\"
Pin-Priority: 1001

Package: base-files libc-bin
Pin: origin \"127.0.0.1\"
Pin-Priority: -1
";

/// Some packages that only Debian's need hold links that ours have, too.
const CONFIGURATION: &str = "\
APT::Install-Recommends \"false\";
Dpkg::Use-Pty \"false\";
Dpkg::Options { \"--force-overwrite\"; };
";

/// A Debian in a folder.
pub(super) struct Debian {
    root: PathBuf,
}

impl Debian {
    /// Debian 13 with `packages`, each as `repository` has it.
    pub(super) fn install(
        root: PathBuf,
        packages: &BTreeSet<String>,
        (repository, server): (&Repository, &Server),
    ) -> Result<Self> {
        let list: Vec<_> = packages.iter().map(String::as_str).collect();
        let include = format!("--include={}", list.join(","));
        let mut bootstrap = command::program("mmdebstrap", &["--quiet", "--variant=apt", &include]);
        bootstrap.arg("trixie").arg(&root).args(debian::sources()?);
        progress::show("making Debian 13 with the same packages", || {
            command::read(&mut bootstrap)
        })?;
        let this = Self { root };
        let keyring = "usr/share/keyrings/preon.gpg";
        fs::copy(repository.folder.join("preon-archive-keyring.gpg"), this.root.join(keyring))?;
        let source = format!("deb [signed-by=/{keyring}] {} preon-trixie main\n", server.uri);
        this.write("etc/apt/sources.list", &source)?;
        this.write("etc/apt/preferences", PREFERENCES)?;
        this.write("etc/apt/apt.conf.d/99bench", CONFIGURATION)?;
        this.mount()?;
        command::read(&mut this.apt_get(&["update"]))?;
        let words = ["--yes", "--allow-downgrades", "dist-upgrade"];
        progress::show("giving it our packages", || command::read(&mut this.apt_get(&words)))?;
        command::read(&mut this.apt_get(&["clean"]))?;
        this.unmount()?;
        Ok(this)
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.root.join(path), text)?)
    }

    /// The same system again in `folder`, which must not be there.
    pub(super) fn copy(&self, folder: PathBuf) -> Result<Self> {
        command::run(command::program("cp", &["-a"]).arg(&self.root).arg(&folder))?;
        Ok(Self { root: folder })
    }

    pub(super) fn mount(&self) -> Result<()> {
        mount::bind(Path::new("/dev"), &self.root.join("dev"), Limits::NONE)?;
        Ok(Filesystem::new("proc").mount(&self.root.join("proc"))?)
    }

    pub(super) fn unmount(&self) -> Result<()> {
        for folder in ["dev", "proc"] {
            mount::detach(&self.root.join(folder))?;
        }
        Ok(())
    }

    pub(super) fn apt_get(&self, words: &[&str]) -> Command {
        self.program("/usr/bin/apt-get", words)
    }

    pub(super) fn apt_cache(&self, words: &[&str]) -> Command {
        self.program("/usr/bin/apt-cache", words)
    }

    fn program(&self, program: &str, words: &[&str]) -> Command {
        let mut command = command::program("chroot", &[]);
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
        command.arg(&self.root).arg(program).args(words);
        command
    }

    /// Forgets what was refreshed and fetched.
    pub(super) fn forget(&self) -> Result<()> {
        let lists = self.root.join("var/lib/apt/lists");
        fs::remove_dir_all(&lists)?;
        fs::create_dir_all(lists.join("partial"))?;
        for cache in ["pkgcache.bin", "srcpkgcache.bin"] {
            let path = self.root.join("var/cache/apt").join(cache);
            if path.exists() {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        // After an error they would keep the folder from being removed; most often there are none.
        let _ = self.unmount();
    }
}
