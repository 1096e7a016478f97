//! The root that a package is built in: Debian 13 with just what the source package asks for, made
//! fresh for each build by mmdebstrap from packages that were fetched and verified before.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base::child::{self, ChildError};
use base::file;
use base::progress::Unit;
use base::{Digest, Explain, Failure};
use packages::archive::{Fetched, Gone};
use packages::deb::Deb;
use packages::lock::Set;

use crate::cache::Kind;
use crate::context::Context;
use crate::recipe::DEFAULT_SUITE as SUITE;
use crate::sandbox::{Bind, Inside, Users, Whole};
use crate::supply::Supply;
use crate::tools::ToolRoot;

/// The folder that a build happens in, and the users to whom the files in it belong. It goes with this.
pub(crate) struct Work {
    folder: PathBuf,
    users: Users,
    tools: ToolRoot,
}

impl Work {
    /// An empty one in the cache.
    ///
    /// # Errors
    ///
    /// If there are no users to be had, or no tools.
    pub(crate) fn new(context: &Context, name: &str) -> Result<Self, Failure> {
        // Whoever enters the cache alone removes what a killed build left under such a name.
        let name = format!(".{name}.{}-work.part", std::process::id());
        let folder = context.cache.kind(Kind::Built).join(name);
        file::create_dir_all(&folder)?;
        Ok(Self { folder, users: Users::new()?, tools: ToolRoot::open(context, "packages")? })
    }

    /// Where it lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command that runs one of the package tools.
    fn tool(&self, program: &str, inside: &Inside<'_>) -> Command {
        let root = self.tools.folder();
        Whole { root, users: &self.users, writable: false }.command(program, inside)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // Some of it belongs to users of the namespace: only there it can be removed. What goes wrong is
        // not told: whoever builds has the error that mattered, and the next one removes the rest.
        let binds = [Bind::writable(&self.folder, "/build/work")];
        let mut command = self.tool("find", &Inside { binds: &binds, ..Inside::default() });
        let _ = child::run(command.args(["/build/work", "-mindepth", "1", "-delete"]));
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A build root, below a [`Work`].
pub(crate) struct BuildRoot<'a> {
    folder: PathBuf,
    work: &'a Work,
}

/// mmdebstrap gave up.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the build root")]
struct NoRoot(#[source] ChildError);

impl Explain for NoRoot {}

impl<'a> BuildRoot<'a> {
    /// Makes a root of the packages of `set` below `work`, which is empty.
    ///
    /// # Errors
    ///
    /// What fetching and mmdebstrap fail with.
    pub(crate) fn make(context: &Context, set: &Set, work: &'a Work) -> Result<Self, Failure> {
        // The cache's key says which files they are: nothing newer takes their place.
        let strict = Context { gone: Gone::Fail, ..context.clone() };
        let debs = Supply::open(context)?.fetch(&strict, &set.packages)?;
        let (repository, folder) = (work.folder.join("repository"), work.folder.join("root"));
        file::create_dir_all(&folder)?;
        let task = context.progress.begin("making the build root", None, Unit::Count("packages"));
        let index = index(&debs)?;
        file::replace(&repository.join("Packages"), index.as_bytes())?;
        file::replace(&repository.join("Release"), release(&index).as_bytes())?;
        for deb in &debs {
            let target = repository.join(file_name(deb));
            std::os::unix::fs::symlink(
                Path::new("/build/archive").join(deb.locked.sha256.to_string()),
                &target,
            )
            .map_err(file::FileError::at("create", &target))?;
        }
        let archive = debs.first().and_then(|deb| deb.path.parent());
        let binds = [
            Bind::read_only(&repository, "/build/repository"),
            Bind::read_only(archive.unwrap_or(&repository), "/build/archive"),
            Bind::writable(&folder, "/build/root"),
        ];
        let inside = Inside { binds: &binds, ..Inside::default() };
        let names: Vec<_> = debs.iter().map(|deb| deb.name.as_str()).collect();
        let mut command = work.tool("mmdebstrap", &inside);
        command.args(["--mode=root", "--variant=essential", "--format=directory", "--quiet"]);
        // Nobody wants it back after a power cut.
        command.arg("--dpkgopt=force-unsafe-io");
        command.arg(format!("--include={}", names.join(",")));
        command.args(["--skip=check/empty,check/signed-by", SUITE, "/build/root"]);
        command.arg("deb [trusted=yes] copy:/build/repository ./");
        child::run(&mut command).map_err(NoRoot)?;
        task.advance(debs.len() as u64);
        Ok(Self { folder, work })
    }

    /// A command that runs `program` in the root, as its root user, without network.
    pub(crate) fn command(&self, program: &str, inside: &Inside<'_>) -> Command {
        let root = Whole { root: &self.folder, users: &self.work.users, writable: true };
        root.command(program, inside)
    }
}

/// The name of a package's file in the flat repository.
fn file_name(deb: &Fetched) -> String {
    format!("{}.deb", deb.name)
}

/// The `Release` beside it: mmdebstrap looks for essential packages in the suite of this name only.
fn release(index: &str) -> String {
    let (digest, size) = (Digest::of(index.as_bytes()), index.len());
    format!("Suite: {SUITE}\nCodename: {SUITE}\nSHA256:\n {digest} {size} Packages\n")
}

/// The `Packages` of a repository that holds just `debs`.
fn index(debs: &[Fetched]) -> Result<String, Failure> {
    let mut text = String::new();
    for deb in debs {
        let control = Deb::open(&deb.path)?.control().to_string();
        text += control.trim_end();
        let (name, locked) = (file_name(deb), &deb.locked);
        text +=
            &format!("\nFilename: ./{name}\nSize: {}\nSHA256: {}\n\n", locked.size, locked.sha256);
    }
    Ok(text)
}
