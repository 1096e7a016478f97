//! `forge package …`: packages that are built from source, because Debian's build does not satisfy
//! the policy.

mod build;
mod root;
mod source;
mod store;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use base::file::FileError;
use base::{Explain, Failure, explain};
use formats::PackageName;

use store::Built;
pub(crate) use store::{Rebuilt, RebuiltPackage, rebuilt};

use crate::context::Context;
pub(crate) use build::Job;
use packages::spelling;

/// `forge package …`
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Build packages from Debian's source, with the flags of os/packages/build.toml
    ///
    /// In a fresh root of just what the source package needs, without network. What was built of the
    /// same inputs is kept and not built again.
    Build {
        /// Source packages, or packages that are built from them
        #[arg(required_unless_present = "all")]
        names: Vec<PackageName>,
        /// Every package that a recipe builds; goes on where an earlier run ended
        #[arg(long, conflicts_with = "names")]
        all: bool,
        /// Build once more what is built, and fail if a byte differs; passes over what the recipe says differs
        #[arg(long)]
        again: bool,
    },
    /// Print what is built from source, why, and whether it is built
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Some of several builds failed; what went wrong was told before.
#[derive(Debug, thiserror::Error)]
#[error("{} of {} packages were not built: {}", .0.len(), .1, .0.iter().map(PackageName::as_str).collect::<Vec<_>>().join(", "))]
struct SomeFailed(Vec<PackageName>, usize);

impl Explain for SomeFailed {
    fn hint(&self) -> Option<String> {
        Some("the errors are above; what was built is kept".into())
    }
}

/// Nothing is built from source under a name.
#[derive(Debug, thiserror::Error)]
#[error("no recipe builds {name} from source")]
struct NotBuilt {
    name: PackageName,
    meant: Option<String>,
}

impl Explain for NotBuilt {
    fn hint(&self) -> Option<String> {
        Some(match &self.meant {
            Some(meant) => format!("did you mean {meant}?"),
            None => "give its recipe a [build], then run `forge update`".into(),
        })
    }
}

impl Command {
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Build { names, again, .. } => {
                build_each(context, chosen(context, &names)?, again, out)
            }
            Self::List { json } => list(context, json, out),
        }
    }
}

/// Builds all that recipes build and the cache has not; says how many source packages that were.
///
/// # Errors
///
/// What a build fails with; the others are done nevertheless.
pub(crate) fn build_all(context: &Context) -> Result<usize, Failure> {
    let jobs = Job::all(context)?.into_values();
    let missing: Vec<_> = jobs.filter(|job| job.kept(context).is_none()).collect();
    let count = missing.len();
    build_each(context, missing, false, &mut std::io::sink())?;
    Ok(count)
}

/// Builds all `jobs`, also where one fails.
fn build_each(
    context: &Context,
    jobs: Vec<Job>,
    again: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let count = jobs.len();
    let mut failed = Vec::new();
    for job in jobs {
        match build(context, &job, again) {
            Ok(built) => show(&built, out)?,
            Err(failure) if count == 1 => return Err(failure),
            Err(failure) => {
                context.progress.note(explain::render(failure.as_ref()).trim_end());
                failed.push(job.name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(SomeFailed(failed, count).into()) }
}

/// Builds one source package, or finds it in the cache.
fn build(context: &Context, job: &Job, again: bool) -> Result<Built, Failure> {
    let built = job.built(context)?;
    if again {
        job.again(context, &built)?;
    }
    Ok(built)
}

/// Prints the files of what was built.
fn show(built: &Built, out: &mut dyn Write) -> Result<(), FileError> {
    let mut paths = built.packages.values().map(|package| built.folder.join(&package.file));
    let print = paths.try_for_each(|path| writeln!(out, "{}", path.display()));
    print.map_err(FileError::at("write to", "standard output"))
}

/// The builds that are meant: all, if `names` is empty.
fn chosen(context: &Context, names: &[PackageName]) -> Result<Vec<Job>, Failure> {
    let jobs = Job::all(context)?;
    if names.is_empty() {
        return Ok(jobs.into_values().collect());
    }
    let mut by_name: BTreeMap<PackageName, PackageName> = BTreeMap::new();
    for (source, job) in &jobs {
        let packages = job.source.packages.iter().map(|package| (package.clone(), source.clone()));
        by_name.extend(packages.chain([(source.clone(), source.clone())]));
    }
    let mut chosen = BTreeMap::new();
    for name in names {
        let source = by_name.get(name).ok_or_else(|| NotBuilt {
            name: name.clone(),
            meant: spelling::nearest(name.as_str(), by_name.keys().map(PackageName::as_str))
                .map(str::to_owned),
        })?;
        chosen.insert(source.clone(), jobs[source].clone());
    }
    Ok(chosen.into_values().collect())
}

#[derive(serde::Serialize)]
struct Row {
    source: PackageName,
    version: String,
    packages: Vec<PackageName>,
    reason: String,
    built: bool,
    /// Where it is, or will be.
    folder: PathBuf,
}

fn list(context: &Context, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let rows = Job::all(context)?.into_values().map(|job| Row {
        built: job.kept(context).is_some(),
        folder: job.folder(context),
        version: job.source.version.to_string(),
        packages: job.source.packages.iter().cloned().collect(),
        reason: job.reason.clone(),
        source: job.name,
    });
    let rows: Vec<Row> = rows.collect();
    let print = |out: &mut dyn Write| {
        if json {
            return writeln!(out, "{}", serde_json::json!(rows));
        }
        writeln!(out, "{:<14} {:<28} {:<6} reason", "source", "version", "built")?;
        for Row { source, version, built, reason, .. } in &rows {
            let built = if *built { "yes" } else { "no" };
            writeln!(out, "{source:<14} {version:<28} {built:<6} {reason}")?;
        }
        Ok(())
    };
    Ok(print(out).map_err(FileError::at("write to", "standard output"))?)
}
