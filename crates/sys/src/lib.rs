//! What we ask of the kernel: mounts, loop and verity devices, partitions, EFI variables, rights,
//! the console, a new root, reboot. The only crate with `unsafe`.
//!
//! Every function does one thing and says in its error what it attempted on which path. Decisions
//! (which disk, which layers, in which order) are made by the callers.

#![allow(unsafe_code)]

pub mod block;
pub mod capability;
pub mod efi;
pub mod ext4;
mod ioctl;
pub mod kernel;
pub mod kernel_log;
pub mod loop_device;
pub mod mapper;
pub mod mount;
pub mod namespace;
pub mod power;
pub mod root;

pub use loop_device::LoopDevice;
pub use mapper::Mapper;
pub use mount::{Filesystem, Limits, MountError};
