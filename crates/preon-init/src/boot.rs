//! The steps of a boot, in their order.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use base::file::{self, FileError};
use base::{ByteSize, Digest, Explain, Failure};
use generations::stack::{self, Places};
use generations::{Booted, Choice, Stack, Store, running};
use sys::{Filesystem, Limits, block, capability, efi, ext4, kernel, mount, root};

use crate::command_line::CommandLine;
use crate::disk::{self, Disk};
use crate::{attempt, grow, heal, log};

/// Where the new root is made.
const ROOT: &str = "/sysroot";
/// What this program turns into.
const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// systemd cannot be executed, although its generation could be mounted.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("cannot execute {SYSTEMD}: layer {layer} (sha256 {digest}) is corrupt")]
    Corrupt { layer: String, digest: Digest, source: FileError },
    #[error("cannot start the host")]
    Other { source: FileError },
}

impl Explain for StartError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Corrupt { .. } => Some("write the image anew, or check the disk".into()),
            Self::Other { .. } => Some(format!("a generation needs the program {SYSTEMD}")),
        }
    }
}

/// Mounts what the kernel itself shows; the next root takes it over.
pub(crate) fn mount_kernel_filesystems() -> Result<(), Failure> {
    let quiet = Limits { no_programs: true, ..Limits::DATA };
    let devices = Limits { no_set_uid: true, no_programs: true, ..Limits::NONE };
    let plain = |kind, target: &str, limits| -> Result<(), Failure> {
        file::create_dir_all(target.as_ref())?;
        Ok(Filesystem::new(kind).limits(limits).mount(target.as_ref())?)
    };
    plain("devtmpfs", "/dev", devices)?;
    plain("proc", "/proc", quiet)?;
    plain("sysfs", "/sys", quiet)?;
    if Path::new(efi::FOLDER).is_dir() {
        plain("efivarfs", efi::FOLDER, quiet)?;
    }
    Ok(())
}

/// Boots; returns only with the reason why that failed.
pub(crate) fn run(words: &CommandLine) -> Result<Infallible, Failure> {
    let sysroot = Path::new(ROOT);
    let below = |path: &str| sysroot.join(path.trim_start_matches('/'));
    let (run, data) = (below(generations::RUN), below(generations::DATA));
    make_root(sysroot, &run)?;
    let disk = disk::find(words)?;
    mount_data(&disk, &data)?;
    if let Err(error) = show_esp(&disk, &below(generations::ESP)) {
        log::warning(&base::explain::render(&error)); // the host runs without
    }

    let store = Store::open(&below(generations::STORE))?;
    let choice = attempt::begin(&store, &booted(), words.wants_previous())?;
    let places = Places { root: sysroot, run: &run, data: &data };
    let Err(failure) = start(&store, &choice, places);
    // Before and after the new root became the root, whichever it was.
    let stores = [below(generations::STORE), generations::STORE.into()];
    attempt::note(&stores, choice.generation, &*failure);
    Err(failure)
}

/// The kernel that runs; of which image it is, is of no importance where the firmware cannot say.
fn booted() -> Booted {
    let release = kernel::release();
    Booted::read(efi::FOLDER.as_ref(), release.clone()).unwrap_or_else(|error| {
        log::warning(&base::explain::render(&error));
        Booted::of_release(&release)
    })
}

/// Makes the chosen generation the root and becomes its systemd.
fn start(store: &Store, choice: &Choice, places: Places<'_>) -> Result<Infallible, Failure> {
    let stack = Stack::mount(store, &choice.manifest, places)?;
    let running = places.root.join(generations::RUNNING.trim_start_matches('/'));
    running::write(&running, choice.generation)?;
    enter(places.root)?;
    if !capability::kernel_loads_modules() {
        // The right is good for nothing here, and systemd would complain that it cannot use it.
        capability::forbid_modules()?;
    }
    Err(become_systemd(&stack).into())
}

/// The new root with a `/run` that systemd will keep, and our folder on it for root only.
fn make_root(sysroot: &Path, run: &Path) -> Result<(), Failure> {
    file::create_dir_all(sysroot)?;
    stack::root::make(sysroot)?;
    // As systemd would mount it.
    Filesystem::new("tmpfs")
        .option("mode", "755")
        .option("size", "20%")
        .option("nr_inodes", "800k")
        .limits(Limits::DATA)
        .mount(&sysroot.join("run"))?;
    file::create_dir_all(run)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(run, mode).map_err(FileError::at("set the permissions of", run))?;
    Ok(())
}

/// Mounts the data filesystem at `target`, as long as its disk allows.
fn mount_data(disk: &Disk, target: &Path) -> Result<(), Failure> {
    // A disk that holds less than it could is no reason not to boot.
    let unless_grown = |error: &dyn Explain| log::warning(&base::explain::render(error));
    if let Err(error) = grow::grow(disk) {
        unless_grown(&error);
    }
    let device = grow::device(disk)?;
    log::info(&format!("the store is on {}", device.display()));
    file::create_dir_all(target)?;
    let limits = Limits { no_programs: true, ..Limits::DATA };
    let mount = || Filesystem::new("ext4").on(&device).limits(limits).mount(target);
    match mount() {
        Err(error) if heal::is_torn(&error) => {
            log::warning(&base::explain::render(&error));
            if !heal::heal(heal::E2FSCK.as_ref(), &device).is_ok_and(|healed| healed) {
                return Err(error.into());
            }
            mount()?;
        }
        mounted => mounted?,
    }
    if let Err(error) = ext4::grow(target, ByteSize(block::size(&device)?)) {
        unless_grown(&error);
    }
    Ok(())
}

/// Makes the link by which the host mounts the boot loader's partition, if there is one: another disk
/// may have one with the same name.
fn show_esp(disk: &Disk, link: &Path) -> Result<(), FileError> {
    let Some(number) = disk.esp else { return Ok(()) };
    let Some(device) = disk.partition(number)? else { return Ok(()) };
    symlink(device, link).map_err(FileError::at("create the link", link))
}

/// Makes `sysroot` the root, with the kernel's own filesystems in it.
fn enter(sysroot: &Path) -> Result<(), Failure> {
    for name in ["dev", "proc", "sys"] {
        mount::move_to(&Path::new("/").join(name), &sysroot.join(name))?;
    }
    // Nothing reads it again, and its memory is better used otherwise; no harm if it stays.
    let _ = root::forget_program("/init".as_ref());
    Ok(root::switch(sysroot)?)
}

/// Returns only with the reason why this failed.
fn become_systemd(stack: &Stack) -> StartError {
    let program = Path::new(SYSTEMD);
    // Read as a whole first: were a block of it corrupt, the kernel would kill it, and with it
    // itself, before anybody could say why.
    let source = match file::read(program) {
        Ok(_) => root::become_program(program, &[("HOME", "/"), ("TERM", "linux")]),
        Err(error) => error,
    };
    match stack.corrupt_layer() {
        Some((layer, digest)) => StartError::Corrupt { layer: layer.to_owned(), digest, source },
        None => StartError::Other { source },
    }
}
