//! Virtual machines: an image boots in QEMU, unchanged, and is asked what an operator would ask.
//!
//! Writes go to a copy-on-write file that is thrown away. Every wait is bounded. Methods named
//! `try_…` return what went wrong; the others are for tests, and panic with the end of the console
//! and the guest's journal.

mod acceleration;
mod firmware;
mod guest;
mod options;
mod qmp;
mod start;

use std::fs;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::json;

use self::acceleration::Proof;
use self::firmware::Watch;
use self::guest::Guest;
use self::options::Files;
use self::qmp::Qmp;
use crate::wait::{TimedOut, until};

pub use self::acceleration::Acceleration;
pub use self::guest::CommandError;
pub use self::options::{Builder, DirectKernel};

/// How long a command in the guest may take; emulation is slow, and CI machines are busy.
const COMMAND: Duration = Duration::from_secs(300);
/// How long a guest may take to stop its services.
const SHUTDOWN: Duration = Duration::from_secs(180);

/// A running virtual machine; it is killed when dropped.
///
/// It also dies with the thread that started it, so that a killed test leaves nothing running.
#[derive(Debug)]
pub struct Vm {
    qemu: Child,
    machine: Builder,
    guest: Guest,
    files: Files,
    ports: Vec<(u16, u16)>,
    acceleration: Acceleration,
    /// The trial of KVM was unclear; if the guest answers now, it was not the image's fault.
    doubts_kvm: bool,
    _folder: tempfile::TempDir,
}

/// Why a virtual machine could not be started or did not do as it should.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The image is not there.
    #[error("there is no image at {}; make it with `cargo forge image build NAME`", .0.display())]
    NoImage(PathBuf),
    /// No firmware was found.
    #[error("no UEFI firmware in {}; install the package ovmf", start::OVMF)]
    NoFirmware,
    /// Something on this machine failed.
    #[error("cannot {attempt}")]
    Host {
        /// The verb and its object.
        attempt: &'static str,
        /// Why.
        source: io::Error,
    },
    /// QEMU ended, or never began.
    #[error("QEMU ended with {status}\n{output}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// What it printed.
        output: String,
    },
    /// It took too long.
    #[error(transparent)]
    TimedOut(#[from] TimedOut),
    /// A command in the guest failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The guest answered, and was then cut off or did not come to an end of its start in time.
    #[error("the guest answered SSH, but did not say whether all of it has started")]
    NoVerdict(#[source] CommandError),
    /// The guest started, but not all of it.
    #[error("the guest is {state}; failed units:\n{units}")]
    Degraded {
        /// systemd's word for it.
        state: String,
        /// The units.
        units: String,
    },
}

/// For `map_err`.
fn host(attempt: &'static str) -> impl FnOnce(io::Error) -> VmError {
    move |source| VmError::Host { attempt, source }
}

impl Vm {
    /// Describes a machine that boots the image in `folder` (its `disk.raw`).
    pub fn builder(folder: &Path) -> Builder {
        Builder::new(&folder.join("disk.raw"))
    }

    /// Waits until systemd says that everything has started, and SSH answers.
    ///
    /// # Panics
    ///
    /// If that does not happen, or a unit failed; with console and journal.
    #[track_caller]
    pub fn wait_until_booted(&mut self, timeout: Duration) {
        if let Err(error) = self.try_wait_until_booted(timeout) {
            panic!("{}", chain(&error));
        }
    }

    /// Waits until systemd says that everything has started, and SSH answers.
    ///
    /// # Errors
    ///
    /// [`VmError::Ended`], [`VmError::TimedOut`], [`VmError::NoVerdict`], or [`VmError::Degraded`]
    /// if a unit failed.
    pub fn try_wait_until_booted(&mut self, timeout: Duration) -> Result<(), VmError> {
        self.try_wait_until_answered(timeout)?;
        if mem::take(&mut self.doubts_kvm) {
            acceleration::blame_kvm();
        }
        // Its exit status says the same as its word; what fails here is the way there.
        let state = self.try_run_for("systemctl is-system-running --wait || true", timeout);
        let state = state.map_err(VmError::NoVerdict)?;
        if state == "running" {
            return Ok(());
        }
        let units = self.try_run("systemctl list-units --failed --plain --no-legend")?;
        Err(VmError::Degraded { state, units })
    }

    fn try_wait_until_answered(&mut self, timeout: Duration) -> Result<(), VmError> {
        let mut watch = Watch::new();
        until("the guest to answer SSH", timeout, || {
            self.check_alive()?;
            self.rouse(&mut watch)?;
            let connected = self.guest.is_connected().map_err(host("start ssh"))?;
            Ok(connected.then_some(()))
        })
    }

    /// Runs a command by the guest's root shell; gives back its standard output without the last
    /// line's end.
    ///
    /// # Panics
    ///
    /// If the command fails, with what it printed, console and journal.
    #[track_caller]
    pub fn run(&self, command: &str) -> String {
        self.try_run(command).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs a command by the guest's root shell; gives back its standard output without the last
    /// line's end.
    ///
    /// # Errors
    ///
    /// [`CommandError`] with all that it printed.
    pub fn try_run(&self, command: &str) -> Result<String, CommandError> {
        self.try_run_for(command, COMMAND)
    }

    /// As [`Vm::try_run`], with another limit of time.
    ///
    /// # Errors
    ///
    /// [`CommandError`] with all that it printed.
    pub fn try_run_for(&self, command: &str, timeout: Duration) -> Result<String, CommandError> {
        let output = self.guest.run(command, Stdio::null(), timeout)?;
        Ok(String::from_utf8_lossy(&output).trim_end_matches('\n').to_owned())
    }

    /// Runs a command that prints JSON, and reads it.
    ///
    /// # Panics
    ///
    /// If the command fails or prints something else.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self, command: &str) -> T {
        let output = self.run(command);
        serde_json::from_str(&output)
            .unwrap_or_else(|error| panic!("`{command}` does not print it: {error}\n{output}"))
    }

    /// Copies the file `local` to the path `remote` in the guest.
    ///
    /// # Errors
    ///
    /// [`VmError::Host`] if it cannot be read, [`VmError::Command`] if it cannot be written.
    pub fn try_copy_in(&self, local: &Path, remote: &str) -> Result<(), VmError> {
        let input = guest::input_from(local).map_err(host("read the file to copy"))?;
        self.guest.run(&format!("cat > {}", guest::quoted(remote)), input, COMMAND)?;
        Ok(())
    }

    /// Copies the file `local` to the path `remote` in the guest.
    ///
    /// # Panics
    ///
    /// If that fails.
    #[track_caller]
    pub fn copy_in(&self, local: &Path, remote: &str) {
        self.try_copy_in(local, remote)
            .unwrap_or_else(|error| panic!("{}: {}", local.display(), chain(&error)));
    }

    /// The bytes of the guest's file `remote`.
    ///
    /// # Panics
    ///
    /// If it cannot be read.
    #[track_caller]
    pub fn copy_out(&self, remote: &str) -> Vec<u8> {
        let command = format!("cat {}", guest::quoted(remote));
        let output = self.guest.run(&command, Stdio::null(), COMMAND);
        output.unwrap_or_else(|error| panic!("{error}"))
    }

    /// What the guest has printed on its serial console so far.
    pub fn console(&self) -> String {
        self.read_log("console.log")
    }

    /// What the guest has written to its second serial port, if [`Builder::report`] gave it one.
    pub fn report(&self) -> String {
        self.read_log("report.log")
    }

    /// Waits until the console shows `text`.
    ///
    /// # Panics
    ///
    /// If it does not, with what it shows.
    #[track_caller]
    pub fn wait_for_console(&mut self, text: &str, timeout: Duration) {
        let mut watch = Watch::new();
        let shown = until(&format!("`{text}` on the console"), timeout, || {
            if self.console().contains(text) {
                return Ok(Some(()));
            }
            self.check_alive()?;
            self.rouse(&mut watch).map(|()| None)
        });
        if let Err(error) = shown {
            panic!("{}", chain(&error));
        }
    }

    /// Restarts the guest the orderly way, and waits until the machine resets.
    ///
    /// # Panics
    ///
    /// If it does not.
    #[track_caller]
    pub fn reboot(&mut self) {
        self.reboot_by("systemctl reboot");
    }

    /// Restarts the guest by this command, and waits until the machine resets.
    ///
    /// # Panics
    ///
    /// If it does not, with what the command printed.
    #[track_caller]
    pub fn reboot_by(&mut self, command: &str) {
        let mut qmp = self.qmp("watch QEMU").unwrap_or_else(|error| panic!("{}", chain(&error)));
        // The connection may break before the command's end is told: only the machine's word counts.
        let told = self.try_run_for(command, Duration::from_secs(30));
        if let Err(error) = qmp.wait_for_event("RESET", SHUTDOWN) {
            panic!("the guest did not restart: {error}; {told:?}");
        }
        self.guest.disconnect();
    }

    /// Restarts all of the guest but its kernel by this command, and waits until SSH answers again.
    ///
    /// # Panics
    ///
    /// If it does not, with what the command printed.
    #[track_caller]
    pub fn soft_reboot_by(&mut self, command: &str, timeout: Duration) {
        const COUNT: &str = "systemctl show --property=SoftRebootsCount --value";
        let before = self.run(COUNT);
        // The connection may break before the command's end is told: only systemd's count counts.
        let told = self.try_run_for(command, Duration::from_secs(60));
        let restarted = self.try_wait_for_answer(COUNT, timeout, |count| count != before);
        if let Err(error) = restarted {
            panic!("{}; {told:?}", chain(&error));
        }
    }

    /// Waits until the guest, however often it restarts meanwhile, gives the wanted answer to this command.
    ///
    /// # Panics
    ///
    /// If it does not.
    #[track_caller]
    pub fn wait_for_answer(
        &mut self,
        command: &str,
        timeout: Duration,
        wanted: impl Fn(&str) -> bool,
    ) {
        if let Err(error) = self.try_wait_for_answer(command, timeout, wanted) {
            panic!("{}", chain(&error));
        }
    }

    fn try_wait_for_answer(
        &mut self,
        command: &str,
        timeout: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), VmError> {
        let mut watch = Watch::new();
        until(&format!("the wanted answer to `{command}`"), timeout, || {
            self.check_alive()?;
            self.rouse(&mut watch)?;
            if !self.guest.is_connected().map_err(host("start ssh"))? {
                return Ok::<_, VmError>(None);
            }
            match self.try_run_for(command, Duration::from_secs(30)) {
                Ok(answer) => Ok(wanted(&answer).then_some(())),
                Err(_) => {
                    self.guest.disconnect(); // it may have restarted
                    Ok(None)
                }
            }
        })
    }

    /// Presses the reset button: the guest is not asked.
    ///
    /// # Panics
    ///
    /// If QEMU does not answer.
    #[track_caller]
    pub fn reset(&mut self) {
        let mut qmp = self.qmp("reset the guest").unwrap_or_else(|error| panic!("{error}"));
        qmp.execute("system_reset", &json!({})).expect("QEMU resets the guest");
        self.guest.disconnect();
    }

    /// Waits until the machine restarts by itself.
    ///
    /// # Panics
    ///
    /// If it does not.
    #[track_caller]
    pub fn wait_until_reset(&mut self, timeout: Duration) {
        let restarted = self.qmp("watch QEMU").and_then(|mut qmp| {
            qmp.wait_for_event("RESET", timeout).map_err(host("see the guest restart"))
        });
        if let Err(error) = restarted {
            panic!("{}", chain(&error));
        }
        self.guest.disconnect();
    }

    /// Powers the guest off the orderly way and switches the machine on again: a cold boot.
    ///
    /// # Panics
    ///
    /// If it does not stop or start.
    #[track_caller]
    pub fn power_cycle(&mut self) {
        let cycle = |vm: &mut Self| {
            vm.try_power_off()?;
            vm.switch_on()
        };
        if let Err(error) = cycle(self) {
            panic!("{}", chain(&error));
        }
    }

    /// Starts QEMU, which has ended, anew.
    fn switch_on(&mut self) -> Result<(), VmError> {
        self.guest.disconnect();
        self.qemu = self.machine.spawn(&self.files, self.acceleration)?;
        self.find_guest()
    }

    /// Powers the guest off the orderly way.
    ///
    /// # Panics
    ///
    /// If it does not stop.
    #[track_caller]
    pub fn power_off(mut self) {
        if let Err(error) = self.try_power_off() {
            panic!("{}", chain(&error));
        }
    }

    /// Powers the guest off the orderly way: by command where one gets through, otherwise by the
    /// power button.
    ///
    /// # Errors
    ///
    /// [`VmError::TimedOut`] if it does not stop, [`VmError::Ended`] if QEMU failed.
    pub fn try_power_off(&mut self) -> Result<(), VmError> {
        let told = self.guest.has_connection()
            && self.try_run_for("systemctl --no-block poweroff", Duration::from_secs(30)).is_ok();
        if !told && let Ok(mut qmp) = self.qmp("press the power button") {
            // If QEMU is already gone, the wait below says so.
            let _ = qmp.execute("system_powerdown", &json!({}));
        }
        self.try_wait_until_off(SHUTDOWN)
    }

    /// Waits until the guest has powered itself off.
    ///
    /// # Errors
    ///
    /// [`VmError::TimedOut`] if it does not, [`VmError::Ended`] if QEMU failed.
    pub fn try_wait_until_off(&mut self, timeout: Duration) -> Result<(), VmError> {
        let status = until("the guest to power off", timeout, || {
            self.qemu.try_wait().map_err(host("watch QEMU"))
        })?;
        if status.success() { Ok(()) } else { Err(self.ended(status)) }
    }

    /// The host's port that leads to the guest's TCP port `guest`.
    pub fn forwarded(&self, guest: u16) -> Option<u16> {
        self.ports.iter().find(|port| port.1 == guest).map(|port| port.0)
    }

    /// Every forwarded TCP port: the host's, then the guest's.
    pub fn ports(&self) -> impl Iterator<Item = (u16, u16)> {
        self.ports.iter().copied()
    }

    /// The machine has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.qemu.try_wait(), Ok(None))
    }

    /// The private SSH key that opens the guest's root account.
    pub fn key(&self) -> PathBuf {
        self.guest.key()
    }

    /// The Unix socket of the serial console.
    pub fn console_socket(&self) -> PathBuf {
        self.files.at("serial")
    }

    /// How the guest's instructions are executed.
    pub fn acceleration(&self) -> Acceleration {
        self.acceleration
    }

    /// What a person needs to find out why something failed: the end of the console, and of the
    /// guest's journal, which reaches us even if SSH never answered.
    pub fn evidence(&self) -> String {
        let console = end_of(&self.console(), 40);
        let journal = self.journal();
        format!("--- end of the console\n{console}\n--- end of the guest's journal\n{journal}")
    }

    /// The end of the guest's journal as it is now, or else as far as it came by the serial port.
    fn journal(&self) -> String {
        let mut why = "the guest cannot be asked".to_owned();
        if self.guest.has_connection() {
            let command = "journalctl -b --no-pager -n 80; docker ps -a 2>&1 | tail -n 5";
            match self.try_run_for(command, Duration::from_secs(60)) {
                Ok(journal) => return journal,
                Err(error) => why = error.to_string(),
            }
        }
        format!("({why}: by its serial port)\n{}", end_of(&self.read_log("journal.log"), 80))
    }

    /// QEMU still runs.
    fn check_alive(&mut self) -> Result<(), VmError> {
        match self.qemu.try_wait().map_err(host("watch QEMU"))? {
            Some(status) => Err(self.ended(status)),
            None => Ok(()),
        }
    }

    fn ended(&self, status: ExitStatus) -> VmError {
        VmError::Ended { status, output: end_of(&self.read_log("qemu.log"), 20) }
    }

    fn qmp(&self, attempt: &'static str) -> Result<Qmp, VmError> {
        Qmp::connect(&self.files.at("qmp")).map_err(host(attempt))
    }

    /// Waits until QEMU is there, and prepares to talk to its guest.
    fn find_guest(&mut self) -> Result<(), VmError> {
        self.find_ports()?;
        let port = self.forwarded(22).unwrap_or_default();
        self.guest = Guest::new(&self.files.folder, port);
        self.guest.configure().map_err(host("write the configuration of ssh"))
    }

    /// Asks QEMU which of the host's ports it took.
    fn find_ports(&mut self) -> Result<(), VmError> {
        let mut qmp = until("QEMU to start", Duration::from_secs(30), || {
            self.check_alive()?;
            Ok::<_, VmError>(self.qmp("talk to QEMU").ok())
        })?;
        let listing = qmp.monitor("info usernet").map_err(host("ask QEMU for its ports"))?;
        self.ports = qmp::forwarded_ports(&listing);
        Ok(())
    }

    /// Whether the guest answers on its SSH port in time, or QEMU has stopped it.
    fn try_out(&mut self, timeout: Duration) -> Proof {
        let proof = until("the guest's SSH greeting", timeout, || {
            match self.check_alive() {
                Err(VmError::Ended { status, .. }) if !status.success() => {
                    return Ok(Some(Proof::Fails));
                }
                checked => checked?,
            }
            let mut qmp = self.qmp("watch QEMU")?;
            let status = qmp.execute("query-status", &json!({})).map_err(host("ask QEMU"))?;
            if let Some(proof) = Proof::of_state(status["status"].as_str().unwrap_or_default()) {
                return Ok(Some(proof));
            }
            let connected = self.guest.is_connected().map_err(host("start ssh"))?;
            Ok::<_, VmError>(connected.then_some(Proof::Works))
        });
        proof.unwrap_or(Proof::Unclear)
    }

    fn read_log(&self, name: &str) -> String {
        let bytes = fs::read(self.files.at(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Whatever the test found wrong, the guest may say why.
            eprintln!("{}", self.evidence());
        }
        self.guest.disconnect();
        // It may have ended by itself.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

fn end_of(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
