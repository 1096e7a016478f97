//! Restarting the machine.

use std::io;

use rustix::system::RebootCommand;

/// Flushes all filesystems and restarts the machine at once, without asking any process.
///
/// Returns only when the kernel refuses: that is the error.
pub fn reboot() -> io::Error {
    rustix::fs::sync();
    match rustix::system::reboot(RebootCommand::Restart) {
        Ok(()) => io::Error::other("the kernel said that it restarts, and did not"),
        Err(errno) => errno.into(),
    }
}
