//! Bytes to values and back: the file formats that Debian, the kernel and the firmware fix, and
//! our manifest. Pure: nothing here opens a file; what is large goes through `Read` and `Write`.

pub mod ar;
pub mod cpio;
pub mod deb822;
pub mod gpt;
pub mod guid;
pub mod ldcache;
pub mod loader;
pub mod manifest;
pub mod name;
pub mod pe;
pub mod relation;
pub mod uki;
pub mod verity;
pub mod version;

mod bytes;

pub use guid::Guid;
pub use name::PackageName;
pub use version::{Version, VersionRef};
