//! Which packages: where the Debian archive is, what it holds and whether that is genuine, which
//! packages go together, and what is inside them.
//!
//! The way through it: [`sources`] says where the archive is, [`archive`] opens it (over
//! [`release`], [`fetch`] and [`cache`]) and gives an [`index`] of each suite, [`resolve`] picks
//! the packages, [`lock`] writes down which they were, and [`deb`] opens one.

pub mod archive;
pub mod cache;
pub mod changelog;
pub mod control;
pub mod copyright;
pub mod deb;
pub mod fetch;
pub mod fixes;
pub mod index;
pub mod licence;
pub mod lock;
pub mod release;
pub mod resolve;
pub mod source;
pub mod sources;
