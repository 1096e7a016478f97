//! Whether the processor's virtualisation may be used.
//!
//! `/dev/kvm` may exist, open, run a boot sector, and still stop at the first unusual instruction
//! of a kernel. So the only proof that counts is an image that booted.

use std::fs;
use std::path::PathBuf;

/// How guest instructions are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceleration {
    /// By the processor itself.
    Kvm,
    /// By QEMU's emulator, with one thread: with more, about one boot in thirty dies in a race
    /// between processors that patch each other's code.
    Emulated,
}

impl Acceleration {
    /// QEMU's arguments for it.
    pub(super) fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Emulated => ["-accel", "tcg,thread=single", "-cpu", "max"],
        }
    }
}

/// What was found out about this machine, remembered until it restarts.
pub(super) fn decide(proof: impl FnOnce() -> bool) -> Acceleration {
    if fs::File::options().read(true).write(true).open("/dev/kvm").is_err() {
        return Acceleration::Emulated;
    }
    let memory = memory();
    let remembered = memory.as_ref().and_then(|path| fs::read_to_string(path).ok());
    let works = match remembered.as_deref() {
        Some("works") => true,
        Some("fails") => false,
        _ => proof(),
    };
    if let Some(path) = memory {
        // Not being able to remember only costs the next caller the same trial.
        let _ = fs::create_dir_all(path.with_file_name(""));
        let _ = fs::write(path, if works { "works" } else { "fails" });
    }
    if works { Acceleration::Kvm } else { Acceleration::Emulated }
}

fn memory() -> Option<PathBuf> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let home = PathBuf::from(std::env::var_os("HOME")?);
    Some(home.join(".cache/testkit").join(format!("kvm-{}", boot.trim())))
}
