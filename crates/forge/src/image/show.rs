//! `forge image show`: what an image is made of and how large it is.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use base::{ByteSize, Explain, Failure};
use formats::manifest::{Manifest, ManifestError};
use formats::pe::{BadPe, Pe};
use serde::Serialize;

use super::{disk, kind};
use crate::context::Context;

/// Print what an image that was built is made of, and how large it is
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The image's name: `minimal`
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What an image is made of. Sizes in bytes.
#[derive(Debug, Serialize)]
struct Report {
    image: String,
    version: String,
    build_id: String,
    packages: Vec<Package>,
    layer_bytes: u64,
    verity_bytes: u64,
    kernel_bytes: u64,
    initrd_bytes: u64,
    uki_bytes: u64,
    loader_bytes: u64,
    /// What the disk takes where holes take nothing.
    image_bytes: u64,
    image_apparent_bytes: u64,
    download_bytes: u64,
    /// Layers, verity trees, unified kernel image and boot loader.
    footprint_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Package {
    name: String,
    version: String,
    installed_bytes: u64,
}

/// Why an image cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShowError {
    #[error("the image `{name}` was not built")]
    NotBuilt { name: String },
    #[error("cannot read {}", path.display())]
    Manifest { path: PathBuf, source: ManifestError },
    #[error("{} has no section {section}", path.display())]
    Section { path: PathBuf, section: &'static str },
    #[error("cannot read {}", path.display())]
    Uki { path: PathBuf, source: BadPe },
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for ShowError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotBuilt { name } => Some(format!("run `forge image build {name}`")),
            _ => None,
        }
    }
}

impl Show {
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        kind::expect_disk(context, &self.name)?;
        let report = report(&context.out(&self.name), &self.name)?;
        let printed = if self.json {
            writeln!(out, "{}", serde_json::json!(report))
        } else {
            print(&report, out)
        };
        Ok(printed.map_err(FileError::at("write to", "standard output"))?)
    }
}

fn report(folder: &Path, name: &str) -> Result<Report, ShowError> {
    let path = folder.join("manifest.json");
    if !path.exists() {
        return Err(ShowError::NotBuilt { name: name.to_owned() });
    }
    let manifest = Manifest::parse(&file::read(&path)?)
        .map_err(|source| ShowError::Manifest { path, source })?;
    let uki_path = folder.join("preon.efi");
    let uki = file::read(&uki_path)?;
    let parsed =
        Pe::parse(&uki).map_err(|source| ShowError::Uki { path: uki_path.clone(), source })?;
    let section = |section: &'static str| -> Result<u64, ShowError> {
        let missing = || ShowError::Section { path: uki_path.clone(), section };
        Ok(parsed.section(section).ok_or_else(missing)?.content(&uki).len() as u64)
    };
    let layer_bytes = manifest.layers.iter().map(|layer| layer.erofs_bytes).sum();
    let verity_bytes = manifest.layers.iter().map(|layer| layer.verity_bytes).sum();
    let uki_bytes = uki.len() as u64;
    let loader_bytes = size(&folder.join("loader.efi"))?;
    let disk = folder.join("disk.raw");
    Ok(Report {
        kernel_bytes: section(".linux")?,
        initrd_bytes: section(".initrd")?,
        image_bytes: disk::used_bytes(&disk)?.0,
        image_apparent_bytes: size(&disk)?,
        download_bytes: size(&folder.join("disk.raw.zst"))?,
        footprint_bytes: layer_bytes + verity_bytes + uki_bytes + loader_bytes,
        image: manifest.image,
        version: manifest.version,
        build_id: manifest.build_id,
        packages: manifest.packages.iter().map(package).collect(),
        layer_bytes,
        verity_bytes,
        uki_bytes,
        loader_bytes,
    })
}

fn package(package: &formats::manifest::Package) -> Package {
    Package {
        name: package.name.to_string(),
        version: package.version.to_string(),
        installed_bytes: package.installed_bytes,
    }
}

fn size(path: &Path) -> Result<u64, FileError> {
    Ok(fs::metadata(path).map_err(FileError::at("read", path))?.len())
}

fn print(report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "{} {} (build {})", report.image, report.version, report.build_id)?;
    let mut packages: Vec<_> = report.packages.iter().collect();
    packages.sort_by_key(|package| std::cmp::Reverse(package.installed_bytes));
    for package in &packages {
        let size = ByteSize(package.installed_bytes);
        writeln!(out, "  {size:>9}  {} {}", package.name, package.version)?;
    }
    writeln!(out, "{} packages", packages.len())?;
    let sizes = [
        ("layers", report.layer_bytes),
        ("verity trees", report.verity_bytes),
        ("kernel", report.kernel_bytes),
        ("initrd", report.initrd_bytes),
        ("unified kernel image", report.uki_bytes),
        ("boot loader", report.loader_bytes),
        ("footprint", report.footprint_bytes),
        ("disk, used", report.image_bytes),
        ("disk, apparent", report.image_apparent_bytes),
        ("download", report.download_bytes),
    ];
    for (what, bytes) in sizes {
        writeln!(out, "  {:>9}  {what}", ByteSize(bytes))?;
    }
    Ok(())
}
