//! Which kernel, and how strict its command line is.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Which kernel.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    clap::ValueEnum,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Flavour {
    /// No modules, everything shut that a container host can do without
    #[default]
    Hardened,
    /// Signed modules, tracing, a KVM host: to develop, for eBPF networking, for odd hardware
    Full,
    /// `hardened` without what hardens it at run time: to measure what that costs, in no image
    #[value(hide = true)]
    Unhardened,
}

/// How strict the command line is.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    clap::ValueEnum,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Profile {
    /// What every host can take
    #[default]
    Default,
    /// No two threads of one core: costs up to half of the processors that a host shows
    Strict,
}

impl Flavour {
    /// Every kernel that an image may have.
    pub(crate) const ALL: [Self; 2] = [Self::Hardened, Self::Full];

    /// Every kernel whose configuration is committed.
    pub(crate) const CONFIGURED: [Self; 3] = [Self::Hardened, Self::Full, Self::Unhardened];
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hardened => "hardened",
            Self::Full => "full",
            Self::Unhardened => "unhardened",
        })
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Strict => "strict",
        })
    }
}

/// Where the fragments of a kernel lie.
pub(crate) struct Folders {
    /// No option stands twice in all of these.
    pub(crate) asked: [PathBuf; 2],
    /// What is said here takes the place of what is said there.
    pub(crate) instead: Option<PathBuf>,
}

/// The folders whose fragments the kernel `flavour` is made of, below `folder` (`os/kernel`).
pub(crate) fn fragments(folder: &Path, flavour: Flavour) -> Folders {
    let (own, instead) = match flavour {
        Flavour::Unhardened => (Flavour::Hardened, Some(folder.join(flavour.to_string()))),
        Flavour::Hardened | Flavour::Full => (flavour, None),
    };
    Folders { asked: [folder.to_owned(), folder.join(own.to_string())], instead }
}

/// The files whose words make up the command line, in their order, below `folder` (`os/kernel`).
pub(crate) fn command_line(folder: &Path, flavour: Flavour, profile: Profile) -> Vec<PathBuf> {
    let mut files = vec![folder.join("cmdline"), folder.join(format!("{flavour}/cmdline"))];
    if profile == Profile::Strict {
        files.push(folder.join("strict/cmdline"));
    }
    files
}
