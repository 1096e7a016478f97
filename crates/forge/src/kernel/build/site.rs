//! Where a build goes on, one at a time: the work folder, and the programs that see it.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use base::child;
use base::file::{self, FileError};
use base::progress::{Progress, Unit};

use super::committed::{check_committed, parse};
use super::{BuildError, Final, Kernel, Recipe, Sandbox, compile, kept, source};
use crate::kernel::config::Value;
use crate::kernel::fragment::merged;
use crate::sandbox::Bind;

/// The place where one build goes on: a folder beside the results, emptied before and after.
pub(super) struct Site<'a> {
    pub(super) sandbox: &'a dyn Sandbox,
    pub(super) progress: &'a dyn Progress,
    work: PathBuf,
    /// Held until the build has ended: one build at a time per cache.
    _lock: File,
}

/// Removes what a build left in `cache` that was killed: its folder, and in it perhaps the key that signs
/// modules. Where another build is at work, the folder is its own, and stays.
pub(super) fn clear_leftover(cache: &Path, progress: &dyn Progress) {
    let work = work(cache);
    let remove = || {
        if work.exists() {
            let lock = lock_file(cache)?;
            if lock.try_lock().is_ok() {
                clear(&work, progress)?;
            }
        }
        Ok(())
    };
    if let Err(FileError { attempt, path, source }) = remove() {
        // What was asked for is there all the same.
        progress.note(&format!("cannot {attempt} {}: {source}", path.display()));
    }
}

/// The folder in which a build goes on.
fn work(cache: &Path) -> PathBuf {
    cache.join("work")
}

fn lock_file(cache: &Path) -> Result<File, FileError> {
    file::create_dir_all(cache)?;
    let path = cache.join("lock");
    File::create(&path).map_err(FileError::at("create", &path))
}

/// Takes `lock`; where another process holds it, waits until it is free, and says meanwhile that it waits
/// for `another`.
pub(crate) fn wait_for(lock: &File, another: &str, progress: &dyn Progress) -> io::Result<()> {
    match lock.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let what = format!("waiting for another {another}");
            let _task = progress.begin(&what, None, Unit::Nothing);
            lock.lock()
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes the folder `work`, if it is there.
fn clear(work: &Path, progress: &dyn Progress) -> Result<(), FileError> {
    if !work.exists() {
        return Ok(());
    }
    let _task = progress.begin("emptying the kernel's work folder", None, Unit::Nothing);
    fs::remove_dir_all(work).map_err(FileError::at("remove", work))
}

impl<'a> Site<'a> {
    /// An empty folder in `cache`; waits while another build goes on there.
    pub(super) fn open(
        cache: &Path,
        sandbox: &'a dyn Sandbox,
        progress: &'a dyn Progress,
    ) -> Result<Self, BuildError> {
        let (lock, work) = (lock_file(cache)?, work(cache));
        let locked = wait_for(&lock, "build of a kernel", progress);
        locked.map_err(FileError::at("lock", cache.join("lock")))?;
        clear(&work, progress)?; // what a build left that was killed
        // The key that signs modules is in it for a while, and Kbuild's files may be read by all.
        DirBuilder::new().mode(0o700).create(&work).map_err(FileError::at("create", &work))?;
        Ok(Self { sandbox, progress, work, _lock: lock })
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
    pub(super) fn configure(&self, recipe: &Recipe) -> Result<Final, BuildError> {
        let _task = self.progress.begin("configuring the kernel", None, Unit::Nothing);
        source::unpack(self, recipe)?;
        let asked = self.out().join("asked.config");
        file::replace(&asked, merged(&recipe.wishes).as_bytes())?;
        child::run(self.make().args([
            "-s",
            "KCONFIG_ALLCONFIG=/build/out/asked.config",
            "allnoconfig",
        ]))
        .map_err(|source| BuildError::Configure { source })?;
        let path = self.out().join(".config");
        let text = file::read_text(&path)?;
        let config = parse(&path, &text)?;
        let missed = config.not_granted(&recipe.wishes, &source::declared(&self.source())?);
        if !missed.is_empty() {
            return Err(BuildError::NotGranted { missed });
        }
        Ok(Final { text, config })
    }

    /// Configures, compiles, and keeps the result in `folder`.
    pub(super) fn build(&self, recipe: &Recipe, folder: PathBuf) -> Result<Kernel, BuildError> {
        let config = self.configure(recipe)?.config;
        check_committed(recipe, &config, self.progress)?;
        let job = compile::Job {
            version: &recipe.source.version,
            key: recipe.key(self.sandbox),
            modules: *config.get("CONFIG_MODULES") == Value::Yes,
        };
        compile::compile(self, &job)?;
        file::replace_folder(&folder, |folder| kept::collect(&self.out(), folder))?;
        Ok(Kernel { folder })
    }
}

impl Drop for Site<'_> {
    fn drop(&mut self) {
        // The build's own result matters more; the next build clears what is left.
        let _ = clear(&self.work, self.progress);
    }
}
