//! `forge repo refresh`: what is newer in Debian's archive becomes a publication, or nothing changes.

mod changes;
mod report;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, ExitStatus};

use base::file::FileError;
use base::progress::Unit;
use base::{Explain, Failure, explain};
use formats::{PackageName, Version};
use packages::keys::Keys;
use packages::lock::Lock;
use packages::publish::show;

use super::{Folder, SUITE, publish};
use crate::audit::elf;
use crate::cache::Kind;
use crate::context::Context;
use crate::curate::Curated;
use crate::kernel::SOURCE_PACKAGE;
use crate::key::KeysFolder;
use crate::trial::Trial;
use crate::workshop::KernelShop;
use crate::{image, kernel, layer, package, supply, update};
use changes::Changes;
use report::{Report, Steps};

/// Take what is newer in Debian's archive, check all of it, and publish
///
/// Maintainer scripts must have been read, what is to be built from source is built, every file is audited, the
/// images are built and tested: all of that is tried beside the checkout. Then the packages are published, and
/// os/packages.lock moves. At the first thing that fails it stops, and nothing has changed. Where nothing is
/// newer, the packages are checked and the repository's dates renewed. With --release nothing may stand in for what
/// cannot be built from source.
#[derive(Debug, clap::Args)]
pub(crate) struct Refresh {
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    keys: KeysFolder,
    /// An image to build and test; may be given again
    #[arg(long = "image", value_name = "NAME", default_values = ["minimal", "oci"])]
    images: Vec<String>,
    /// Shell command that tests the images; they are in the folder $PREON_OUT
    #[arg(
        long,
        value_name = "COMMAND",
        default_value = "cargo test -p system-tests --test minimal"
    )]
    test: String,
    /// Only say what would change: nothing is built, tested or published
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The images do not pass.
#[derive(Debug, thiserror::Error)]
#[error("`{command}` failed with {status}")]
struct Untested {
    command: String,
    status: ExitStatus,
}

impl Explain for Untested {
    fn hint(&self) -> Option<String> {
        Some(
            "what it printed is above: run it there, on the images built of the same packages"
                .into(),
        )
    }
}

/// It stopped, having found newer packages.
#[derive(Debug)]
struct Stopped {
    step: &'static str,
    failure: Failure,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the refresh stopped at {}; repository and checkout are as they were", self.step)
    }
}

impl Error for Stopped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.failure)
    }
}

impl Explain for Stopped {
    fn hint(&self) -> Option<String> {
        let hint = self.failure.hint()?;
        Some(format!("let `forge update` move the checkout to the newer packages, then: {hint}"))
    }
}

/// What the archive has now, beside what was there before.
struct Found<'a> {
    /// The checkout.
    real: &'a Context,
    /// Where the lock of now is tried; nowhere if it says the same as the checkout's.
    trial: Option<&'a Trial>,
    /// The lock of the checkout.
    before: &'a Lock,
    /// That of the archive.
    now: &'a Lock,
    /// What hosts have: the versions that were published last.
    published: BTreeMap<PackageName, Version>,
}

impl Found<'_> {
    /// The checkout with the lock of now.
    fn context(&self) -> Context {
        self.trial.map_or_else(|| self.real.clone(), |trial| self.real.elsewhere(&trial.root))
    }

    /// The version of the kernel's source before, where it has moved.
    fn kernel_before(&self) -> Option<&Version> {
        let [before, now] = [self.before, self.now].map(|it| it.packages.get(SOURCE_PACKAGE));
        let (before, now) = (&before?.version, &now?.version);
        (before != now).then_some(before)
    }
}

impl Refresh {
    /// Refreshes, and prints what changed and how long each step took; also where it stops.
    ///
    /// # Errors
    ///
    /// What the first step fails with that does; the repository and the checkout are then as they were.
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        let mut report = Report::default();
        let done = self.refresh(context, &mut report);
        let text = match self.json {
            // Strings and numbers only: nothing in it can fail to be JSON.
            true => serde_json::to_string_pretty(&report).unwrap_or_default() + "\n",
            false => report.to_string(),
        };
        let printed = out.write_all(text.as_bytes());
        done.map_err(|failure| match report.stopped() {
            Some(step) => Stopped { step, failure }.into(),
            None => failure,
        })?;
        Ok(printed.map_err(FileError::at("write to", "standard output"))?)
    }

    fn refresh(&self, context: &Context, report: &mut Report) -> Result<(), Failure> {
        // Before the long work. What would change can be said without keys too.
        let keys = match self.keys.open(context) {
            Err(_) if self.dry_run => None,
            keys => Some(keys?),
        };
        let folder = self.folder.path(context);
        let published = keys.as_ref().map(|keys| last_published(&folder, keys)).transpose()?;
        let published = published.unwrap_or_default();
        let before = Lock::load(&supply::lock_path(context))?;
        let now = report.steps.time("choosing", || update::newest(context, &before))?;
        if is_same(&before, &now) {
            let found = Found { real: context, trial: None, before: &before, now: &now, published };
            return self.follow(&found, keys.as_ref(), report);
        }
        let cache = context.cache.kind(Kind::Kernel);
        let trial = Trial::begin(&context.root, &cache, &now, context.progress.as_ref())?;
        let (real, at) = (context, Some(&trial));
        let found = Found { real, trial: at, before: &before, now: &now, published };
        self.follow(&found, keys.as_ref(), report)?;
        if self.dry_run { Ok(()) } else { Ok(trial.keep()?) }
    }

    /// Checks what was found, and publishes it.
    fn follow(
        &self,
        found: &Found<'_>,
        keys: Option<&Keys>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let there = found.context();
        report.newer = found.trial.is_some();
        let reviewed = report.steps.time("reviewing", || {
            // Debian's build stands in for what is not built from source yet: so nobody waits for a compiler
            // to be told of a script that has to be read.
            layer::everything(&there.development())
        })?;
        let changes = report.steps.time("comparing", || Changes::of(found, &there, &reviewed))?;
        let changed = report.found(changes) || found.published.is_empty();
        let Some(keys) = keys.filter(|_| !self.dry_run) else { return Ok(()) };
        let packages = complete(&there, reviewed, &mut report.steps)?;
        if let Some(before) = found.kernel_before() {
            let shop = KernelShop::new(&there);
            let follow = || kernel::follow(&shop, before);
            report.steps.time("updating the kernel", follow)?;
        }
        let kernels = || publish::all_kernels(&there);
        let kernels = report.steps.time("building kernels", kernels)?;
        if changed {
            let build = || self.images.iter().try_for_each(|name| image::make(&there, name));
            report.steps.time("building images", build)?;
            report.steps.time("testing", || self.test(found.real, &there.root.join("out")))?;
        }
        if let Some(trial) = found.trial {
            trial.not_overtaken()?;
        }
        let folder = self.folder.path(found.real);
        let debs: Vec<_> = packages.iter().map(|it| it.path.clone()).chain(kernels).collect();
        let put = || publish::put(&there, &folder, keys, &debs);
        report.published = Some(report.steps.time("publishing", put)?);
        Ok(())
    }

    /// Runs the test on the images in `out`; in the real checkout, whose target folder is warm.
    fn test(&self, real: &Context, out: &Path) -> Result<(), Failure> {
        let task = real.progress.begin("testing the images", None, Unit::Nothing);
        let status = test(&self.test, &real.root, out);
        drop(task);
        let status = status.map_err(FileError::at("run", "/bin/sh"))?;
        if status.success() {
            return Ok(());
        }
        Err(Untested { command: self.test.clone(), status }.into())
    }
}

/// The newest version of each package that hosts can have.
fn last_published(folder: &Path, keys: &Keys) -> Result<BTreeMap<PackageName, Version>, Failure> {
    let mut published: BTreeMap<PackageName, Version> = BTreeMap::new();
    for package in show(folder, SUITE, keys)?.packages {
        let version = package.version.parse::<Version>()?;
        let known = published.entry(package.name.parse()?).or_insert_with(|| version.clone());
        *known = known.clone().max(version);
    }
    Ok(published)
}

/// Whether nothing but the dates of the suites is other.
fn is_same(before: &Lock, now: &Lock) -> bool {
    Lock { releases: before.releases.clone(), ..now.clone() } == *before
}

/// Everything, with what is to be built from source built now, and nothing that falls short. `reviewed` is the same with
/// Debian's build of what is not built yet. In development that stays where a build fails, if the audit accepts it.
fn complete(
    context: &Context,
    reviewed: Vec<Curated>,
    steps: &mut Steps,
) -> Result<Vec<Curated>, Failure> {
    let built = steps.time("building packages", || match package::build_all(context) {
        Err(failure) if !context.is_release() => {
            context.progress.note(explain::render(failure.as_ref()).trim_end());
            Ok(None)
        }
        built => built.map(Some),
    })?;
    let packages = match built {
        Some(0) => reviewed,
        _ => steps.time("curating", || layer::everything(context))?,
    };
    steps.time("auditing", || elf::check(context, elf::EVERYTHING, &packages))?;
    Ok(packages)
}

/// Runs the shell command `test`; what it prints goes to standard error.
fn test(test: &str, folder: &Path, out: &Path) -> io::Result<ExitStatus> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", test]).current_dir(folder).env("PREON_OUT", out);
    command.stdout(io::stderr()).status()
}
