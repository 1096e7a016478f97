//! Packages of Debian 13, unpacked below `target/bench` and used from there, whatever machine measures.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use testkit::debian;

use crate::{command, progress};

/// Packages of Debian 13 with all that they depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unpacked {
    /// The folder's name, below `target/bench`.
    pub(super) name: &'static str,
    /// What it is for people.
    pub(super) what: &'static str,
    /// The packages, with commas between.
    pub(super) packages: &'static str,
}

impl Unpacked {
    /// The folder with the packages' files in `root`; made once. No maintainer script is run: `finish` does
    /// in the new folder what is needed of them.
    pub(super) fn folder(self, finish: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let folder = command::workspace().join("target/bench").join(self.name);
        if !folder.exists() {
            let what = format!("unpacking Debian 13's {}", self.what);
            progress::show(&what, || self.make(&folder, finish))?;
        }
        Ok(folder)
    }

    fn make(self, folder: &Path, finish: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let parent = folder.parent().unwrap_or(folder);
        fs::create_dir_all(parent).context("cannot make target/bench")?;
        let staging =
            tempfile::tempdir_in(parent).context("cannot make a folder in target/bench")?;
        let include = format!("--include={}", self.packages);
        let options = ["--quiet", "--variant=extract", &include];
        let mut bootstrap = command::program("mmdebstrap", &options);
        bootstrap.args(["trixie", "root"]).args(debian::sources()?);
        command::read(bootstrap.current_dir(staging.path()))?;
        finish(staging.path())?;
        fs::rename(staging.keep(), folder).context("cannot put it in its place")
    }
}
