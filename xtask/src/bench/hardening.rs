//! `cargo xtask bench hardening`: what hardening costs programs.
//!
//! The hardened kernel beside the same kernel without what hardens it at run time
//! (`os/kernel/unhardened`), on the same machine, with the same programs: each does a fixed number of
//! operations, and the instructions of kernel and program together are counted.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use testkit::debian;

use super::kernel::init::{self, Work};
use super::kernel::machine::{Boot, Machine};
use super::kernel::{ours, root};
use super::{Pair, Row, emulator};
use crate::{command, progress};

/// What is measured: what it is called, and the words of stress-ng, each with its fixed number of
/// operations.
const STRESSORS: [(&str, &str); 9] = [
    ("system calls: get*", "--get 1 --get-ops 400"),
    ("context switches: two processes, one pipe", "--switch 1 --switch-ops 10000"),
    ("page faults", "--fault 1 --fault-ops 10000"),
    ("processes: fork and exit", "--fork 1 --fork-ops 500"),
    ("memory: mmap and munmap", "--mmap 1 --mmap-ops 4 --mmap-bytes 4m"),
    ("pipes", "--pipe 1 --pipe-ops 20000"),
    ("network: TCP on the loopback", "--sock 1 --sock-ops 200"),
    ("network: UDP on the loopback", "--udp 1 --udp-ops 10000"),
    ("files: create and remove", "--dentry 1 --dentry-ops 4000"),
];

/// What every stressor is told: no progress, no scaling, no random seed, as root without complaint.
const COMMON: &str = "/usr/bin/stress-ng --quiet --no-rand-seed --timeout 0";

pub(super) fn measure(runs: usize) -> Result<Vec<Row>> {
    let kernels = [ours("hardened")?, ours("hardened")?];
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let root = progress::show("making the root with stress-ng", || {
        root::of(&tree()?.join("root"), folder.path())
    })?;
    let initrd = folder.path().join("initrd");
    let work = Work { root: &root, modules: &[], commands: Some(&commands()) };
    fs::write(&initrd, init::archive(&init::program()?, work)?)
        .context("cannot write an initrd")?;
    let qemu = emulator::program()?;
    let mut boots = [Vec::new(), Vec::new()];
    for run in 1..=runs {
        for (index, name) in ["hardened", "without"].into_iter().enumerate() {
            let kernel = &kernels[index];
            let (image, command_line) = (kernel.image.clone(), kernel.command_line.clone());
            let machine =
                Machine { image, initrd: initrd.clone(), command_line, disks: root.disks() };
            let what = format!("stress-ng, {name}, {run} of {runs}");
            boots[index].push(progress::show(&what, || machine.boot(&qemu, true))?);
        }
    }
    (0..STRESSORS.len()).map(|at| row(at, &boots)).collect()
}

/// What init runs: the loopback is up first.
fn commands() -> String {
    let up = "loopback\t/usr/bin/ip link set lo up\n".to_owned();
    let lines = STRESSORS.iter().enumerate();
    up + &lines.map(|(at, (_, words))| format!("{at}\t{COMMON} {words}\n")).collect::<String>()
}

fn row(at: usize, boots: &[Vec<Boot>; 2]) -> Result<Row> {
    let work = |boot: &Boot| -> Result<f64> {
        let begin = boot.mark(&format!("{at}-begin"))?;
        Ok(boot.mark(&format!("{at}-end"))?.work_since(begin) as f64 / 1e6)
    };
    let side = |boots: &[Boot]| boots.iter().map(work).collect::<Result<Vec<_>>>();
    let pair = Pair { ours: side(&boots[0])?, theirs: side(&boots[1])? };
    Ok(pair.row("hardening", STRESSORS[at].0, "10^6 instructions"))
}

/// The folder with Debian 13's stress-ng in `root`; unpacked once, below `target/`.
fn tree() -> Result<PathBuf> {
    let folder = command::workspace().join("target/bench/stress-13");
    if !folder.exists() {
        progress::show("unpacking Debian 13's stress-ng", || make(&folder))?;
    }
    Ok(folder)
}

fn make(folder: &Path) -> Result<()> {
    let parent = folder.parent().unwrap_or(folder);
    fs::create_dir_all(parent).context("cannot make target/bench")?;
    let staging = tempfile::tempdir_in(parent).context("cannot make a folder in target/bench")?;
    let include = "--include=stress-ng,iproute2";
    let mut bootstrap = command::program("mmdebstrap", &["--quiet", "--variant=extract", include]);
    bootstrap.args(["trixie", "root"]).args(debian::sources()?);
    command::read(bootstrap.current_dir(staging.path()))?;
    let root = staging.path().join("root");
    for mount_point in ["dev", "proc", "run", "sys", "tmp"] {
        fs::create_dir_all(root.join(mount_point)).context("cannot make a mount point")?;
    }
    for name in ["bin", "lib", "lib64", "sbin"].iter().filter(|name| !root.join(name).exists()) {
        let target = Path::new("usr").join(name);
        symlink(target, root.join(name)).context("cannot link to /usr")?;
    }
    fs::rename(staging.keep(), folder).context("cannot put stress-ng in its place")
}
