//! Unified kernel images: a kernel, the initrd and a command line as one program for the firmware, and the package in
//! which hosts get it.
//!
//! There is one for each kernel, initrd and command line, so images whose command lines are the same share one. The
//! package's version rises with that of the kernel, that of the product, which the initrd belongs to, and the lock's number of
//! what else of Debian lies in it: a flaw that is closed there reaches hosts, too.

mod using;

use std::collections::BTreeSet;

use base::digest::Hasher;
use base::file::{self, FileError};
use base::{Digest, Explain, Failure};
use formats::manifest;
use formats::uki::{self, UkiError};
use formats::version::BadVersion;
use formats::{PackageName, Version, loader};
use packages::control::{BUILT_USING, BadControl, Control};
use packages::deb::{Entry, Kind, Writer};

use crate::audit;
use crate::audit::kernel::image::Installed;
use crate::context::Context;
use crate::image::initrd;
use crate::kernel::build::Kernel;
use crate::kernel::config::{BadConfig, Config};
use crate::kernel::{self, Built, Flavour, Profile};
use crate::programs::{self, Program};
use crate::recipe::ImageDefinition;
use crate::supply::Supply;
use crate::tools::ToolRoot;
use crate::workshop::KernelShop;
use using::Using;
pub(crate) use using::parts;

/// How hard zstd tries with a package, whose parts are compressed already.
const COMPRESSION_LEVEL: i32 = 3;

/// Why there is no unified kernel image, where no part of it says so itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("cannot assemble the unified kernel image")]
    Uki(#[from] UkiError),
    #[error("cannot read {}", path.display())]
    Config { path: std::path::PathBuf, source: BadConfig },
    #[error("cannot describe the package of a unified kernel image")]
    Control(#[from] BadControl),
    #[error("cannot pack the unified kernel image")]
    Pack(#[source] std::io::Error),
    #[error(
        "os/packages.lock numbers what starts kernels for other packages than those that it names"
    )]
    Unnumbered,
}

impl Explain for BuildError {
    fn hint(&self) -> Option<String> {
        matches!(self, Self::Unnumbered).then(|| {
            "`forge update` writes both; without a new number hosts would not take what is new"
                .into()
        })
    }
}

/// A unified kernel image.
pub(crate) struct Uki {
    pub(crate) kernel: manifest::Kernel,
    pub(crate) bytes: Vec<u8>,
    /// What of Debian is in it beside the kernel.
    pub(crate) using: Using,
}

impl Uki {
    /// What its package follows from.
    pub(crate) fn key(&self) -> Digest {
        let mut hasher = Hasher::default();
        hasher.field(b"unified kernel image 2").field(self.kernel.uki.as_bytes());
        hasher.field(self.kernel.package.as_str().as_bytes());
        hasher.field(self.using.copyright("").as_bytes()); // it names all sources
        hasher.finish()
    }
}

/// The package that brings the kernel of this flavour for the image `name`: shared by all whose command lines have
/// nothing beside the profile's.
///
/// # Errors
///
/// If an image's name can be none of a package.
fn package_name(
    (name, definition): (&str, &ImageDefinition),
    flavour: Flavour,
) -> Result<PackageName, Failure> {
    let of_image = match (definition.command_line.as_str().is_empty(), definition.profile) {
        (false, _) => format!("-{name}"),
        (true, Profile::Strict) => "-strict".to_owned(),
        (true, Profile::Default) => String::new(),
    };
    Ok(format!("preon-uki-{flavour}{of_image}").parse()?)
}

/// The unified kernel image of one kernel of the image `name`.
///
/// # Errors
///
/// What building the kernel or `preon-init` fails with; if the kernel does not meet the policy with its command line.
pub(crate) fn assemble(
    context: &Context,
    (name, definition): (&str, &ImageDefinition),
    flavour: Flavour,
) -> Result<Uki, Failure> {
    let built = kernel::kernel(&KernelShop::new(context), flavour)?;
    let package = package_name((name, definition), flavour)?;
    let init = file::read(&programs::built(context, Program::PreonInit)?.path())?;
    let e2fsck = ToolRoot::open(context, "initrd")?.file("usr/sbin/e2fsck.static");
    let initrd =
        initrd::make(&init, &file::read(&e2fsck)?).map_err(FileError::at("pack", "preon-init"))?;
    let release = built.kernel.release()?;
    let command_line = command_line(context, definition, (flavour, &built.kernel))?;
    let tools = ToolRoot::open(context, "image")?;
    let bytes = uki::assemble(&uki::Parts {
        stub: &file::read(&tools.file("usr/lib/systemd/boot/efi/linuxx64.efi.stub"))?,
        kernel: &file::read(&built.kernel.image())?,
        initrd: &initrd,
        command_line: &command_line,
        os_release: &os_release(&release, &version(&built.version, revision(context)?)?),
        release: &release,
        profiles: &[uki::Profile {
            id: "previous",
            title: "the generation before",
            command_line: &format!("{command_line} preon.generation=previous"),
        }],
    })
    .map_err(BuildError::from)?;
    let version = built.version.without_preon().to_string();
    let uki = Digest::of(&bytes);
    let using = Using::of_roots(context)?;
    Ok(Uki { kernel: manifest::Kernel { release, version, package, uki }, bytes, using })
}

/// The package of a unified kernel image: the image, and the copyright files of what is in it.
///
/// # Errors
///
/// [`BuildError`].
pub(crate) fn package(
    context: &Context,
    (uki, flavour): (&Uki, Flavour),
) -> Result<Vec<u8>, Failure> {
    let built = kernel::kernel(&KernelShop::new(context), flavour)?;
    let version = version(&built.version, revision(context)?)?;
    let control = control(uki, &built, &version).map_err(BuildError::from)?;
    let copyright = uki.using.copyright(&kernel::package::name(flavour));
    Ok(pack(uki, &control, &copyright).map_err(BuildError::Pack)?)
}

/// The number in the lock of what lies in unified kernel images beside the kernel.
fn revision(context: &Context) -> Result<u32, Failure> {
    let lock = Supply::open(context)?.lock;
    let parts = parts(&lock);
    let boot = lock.boot.filter(|boot| boot.parts == parts).ok_or(BuildError::Unnumbered)?;
    Ok(boot.revision)
}

/// The version of the package. What is ours in it sorts before Debian's `+deb13u1`, which comes with a later kernel.
fn version(kernel: &Version, revision: u32) -> Result<Version, BadVersion> {
    let debian = kernel.without_preon();
    let ours = kernel.as_str().strip_prefix(debian.as_str()).unwrap_or_default();
    format!("{debian}+boot{}.{revision}{ours}", env!("CARGO_PKG_VERSION")).parse()
}

/// What the boot loader shows, and sorts by: `1-boot` is older than `1.1-boot` there, as for packages; `1+boot` is newer.
fn os_release(release: &str, version: &Version) -> String {
    let version = version.as_str().replace('+', "-");
    format!(
        "NAME=\"Preon OS\"\nID=preon\nID_LIKE=debian\nVERSION_ID={release}\nIMAGE_VERSION={version}\n\
         PRETTY_NAME=\"Preon OS (Linux {release})\"\n"
    )
}

fn control(uki: &Uki, built: &Built, version: &Version) -> Result<Control, BadControl> {
    let Built { flavour, version: kernel_version, .. } = built;
    let kernel = &uki.kernel;
    let mut control = Control::parse(&format!(
        "Package: {}\nSource: linux ({})\nVersion: {version}\nArchitecture: amd64\nMaintainer: Preon OS\n\
         Installed-Size: {}\nDepends: {} (= {kernel_version})\nProvides: preon-uki\nSection: kernel\n\
         Description: What starts Linux for container hosts, {flavour}\n",
        kernel.package,
        kernel.version,
        uki.bytes.len().div_ceil(1024),
        kernel::package::name(*flavour),
    ))?;
    control.set(BUILT_USING, &uki.using.field());
    Ok(control)
}

fn pack(uki: &Uki, control: &Control, copyright: &str) -> std::io::Result<Vec<u8>> {
    let mut writer = Writer::new(COMPRESSION_LEVEL, 0)?;
    let image = loader::packaged(&uki.kernel.release);
    let papers = format!("usr/share/doc/{}/copyright", uki.kernel.package);
    let files: [(&str, &[u8]); 2] = [(&image, &uki.bytes), (&papers, copyright.as_bytes())];
    let mut folders = BTreeSet::new();
    for (path, content) in files {
        let above = path.match_indices('/').map(|(end, _)| (&path[..end], Kind::Directory));
        for (path, kind) in above.chain([(path, Kind::File)]) {
            let is_file = kind == Kind::File;
            if !is_file && !folders.insert(path) {
                continue;
            }
            let content = if is_file { content } else { &[] };
            let (path, mode) = (path.to_owned(), if is_file { 0o644 } else { 0o755 });
            let (xattrs, size) = (Vec::new(), content.len() as u64);
            let entry = Entry { path, kind, mode, uid: 0, gid: 0, mtime: 0, xattrs, size };
            writer.add(&entry, &mut &*content)?;
        }
    }
    writer.finish(control)
}

/// The command line of a kernel of an image; refused unless the kernel meets the policy with it.
fn command_line(
    context: &Context,
    definition: &ImageDefinition,
    (flavour, kernel): (Flavour, &Kernel),
) -> Result<String, Failure> {
    let profile = definition.profile;
    let words = kernel::command_line(&context.root, flavour, profile)?;
    let words = format!("{words} {}", definition.command_line.as_str());
    let command_line = words.trim_end();
    let path = kernel.config();
    let config = Config::parse(&file::read_text(&path)?)
        .map_err(|source| BuildError::Config { path, source })?;
    let files: Vec<_> = definition.etc.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let installed = Installed { flavour, profile, config: &config, command_line, files: &files };
    audit::kernel::image::demand(&context.root, &installed)?;
    Ok(command_line.to_owned())
}

#[cfg(test)]
mod tests;
