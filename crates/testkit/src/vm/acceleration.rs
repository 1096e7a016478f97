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
    ///
    /// Without `cmpxchg16b`: QEMU 7.2 computes the flags that it leaves from an operation before it, and where
    /// a page ends before that instruction they hold an operand's bits. An interrupt just then returns into
    /// virtual 8086 mode. The kernel has another way to do what it does with it.
    ///
    /// With a quarter of the usual room for translated code: what a guest ran long ago makes QEMU slow where its memory is
    /// written, up to a standstill in the firmware after a reset, until the room is full and cleared (docs/testing.md).
    pub(super) fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Emulated => ["-accel", "tcg,thread=single,tb-size=256", "-cpu", "max,-cx16"],
        }
    }
}

/// What a trial with KVM has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The image booted.
    Works,
    /// It cannot be opened, or QEMU stopped the image.
    Fails,
    /// The image did not answer in time: that may be its own fault.
    Unclear,
}

impl Proof {
    /// What QEMU's word for the state of a machine proves; `None` while it runs.
    ///
    /// Source: QEMU QMP reference manual, "RunState".
    pub(super) fn of_state(state: &str) -> Option<Self> {
        match state {
            "running" => None,
            "internal-error" => Some(Self::Fails),
            _ => Some(Self::Unclear), // a full disk, a guest that powered itself off
        }
    }

    /// How to run the image after this.
    pub(super) fn acceleration(self) -> Acceleration {
        if self == Self::Works { Acceleration::Kvm } else { Acceleration::Emulated }
    }
}

/// What was found out about this machine, remembered until it restarts.
///
/// # Errors
///
/// What `trial` fails with: then nothing was found out.
pub(super) fn decide<E>(trial: impl FnOnce() -> Result<Proof, E>) -> Result<Proof, E> {
    if fs::File::options().read(true).write(true).open("/dev/kvm").is_err() {
        return Ok(Proof::Fails);
    }
    recall(memory().as_deref(), trial)
}

/// Remembers that KVM is to blame for a trial that was unclear: the same image has answered
/// without it.
pub(super) fn blame_kvm() {
    remember(memory().as_deref(), Proof::Fails);
}

fn recall<E>(memory: Option<&Path>, trial: impl FnOnce() -> Result<Proof, E>) -> Result<Proof, E> {
    let remembered = memory.and_then(|path| fs::read_to_string(path).ok());
    match remembered.as_deref() {
        Some("works") => return Ok(Proof::Works),
        Some("fails") => return Ok(Proof::Fails),
        _ => {}
    }
    let proof = trial()?;
    remember(memory, proof);
    Ok(proof)
}

fn remember(memory: Option<&Path>, proof: Proof) {
    let word = match proof {
        Proof::Works => "works",
        Proof::Fails => "fails",
        Proof::Unclear => return,
    };
    if let Some(path) = memory {
        // Not being able to remember only costs the next caller the same trial.
        let _ = fs::create_dir_all(path.with_file_name(""));
        let _ = fs::write(path, word);
    }
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
            // what the trial shows  what is remembered
            (Ok(Proof::Works),       Some("works")),
            (Ok(Proof::Fails),       Some("fails")),
            (Ok(Proof::Unclear),     None),
            (Err("no image"),        None),
        ];
        for (trial, remembered) in cases {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("folder/kvm");
            assert_eq!(recall(Some(&path), || trial), trial);
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), remembered, "{trial:?}");
            if remembered.is_some() {
                let again = recall(Some(&path), || -> Result<_, &str> { panic!("asked again") });
                assert_eq!(again, trial);
            }
        }
    }

    #[test]
    fn kvm_is_blamed_only_for_what_qemu_says_of_itself() {
        #[rustfmt::skip]
        let cases = [
            ("running",        None),
            ("internal-error", Some(Proof::Fails)),
            ("io-error",       Some(Proof::Unclear)),
            ("shutdown",       Some(Proof::Unclear)),
        ];
        for (state, expected) in cases {
            assert_eq!(Proof::of_state(state), expected, "{state}");
        }
    }

    #[test]
    fn only_a_trial_that_worked_uses_kvm() {
        let all = [Proof::Works, Proof::Fails, Proof::Unclear].map(Proof::acceleration);
        assert_eq!(all, [Acceleration::Kvm, Acceleration::Emulated, Acceleration::Emulated]);
    }
}
