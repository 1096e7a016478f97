//! The store on a host: which layers and generations there are, which one boots, and how a
//! generation becomes `/usr` and the folders beside it.
//!
//! Works without the daemon: the initrd, the daemon and the build machine use the same code.

mod attempt;
pub mod check;
pub mod choose;
pub mod collect;
pub mod etc;
pub mod failure;
pub mod kernel;
mod lock;
pub mod running;
pub mod stack;
pub mod stage;
pub mod store;
pub mod wanted;

pub use choose::{Choice, Reason, Why};
pub use collect::Collected;
pub use kernel::Booted;
pub use stack::Stack;
pub use store::{Generation, Store, StoreError};
pub use wanted::Wanted;

/// What is ours on a running host: a folder on a tmpfs, for root only.
pub const RUN: &str = "/run/preon";
/// Where a running host's data filesystem is mounted.
pub const DATA: &str = "/run/preon/data";
/// Where a running host's store is.
pub const STORE: &str = "/run/preon/data/preon";

/// The file that names the generation that a host runs.
pub const RUNNING: &str = "/run/preon/running";

/// A link to the device of the EFI system partition that the boot loader came from; missing where
/// there is none. `efi.mount` in `os/packages/preon-base` follows it.
pub const ESP: &str = "/run/preon/esp";

/// The type of the partition whose filesystem holds the store and the state: ours alone.
pub const PARTITION_TYPE: formats::Guid = formats::Guid::from_bytes([
    0x9c, 0x3a, 0xd1, 0xa8, 0x70, 0xf3, 0x4f, 0xa1, 0x8e, 0xf4, 0x0a, 0x5e, 0x7f, 0x6d, 0x2c, 0x11,
]);
