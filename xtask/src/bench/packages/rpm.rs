//! dnf and zypper, on an RPM repository with as many packages of the same names.
//!
//! What is in these is made up: ten files of 4 kB each, nothing that a package needs, no scripts. Nothing is signed. All three
//! spare rpm's side work.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::repository::Server;
use crate::{command, progress};

/// What this side needs beside what everything here needs.
pub(super) const PACKAGES: [(&str, &str); 4] = [
    ("createrepo-c", "the index of the RPM repository"),
    ("dnf", "what is compared with"),
    ("rpm", "makes the packages of the RPM repository"),
    ("zypper", "what is compared with"),
];

/// A repository of RPM packages.
pub(super) struct Repository {
    pub(super) folder: PathBuf,
}

impl Repository {
    /// One with `all` packages in version 1 below `parent`.
    pub(super) fn new(parent: &Path, all: &BTreeSet<&str>) -> Result<Self> {
        let repository = Self { folder: parent.join("rpm") };
        // `forge repo serve` wants to see a repository of ours.
        fs::create_dir_all(repository.folder.join("dists"))?;
        repository.add(all, 1)?;
        Ok(repository)
    }

    /// Adds packages in this version.
    pub(super) fn add(&self, names: &BTreeSet<&str>, version: u32) -> Result<()> {
        let path = self.folder.with_extension("spec");
        fs::write(&path, spec(names, version))?;
        let mut build = command::program("rpmbuild", &["-bb", "--quiet"]);
        let top = self.folder.with_extension("build");
        build.arg("--define").arg(format!("_topdir {}", top.display()));
        build.arg("--define").arg(format!("_rpmdir {}", self.folder.display()));
        let what = format!("making {} RPM packages", names.len());
        progress::show(&what, || command::read(build.arg(&path)))?;
        command::read(command::program("createrepo_c", &["--quiet"]).arg(&self.folder))?;
        Ok(fs::remove_dir_all(top)?)
    }
}

/// One specification for all of them.
fn spec(names: &BTreeSet<&str>, version: u32) -> String {
    let mut text = format!(
        "Name: bench\nVersion: {version}\nRelease: 1\nSummary: bench\nLicense: none\nBuildArch: noarch\n%description\nbench\n"
    );
    let mut install = String::new();
    for name in names {
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "%package -n {name}\nSummary: what {name} would be\n%description -n {name}\nmade up\n\
             %files -n {name}\n/usr/share/bench/{name}\n"
        );
        let _ = writeln!(install, "{name}");
    }
    text + "%install\nwhile read -r name; do\n  folder=%{buildroot}/usr/share/bench/$name; mkdir -p $folder\n\
            for file in 0 1 2 3 4 5 6 7 8 9; do head -c 4096 /dev/urandom >$folder/$file; done\ndone <<'END'\n"
        + &install
        + "END\n"
}

/// A system of RPM packages in a folder, and who changes it.
pub(super) struct System {
    root: PathBuf,
    tool: Tool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Dnf,
    Zypper,
}

impl Tool {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dnf => "dnf",
            Self::Zypper => "zypper",
        }
    }
}

impl System {
    /// One with these packages.
    pub(super) fn install(
        (root, tool): (PathBuf, Tool),
        packages: &BTreeSet<&str>,
        server: &Server,
    ) -> Result<Self> {
        let system = Self { root, tool };
        fs::create_dir_all(&system.root)?;
        match tool {
            Tool::Dnf => fs::write(system.root.join("dnf.conf"), configuration(&server.uri))?,
            Tool::Zypper => {
                let add = ["addrepo", "--no-gpgcheck", &server.uri, "bench"];
                command::read(&mut system.call(&add))?;
            }
        }
        let list: Vec<_> = packages.iter().copied().collect();
        let what = format!("installing RPM packages with {}", tool.name());
        let words = [&["install"], &list[..]].concat();
        progress::show(&what, || command::read(&mut system.call(&words)))?;
        Ok(system)
    }

    /// The same system again in `folder`, which must not be there.
    pub(super) fn copy(&self, folder: PathBuf) -> Result<Self> {
        command::run(command::program("cp", &["-a"]).arg(&self.root).arg(&folder))?;
        Ok(Self { root: folder, tool: self.tool })
    }

    pub(super) fn call(&self, words: &[&str]) -> Command {
        let root = self.root.to_string_lossy();
        match self.tool {
            Tool::Dnf => {
                let mut command = command::program("dnf", &["--assumeyes", "--releasever=1"]);
                command
                    .arg(format!("--config={root}/dnf.conf"))
                    .arg(format!("--installroot={root}"));
                command.args(words);
                command
            }
            Tool::Zypper => {
                let mut command =
                    command::program("zypper", &["--non-interactive", "--no-gpg-checks"]);
                command.arg(format!("--root={root}")).args(words);
                command
            }
        }
    }

    /// The words for looking at what is newest.
    pub(super) fn refresh(&self) -> Command {
        self.call(match self.tool {
            Tool::Dnf => &["makecache"],
            Tool::Zypper => &["refresh", "--force"],
        })
    }

    /// The words for working out an upgrade of everything, and no more.
    pub(super) fn plan(&self) -> Command {
        match self.tool {
            // It ends as if it had failed: nobody let it go on.
            Tool::Dnf => {
                let upgrade = self.call(&["upgrade", "--assumeno"]);
                let mut command =
                    command::program("bash", &["-c", "dnf \"$@\" || test $? = 1", "dnf"]);
                command.args(upgrade.get_args());
                command
            }
            Tool::Zypper => self.call(&["update", "--dry-run"]),
        }
    }

    /// Forgets what was refreshed and fetched.
    pub(super) fn forget(&self) -> Result<()> {
        command::read(&mut match self.tool {
            Tool::Dnf => self.call(&["clean", "all"]),
            Tool::Zypper => self.call(&["clean", "--all"]),
        })?;
        Ok(())
    }
}

fn configuration(uri: &str) -> String {
    format!(
        "[main]\ngpgcheck=0\nreposdir=/dev/null\nkeepcache=1\ninstall_weak_deps=0\nplugins=0\n\
         [bench]\nname=bench\nbaseurl={uri}\nenabled=1\n"
    )
}
