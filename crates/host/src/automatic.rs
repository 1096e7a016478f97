//! Updates that a host takes by itself, as far as `/etc/preon/updates.toml` says: [`config`].
//!
//! [`run`] is one turn, which a timer asks for: it looks at what the repositories have, and does what [`decide`] says.
//! What it found and did is in `/var/lib/preon/updates.json` ([`Memory`]).

pub mod config;
mod decide;
mod duration;
mod memory;
mod restart;
mod run;
mod summary;
pub mod wave;
pub mod windows;
pub mod zone;

pub use config::{Config, ConfigError, Mode, Reboot, What};
pub use decide::{Facts, Step, Waiting, decide};
pub use duration::{BadSeconds, Seconds};
pub use memory::{Memory, Restarting, Seen, Staged};
pub use run::{UpdateError, check, host_id, run};
pub use summary::Summary;
