//! Whether the processor's virtualisation may be used.
//!
//! `/dev/kvm` may exist, open, run a boot sector, and still stop at the first unusual instruction
//! of a kernel. So the only proof that counts is an image that booted.

use std::fs;
use std::path::{Path, PathBuf};

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

/// What a trial with KVM has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The image booted.
    Works,
    /// QEMU stopped it, or ended.
    Fails,
    /// It ran and did not answer in time: that may be the image's fault.
    Unclear,
}

/// What was found out about this machine, remembered until it restarts.
///
/// # Errors
///
/// What `trial` fails with: then nothing was found out.
pub(super) fn decide<E>(trial: impl FnOnce() -> Result<Proof, E>) -> Result<Acceleration, E> {
    if fs::File::options().read(true).write(true).open("/dev/kvm").is_err() {
        return Ok(Acceleration::Emulated);
    }
    recall(memory().as_deref(), trial)
}

fn recall<E>(
    memory: Option<&Path>,
    trial: impl FnOnce() -> Result<Proof, E>,
) -> Result<Acceleration, E> {
    let remembered = memory.and_then(|path| fs::read_to_string(path).ok());
    let proof = match remembered.as_deref() {
        Some("works") => Proof::Works,
        Some("fails") => Proof::Fails,
        _ => trial()?,
    };
    let word = match proof {
        Proof::Works => "works",
        Proof::Fails => "fails",
        Proof::Unclear => return Ok(Acceleration::Emulated),
    };
    if let Some(path) = memory {
        // Not being able to remember only costs the next caller the same trial.
        let _ = fs::create_dir_all(path.with_file_name(""));
        let _ = fs::write(path, word);
    }
    Ok(if proof == Proof::Works { Acceleration::Kvm } else { Acceleration::Emulated })
}

fn memory() -> Option<PathBuf> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let home = PathBuf::from(std::env::var_os("HOME")?);
    Some(home.join(".cache/testkit").join(format!("kvm-{}", boot.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_verdict_is_remembered() {
        #[rustfmt::skip]
        let cases = [
            // what the trial shows     what is used now              what is remembered
            (Ok(Proof::Works),   Ok(Acceleration::Kvm),      Some("works")),
            (Ok(Proof::Fails),   Ok(Acceleration::Emulated), Some("fails")),
            (Ok(Proof::Unclear), Ok(Acceleration::Emulated), None),
            (Err("no image"),    Err("no image"),            None),
        ];
        for (trial, expected, remembered) in cases {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("folder/kvm");
            assert_eq!(recall(Some(&path), || trial), expected, "{trial:?}");
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), remembered, "{trial:?}");
            if remembered.is_some() {
                let again = recall(Some(&path), || -> Result<_, &str> { panic!("asked again") });
                assert_eq!(again, expected);
            }
        }
    }
}
