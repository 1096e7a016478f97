//! `forge kernel show`: what the built kernel is, and where.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use base::{ByteSize, Explain, Failure};
use serde::Serialize;

use super::{Flavour, Need, Profile, Workshop, build, command_line, json, print, recipe};

/// Show the built kernel.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Which kernel
    #[arg(value_enum, default_value_t)]
    flavour: Flavour,
    /// How strict the command line is
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What `forge kernel show --json` prints.
#[derive(Debug, Serialize)]
struct Shown {
    /// Version of Debian's source package.
    version: String,
    /// What `uname -r` prints.
    release: String,
    /// Path of the final configuration.
    config: PathBuf,
    /// Default command line.
    cmdline: String,
    /// Path of the image.
    image: PathBuf,
    image_bytes: u64,
}

impl Show {
    pub(super) fn run(self, shop: &dyn Workshop, out: &mut dyn Write) -> Result<(), Failure> {
        let recipe = recipe(shop, self.flavour, Need::Identity)?;
        let key = recipe.key(shop.sandbox(Need::Identity)?.as_ref());
        let kernel = build::cached(shop.cache(), key).ok_or_else(|| NotBuilt {
            flavour: self.flavour,
            folder: build::folder(shop.cache(), key),
        })?;
        let shown = Shown {
            version: recipe.source.version,
            release: kernel.release()?,
            config: kernel.config(),
            cmdline: command_line(shop.repository(), self.flavour, self.profile)?,
            image: kernel.image(),
            image_bytes: kernel.image_bytes()?,
        };
        print(out, &if self.json { json(&shown) } else { shown.to_string() })
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "release       {}", self.release)?;
        writeln!(f, "source        Debian's linux {}", self.version)?;
        writeln!(f, "image         {} ({})", self.image.display(), ByteSize(self.image_bytes))?;
        writeln!(f, "config        {}", self.config.display())?;
        writeln!(f, "command line  {}", self.cmdline)
    }
}

/// The kernel was asked about, but not built yet.
#[derive(Debug, thiserror::Error)]
#[error("the {flavour} kernel of these sources and fragments was not built: {} is not there, or not whole", folder.display())]
struct NotBuilt {
    flavour: Flavour,
    folder: PathBuf,
}

impl Explain for NotBuilt {
    fn hint(&self) -> Option<String> {
        Some(format!(
            "run `forge kernel build {}` first; it takes a quarter to three quarters of an hour",
            self.flavour
        ))
    }
}
