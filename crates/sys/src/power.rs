//! Restarting the machine.

use std::io;

use rustix::system::RebootCommand;

/// Restarts the machine at once: no process is asked and no file is flushed, because a disk that
/// does not answer would keep that from ending.
///
/// Returns only when the kernel refuses: that is the error.
pub fn reboot() -> io::Error {
    match rustix::system::reboot(RebootCommand::Restart) {
        Ok(()) => io::Error::other("the kernel said that it restarts, and did not"),
        Err(errno) => errno.into(),
    }
}
