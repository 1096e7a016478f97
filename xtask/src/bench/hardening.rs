//! `cargo xtask bench hardening`: what hardening costs programs.
//!
//! The hardened kernel beside the same kernel without what hardens it at run time
//! (`os/kernel/unhardened`), on the same machine, with the same programs: each does a fixed number of
//! operations, and the instructions of kernel and program together are counted.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::kernel::init::{self, Work};
use super::kernel::machine::{Boot, Machine};
use super::kernel::{ours, root};
use super::unpacked::Unpacked;
use super::{Pair, Row, emulator};
use crate::progress;

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
    let kernels = [ours("hardened")?, ours("unhardened")?];
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let root =
        progress::show("making the root with stress-ng", || root::of(&tree()?, folder.path()))?;
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

const STRESS: Unpacked =
    Unpacked { name: "stress-13", what: "stress-ng", packages: "stress-ng,iproute2" };

/// The tree with Debian 13's stress-ng.
fn tree() -> Result<PathBuf> {
    let folder = STRESS.folder(|folder| {
        let root = folder.join("root");
        for mount_point in ["dev", "proc", "run", "sys", "tmp"] {
            fs::create_dir_all(root.join(mount_point)).context("cannot make a mount point")?;
        }
        let links = ["bin", "lib", "lib64", "sbin"].iter();
        for name in links.filter(|name| !root.join(name).exists()) {
            let target = Path::new("usr").join(name);
            symlink(target, root.join(name)).context("cannot link to /usr")?;
        }
        Ok(())
    })?;
    Ok(folder.join("root"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stressor_does_a_fixed_number_of_operations_under_a_name_of_its_own() {
        for (name, words) in STRESSORS {
            let fixed = words.split(' ').any(|word| word.ends_with("-ops"));
            assert!(fixed, "{name}: {words}");
        }
        let commands = commands();
        let mut names: Vec<_> =
            commands.lines().filter_map(|line| line.split('\t').next()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STRESSORS.len() + 1, "{commands}");
    }
}
