//! What a virtual machine is made of, and QEMU's words for it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::acceleration::Acceleration;

/// Sends the journal to the second serial port. It starts once the journal lies where it stays, or
/// once that has failed, and ends before `/var` is let go.
const JOURNAL: &str = "\
[Unit]
Description=Journal for whoever watches this virtual machine
DefaultDependencies=no
After=systemd-journal-flush.service
Conflicts=shutdown.target
Before=shutdown.target

[Service]
ExecStart=journalctl --boot --follow --lines=all --output=short-monotonic
StandardOutput=file:/dev/ttyS1
";

/// A virtual machine to be started: an image and what differs from the defaults.
#[derive(Clone, Debug)]
pub struct Builder {
    pub(super) disk: PathBuf,
    pub(super) disk_bytes: Option<u64>,
    pub(super) memory_mb: u32,
    pub(super) cpus: u32,
    pub(super) extra_disks: Vec<PathBuf>,
    pub(super) in_place: bool,
    pub(super) credentials: Vec<(String, Vec<u8>)>,
    pub(super) forwards: Vec<(u16, u16)>,
    pub(super) kernel: Option<DirectKernel>,
    pub(super) report: bool,
    pub(super) count_instructions: bool,
    pub(super) write_log: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) acceleration: Option<Acceleration>,
    pub(super) qemu: PathBuf,
}

/// A kernel that QEMU starts itself, without firmware and boot loader.
#[derive(Clone, Debug)]
pub struct DirectKernel {
    /// The kernel's file.
    pub kernel: PathBuf,
    /// The initial RAM disk, where there is one.
    pub initrd: Option<PathBuf>,
    /// The kernel's command line.
    pub command_line: String,
}

impl Builder {
    /// The images of its disks: first that which it boots.
    pub(super) fn disks(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.disk).chain(&self.extra_disks)
    }

    /// A machine that boots the raw disk image `disk` by UEFI: 1024 MB, one processor.
    pub fn new(disk: &Path) -> Self {
        Self {
            disk: disk.to_owned(),
            disk_bytes: None,
            memory_mb: 1024,
            cpus: 1,
            extra_disks: Vec::new(),
            in_place: false,
            credentials: Vec::new(),
            forwards: vec![(0, 22)],
            kernel: None,
            report: false,
            count_instructions: false,
            write_log: None,
            key: None,
            acceleration: None,
            qemu: "qemu-system-x86_64".into(),
        }
    }

    /// Runs this QEMU in place of the machine's own.
    #[must_use]
    pub fn qemu(mut self, program: &Path) -> Self {
        program.clone_into(&mut self.qemu);
        self
    }

    /// Shows the guest a disk of this size, where the image is smaller.
    #[must_use]
    pub fn disk_bytes(mut self, bytes: u64) -> Self {
        self.disk_bytes = Some(bytes);
        self
    }

    /// Sets the memory, in megabytes.
    #[must_use]
    pub fn memory_mb(mut self, megabytes: u32) -> Self {
        self.memory_mb = megabytes;
        self
    }

    /// Sets the number of processors.
    #[must_use]
    pub fn cpus(mut self, count: u32) -> Self {
        self.cpus = count;
        self
    }

    /// Adds a raw disk image as one more disk; the guest's writes to it are thrown away.
    #[must_use]
    pub fn extra_disk(mut self, image: &Path) -> Self {
        self.extra_disks.push(image.to_owned());
        self
    }

    /// Has the guest write to the disk images themselves, at the size that they have ([`Builder::disk_bytes`] is of no effect
    /// then): what it leaves there, another machine can be given.
    #[must_use]
    pub fn in_place(mut self) -> Self {
        self.in_place = true;
        self
    }

    /// Hands systemd a credential, as a cloud would.
    ///
    /// Source: systemd.system-credentials(7); systemd-creds documentation, "SMBIOS type 11".
    #[must_use]
    pub fn credential(mut self, name: &str, content: &[u8]) -> Self {
        self.credentials.push((name.to_owned(), content.to_owned()));
        self
    }

    /// Adds a unit that systemd starts at boot, without changing the image.
    #[must_use]
    pub fn unit(self, name: &str, content: &str) -> Self {
        let wanted = format!("[Unit]\nWants={name}\n");
        self.credential(&format!("systemd.extra-unit.{name}"), content.as_bytes())
            .credential("systemd.unit-dropin.multi-user.target", wanted.as_bytes())
    }

    /// Lets the host's loopback reach a TCP port of the guest. Host port 0: any free one, see
    /// [`Vm::forwarded`](super::Vm::forwarded). The guest's port 22 has one from the start.
    #[must_use]
    pub fn forward(mut self, host: u16, guest: u16) -> Self {
        self.forwards.retain(|&(_, known)| known != guest);
        self.forwards.push((host, guest));
        self
    }

    /// Starts a kernel directly, without firmware.
    #[must_use]
    pub fn kernel(mut self, kernel: DirectKernel) -> Self {
        self.kernel = Some(kernel);
        self
    }

    /// Leaves the guest's second serial port to the test, as [`Vm::report`](super::Vm::report).
    /// Otherwise the guest's journal goes there, as evidence for when SSH does not answer.
    #[must_use]
    pub fn report(mut self) -> Self {
        self.report = true;
        self
    }

    /// Makes the guest's clock count executed instructions, one a nanosecond; waiting takes none.
    #[must_use]
    pub fn count_instructions(mut self) -> Self {
        self.count_instructions = true;
        self.acceleration(Acceleration::Emulated)
    }

    /// Opens the guest with this SSH key, whose public half lies beside it with the ending `pub`: for a disk that a machine
    /// with that key booted before, because a guest keeps the first key that it was given.
    #[must_use]
    pub fn key(mut self, key: &Path) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Writes all that the guest writes to its first disk to this file, for [`crate::writes::WriteLog`].
    #[must_use]
    pub fn log_writes(mut self, log: &Path) -> Self {
        self.write_log = Some(log.to_owned());
        self
    }

    /// What the guest is handed beside the SSH key.
    pub(super) fn all_credentials(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = self.credentials.clone();
        if !self.report {
            let mut add = |name: &str, content: &str| all.push((name.into(), content.into()));
            add("systemd.extra-unit.journal-to-serial.service", JOURNAL);
            // Not multi-user.target, which may never be reached and is Builder::unit's.
            let wanted = "[Unit]\nWants=journal-to-serial.service\n";
            add("systemd.unit-dropin.sysinit.target", wanted);
        }
        all
    }

    /// Uses this acceleration, instead of KVM where it has proved itself and emulation elsewhere.
    #[must_use]
    pub fn acceleration(mut self, acceleration: Acceleration) -> Self {
        self.acceleration = Some(acceleration);
        self
    }
}

/// Where the files of one running machine lie.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) folder: PathBuf,
    pub(super) firmware: Option<PathBuf>,
    pub(super) credentials: usize,
}

impl Files {
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// QEMU's command line. Pure: every file it names is made before it is started.
pub(super) fn arguments(machine: &Builder, files: &Files, accel: Acceleration) -> Vec<OsString> {
    let mut words: Vec<String> = Vec::new();
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    let path = |name: &str| files.at(name).display().to_string();

    add("-machine", "q35".into());
    add("-global", "ICH9-LPC.noreboot=false".into()); // older QEMU: its watchdog does nothing otherwise
    add("-m", machine.memory_mb.to_string());
    add("-smp", machine.cpus.to_string());
    add("-qmp", format!("unix:{},server=on,wait=off", path("qmp")));
    let logged = format!("path={},logfile={}", path("serial"), path("console.log"));
    add("-chardev", format!("socket,id=console,server=on,wait=off,{logged}"));
    add("-serial", "chardev:console".into());
    let second = if machine.report { "report.log" } else { "journal.log" };
    add("-serial", format!("file:{}", path(second)));
    if let Some(firmware) = &files.firmware {
        let flash = "if=pflash,format=raw";
        add("-drive", format!("{flash},unit=0,readonly=on,file={}", firmware.display()));
        add("-drive", format!("{flash},unit=1,file={}", path("vars.fd")));
    }
    let format = if machine.in_place { "raw" } else { "qcow2" };
    let drive = format!("if=none,format={format},cache=unsafe,discard=unmap");
    for (index, image) in machine.disks().enumerate() {
        let overlay = path(&overlay(index));
        let file = if machine.in_place { image.display().to_string() } else { overlay };
        let more = match &machine.write_log {
            Some(log) if index == 0 => {
                logged_disk(&mut add, (format, &file), log);
                // Merged requests have up to 1024 parts; the log adds two, and the system call fails (QEMU 7.2).
                ",request-merging=off"
            }
            _ => {
                add("-drive", format!("{drive},id=disk{index},file={file}"));
                ""
            }
        };
        add("-device", format!("virtio-blk-pci,drive=disk{index},bootindex={index}{more}"));
    }
    let forward = |(host, guest)| format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}");
    let forwards: String = machine.forwards.iter().copied().map(forward).collect();
    add("-netdev", format!("user,id=net{forwards}"));
    add("-device", "virtio-net-pci,netdev=net,romfile=".into());
    add("-device", "virtio-rng-pci".into());
    if let Some(direct) = &machine.kernel {
        add("-kernel", direct.kernel.display().to_string());
        add("-append", direct.command_line.clone());
        if let Some(initrd) = &direct.initrd {
            add("-initrd", initrd.display().to_string());
        }
    }
    for index in 0..files.credentials {
        add("-smbios", format!("type=11,path={}", path(&credential_file(index))));
    }
    let count = machine.count_instructions;
    if count {
        add("-icount", "shift=0,sleep=off".into());
    }
    words.extend(accel.arguments().map(str::to_owned));
    if count {
        // Each byte that `rep movsb` and `rep stosb` move counts as an instruction, where real
        // processors move 32 and more a cycle. Without fast strings the kernel moves words.
        words.extend(["-cpu", "max,-erms,-fsrm"].map(str::to_owned));
    }
    words.extend(["-nodefaults", "-display", "none"].map(str::to_owned));
    words.into_iter().map(OsString::from).collect()
}

/// The first disk, all writes to which are logged.
fn logged_disk(add: &mut impl FnMut(&str, String), (format, file): (&str, &str), log: &Path) {
    let unsafe_file = "cache.no-flush=on,driver=file"; // the guest's flushes are logged all the same
    add("-blockdev", format!("{unsafe_file},node-name=log0,filename={}", log.display()));
    let image = format!("driver={format},file.driver=file,file.filename={file}");
    add("-blockdev", format!("{image},cache.no-flush=on,node-name=image0"));
    add("-blockdev", "driver=blklogwrites,node-name=disk0,file=image0,log=log0".into());
}

/// The copy-on-write file over disk `index`.
pub(super) fn overlay(index: usize) -> String {
    format!("disk{index}.qcow2")
}

/// The file that holds credential `index`.
pub(super) fn credential_file(index: usize) -> String {
    format!("credential{index}")
}

/// A credential as systemd reads it from an SMBIOS string.
pub(super) fn credential_string(name: &str, content: &[u8]) -> String {
    format!("io.systemd.credential.binary:{name}={}", base64(content))
}

/// Source: RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte));
        let group = group << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let value = group >> (18 - 6 * digit) & 63;
            text.push(if digit <= chunk.len() { ALPHABET[value as usize].into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_the_standards_examples() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (bytes, expected) in cases {
            assert_eq!(base64(bytes.as_bytes()), expected, "{bytes}");
        }
    }

    #[test]
    fn a_port_is_forwarded_once() {
        let machine = Builder::new(Path::new("disk.raw")).forward(2222, 22).forward(0, 80);
        let files = Files { folder: "/run/vm".into(), firmware: None, credentials: 0 };
        let words = arguments(&machine, &files, Acceleration::Emulated);
        let net = words.iter().find(|word| word.to_string_lossy().starts_with("user,"));
        let expected =
            "user,id=net,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:127.0.0.1:0-:80".into();
        assert_eq!(net, Some(&expected));
    }
}
