//! One layer: two files of the store as one mounted filesystem whose every read is verified.

use std::path::{Path, PathBuf};

use base::{ByteSize, Digest};
use formats::Guid;
use formats::manifest::Layer;
use formats::verity::{Devices, Superblock};
use sys::mapper::Target;
use sys::{Filesystem, Limits, LoopDevice, Mapper, block, mount};

use super::{Cause, StackError, folder};
use crate::store::Store;

/// Several clusters at once, of which each would otherwise be decompressed again for the pages that
/// the last read left out (docs/boot.md, "Time").
const READ_AHEAD: ByteSize = ByteSize(512 * 1024);

/// The folder below `run` with the mounts of single layers.
pub(super) const FOLDER: &str = "layers";

/// A layer that is mounted.
#[derive(Debug)]
pub(super) struct OpenLayer {
    pub(super) name: String,
    pub(super) digest: Digest,
    pub(super) mounted: PathBuf,
    device: String,
}

impl OpenLayer {
    /// What the layer is called where it is mounted, whether it is or not.
    pub(super) fn named(layer: &Layer, run: &Path) -> Self {
        Self {
            name: layer.name.clone(),
            digest: layer.erofs,
            mounted: run.join(FOLDER).join(layer.erofs.to_string()),
            device: format!("preon-{}", layer.erofs),
        }
    }

    /// Mounts a layer of the store below `run`; one that is mounted there is taken as it is, as its every read is
    /// verified.
    ///
    /// Its devices go away by themselves when it is unmounted.
    pub(super) fn mount(
        mapper: &Mapper,
        store: &Store,
        layer: &Layer,
        run: &Path,
    ) -> Result<Self, StackError> {
        let open = Self::named(layer, run);
        let made = match mount::is_mounted(&open.mounted) {
            Ok(true) => Ok(()),
            Ok(false) => open.verify(mapper, store, layer),
            Err(error) => Err(error.into()),
        };
        match made {
            Ok(()) => Ok(open),
            Err(cause) => {
                let source = Box::new(cause);
                let (layer, digest) = (layer.name.clone(), layer.erofs);
                let corrupt = open.is_corrupt(mapper);
                // It may never have been made; what matters is why it cannot be used.
                let _ = mapper.remove(&open.device);
                Err(if corrupt {
                    StackError::Corrupt { layer, digest, source }
                } else {
                    StackError::Layer { layer, digest, source }
                })
            }
        }
    }

    /// Whether a block that was read did not match its hash.
    pub(super) fn is_corrupt(&self, mapper: &Mapper) -> bool {
        mapper.is_corrupt(&self.device).unwrap_or(false)
    }

    fn verify(&self, mapper: &Mapper, store: &Store, layer: &Layer) -> Result<(), Cause> {
        let files = store.layer_files(layer);
        // The file has a superblock, too, but nobody vouches for that; it is not even read.
        let salt = layer.inputs;
        let superblock = Superblock::new(layer.erofs_bytes, salt, Guid::from_digest(&salt))?;
        let data = LoopDevice::attach(&files.erofs)?;
        let tree = LoopDevice::attach(&files.verity)?;
        let devices = Devices {
            data: &data.path().to_string_lossy(),
            tree: &tree.path().to_string_lossy(),
            root_hash: layer.root_hash,
            options: &[], // a corrupt block cannot be read: EIO
        };
        let parameters = superblock.table(&devices);
        let target = Target { kind: "verity", sectors: superblock.sectors(), parameters };
        let device = mapper.create(&self.device, &target)?;
        // Only speed is at stake: the layer is as good without.
        let _ = block::set_read_ahead(&device, READ_AHEAD);

        let limits = Limits { read_only: true, no_devices: true, ..Limits::NONE };
        let folder = folder(&self.mounted, 0o700)?;
        Filesystem::new("erofs").on(&device).limits(limits).mount(&folder)?;
        mapper.remove(&self.device)?; // takes effect when it is unmounted
        Ok(())
    }
}
