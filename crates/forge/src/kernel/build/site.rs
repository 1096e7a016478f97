//! Where a build goes on, one at a time: the work folder, and the programs that see it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use base::child;
use base::file::{self, FileError};
use base::progress::{Progress, Unit};

use super::committed::{check_committed, parse};
use super::{BuildError, Kernel, Recipe, Sandbox, compile, kept, source};
use crate::kernel::config::Value;
use crate::kernel::fragment::merged;
use crate::sandbox::Bind;

/// The place where one build goes on: a folder beside the results, emptied before and after.
pub(super) struct Site<'a> {
    pub(super) sandbox: &'a dyn Sandbox,
    work: PathBuf,
    /// Held until the build has ended: one build at a time per cache.
    _lock: File,
}

impl<'a> Site<'a> {
    pub(super) fn open(cache: &Path, sandbox: &'a dyn Sandbox) -> Result<Self, BuildError> {
        file::create_dir_all(cache)?;
        let path = cache.join("lock");
        let lock = File::create(&path).map_err(FileError::at("create", &path))?;
        lock.lock().map_err(FileError::at("lock", &path))?;
        let site = Self { sandbox, work: cache.join("work"), _lock: lock };
        site.clear()?; // what a build left that was killed
        Ok(site)
    }

    fn clear(&self) -> Result<(), FileError> {
        match fs::remove_dir_all(&self.work) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(FileError::at("remove", &self.work)(error))
            }
            _ => Ok(()),
        }
    }

    /// Where the source is, on the machine.
    pub(super) fn source(&self) -> PathBuf {
        self.work.join("source")
    }

    /// Where objects go, on the machine.
    pub(super) fn out(&self) -> PathBuf {
        self.work.join("out")
    }

    /// `tar`, which sees `archive` as `/build/source.tar.xz` and writes to the source's folder.
    pub(super) fn tar(&self, archive: &Path) -> Command {
        let binds = [
            Bind::writable(&self.source(), "/build/source"),
            Bind::read_only(archive, "/build/source.tar.xz"),
        ];
        self.sandbox.command("tar", &binds)
    }

    /// `patch`, which sees `patch` as `/build/change.patch` and changes the source's folder.
    pub(super) fn patch(&self, patch: &Path) -> Command {
        let binds = [
            Bind::writable(&self.source(), "/build/source"),
            Bind::read_only(patch, "/build/change.patch"),
        ];
        self.sandbox.command("patch", &binds)
    }

    /// `make`, for which source and objects lie in fixed places: their paths are part of the result.
    pub(super) fn make(&self) -> Command {
        let binds = [
            Bind::read_only(&self.source(), "/build/source"),
            Bind::writable(&self.out(), "/build/out"),
        ];
        let mut command = self.sandbox.command("make", &binds);
        command.args(["-C", "/build/source", "O=/build/out"]);
        command
    }

    /// Unpacks the source, expands the fragments, and checks that all that was asked for came out.
    pub(super) fn configure(
        &self,
        recipe: &Recipe,
        progress: &dyn Progress,
    ) -> Result<String, BuildError> {
        let _task = progress.begin("configuring the kernel", None, Unit::Nothing);
        source::unpack(self, recipe)?;
        let asked = self.out().join("asked.config");
        file::replace(&asked, merged(&recipe.wishes).as_bytes())?;
        child::run(self.make().args([
            "-s",
            "KCONFIG_ALLCONFIG=/build/out/asked.config",
            "allnoconfig",
        ]))
        .map_err(|source| BuildError::Configure { source })?;
        let text = file::read_text(&self.out().join(".config"))?;
        let missed = parse(&text)?.not_granted(&recipe.wishes, &source::declared(&self.source())?);
        if !missed.is_empty() {
            return Err(BuildError::NotGranted { missed });
        }
        Ok(text)
    }

    /// Configures, compiles, and keeps the result in `folder`.
    pub(super) fn build(
        &self,
        recipe: &Recipe,
        folder: PathBuf,
        progress: &dyn Progress,
    ) -> Result<Kernel, BuildError> {
        let text = self.configure(recipe, progress)?;
        check_committed(recipe, &text, progress)?;
        let job = compile::Job {
            version: &recipe.source.version,
            key: recipe.key(self.sandbox),
            modules: *parse(&text)?.get("CONFIG_MODULES") == Value::Yes,
        };
        compile::compile(self, &job, progress)?;
        file::replace_folder(&folder, |folder| kept::collect(&self.out(), folder))?;
        Ok(Kernel { folder })
    }
}

impl Drop for Site<'_> {
    fn drop(&mut self) {
        // The build's own result matters more; the next build clears what is left.
        let _ = self.clear();
    }
}
