//! `forge audit kernel`: whether a kernel is what `os/policy/kernel.toml` demands.

mod expression;
mod facts;
mod policy;
mod report;
mod sysctls;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use base::{Explain, Failure};
use formats::pe::{BadPe, Pe};

use crate::kernel::config::{BadConfig, Config};
use crate::kernel::{self, Flavour, Profile};
use facts::{Facts, Setting, Words};
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
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Why a kernel does not pass, or cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    #[error(
        "{POLICY} demands more of the {flavour} kernel, and says of these not why: {}",
        some(checks)
    )]
    Unexplained { flavour: Flavour, checks: Vec<String> },
    #[error(
        "{POLICY} says why `{check}` is not met, but it is: idle explanation for the {flavour} kernel with the {profile} profile"
    )]
    Idle { check: String, flavour: Flavour, profile: Profile },
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
            Self::Unexplained { flavour, .. } => format!(
                "change os/kernel, or write in {POLICY}: [[unmet]] with checks, \
                 flavours = [\"{flavour}\"], reason and instead"
            ),
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
                "run `ssh root@HOST sysctl -a | forge audit kernel --sysctls -`".into()
            }
            Self::File(error) => return error.hint(),
        })
    }
}

impl Kernel {
    /// Looks at the checkout's own configuration, command line and parameters.
    pub(crate) fn of(flavour: Flavour, profile: Profile) -> Self {
        let (config, command_line, uki, sysctls) = (None, None, None, None);
        Self { flavour, profile, config, command_line, uki, sysctls, json: false }
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
            words: Words::parse(&self.read_command_line(root)?),
            sysctls: self.read_sysctls(root)?,
        };
        let report = Report::new(&policy, &facts, self.flavour, self.profile);
        let text = match self.json {
            // Strings and numbers only: nothing in it can fail to be JSON.
            true => serde_json::to_string_pretty(&report).unwrap_or_default() + "\n",
            false => report.to_string(),
        };
        out.write_all(text.as_bytes()).map_err(FileError::at("write to", "standard output"))?;
        self.judge(&report).map_err(Failure::from)
    }

    fn judge(&self, report: &Report) -> Result<(), AuditError> {
        let Self { flavour, profile, .. } = *self;
        let checks: Vec<_> = report.unexplained().map(|finding| finding.check.clone()).collect();
        if !checks.is_empty() {
            return Err(AuditError::Unexplained { flavour, checks });
        }
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

    fn read_config(&self, root: &Path) -> Result<Config, AuditError> {
        let committed = || kernel::committed(root, self.flavour);
        let path = self.config.clone().unwrap_or_else(committed);
        if self.config.is_none() && !path.exists() {
            return Err(AuditError::NoConfig { flavour: self.flavour, path });
        }
        let text = file::read_text(&path)?;
        Config::parse(&text).map_err(|source| AuditError::Config { path, source })
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
            None => return Ok(shipped_sysctls(root)?),
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

/// What the packages' own files of sysctl.d set, in the order in which systemd-sysctl reads them.
///
/// Source: sysctl.d(5): by file name, whatever the folder.
fn shipped_sysctls(root: &Path) -> Result<Sysctls, FileError> {
    let packages = root.join("os/packages");
    let mut files = Vec::new();
    for package in entries(&packages)? {
        let folder = package.join("files/usr/lib/sysctl.d");
        if folder.is_dir() {
            files.extend(entries(&folder)?);
        }
    }
    files.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    let mut sysctls = Sysctls::default();
    for path in files {
        sysctls.apply(&file::read_text(&path)?);
    }
    Ok(sysctls)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = fs::read_dir(folder).map_err(FileError::at("read", folder))?;
    let paths = entries.map(|entry| Ok(entry.map_err(FileError::at("read", folder))?.path()));
    paths.collect()
}

#[cfg(test)]
mod tests;
