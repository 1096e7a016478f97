//! One boot of a kernel, given to QEMU directly, and what it said on the serial port.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// A boot takes seconds; on a busy machine a few times as long.
const LIMIT: Duration = Duration::from_secs(300);

/// What the firmware says first.
const POWER_ON: &str = "SeaBIOS (version";

const MEMORY_MB: u64 = 512;
/// The machine's memory, in bytes.
pub(super) const MEMORY: u64 = MEMORY_MB << 20;

/// What boots: a kernel and what it is given.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Machine {
    pub(in crate::bench) image: PathBuf,
    pub(in crate::bench) initrd: PathBuf,
    pub(in crate::bench) command_line: String,
    pub(in crate::bench) disks: [PathBuf; 2],
}

/// When something was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) struct Mark {
    /// The processor's time stamp counter: instructions since power-on, where those are counted.
    ticks: u64,
    /// How much of that the kernel was idle.
    idle: u64,
    /// By this machine's clock, since power-on.
    pub(super) seen: Duration,
}

impl Mark {
    /// The instructions that were executed since an earlier mark, less what was idle.
    pub(in crate::bench) fn work_since(self, start: Self) -> u64 {
        let busy = |mark: Self| mark.ticks.saturating_sub(mark.idle);
        busy(self).saturating_sub(busy(start))
    }
}

/// What one boot showed.
#[derive(Debug)]
pub(in crate::bench) struct Boot {
    marks: BTreeMap<String, Mark>,
    /// All memory that the kernel manages, in bytes; 0 if it did not come so far.
    pub(super) total: u64,
    /// What programs could have of it.
    pub(super) available: u64,
    text: String,
}

impl Boot {
    /// The mark of this name.
    ///
    /// # Errors
    ///
    /// If it was not reached, with all that the machine said.
    pub(in crate::bench) fn mark(&self, name: &str) -> Result<Mark> {
        let mark = self.marks.get(name).copied();
        mark.with_context(|| format!("the boot did not come to `{name}`:\n{}", self.text))
    }
}

impl Machine {
    /// Boots until the machine powers itself off.
    ///
    /// # Errors
    ///
    /// If QEMU cannot be started or fails, or the machine does not end in time; nothing is left running.
    pub(in crate::bench) fn boot(&self, qemu: &Path, counting: bool) -> Result<Boot> {
        let mut command = self.command(qemu, counting);
        let start = Instant::now();
        let mut child = command.spawn().context("cannot start QEMU")?;
        let output = child.stdout.take().context("QEMU has no output")?;
        let (said, listen) = mpsc::channel();
        std::thread::spawn(move || hear(output, start, &said));
        let heard = collect(&listen, start);
        if heard.is_none() {
            // It may have ended at this moment.
            let _ = child.kill();
        }
        let status = child.wait().context("cannot wait for QEMU")?;
        let Some(lines) = heard else { bail!("the boot took more than {} s", LIMIT.as_secs()) };
        let boot = read(&lines);
        ensure!(status.success(), "QEMU ended with {status}:\n{}", boot.text);
        Ok(boot)
    }

    fn command(&self, qemu: &Path, counting: bool) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(qemu);
        command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
        // Why these, and why memory that is there from the start: docs/testing.md, "Measuring".
        let memory = format!("memory-backend-ram,id=memory,size={MEMORY_MB}M,prealloc=on");
        command.args(["-object", &memory, "-m", &format!("{MEMORY_MB}M")]);
        command.args(["-machine", "q35,memory-backend=memory", "-cpu", "max,-erms,-fsrm"]);
        command.args(["-accel", "tcg,thread=single", "-smp", "1"]);
        if counting {
            command.args(["-icount", "shift=0,sleep=off"]);
        }
        command.args(["-chardev", "stdio,id=port,mux=on,signal=off", "-serial", "chardev:port"]);
        command.args(["-device", "isa-debugcon,iobase=0x402,chardev=port"]); // the firmware's words
        command.args(["-device", "virtio-rng-pci"]);
        for (index, disk) in self.disks.iter().enumerate() {
            let drive = format!("if=none,format=raw,readonly=on,id=disk{index},file=");
            command.arg("-drive").arg(drive + &disk.to_string_lossy().replace(',', ",,"));
            command.arg("-device").arg(format!("virtio-blk-pci,drive=disk{index}"));
        }
        command.arg("-kernel").arg(&self.image).arg("-initrd").arg(&self.initrd);
        command.args(["-append", &self.command_line]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }
}

/// A line that the machine wrote, and when.
type Line = (Duration, String);

/// Passes on each line as soon as it is there, until QEMU ends.
fn hear(output: ChildStdout, start: Instant, said: &Sender<Line>) {
    for line in BufReader::new(output).split(b'\n') {
        let Ok(line) = line else { return };
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        if said.send((start.elapsed(), line)).is_err() {
            return; // nobody listens any more
        }
    }
}

/// All lines; `None` if they do not end in time.
fn collect(listen: &Receiver<Line>, start: Instant) -> Option<Vec<Line>> {
    let mut lines = Vec::new();
    loop {
        match listen.recv_timeout(LIMIT.saturating_sub(start.elapsed())) {
            Ok(line) => lines.push(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => return Some(lines),
            Err(mpsc::RecvTimeoutError::Timeout) => return None,
        }
    }
}

/// Reads marks and memory among all else that is said.
fn read(lines: &[Line]) -> Boot {
    let power_on = lines.iter().find(|(_, line)| line.starts_with(POWER_ON));
    let power_on = power_on.map_or(Duration::ZERO, |(seen, _)| *seen);
    let since = |seen: Duration| seen.saturating_sub(power_on);
    let marks = lines.iter().filter_map(|(seen, line)| mark(since(*seen), line)).collect();
    let memory = |name: &str| {
        let amount = lines.iter().find_map(|(_, line)| line.strip_prefix(name));
        let kilobytes = amount.and_then(|amount| amount.trim().strip_suffix(" kB")?.parse().ok());
        kilobytes.unwrap_or(0) * 1024
    };
    let (total, available) = (memory("MemTotal:"), memory("MemAvailable:"));
    let text = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
    Boot { marks, total, available, text }
}

/// `mark NAME TICKS [IDLE]`; the ticks of the start are hexadecimal.
fn mark(seen: Duration, line: &str) -> Option<(String, Mark)> {
    let mut fields = line.strip_prefix("mark ")?.split(' ');
    let (name, ticks) = (fields.next()?.to_owned(), fields.next()?);
    let ticks = match ticks.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok()?,
        None => ticks.parse().ok()?,
    };
    let idle = fields.next().map_or(Some(0), |idle| idle.parse().ok())?;
    Some((name, Mark { ticks, idle, seen }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(text: &str) -> Boot {
        let lines: Vec<_> = text.lines().map(|line| (Duration::ZERO, line.to_owned())).collect();
        read(&lines)
    }

    #[test]
    fn work_is_what_was_neither_firmware_nor_idle() {
        let text = "SeaBIOS\nmark start 0x00000000000000FF\n[1.0] x: mark\nmark init 1000 45\n";
        let boot = boot(text);
        let work = boot.mark("init").unwrap().work_since(boot.mark("start").unwrap());
        assert_eq!(work, 1000 - 45 - 255);
    }

    #[test]
    fn time_runs_from_what_the_firmware_says_first() {
        let said = [(700, "SeaBIOS (version 1.16.3)"), (750, "x"), (900, "mark start 0x1")];
        let lines = said.map(|(seen, line)| (Duration::from_millis(seen), line.to_owned()));
        assert_eq!(read(&lines).mark("start").unwrap().seen, Duration::from_millis(200));
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let boot = boot("MemTotal:         100 kB\nMemFree: 1 kB\nMemAvailable:      50 kB\n");
        assert_eq!((boot.total, boot.available), (102_400, 51_200));
    }

    #[test]
    fn a_boot_that_fails_shows_what_was_said() {
        let error = boot("mark init 5\nfailed cannot open /dev/vda\n").mark("root").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("`root`") && text.contains("cannot open /dev/vda"), "{text}");
    }
}
