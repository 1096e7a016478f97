//! `forge image build`: from recipes and the lock to a disk, in one pass.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use base::digest::Hasher;
use base::file::{self, FileError};
use base::progress::{Metered, Progress, Unit};
use base::{ByteSize, Digest, Failure};
use formats::guid::Guid;
use formats::manifest::{self, Manifest};
use formats::{PackageName, loader};
use generations::Store;
use generations::store::LayerFiles;

use super::filesystem::{self, Content, Plan};
use super::{kind, layout};
use crate::audit;
use crate::context::Context;
use crate::layer::{self, Described, Layer};
use crate::recipe::ImageDefinition;
use crate::tools::ToolRoot;
use crate::uki::Uki;

/// Build an image: layers, kernel, disk, into `out/NAME`
#[derive(Debug, clap::Args)]
pub(crate) struct Build {
    /// The image's name: `minimal`
    pub(super) name: String,
}

/// The parts of an image that are there before the disk is.
struct Parts {
    manifest: Manifest,
    /// Lowest first; there is one at least.
    layers: Vec<Layer>,
    /// The first boots by default.
    ukis: Vec<Uki>,
    loader: Vec<u8>,
}

impl Build {
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        kind::expect_disk(context, &self.name)?;
        let target = context.out(&self.name);
        let tools = ToolRoot::open(context, "image")?;
        let parts = parts(context, &tools, &self.name)?;
        put(&target, |folder| write(context.progress.as_ref(), &tools, &parts, folder))?;
        let layers = parts.manifest.layers.iter();
        let layers =
            layers.map(|layer| format!("layer {} {}", layer.name, ByteSize(layer.erofs_bytes)));
        let layers: Vec<_> = layers.collect();
        let build = &parts.manifest.build_id;
        writeln!(out, "{}: {}, build {build}", target.display(), layers.join(", "))
            .map_err(FileError::at("write to", "standard output"))?;
        Ok(())
    }
}

/// Replaces the folder `target` by what `write` writes into a folder that is not there yet.
fn put(target: &Path, write: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    file::replace_folder(target, write)
}

fn parts(context: &Context, tools: &ToolRoot, name: &str) -> Result<Parts, Failure> {
    if context.is_release() {
        audit::elf::check(context, name, &layer::packages(context, name)?)?;
    }
    let Described { definition, request, ukis } = layer::described(context, name)?;
    let layers = layer::layers(context, tools, &request)?;
    let top = &layers[layers.len() - 1]; // the image's own is always there
    if let count @ 1.. = top.not_rebuilt.len() {
        let note = format!("note: development image: {count} packages not yet rebuilt");
        context.progress.note(&note);
    }
    let manifest = Manifest {
        format: manifest::FORMAT,
        image: name.to_owned(),
        version: top.version.clone(),
        build_id: top.build_id.clone(),
        kernel: ukis[0].kernel.clone(), // `Kernels` has one or more
        other_kernels: ukis[1..].iter().map(|uki| uki.kernel.clone()).collect(),
        layers: layers.iter().map(|layer| layer.layer.clone()).collect(),
        packages: installed(&definition, &ukis, top),
        not_rebuilt: top.not_rebuilt.clone(),
        pins: BTreeMap::new(),
        change: None,
        tools: top.tools.clone(),
    };
    let loader = file::read(&tools.file("usr/lib/systemd/boot/efi/systemd-bootx64.efi"))?;
    Ok(Parts { manifest, layers, ukis, loader })
}

/// The packages of an image: those that its definition does not ask for are there for others.
fn installed(definition: &ImageDefinition, ukis: &[Uki], top: &Layer) -> Vec<manifest::Package> {
    let asked = |name: &PackageName| {
        definition.packages.contains(name) || ukis.iter().any(|uki| uki.kernel.package == *name)
    };
    let packages = top.packages.iter().cloned();
    let marked =
        packages.map(|package| manifest::Package { automatic: !asked(&package.name), ..package });
    marked.collect()
}

/// Writes everything into `folder`, which is not there yet.
fn write(
    progress: &dyn Progress,
    tools: &ToolRoot,
    parts: &Parts,
    folder: &Path,
) -> Result<(), Failure> {
    let layers = folder.join("layers");
    file::create_dir_all(&layers)?;
    let mut files = Vec::new();
    for layer in &parts.layers {
        let digest = layer.layer.erofs;
        let erofs = layers.join(format!("{digest}.erofs"));
        let verity = layers.join(format!("{digest}.verity"));
        copy(&layer.erofs(), &erofs)?;
        copy(&layer.verity(), &verity)?;
        files.push(LayerFiles { erofs, verity });
    }
    file::replace(&folder.join("manifest.json"), parts.manifest.to_json().as_bytes())?;
    file::replace(&folder.join("preon.efi"), &parts.ukis[0].bytes)?;
    for uki in &parts.ukis[1..] {
        file::replace(&folder.join(uki.kernel.entry_id()), &uki.bytes)?;
    }
    file::replace(&folder.join("loader.efi"), &parts.loader)?;

    let task = progress.begin("writing the disk", None, Unit::Nothing);
    let data = folder.join("data.ext4");
    let identity = identity(parts);
    write_data(tools, parts, &files, &data)?;
    let disk = layout::Disk { esp: esp_files(parts), data: &data, identity };
    let raw = folder.join("disk.raw");
    layout::write(&disk, &raw)?;
    fs::remove_file(&data).map_err(FileError::at("remove", &data))?;
    drop(task);
    compress(progress, &raw)
}

/// What the disk's names follow from.
fn identity(parts: &Parts) -> Digest {
    let mut hasher = Hasher::default();
    hasher.field(parts.manifest.to_json().as_bytes()).field(&parts.loader);
    for uki in &parts.ukis {
        hasher.field(uki.kernel.uki.as_bytes());
    }
    hasher.finish()
}

/// The data filesystem with the store of generation 1, as the host's own code stages it.
fn write_data(
    tools: &ToolRoot,
    parts: &Parts,
    files: &[LayerFiles],
    target: &Path,
) -> Result<(), Failure> {
    let folder = target.with_extension("store");
    let store = Store::create(&folder)?;
    let generation = store.stage(&parts.manifest, files)?;
    store.want(generation)?;
    let paths = tree(&folder)?;
    let mut entries = vec![("preon".to_owned(), Content::Folder)];
    for path in &paths {
        let below = path.strip_prefix(&folder).unwrap_or(path).display();
        let content = if path.is_dir() { Content::Folder } else { Content::File(path) };
        entries.push((format!("preon/{below}"), content));
    }
    let uuid = Guid::from_digest(&identity(parts));
    let plan = Plan { entries, uuid, epoch: parts.layers[0].epoch };
    filesystem::make(&tools.program("mke2fs"), &plan, target)?;
    fs::remove_dir_all(&folder).map_err(FileError::at("remove", &folder))?;
    Ok(())
}

/// All paths below `folder`, folders before what is in them, by name.
fn tree(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = fs::read_dir(folder).map_err(FileError::at("read", folder))?;
    let entries = entries.collect::<Result<Vec<_>, _>>().map_err(FileError::at("read", folder))?;
    let mut paths: Vec<_> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let below = if path.is_dir() { tree(&path)? } else { Vec::new() };
        all.push(path);
        all.extend(below);
    }
    Ok(all)
}

fn esp_files(parts: &Parts) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::from([
        ("EFI/BOOT/BOOTX64.EFI".to_owned(), parts.loader.clone()),
        (loader::CONFIG.to_owned(), loader_conf(&parts.ukis).into_bytes()),
    ]);
    for uki in &parts.ukis {
        files.insert(format!("{}/{}", loader::FOLDER, uki.kernel.entry_id()), uki.bytes.clone());
    }
    files
}

/// No menu unless a key is held; nobody at the console edits the kernel's command line. Of several
/// kernels the first boots.
///
/// Source: loader.conf(5).
fn loader_conf(ukis: &[Uki]) -> String {
    let first = ukis[0].kernel.entry_id(); // an image has one or more
    loader::with_default("timeout 0\neditor no\nconsole-mode keep\n", &first)
}

fn copy(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::copy(from, to).map_err(FileError::at("write", to))?;
    Ok(())
}

/// What people download: the disk with its holes and zeros gone.
fn compress(progress: &dyn Progress, raw: &Path) -> Result<(), Failure> {
    let target = raw.with_extension("raw.zst");
    let work = || -> std::io::Result<()> {
        let disk = File::open(raw)?;
        let size = disk.metadata()?.len();
        let task = progress.begin("compressing the disk", Some(size), Unit::Bytes);
        let mut encoder = zstd::Encoder::new(File::create(&target)?, 12)?;
        encoder.long_distance_matching(true)?;
        encoder.include_checksum(true)?;
        std::io::copy(&mut Metered::new(disk, task.as_ref()), &mut encoder)?;
        encoder.finish()?.sync_all()
    };
    Ok(work().map_err(FileError::at("compress", &target))?)
}

#[cfg(test)]
mod tests;
