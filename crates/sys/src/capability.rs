//! Rights that no process is to have.

use std::path::Path;

use base::file::FileError;
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

/// Whether the running kernel can load modules at all.
pub fn kernel_loads_modules() -> bool {
    // There in every kernel with CONFIG_MODULES.
    Path::new("/proc/modules").exists()
}

/// Takes the right to load modules (`CAP_SYS_MODULE`) from all programs that this thread starts from
/// now on, for ever.
///
/// # Errors
///
/// [`FileError`] when the kernel refuses: it wants root.
///
/// Source: capabilities(7), "Capability bounding set".
pub fn forbid_modules() -> Result<(), FileError> {
    remove_capability_from_bounding_set(CapabilitySet::SYS_MODULE).map_err(|errno| {
        FileError::at("take the right to load modules from", "/proc/self")(errno.into())
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;

    use super::*;

    /// The bounding set of a program that this thread starts.
    fn bounding_set() -> u64 {
        let output = Command::new("grep").args(["CapBnd", "/proc/self/status"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        u64::from_str_radix(text.split_ascii_whitespace().nth(1).unwrap(), 16).unwrap()
    }

    #[test]
    fn programs_cannot_have_the_right_to_load_modules_afterwards() {
        let (before, after) = thread::spawn(|| {
            let before = bounding_set();
            forbid_modules().unwrap_or_else(|error| panic!("this runs as root: {error}"));
            (before, bounding_set())
        })
        .join()
        .unwrap();
        assert_eq!(after, before & !(1 << 16), "bit 16 is CAP_SYS_MODULE");
    }
}
