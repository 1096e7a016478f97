//! PID 1 of `cargo xtask bench kernel` and `bench hardening`: the same static program under each kernel.
//!
//! It marks when it starts, brings up a verity root on `/dev/vda` (data) and `/dev/vdb` (tree), marks
//! that, shows the memory, runs in that root what `/commands` says, if there is such a file, with a
//! mark before and after each, and powers the machine off. A mark is a line `mark NAME TICKS IDLE`: the
//! processor's time stamp counter, which under `icount` moves by one with each instruction since
//! power-on, and the nanoseconds in which the kernel had nothing to do.

#![allow(unsafe_code)]

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base::file::{self, FileError};
use rustix::system::RebootCommand;
use sys::mapper::Target;
use sys::{Filesystem, Limits, Mapper};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One line each: the path of a module, in the order in which they are loaded.
const MODULES: &str = "/modules";
/// The verity target: its length in sectors, a space, its parameters.
const VERITY: &str = "/verity";
/// One line each: a name, a tab, a program in the root and its arguments.
const COMMANDS: &str = "/commands";
/// What is read of the root.
const FILE: &str = "/root/file-0";
/// How long a disk may take to appear.
const LIMIT: Duration = Duration::from_secs(60);

fn main() {
    let start = ticks();
    if let Err(error) = run(start) {
        // The serial port may be what failed.
        let _ = fs::write("/dev/ttyS0", format!("\nfailed {error}: {:?}\n", error.source()));
    }
    let _ = rustix::system::reboot(RebootCommand::PowerOff);
}

fn run(start: u64) -> Result<()> {
    for (kind, folder) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        Filesystem::new(kind).mount(Path::new(folder))?;
    }
    let port = Path::new("/dev/ttyS0");
    let mut port =
        OpenOptions::new().write(true).open(port).map_err(FileError::at("open", port))?;
    // The firmware does not end its last line.
    writeln!(port, "\nmark init {start} {}", idle()?)?;
    load_modules()?;
    mount_root()?;
    if Path::new(FILE).exists() {
        writeln!(port, "read {}", file::read(FILE.as_ref())?.len())?;
    }
    writeln!(port, "mark root {} {}", ticks(), idle()?)?;
    for line in file::read_text("/proc/meminfo".as_ref())?.lines() {
        if line.starts_with("Mem") {
            writeln!(port, "{line}")?;
        }
    }
    if Path::new(COMMANDS).exists() {
        run_commands(&mut port)?;
    }
    Ok(rustix::termios::tcdrain(&port)?)
}

fn ticks() -> u64 {
    // SAFETY: RDTSC is there on every x86-64 processor and reads no memory; the kernel leaves it to
    // programs unless one asked otherwise for itself (PR_SET_TSC).
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// For how many nanoseconds the only processor had nothing to do. `/proc/stat` knows but hundredths
/// of a second.
fn idle() -> Result<u64> {
    let path = Path::new("/proc/timer_list");
    let text = file::read_text(path)?;
    ["idle", "iowait"].iter().try_fold(0, |sum, kind| {
        let name = format!(".{kind}_sleeptime");
        let line = text.lines().find(|line| line.trim_start().starts_with(&name));
        let number = line.and_then(|line| line.split_whitespace().rev().nth(1));
        let number = number.ok_or_else(|| format!("no {name} in {}", path.display()))?;
        Ok(sum + number.parse::<u64>()?)
    })
}

/// Loads what the list names and deletes it, as an initrd is gone once the root is entered.
fn load_modules() -> Result<()> {
    const COMPRESSED: i32 = 4; // MODULE_INIT_COMPRESSED_FILE of linux/module.h: the kernel unpacks it
    for name in file::read_text(MODULES.as_ref())?.lines() {
        let path = Path::new(name);
        let module = File::open(path).map_err(FileError::at("open", path))?;
        let flags = if name.ends_with(".ko") { 0 } else { COMPRESSED };
        let loaded = rustix::system::finit_module(&module, c"", flags);
        loaded.map_err(|errno| FileError::at("load the module", path)(errno.into()))?;
        fs::remove_file(path).map_err(FileError::at("delete", path))?;
    }
    Ok(())
}

fn mount_root() -> Result<()> {
    for disk in ["/dev/vda", "/dev/vdb"] {
        wait_for(Path::new(disk))?;
    }
    let text = file::read_text(VERITY.as_ref())?;
    let (sectors, parameters) = text.trim_end().split_once(' ').ok_or("not a verity target")?;
    let parameters = parameters.to_owned();
    let target = Target { kind: "verity", sectors: sectors.parse()?, parameters };
    let device = Mapper::open()?.create("root", &target)?;
    let limits = Limits { read_only: true, no_devices: true, ..Limits::NONE };
    Filesystem::new("erofs").on(&device).limits(limits).mount("/root".as_ref())?;
    Ok(())
}

/// Asks every millisecond: what waiting costs is idle time and taken off.
fn wait_for(path: &Path) -> Result<()> {
    let start = Instant::now();
    while !path.exists() {
        if start.elapsed() > LIMIT {
            return Err(FileError::at("find", path)(io::ErrorKind::TimedOut.into()).into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Runs each command twice and marks the second time: the first has read its files.
fn run_commands(port: &mut File) -> Result<()> {
    let commands = file::read_text(COMMANDS.as_ref())?;
    for folder in ["proc", "sys", "dev"] {
        let from = Path::new("/").join(folder);
        sys::mount::bind(&from, &Path::new("/root").join(folder), Limits::NONE)?;
    }
    for folder in ["/root/tmp", "/root/run"] {
        Filesystem::new("tmpfs").mount(Path::new(folder))?;
    }
    std::os::unix::fs::chroot("/root")?;
    std::env::set_current_dir("/tmp")?;
    for line in commands.lines() {
        let (name, words) = line.split_once('\t').ok_or("a command without a name")?;
        let mut words = words.split(' ');
        let mut command = Command::new(words.next().ok_or("no command")?);
        command.args(words).stdin(Stdio::null());
        run_one(&mut command)?;
        let (begin, begin_idle) = (ticks(), idle()?);
        run_one(&mut command)?;
        let (end, end_idle) = (ticks(), idle()?);
        writeln!(port, "mark {name}-begin {begin} {begin_idle}")?;
        writeln!(port, "mark {name}-end {end} {end_idle}")?;
    }
    Ok(())
}

fn run_one(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).replace('\n', "; ");
    Err(format!("{command:?} ended with {}: {said}", output.status).into())
}
