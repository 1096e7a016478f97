//! Which packages: where the Debian archive is, what it holds and whether that is genuine, which
//! packages go together, and what is inside them.
//!
//! The way through it: [`sources`] says where the archive is, [`archive`] opens it (over
//! [`release`], [`fetch`] and [`cache`]) and gives an [`index`] of each suite, [`resolve`] picks
//! the packages, [`lock`] writes down which they were, and [`deb`] opens one.
//! On a host [`change`] plans what becomes of what is installed, and [`query`] answers questions about
//! it. The way back, on build machines only: `publish` makes a repository of packages, signed with
//! `keys`, whose metadata for hosts is in `tuf`. `remote` reads such a repository as a host does.

pub mod archive;
pub mod cache;
pub mod change;
pub mod changelog;
pub mod control;
pub mod copyright;
pub mod deb;
pub mod fetch;
pub mod fixes;
pub mod index;
#[cfg(feature = "publish")]
pub mod keys;
pub mod licence;
pub mod lock;
#[cfg(feature = "publish")]
pub mod publish;
pub mod query;
pub mod release;
#[cfg(feature = "remote")]
pub mod remote;
pub mod resolve;
pub mod source;
pub mod sources;
pub mod spelling;
#[cfg(feature = "publish")]
mod tuf;
