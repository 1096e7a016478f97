//! What the kernel's build asks of the rest of forge.

use std::path::{Path, PathBuf};
use std::process::Command;

use base::progress::Progress;
use base::{Digest, Explain, Failure};
use packages::lock::Lock;

use crate::cache::Kind;
use crate::context::Context;
use crate::kernel::build::{Sandbox, Source};
use crate::kernel::{Need, Newest, SOURCE_PACKAGE, Work, Workshop};
use crate::sandbox::{Bind, Inside};
use crate::supply::Supply;
use crate::tools::ToolRoot;
use crate::update;

/// The tool root `kernel-source` does not hold the kernel's source.
#[derive(Debug, thiserror::Error)]
#[error("os/packages.lock does not hold {SOURCE_PACKAGE}")]
struct NoSource;

impl Explain for NoSource {
    fn hint(&self) -> Option<String> {
        Some("name it in the root kernel-source of os/tools.toml, then run `forge update`".into())
    }
}

/// The folder of built kernels, named once so that it can be borrowed.
pub(crate) struct KernelShop<'a> {
    context: &'a Context,
    cache: PathBuf,
}

impl<'a> KernelShop<'a> {
    /// A workshop that uses the context's cache.
    pub(crate) fn new(context: &'a Context) -> Self {
        Self { context, cache: context.cache.kind(Kind::Kernel) }
    }

    /// The suite of the archive that the kernel's source comes from.
    ///
    /// # Errors
    ///
    /// A lock that cannot be read, or that does not hold the source.
    pub(crate) fn suite(&self) -> Result<String, Failure> {
        let lock = Supply::open(self.context)?.lock;
        let source = lock.packages.get(SOURCE_PACKAGE).ok_or(NoSource)?;
        Ok(source.suite.clone())
    }

    fn root(&self, name: &str, need: Need) -> Result<ToolRoot, Failure> {
        match need {
            Need::Files => ToolRoot::open(self.context, name),
            Need::Identity => ToolRoot::foreseen(self.context, name),
        }
    }
}

impl Workshop for KernelShop<'_> {
    fn repository(&self) -> &Path {
        &self.context.root
    }

    fn cache(&self) -> &Path {
        &self.cache
    }

    fn progress(&self) -> &dyn Progress {
        self.context.progress.as_ref()
    }

    fn sandbox(&self, need: Need) -> Result<Box<dyn Sandbox>, Failure> {
        Ok(Box::new(self.root("build", need)?))
    }

    fn source(&self, need: Need) -> Result<Source, Failure> {
        let root = self.root("kernel-source", need)?;
        Ok(Source {
            archive: root.file(&format!("usr/src/{SOURCE_PACKAGE}.tar.xz")),
            changelog: root.file(&format!("usr/share/doc/{SOURCE_PACKAGE}/changelog.Debian.gz")),
            copyright: root.file(&format!("usr/share/doc/{SOURCE_PACKAGE}/copyright")),
            version: root.version(SOURCE_PACKAGE).ok_or(NoSource)?.to_string(),
            digest: root.identity(),
        })
    }

    fn elsewhere(&self, root: &Path, work: Work<'_>) -> Result<(), Failure> {
        work(&KernelShop::new(&self.context.elsewhere(root)))
    }

    fn newest(&self) -> Result<Newest, Failure> {
        let name = SOURCE_PACKAGE.parse()?;
        let before = Supply::open(self.context)?.lock;
        let lock = update::with_newest(self.context, &before, &name)?;
        let locked = |lock: &Lock| lock.packages.get(&name).cloned().ok_or(NoSource);
        let (before, now) = (locked(&before)?, locked(&lock)?);
        let offline = self.context.offline;
        Ok(Newest { before: before.version, now: now.version, suite: now.suite, offline, lock })
    }
}

impl Sandbox for ToolRoot {
    fn command(&self, program: &str, binds: &[Bind]) -> Command {
        ToolRoot::command(self, program, &Inside { binds, ..Inside::default() })
    }

    fn identity(&self) -> Digest {
        ToolRoot::identity(self)
    }
}
