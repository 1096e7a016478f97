//! The kernel that runs.

/// What `uname -r` prints, such as `6.12.117-hardened`.
///
/// Source: uname(2).
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_the_one_that_the_kernel_shows() {
        let shown = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert_eq!(release(), shown.trim_end());
    }
}
