//! `forge audit kernel`: whether a kernel is what `os/policy/kernel.toml` demands.

mod expression;
mod facts;
pub(crate) mod image;
mod policy;
mod report;
mod sysctls;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use base::{Explain, Failure};
use formats::pe::{BadPe, Pe};

use crate::kernel::config::{BadConfig, Config};
use crate::kernel::{self, Flavour, Profile};
use facts::{Facts, Parted, Setting, Words};
use report::Report;
use sysctls::Sysctls;

/// Where the policy lies below the checkout.
const POLICY: &str = "os/policy/kernel.toml";

/// Compare a kernel's configuration, command line and parameters with os/policy/kernel.toml
#[derive(Debug, clap::Args)]
pub(crate) struct Kernel {
    /// Which kernel
    #[arg(value_enum, default_value_t)]
    flavour: Flavour,
    /// Which command line of it
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// Configuration to look at [default: os/kernel/generated/FLAVOUR.config]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Command line to look at [default: the one that FLAVOUR's image gets with the profile]
    #[arg(long, value_name = "TEXT", conflicts_with = "uki")]
    command_line: Option<String>,
    /// Look at the command line in this unified kernel image
    #[arg(long, value_name = "FILE")]
    uki: Option<PathBuf>,
    /// What `sysctl -a` printed on a running host, `-` for standard input [default: what the
    /// packages' files of sysctl.d set]
    #[arg(long, value_name = "FILE")]
    sysctls: Option<PathBuf>,
    /// Show only what is not met
    #[arg(long, conflicts_with = "json")]
    unmet: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Why a kernel does not pass, or cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    #[error(
        "{POLICY} demands more of the {flavour} kernel with the {profile} profile, and says not why it is \
         otherwise: {}",
        some(checks)
    )]
    Unexplained { flavour: Flavour, profile: Profile, checks: Vec<String> },
    #[error(
        "{POLICY} says why `{check}` is not met, but it is: idle explanation for the {flavour} kernel with the {profile} profile"
    )]
    Idle { check: String, flavour: Flavour, profile: Profile },
    #[error("{} is out of date: {why}", path.display())]
    Behind { flavour: Flavour, path: PathBuf, why: String },
    #[error("this is another kernel than `{flavour}`: {found}")]
    OtherKernel { flavour: Flavour, found: String },
    #[error(transparent)]
    Parted(#[from] Parted),
    #[error("cannot read {}", path.display())]
    Config { path: PathBuf, source: BadConfig },
    #[error("there is no configuration of the {flavour} kernel: {} is not there", path.display())]
    NoConfig { flavour: Flavour, path: PathBuf },
    #[error("cannot read {}", path.display())]
    Uki { path: PathBuf, source: BadPe },
    #[error("{} has no command line in it", .0.display())]
    NoCommandLine(PathBuf),
    #[error("{} holds nothing that `sysctl -a` prints", .0.display())]
    NoSysctls(PathBuf),
    #[error(transparent)]
    File(#[from] FileError),
}

/// The first of `checks`, and how many there are besides.
fn some(checks: &[String]) -> String {
    const SHOWN: usize = 8;
    match checks.split_at_checked(SHOWN) {
        Some((first, more)) if !more.is_empty() => {
            format!("{} and {} more", first.join(", "), more.len())
        }
        _ => checks.join(", "),
    }
}

impl Explain for AuditError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unexplained { flavour, profile, .. } => format!(
                "correct it where it is set (os/kernel, os/packages, the image's definition; a host's own \
                 /etc/sysctl.d), or write in {POLICY}: [[unmet]] with checks, flavours = [\"{flavour}\"], \
                 profiles = [\"{profile}\"], found (where something is there), reason and instead"
            ),
            Self::Behind { flavour, .. } => {
                format!("run `forge kernel config {flavour}`, then read and commit the difference")
            }
            Self::OtherKernel { .. } => "name the kernel: `forge audit kernel full`".into(),
            Self::Parted(_) => "take it out".into(),
            Self::Idle { .. } => {
                "take it out of `checks`, or narrow `flavours` or `profiles` of its [[unmet]]"
                    .into()
            }
            Self::NoConfig { flavour, .. } => format!("run `forge kernel config {flavour}`"),
            Self::Config { .. } => "give a .config, as Kconfig writes it".into(),
            Self::Uki { .. } | Self::NoCommandLine(_) => {
                "give a unified kernel image: out/IMAGE/preon.efi".into()
            }
            Self::NoSysctls(_) => {
                "see whether the command before has failed; run `ssh root@HOST sysctl -a | forge audit kernel --sysctls -`".into()
            }
            Self::File(error) => return error.hint(),
        })
    }
}

impl Kernel {
    /// Looks at the checkout's own configuration, command line and parameters.
    pub(crate) fn of(flavour: Flavour, profile: Profile) -> Self {
        let (config, command_line, uki, sysctls) = (None, None, None, None);
        let (unmet, json) = (false, false);
        Self { flavour, profile, config, command_line, uki, sysctls, unmet, json }
    }

    /// Looks at a kernel of the checkout at `root`.
    ///
    /// # Errors
    ///
    /// [`AuditError`] where it does not pass, [`policy::PolicyError`], or what reading the command
    /// line fails with.
    pub(crate) fn run(self, root: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        let policy = policy::load(&root.join(POLICY))?;
        let facts = Facts {
            config: self.read_config(root)?,
            words: Words::parse(&self.read_command_line(root)?).map_err(AuditError::from)?,
            sysctls: self.read_sysctls(root)?,
        };
        self.expect_kernel(&facts)?;
        let mut report = Report::new(&policy, &facts, self.flavour, self.profile);
        report.looked_at = self.looked_at();
        report.only_unmet = self.unmet;
        let text = match self.json {
            // Strings and numbers only: nothing in it can fail to be JSON.
            true => serde_json::to_string_pretty(&report).unwrap_or_default() + "\n",
            false => report.to_string(),
        };
        out.write_all(text.as_bytes()).map_err(FileError::at("write to", "standard output"))?;
        self.judge(&report).map_err(Failure::from)
    }

    /// Refuses a configuration or parameters that say of themselves that they are another kernel's.
    fn expect_kernel(&self, facts: &Facts) -> Result<(), AuditError> {
        let flavour = self.flavour;
        let built = facts.config.listed("CONFIG_LOCALVERSION").map(ToString::to_string);
        let running = facts.sysctls.get("kernel.osrelease").map(ToOwned::to_owned);
        let other = |found: &String| {
            let (_, name) = found.split_once("-preon-")?;
            (name.trim_matches('"') != flavour.to_string()).then(|| found.clone())
        };
        match [built, running].iter().flatten().find_map(other) {
            Some(found) => Err(AuditError::OtherKernel { flavour, found }),
            None => Ok(()),
        }
    }

    /// Where each setting is looked up, for people.
    fn looked_at(&self) -> BTreeMap<Setting, String> {
        let file = |path: &Option<PathBuf>| Some(path.as_ref()?.display().to_string());
        let Self { flavour, .. } = self;
        let config = || format!("os/kernel/generated/{flavour}.config");
        let given = self.command_line.as_ref().map(|_| "the given one".to_owned());
        BTreeMap::from([
            (Setting::Kconfig, file(&self.config).unwrap_or_else(config)),
            (
                Setting::Cmdline,
                given.or_else(|| file(&self.uki)).unwrap_or_else(|| "os/kernel".into()),
            ),
            (
                Setting::Sysctl,
                file(&self.sysctls).unwrap_or_else(|| "sysctl.d in os/packages".into()),
            ),
        ])
    }

    fn judge(&self, report: &Report) -> Result<(), AuditError> {
        let Self { flavour, profile, .. } = *self;
        all_explained(report)?;
        // Explanations are about what the checkout leads to: a host, or another kernel, may be stricter.
        let own = [
            (Setting::Kconfig, true),
            (Setting::Cmdline, self.command_line.is_none() && self.uki.is_none()),
            (Setting::Sysctl, self.sysctls.is_none()),
        ];
        let own = own.iter().filter(|(_, own)| *own && self.config.is_none());
        let own: Vec<_> = own.map(|(setting, _)| *setting).collect();
        match report.idle(&own) {
            Some(idle) => Err(AuditError::Idle { check: idle.check.clone(), flavour, profile }),
            None => Ok(()),
        }
    }

    fn read_config(&self, root: &Path) -> Result<Config, Failure> {
        let committed = || kernel::committed(root, self.flavour);
        let path = self.config.clone().unwrap_or_else(committed);
        if self.config.is_none() && !path.exists() {
            return Err(AuditError::NoConfig { flavour: self.flavour, path }.into());
        }
        let text = file::read_text(&path)?;
        let config = Config::parse(&text)
            .map_err(|source| AuditError::Config { path: path.clone(), source })?;
        if self.config.is_none()
            && let Some(why) = kernel::outdated(root, self.flavour, &config)?
        {
            return Err(AuditError::Behind { flavour: self.flavour, path, why }.into());
        }
        Ok(config)
    }

    fn read_command_line(&self, root: &Path) -> Result<String, Failure> {
        match (&self.command_line, &self.uki) {
            (Some(text), _) => Ok(text.clone()),
            (None, Some(path)) => Ok(from_uki(path)?),
            (None, None) => Ok(kernel::command_line(root, self.flavour, self.profile)?),
        }
    }

    fn read_sysctls(&self, root: &Path) -> Result<Sysctls, AuditError> {
        let text = match &self.sysctls {
            None => return Ok(applied(&shipped_files(root)?)),
            Some(path) if path == Path::new("-") => {
                let mut bytes = Vec::new();
                let read = std::io::stdin().read_to_end(&mut bytes);
                read.map_err(FileError::at("read", "standard input"))?;
                bytes
            }
            Some(path) => file::read(path)?,
        };
        let sysctls = Sysctls::parse(&String::from_utf8_lossy(&text));
        match (&self.sysctls, sysctls.is_empty()) {
            (Some(path), true) => Err(AuditError::NoSysctls(path.clone())),
            _ => Ok(sysctls),
        }
    }
}

/// Refuses what is not met and not explained.
fn all_explained(report: &Report) -> Result<(), AuditError> {
    let Report { flavour, profile, .. } = *report;
    let checks: Vec<_> = report.unexplained().map(|finding| finding.check.clone()).collect();
    if checks.is_empty() {
        return Ok(());
    }
    Err(AuditError::Unexplained { flavour, profile, checks })
}

/// The command line in the unified kernel image at `path`.
///
/// Source: UAPI.5 Unified Kernel Images, "UKI Components".
fn from_uki(path: &Path) -> Result<String, AuditError> {
    let file = file::read(path)?;
    let pe = Pe::parse(&file).map_err(|source| AuditError::Uki { path: path.into(), source })?;
    let section = pe.section(".cmdline");
    let section = section.ok_or_else(|| AuditError::NoCommandLine(path.to_owned()))?;
    let text = String::from_utf8_lossy(section.content(&file)).into_owned();
    Ok(text.trim_end_matches(['\0', '\n']).to_owned())
}

/// The packages' own files of sysctl.d by their names: in the order in which systemd-sysctl reads them.
///
/// Source: sysctl.d(5): by file name, whatever the folder.
fn shipped_files(root: &Path) -> Result<BTreeMap<String, String>, FileError> {
    let packages = root.join("os/packages");
    let mut files = Vec::new();
    for package in entries(&packages)? {
        let folder = package.join("files/usr/lib/sysctl.d");
        if folder.is_dir() {
            files.extend(entries(&folder)?);
        }
    }
    let text = |path: &PathBuf| Ok((name(path).to_owned(), file::read_text(path)?));
    let files = files.iter().filter(|path| name(path).ends_with(".conf"));
    files.map(text).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or_default()
}

/// What the files of sysctl.d with these names and texts set together.
fn applied(files: &BTreeMap<String, String>) -> Sysctls {
    let mut sysctls = Sysctls::default();
    for text in files.values() {
        sysctls.apply(text);
    }
    sysctls
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = fs::read_dir(folder).map_err(FileError::at("read", folder))?;
    let paths = entries.map(|entry| Ok(entry.map_err(FileError::at("read", folder))?.path()));
    paths.collect()
}

#[cfg(test)]
mod tests;
