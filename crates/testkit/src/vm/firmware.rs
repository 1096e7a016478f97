//! Firmware that hangs: the emulator may be too slow for it after a reset, before it prints anything (docs/testing.md).

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Vm, VmError, host};
use crate::wait::until;

/// How long the firmware may be silent; it takes seconds, on a busy machine half a minute.
const SILENCE: Duration = Duration::from_secs(90);
/// How often one wait starts it anew for that.
const STARTS: u32 = 3;
/// How long QEMU may take to end.
const END: Duration = Duration::from_secs(30);

/// Looks at a console while somebody waits for the guest.
#[derive(Debug)]
pub(super) struct Watch {
    printed: usize,
    since: Instant,
    starts: u32,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { printed: 0, since: Instant::now(), starts: 0 }
    }

    /// Whether the machine is to be started anew: nothing was printed after a reset for too long.
    fn hangs(&mut self, console: &str, now: Instant) -> bool {
        if console.len() != self.printed {
            (self.printed, self.since) = (console.len(), now);
        }
        let silent = now.saturating_duration_since(self.since) >= SILENCE;
        let hangs = silent && was_reset(console) && self.starts < STARTS;
        if hangs {
            self.since = now;
            self.starts += 1;
        }
        hangs
    }
}

impl Vm {
    /// Starts QEMU anew if the firmware hangs after a reset: to the guest it is the same.
    ///
    /// # Errors
    ///
    /// [`VmError::Host`] if QEMU does not answer or start.
    pub(super) fn rouse(&mut self, watch: &mut Watch) -> Result<(), VmError> {
        if self.files.firmware.is_none() || !watch.hangs(&self.console(), Instant::now()) {
            return Ok(());
        }
        if self.machine.write_log.is_some() {
            return Ok(()); // the log would begin anew, too
        }
        eprintln!("the firmware hangs: starting QEMU anew");
        let mut qmp = self.qmp("end a machine whose firmware hangs")?;
        // It may be gone before it has answered. Its disk is whole when it ends by itself only.
        let _ = qmp.execute("quit", &json!({}));
        until("QEMU to end", END, || self.qemu.try_wait().map_err(host("watch QEMU")))?;
        self.switch_on()
    }
}

/// Whether the last that was printed is what a kernel says right before a reset, or nothing was.
fn was_reset(console: &str) -> bool {
    let last = console.trim_end().lines().next_back().unwrap_or_default();
    last.is_empty() || last.ends_with("reboot: Restarting system") || last.contains("Rebooting in ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESTARTS: &str = "login: [  184.044552] reboot: Restarting system\r\n";

    #[test]
    fn a_machine_that_prints_nothing_after_a_reset_is_started_anew_a_few_times() {
        let start = Instant::now();
        for console in ["", RESTARTS, "Kernel panic\n[ 3.1] Rebooting in 10 seconds..\n"] {
            let mut watch = Watch::new();
            let mut hangs = |seconds| watch.hangs(console, start + Duration::from_secs(seconds));
            let found = [0, 60, 100, 160, 200, 300, 400, 500].map(&mut hangs);
            assert_eq!(found, [false, false, true, false, true, true, false, false], "{console}");
        }
    }

    #[test]
    fn a_machine_that_prints_or_runs_is_left_alone() {
        let start = Instant::now();
        let mut watch = Watch::new();
        let firmware = format!("{RESTARTS}BdsDxe: starting Boot0001\n");
        let moments = [(0, RESTARTS), (80, RESTARTS), (85, &firmware), (900, &firmware)];
        for (seconds, console) in moments {
            assert!(!watch.hangs(console, start + Duration::from_secs(seconds)), "{seconds}");
        }
    }
}
