//! `forge audit elf`: how every program and library of an image's packages is hardened, measured on the
//! files themselves, and whether os/policy/elf.toml allows what falls short.

mod exposed;
mod fortify;
mod hardening;
mod policy;
mod report;
mod waivers;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use base::progress::Unit;
use base::{Explain, Failure};
use formats::PackageName;
use packages::control;
use packages::deb::{Deb, DebError, Entry, Kind, Limits};
use rayon::prelude::*;

use crate::context::Context;
use crate::curate::Curated;
use crate::layer;
use crate::recipe::{Recipes, Shortcoming};
use hardening::Hardening;
use policy::{Policy, Privilege};
use report::{Finding, Report};

/// What the packages are called together that no image names.
pub(crate) const EVERYTHING: &str = "all that recipes cover";

/// Where the policy lies below the checkout.
const POLICY: &str = "os/policy/elf.toml";

/// Measure how programs and libraries are hardened, of an image or of all that recipes cover
///
/// Every ELF file of every package is read, and of every file who may change it and with which rights it runs.
/// It fails if something falls short that neither a recipe waives nor os/policy/elf.toml allows.
#[derive(Debug, clap::Args)]
pub(crate) struct Elf {
    /// The image's name: `minimal` [default: all that recipes cover]
    image: Option<String>,
    /// Show every file, not only what falls short
    #[arg(long, conflicts_with = "json")]
    all: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Write the whole matrix of files and properties to this file, as HTML
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// The image that stays so small that what is accepted in it is named file by file.
const SMALLEST: &str = "minimal";

/// What is judged.
#[derive(Debug, Default)]
struct Subject {
    /// What it is called.
    name: String,
    /// All packages that were looked at.
    packages: BTreeSet<PackageName>,
    /// Those of them that were built from source with our flags.
    rebuilt: BTreeSet<PackageName>,
    /// The packages of [`SMALLEST`].
    minimal: BTreeSet<PackageName>,
    /// Whether it is for a release, which accepts nothing in those.
    release: bool,
    /// What was found in them.
    files: Vec<Measured>,
}

/// A file of a package, as far as the audit is concerned with it.
#[derive(Debug)]
struct Measured {
    package: String,
    /// From the root, with a slash before it.
    path: String,
    what: What,
}

/// What was found out about a file.
#[derive(Debug)]
enum What {
    Elf(Hardening),
    /// It begins like an ELF file, but is none.
    Unreadable(String),
    Privileged(Privilege),
    /// Others than root could change or claim it.
    Exposed(Shortcoming, Option<String>),
}

/// An image does not pass.
#[derive(Debug, thiserror::Error)]
#[error("{} files of {image} fall short, and nothing says why they may{list}", .count)]
struct FallsShort {
    image: String,
    count: usize,
    /// Which, in lines of their own, unless they were shown already.
    list: String,
    /// Whether it is only that recipes accept what there is no more, or too much at once.
    is_of_waivers: bool,
}

impl FallsShort {
    fn of(report: &Report, list: String) -> Self {
        let is_waiver =
            |it: &Finding| matches!(it.finding, Shortcoming::IdleWaiver | Shortcoming::BroadWaiver);
        let (image, count) = (report.image.clone(), report.findings.len());
        Self { image, count, list, is_of_waivers: report.findings.iter().all(is_waiver) }
    }
}

impl Explain for FallsShort {
    fn hint(&self) -> Option<String> {
        if self.is_of_waivers {
            return Some("correct [waive] in os/packages/NAME/recipe.toml".into());
        }
        Some(format!(
            "build the package from source with our flags, [build] in its recipe, or accept it with a \
             reason, [waive]: `forge audit elf` lists the files; [modes] in its recipe changes permissions; \
             folders of libraries and privileged programs are in {POLICY}"
        ))
    }
}

impl Elf {
    /// Measures, and prints what came of it.
    ///
    /// # Errors
    ///
    /// [`FallsShort`], or what reading policy, recipes and packages fails with.
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        let packages = match &self.image {
            Some(image) => layer::packages(context, image)?,
            None => layer::everything(context)?,
        };
        let image = self.image.as_deref().unwrap_or(EVERYTHING);
        let mut report = judged(context, image, &packages)?;
        report.all = self.all;
        if let Some(path) = &self.html {
            file::replace(path, report.html().as_bytes())?;
        }
        let text = match self.json {
            // Strings and numbers only: nothing in it can fail to be JSON.
            true => serde_json::to_string_pretty(&report).unwrap_or_default() + "\n",
            false => report.to_string(),
        };
        out.write_all(text.as_bytes()).map_err(FileError::at("write to", "standard output"))?;
        match report.findings.len() {
            0 => Ok(()),
            _ => Err(FallsShort::of(&report, String::new()).into()),
        }
    }
}

/// Whether all files of `packages`, which are called `image`, pass.
///
/// # Errors
///
/// A list of what falls short, or what reading policy, recipes and packages fails with.
pub(crate) fn check(context: &Context, image: &str, packages: &[Curated]) -> Result<(), Failure> {
    let report = judged(context, image, packages)?;
    match report.findings.len() {
        0 => Ok(()),
        _ => Err(FallsShort::of(&report, format!("\n{}", report.list().trim_end())).into()),
    }
}

fn judged(context: &Context, name: &str, packages: &[Curated]) -> Result<Report, Failure> {
    let policy = Policy::load(&context.root.join(POLICY))?;
    let recipes = Recipes::load(&context.root.join("os/packages"))?;
    let mut subject = measure_all(context, packages)?;
    subject.name = name.to_owned();
    subject.minimal = layer::package_names(context, SMALLEST)?;
    subject.release = context.is_release();
    Ok(Report::new(&policy, &recipes, &subject))
}

fn measure_all(context: &Context, packages: &[Curated]) -> Result<Subject, DebError> {
    let total = Some(packages.len() as u64);
    let task = context.progress.begin("measuring", total, Unit::Count("packages"));
    let measured = packages.par_iter().map(|package| {
        let measured = measure(&package.name, &package.path);
        task.advance(1);
        measured
    });
    let measured = measured.collect::<Result<Vec<_>, _>>()?;
    Ok(measured.into_iter().fold(Subject::default(), Subject::with))
}

impl Subject {
    fn with(mut self, other: Self) -> Self {
        self.packages.extend(other.packages);
        self.rebuilt.extend(other.rebuilt);
        self.files.extend(other.files);
        self
    }
}

/// What matters of the package at `path`.
fn measure(package: &PackageName, path: &Path) -> Result<Subject, DebError> {
    let deb = Deb::open(path)?;
    let mut files = Vec::new();
    deb.visit(Limits::default(), |entry, content| {
        let mut add = |what| {
            let path = format!("/{}", entry.path);
            files.push(Measured { package: package.to_string(), path, what });
        };
        privileges(entry).for_each(|privilege| add(What::Privileged(privilege)));
        exposed::exposures(entry).for_each(|(what, detail)| add(What::Exposed(what, detail)));
        if entry.kind == Kind::File {
            let bytes = program(content).map_err(FileError::at("read", path))?;
            match Hardening::read(&bytes) {
                Ok(Some(hardening)) => add(What::Elf(hardening)),
                Ok(None) => {}
                Err(error) => add(What::Unreadable(error.to_string())),
            }
        }
        Ok::<_, DebError>(())
    })?;
    let packages = BTreeSet::from([package.clone()]);
    let is_rebuilt = deb.control().get(control::BUILD_FLAGS).is_some();
    let rebuilt = if is_rebuilt { packages.clone() } else { BTreeSet::new() };
    Ok(Subject { packages, rebuilt, files, ..Subject::default() })
}

fn privileges(entry: &Entry) -> impl Iterator<Item = Privilege> {
    // On folders the bits mean something else; dpkg gives a hard link's to the file.
    let file = matches!(entry.kind, Kind::File | Kind::HardLink(_));
    let capabilities = entry.xattrs.iter().any(|(name, _)| name == "security.capability");
    let all = [
        (file && entry.mode & 0o4000 != 0, Privilege::Setuid),
        (file && entry.mode & 0o2000 != 0, Privilege::Setgid),
        (capabilities, Privilege::Capabilities),
    ];
    all.into_iter().filter(|(has, _)| *has).map(|(_, privilege)| privilege)
}

/// The bytes of an ELF file; of others only the first, which say that they are none.
fn program(content: &mut dyn Read) -> std::io::Result<Vec<u8>> {
    const MAGIC: usize = 4;
    let mut bytes = Vec::new();
    content.take(MAGIC as u64).read_to_end(&mut bytes)?;
    if bytes.starts_with(goblin::elf::header::ELFMAG) {
        content.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
