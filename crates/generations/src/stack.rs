//! A generation as a root to boot into: verified layers at `/usr`, `/etc` over their defaults,
//! state beside them.
//!
//! The initrd does this at boot, a soft reboot does it for `/run/nextroot`. Both first make an
//! empty root ([`root::make`]) and have the data filesystem mounted somewhere; then comes
//! [`Stack::mount`].

mod layer;
pub mod live;
pub mod next;
pub mod root;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use base::file::FileError;
use base::{Digest, Explain};
use formats::manifest::Manifest;
use formats::verity::VerityError;
use sys::{Filesystem, Limits, Mapper, MountError, mount};

use crate::etc;
use crate::store::Store;
use layer::OpenLayer;

/// Where things are while a generation is stacked.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The new root, as [`root::make`] left it.
    pub root: &'a Path,
    /// A folder on a tmpfs that stays (`/run/preon`): each layer is mounted below it by itself,
    /// so that `/usr` can be stacked anew from these while the host runs.
    pub run: &'a Path,
    /// The data filesystem: state, and the upper side of `/etc`.
    pub data: &'a Path,
}

/// Why something of a generation could not be mounted.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// A mount failed.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// Something about a file, a folder or a device.
    #[error(transparent)]
    File(#[from] FileError),
    /// The manifest gives a layer a length that no layer can have.
    #[error(transparent)]
    Verity(#[from] VerityError),
}

impl Explain for Cause {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Mount(error) => error.hint(),
            Self::File(error) => error.hint(),
            Self::Verity(error) => error.hint(),
        }
    }
}

/// Why a generation could not be stacked.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// A layer's bytes are not those that its root hash promises.
    #[error("layer {layer} (sha256 {digest}) is corrupt")]
    Corrupt {
        /// The layer's name.
        layer: String,
        /// The digest that names its files.
        digest: Digest,
        /// What did not work because of that.
        source: Box<Cause>,
    },
    /// A layer could not be mounted.
    #[error("cannot mount layer {layer} (sha256 {digest})")]
    Layer {
        /// The layer's name.
        layer: String,
        /// The digest that names its files.
        digest: Digest,
        /// Why.
        source: Box<Cause>,
    },
    /// Something else could not be mounted or made.
    #[error(transparent)]
    Other(Box<Cause>),
}

impl Explain for StackError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Corrupt { .. } => Some(
                "the disk or the file was damaged after the layer was written: \
                 write the image anew, or check the disk"
                    .into(),
            ),
            Self::Layer { source, .. } | Self::Other(source) => source.hint(),
        }
    }
}

/// A generation that is mounted.
#[derive(Debug)]
pub struct Stack {
    mapper: Mapper,
    layers: Vec<OpenLayer>,
}

impl Stack {
    /// Mounts a generation below an empty root, which is read-only afterwards.
    ///
    /// # Errors
    ///
    /// [`StackError`] naming the layer, where it is a layer's fault. What was mounted so far stays:
    /// throw the root away with it.
    pub fn mount(
        store: &Store,
        manifest: &Manifest,
        places: Places<'_>,
    ) -> Result<Self, StackError> {
        let mapper = Mapper::open().map_err(|error| StackError::Other(Box::new(error.into())))?;
        let mut stack = Self { mapper, layers: Vec::new() };
        for layer in &manifest.layers {
            let open = OpenLayer::mount(&stack.mapper, store, layer, places.run)?;
            stack.layers.push(open);
        }
        stack.arrange(places).map_err(|cause| {
            let source = Box::new(cause);
            match stack.corrupt_layer() {
                Some((name, digest)) => {
                    StackError::Corrupt { layer: name.to_owned(), digest, source }
                }
                None => StackError::Other(source),
            }
        })?;
        Ok(stack)
    }

    /// The first layer of which a read block did not match its hash: the reason when something on
    /// `/usr` cannot be read or executed.
    pub fn corrupt_layer(&self) -> Option<(&str, Digest)> {
        let mut layers = self.layers.iter();
        let corrupt = layers.find(|layer| layer.is_corrupt(&self.mapper));
        corrupt.map(|layer| (layer.name.as_str(), layer.digest))
    }

    fn arrange(&self, places: Places<'_>) -> Result<(), Cause> {
        let layers: Vec<&Path> = self.layers.iter().map(|layer| layer.mounted.as_path()).collect();
        mount_usr(&layers, &places.root.join("usr"))?;
        mount_etc(places)?;
        mount_state(places)?;
        root::seal(places.root)?;
        Ok(())
    }
}

/// What `/usr` does not allow.
const USR: Limits = Limits { read_only: true, no_devices: true, ..Limits::NONE };

/// Stacks mounted layers, lowest first, at `target`.
fn mount_usr(layers: &[&Path], target: &Path) -> Result<(), Cause> {
    match layers {
        [only] => Ok(mount::bind(only, target, USR)?),
        _ => Ok(overlay(layers).mount(target)?),
    }
}

/// Two mounted layers or more, lowest first, as one.
fn overlay<'a>(layers: &[&'a Path]) -> Filesystem<'a> {
    let overlay = Filesystem::new("overlay").limits(USR);
    // The kernel wants the uppermost first.
    layers.iter().rev().fold(overlay, |overlay, layer| overlay.option("lowerdir+", *layer))
}

/// Lays the host's own `/etc` over the defaults in `/usr`.
///
/// All of overlay's extras are off: with them, files that were copied up would be bound to one
/// state of the defaults, which change with the generation.
fn mount_etc(places: Places<'_>) -> Result<(), Cause> {
    etc::drop_copies(places.data)?;
    let upper = folder(&etc::upper(places.data), 0o755)?;
    let work = folder(&places.data.join("etc/work"), 0o755)?;
    let defaults = places.root.join("usr").join(etc::DEFAULTS);
    Filesystem::new("overlay")
        .option("lowerdir+", &defaults)
        .option("upperdir", &upper)
        .option("workdir", &work)
        .option("index", "off")
        .option("metacopy", "off")
        .option("redirect_dir", "off")
        .option("xino", "off")
        .limits(Limits::DATA)
        .mount(&places.root.join("etc"))?;
    Ok(())
}

/// Shows what is not the operating system at its places, making it where it is missing.
fn mount_state(places: Places<'_>) -> Result<(), Cause> {
    for (name, mode) in [("var", 0o755), ("home", 0o755), ("root", 0o700)] {
        let state = folder(&places.data.join(name), mode)?;
        mount::bind(&state, &places.root.join(name), Limits::DATA)?;
    }
    Ok(())
}

/// Makes the folder `path` with this mode, at once, so that no crash leaves it with another; one
/// that is there keeps its mode. PID 1's umask takes nothing away that we give.
fn folder(path: &Path, mode: u32) -> Result<PathBuf, FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(FileError::at("create the folder", path))?;
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests;
