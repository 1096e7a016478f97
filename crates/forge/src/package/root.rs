//! The root that a package is built in: Debian 13 with just what the source package asks for, made
//! fresh for each build by mmdebstrap from packages that were fetched and verified before.

use std::path::{Path, PathBuf};
use std::process::Command;

use base::child::{self, ChildError};
use base::file;
use base::progress::Unit;
use base::{Digest, Explain, Failure};
use packages::archive::{Fetched, Gone};
use packages::deb::Deb;
use packages::lock::Set;

use crate::context::Context;
use crate::recipe::DEFAULT_SUITE as SUITE;
use crate::sandbox::{self, Bind, Inside, Users};
use crate::supply::Supply;
use crate::tools::ToolRoot;

/// A build root in a folder of its own, and who lives in it.
pub(crate) struct BuildRoot {
    folder: PathBuf,
    users: Users,
}

/// mmdebstrap gave up.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the build root")]
struct NoRoot(#[source] ChildError);

impl Explain for NoRoot {}

impl BuildRoot {
    /// Makes a root of the packages of `set` below `work`, which is empty.
    ///
    /// # Errors
    ///
    /// What fetching and mmdebstrap fail with.
    pub(crate) fn make(context: &Context, set: &Set, work: &Path) -> Result<Self, Failure> {
        // The cache's key says which files they are: nothing newer takes their place.
        let strict = Context { gone: Gone::Fail, ..context.clone() };
        let debs = Supply::open(context)?.fetch(&strict, &set.packages)?;
        let tools = ToolRoot::open(context, "packages")?;
        let users = Users::new()?;
        let (repository, folder) = (work.join("repository"), work.join("root"));
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
            Bind::read_only(archive.unwrap_or(work), "/build/archive"),
            Bind::writable(&folder, "/build/root"),
        ];
        let inside = Inside { binds: &binds, ..Inside::default() };
        let names: Vec<_> = debs.iter().map(|deb| deb.name.as_str()).collect();
        let mut command = sandbox::whole(tools.folder(), &users, "mmdebstrap", &inside);
        command.args(["--mode=root", "--variant=essential", "--format=directory", "--quiet"]);
        command.arg(format!("--include={}", names.join(",")));
        command.args(["--skip=check/empty,check/signed-by", SUITE, "/build/root"]);
        command.arg("deb [trusted=yes] copy:/build/repository ./");
        child::run(&mut command).map_err(NoRoot)?;
        task.advance(debs.len() as u64);
        Ok(Self { folder, users })
    }

    /// A path of the root, seen from outside.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// A command that runs `program` in the root, as its root user, without network.
    pub(crate) fn command(&self, program: &str, inside: &Inside<'_>) -> Command {
        sandbox::whole(&self.folder, &self.users, program, inside)
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
