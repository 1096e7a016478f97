//! What tests of several crates need: virtual machines, fresh namespaces, waiting for conditions.
//!
//! It knows no product code: a virtual machine boots whatever image it is given, and is judged by
//! what an operator would see.

pub mod debian;
pub mod efi;
mod namespace;
pub mod schema;
pub mod vm;
pub mod wait;
pub mod writes;

pub use namespace::in_namespace;
pub use vm::{Builder, Vm};
