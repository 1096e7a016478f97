//! Starting a machine: the files that QEMU is told of, then QEMU.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::acceleration::Proof;
use super::guest::Guest;
use super::options::{self, Files};
use super::{Acceleration, Builder, Vm, VmError, acceleration, chain, host};

/// Where Debian's package ovmf puts the firmware.
pub(super) const OVMF: &str = "/usr/share/OVMF";
/// How long a proof of KVM may take. Real virtualisation needs a fifth of it.
const PROOF: Duration = Duration::from_secs(60);

impl Builder {
    /// Starts the machine.
    ///
    /// # Errors
    ///
    /// [`VmError`]; nothing is left running.
    pub fn try_start(&self) -> Result<Vm, VmError> {
        if let Some(acceleration) = self.acceleration {
            return self.launch(acceleration);
        }
        let proof = acceleration::decide(|| match self.launch(Acceleration::Kvm) {
            Ok(mut vm) => Ok(vm.try_out(PROOF)),
            // KVM that opens and does nothing, or a port that is taken: the next start tells.
            Err(VmError::Ended { .. }) => Ok(Proof::Unclear),
            Err(error) => Err(error),
        })?;
        let mut vm = self.launch(proof.acceleration())?;
        vm.doubts_kvm = proof == Proof::Unclear;
        Ok(vm)
    }

    /// Starts the machine.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[track_caller]
    pub fn start(&self) -> Vm {
        self.try_start().unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    fn launch(&self, acceleration: Acceleration) -> Result<Vm, VmError> {
        let folder = tempfile::Builder::new().prefix("vm-").tempdir();
        let folder = folder.map_err(host("make a temporary folder"))?;
        let files = self.prepare(folder.path())?;
        let guest = Guest::new(folder.path(), 0);
        let mut vm = Vm {
            qemu: self.spawn(&files, acceleration)?,
            machine: self.clone(),
            guest,
            files,
            ports: Vec::new(),
            acceleration,
            doubts_kvm: false,
            _folder: folder,
        };
        vm.find_guest()?;
        Ok(vm)
    }

    /// Starts QEMU, whose files are made.
    pub(super) fn spawn(
        &self,
        files: &Files,
        acceleration: Acceleration,
    ) -> Result<Child, VmError> {
        let log = File::create(files.at("qemu.log")).map_err(host("create QEMU's log"))?;
        let errors = log.try_clone().map_err(host("create QEMU's log"))?;
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(&self.qemu)
            .args(options::arguments(self, files, acceleration))
            .process_group(0) // Ctrl-C is for whoever started it, who then ends it in good order
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(host("start QEMU"))
    }

    /// Makes every file that QEMU's command line names.
    fn prepare(&self, folder: &Path) -> Result<Files, VmError> {
        let firmware = match &self.kernel {
            Some(_) => None,
            None => Some(firmware(folder)?),
        };
        let key = Guest::prepare(folder, self.key.as_deref()).map_err(host("make an SSH key"))?;
        let mut credentials = self.all_credentials();
        credentials.push(("ssh.authorized_keys.root".to_owned(), key));
        let files = Files { folder: folder.to_owned(), firmware, credentials: credentials.len() };
        for (index, image) in self.disks().enumerate().filter(|_| !self.in_place) {
            let size = self.disk_bytes.filter(|_| index == 0);
            overlay(image, &files.at(&options::overlay(index)), size)?;
        }
        if let Some(log) = &self.write_log {
            File::create(log).map_err(host("create the log of writes"))?;
        }
        for (index, (name, content)) in credentials.iter().enumerate() {
            let text = options::credential_string(name, content);
            fs::write(files.at(&options::credential_file(index)), text)
                .map_err(host("write a credential"))?;
        }
        Ok(files)
    }
}

/// Copies the firmware's variables into `folder` and returns the path of its code.
fn firmware(folder: &Path) -> Result<PathBuf, VmError> {
    for size in ["_4M", ""] {
        let file = |part: &str| Path::new(OVMF).join(format!("OVMF_{part}{size}.fd"));
        if file("CODE").exists() {
            let copied = fs::copy(file("VARS"), folder.join("vars.fd"));
            return copied.map(|_| file("CODE")).map_err(host("copy the firmware's variables"));
        }
    }
    Err(VmError::NoFirmware)
}

/// Makes a copy-on-write file over `image`.
fn overlay(image: &Path, file: &Path, bytes: Option<u64>) -> Result<(), VmError> {
    let image = fs::canonicalize(image).map_err(|_| VmError::NoImage(image.to_owned()))?;
    let mut create = Command::new("qemu-img");
    create.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(&image).arg(file);
    create.args(bytes.map(|bytes| bytes.to_string()));
    let output = create.output().map_err(host("start qemu-img"))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(host("make a copy-on-write disk")(io::Error::other(why)))
}
