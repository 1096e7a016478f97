//! `forge repo show`: what a repository holds.

use std::io::{self, Write};

use base::file::FileError;
use base::{ByteSize, Failure};
use packages::publish::{Shown, ShownPackage, show};
use serde_json::json;

use super::{Folder, SUITE};
use crate::context::Context;
use crate::key::{self, KeysFolder};

/// Print what a repository holds, checked against its keys
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    keys: KeysFolder,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Show {
    /// Reads, checks and prints.
    ///
    /// # Errors
    ///
    /// If the repository cannot be read, or is not what its keys have signed.
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        let shown = show(&self.folder.path(context), SUITE, &self.keys.open(context)?)?;
        let printed = if self.json { print_json(&shown, out) } else { print(&shown, out) };
        Ok(printed.map_err(FileError::at("write to", "standard output"))?)
    }
}

fn print(shown: &Shown, out: &mut dyn Write) -> io::Result<()> {
    if shown.version == 0 {
        return writeln!(out, "nothing was published yet");
    }
    for ShownPackage { name, version, size, .. } in &shown.packages {
        writeln!(out, "  {:>9}  {name} {version}", ByteSize(*size))?;
    }
    let Shown { version, published, valid_until, packages } = shown;
    let bytes = ByteSize(packages.iter().map(|package| package.size).sum());
    let (made, until) = (key::day(*published), key::day(*valid_until));
    writeln!(out, "publication {version} of {made}, until {until}")?;
    writeln!(out, "{} packages, {bytes}", packages.len())?;
    if *valid_until < key::clock() {
        writeln!(out, "it has expired: hosts refuse it until `forge repo publish` renews it")?;
    }
    Ok(())
}

fn print_json(shown: &Shown, out: &mut dyn Write) -> io::Result<()> {
    let row = |package: &ShownPackage| {
        let ShownPackage { name, version, path, size } = package;
        json!({ "name": name, "version": version, "path": path, "bytes": size })
    };
    let packages: Vec<_> = shown.packages.iter().map(row).collect();
    let Shown { version, published, valid_until, .. } = shown;
    let value = json!({
        "version": version, "published": published, "valid_until": valid_until, "packages": packages,
    });
    writeln!(out, "{value}")
}
