//! `forge image show`: what an image is made of and how large it is.

mod kernels;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use base::{ByteSize, Explain, Failure};
use formats::manifest::{Manifest, ManifestError};
use serde::Serialize;

use self::kernels::{Kernel, KernelsError};
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
    /// The first boots.
    kernels: Vec<Kernel>,
    loader_bytes: u64,
    /// What the disk takes where holes take nothing.
    image_bytes: u64,
    image_apparent_bytes: u64,
    download_bytes: u64,
    /// Layers, verity trees, unified kernel images and boot loader.
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
    #[error(transparent)]
    Kernels(#[from] KernelsError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for ShowError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotBuilt { name } => Some(format!("run `forge image build {name}`")),
            Self::Kernels(error) => error.hint(),
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
    let kernels = kernels::kernels(folder)?;
    let layer_bytes: u64 = manifest.layers.iter().map(|layer| layer.erofs_bytes).sum();
    let verity_bytes: u64 = manifest.layers.iter().map(|layer| layer.verity_bytes).sum();
    let uki_bytes: u64 = kernels.iter().map(|kernel| kernel.uki_bytes).sum();
    let loader_bytes = size(&folder.join("loader.efi"))?;
    let disk = folder.join("disk.raw");
    Ok(Report {
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
        kernels,
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
    let mut sizes = vec![
        ("layers".to_owned(), report.layer_bytes),
        ("verity trees".to_owned(), report.verity_bytes),
    ];
    for Kernel { file, release, kernel_bytes, initrd_bytes, uki_bytes } in &report.kernels {
        sizes.push((format!("kernel {release}"), *kernel_bytes));
        sizes.push(("its initrd".to_owned(), *initrd_bytes));
        sizes.push((format!("its unified kernel image, {file}"), *uki_bytes));
    }
    let others = [
        ("boot loader", report.loader_bytes),
        ("footprint", report.footprint_bytes),
        ("disk, used", report.image_bytes),
        ("disk, apparent", report.image_apparent_bytes),
        ("download", report.download_bytes),
    ];
    sizes.extend(others.map(|(what, bytes)| (what.to_owned(), bytes)));
    for (what, bytes) in sizes {
        writeln!(out, "  {:>9}  {what}", ByteSize(bytes))?;
    }
    Ok(())
}
