//! Words that every crate shares: an error with a hint, sizes, digests, files that are replaced
//! whole or not at all, children, progress, output.

pub mod child;
pub mod digest;
pub mod explain;
pub mod file;
pub mod lock;
pub mod output;
pub mod parallel;
pub mod progress;
pub mod size;

pub use digest::Digest;
pub use explain::{Explain, Failure};
pub use lock::Lock;
pub use size::ByteSize;
