//! `cargo xtask run`: from nothing to a container's output.

mod options;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use testkit::Vm;
use testkit::vm::Acceleration;

use crate::{command, progress, setup};

/// The image that is run, tested and measured where no other is asked for.
pub(crate) const IMAGE: &str = "minimal";
/// Emulation on a busy machine is slow.
const BOOT: Duration = Duration::from_secs(600);

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Which image: the name of a definition in os/images
    #[arg(default_value = IMAGE)]
    image: String,
    /// Power the host off once the container has run; fails with the host's journal if anything did
    #[arg(long)]
    exit: bool,
    /// The host's SSH port on this machine; 0: any free one
    #[arg(long, default_value_t = 0)]
    ssh_port: u16,
    /// Let a TCP port of this machine lead to one of the host's: with 8080:80, 127.0.0.1:8080
    /// leads to its port 80; 0:80 takes any free port here. Can be given several times
    #[arg(long, value_name = "HERE:THERE", value_parser = options::forward, default_value = "0:80")]
    forward: Vec<(u16, u16)>,
    /// The host's memory in megabytes, at least 512
    #[arg(long, value_parser = options::memory, default_value_t = 1024)]
    memory: u32,
    /// The host's disk in gigabytes; only what is written takes room here
    #[arg(long, value_parser = options::disk, default_value_t = 8)]
    disk: u64,
}

/// What the container says: a program of the shell alone, without single quotes.
const GREETING: &str = r#". /etc/os-release
read -r name < /etc/hostname
read -r _ _ release _ < /proc/version
echo "Hello from container $name: $PRETTY_NAME on Linux $release, process $$ of its own.""#;

impl Run {
    pub(crate) fn run(self) -> Result<()> {
        let ports = self.forward.iter().map(|(here, _)| *here);
        options::check_ports(ports.chain([self.ssh_port]))?;
        setup::ensure()?;
        build(&self.image)?;
        let (stop, stopped) = mpsc::channel();
        let ctrl_c = CtrlC::default();
        let pressed = ctrl_c.clone();
        ctrlc::set_handler(move || pressed.act(&stop)).context("cannot listen to Ctrl-C")?;

        let folder = command::workspace().join("out").join(&self.image);
        let mut machine = Vm::builder(&folder).cpus(2).memory_mb(self.memory);
        machine = machine.disk_bytes(self.disk * 1_000_000_000);
        // Only whoever runs this can open the serial console's socket.
        machine = machine.credential("tty.serial.ttyS0.agetty.autologin", b"root");
        machine = machine.credential("tty.serial.ttyS0.login.noauth", b"yes");
        machine = machine.forward(self.ssh_port, 22);
        for &(here, there) in &self.forward {
            machine = machine.forward(here, there);
        }
        let mut vm = machine.try_start().map_err(|error| anyhow!(error))?;
        if vm.acceleration() == Acceleration::Emulated {
            println!("KVM does not work here: emulating, which takes about ten times as long");
        }
        ctrl_c.ends_all(vm.key().parent());
        if !self.exit {
            print_ways_in(&vm);
        }
        let mut demonstrated = demonstrate(&mut vm);
        if !self.exit && vm.is_running() {
            ctrl_c.powers_off();
            match &demonstrated {
                Ok(()) => println!("The host is up. Ctrl-C powers it off."),
                Err(error) => eprintln!(
                    "{error:#}\nIt runs on, for whoever wants to look. Ctrl-C powers it off."
                ),
            }
            demonstrated = wait(&mut vm, &stopped).and(demonstrated);
            ctrl_c.ends_all(vm.key().parent());
        }
        if let Err(error) = demonstrated {
            eprintln!("{}", vm.evidence());
            return Err(error);
        }
        progress::show("powering the host off", || vm.try_power_off())
            .map_err(|error| anyhow!("{error}\n{}", vm.evidence()))
    }
}

/// What Ctrl-C does: it has the host powered off in good order while that is up, and ends
/// everything at once while it comes up or goes down.
#[derive(Clone)]
struct CtrlC(Arc<Mutex<Option<PathBuf>>>);

impl Default for CtrlC {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(PathBuf::new()))))
    }
}

impl CtrlC {
    /// From now on it ends everything; the machine's files are in this folder.
    fn ends_all(&self, folder: Option<&Path>) {
        *self.files() = Some(folder.map(Path::to_owned).unwrap_or_default());
    }

    /// From now on it only asks for the host's end.
    fn powers_off(&self) {
        *self.files() = None;
    }

    fn act(&self, stop: &Sender<()>) {
        if let Some(folder) = self.files().take() {
            // QEMU ends with this program; its files would stay.
            let _ = std::fs::remove_dir_all(folder);
            eprintln!("\nstopped without powering the host off");
            std::process::exit(130);
        }
        // Nobody listens any more: the program is already ending.
        let _ = stop.send(());
    }

    fn files(&self) -> MutexGuard<'_, Option<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Builds an image and the container image.
pub(crate) fn build(image: &str) -> Result<()> {
    // By itself first: the compiler's own progress is shown.
    command::run(&mut command::cargo(&["build", "--release", "-p", "forge"]))?;
    command::run(&mut command::forge(&["image", "build", image]))?;
    command::run(&mut command::forge(&["image", "oci"]))
}

/// Where [`build`] leaves the container image.
pub(crate) fn container_image() -> PathBuf {
    command::workspace().join("out/oci/preon-base.tar")
}

fn demonstrate(vm: &mut Vm) -> Result<()> {
    progress::show("booting", || vm.try_wait_until_booted(BOOT))?;
    let image = progress::show("loading the container image", || load(vm, &container_image()))?;
    let run = format!("docker run --rm {image} /bin/sh -c '{GREETING}'");
    let output = progress::show("running a container", || vm.try_run(&run))?;
    if output.is_empty() {
        bail!("the container printed nothing");
    }
    println!("\n{output}\n");
    Ok(())
}

/// Loads an image into the guest's Docker and returns its name.
fn load(vm: &Vm, archive: &Path) -> Result<String> {
    let there = "/var/tmp/image.tar";
    vm.try_copy_in(archive, there)?;
    let output = vm.try_run(&format!("docker load --input {there} && rm {there}"))?;
    let name = output.lines().find_map(|line| line.strip_prefix("Loaded image: "));
    name.map(str::to_owned).with_context(|| format!("`docker load` names no image: {output}"))
}

fn print_ways_in(vm: &Vm) {
    let (key, console) = (vm.key(), vm.console_socket());
    println!("Ways into the host, from another terminal, once it is up:");
    if let Some(port) = vm.forwarded(22) {
        let options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null";
        println!("  SSH             ssh -p {port} -i {} {options} root@127.0.0.1", key.display());
    }
    println!("  serial console  socat -,raw,echo=0,escape=0x1d unix:{}", console.display());
    println!("                  (press Enter for root's shell; Ctrl-] leaves it)");
    for (here, there) in vm.ports().filter(|port| port.1 != 22) {
        println!("  forwarded       127.0.0.1:{here} leads to port {there} of the host");
    }
}

/// Blocks until Ctrl-C, or until the guest is gone.
fn wait(vm: &mut Vm, stopped: &mpsc::Receiver<()>) -> Result<()> {
    loop {
        match stopped.recv_timeout(Duration::from_secs(1)) {
            Err(RecvTimeoutError::Timeout) if vm.is_running() => {}
            Err(RecvTimeoutError::Timeout) => bail!("the host is gone"),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
