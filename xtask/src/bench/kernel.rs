//! `cargo xtask bench kernel`: our hardened kernel beside Debian 13's cloud kernel.
//!
//! Both boot on the same machine, with the same program as init: it marks its start, brings up the
//! same verity root and marks that. Debian's kernel loads the modules for it first. The kernel starts
//! where the firmware jumps into it, so unpacking itself counts; what is idle does not, where
//! instructions are counted.

pub(super) mod init;
pub(super) mod machine;
mod modules;
mod rival;
pub(super) mod root;
mod start;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use self::init::Work;
use self::machine::{Boot, Machine, Mark};
use super::{Pair, Row, emulator};
use crate::{command, progress};

/// The marks that init sets, and what reaching them is called.
const MARKS: [(&str, &str); 2] = [("init", "start to init"), ("root", "start to a verity root")];

/// A kernel, and what it is started with.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) image: PathBuf,
    pub(super) command_line: String,
    /// Those that the root needs, in the order in which they are loaded.
    modules: Vec<PathBuf>,
}

/// What was measured of one kernel: a boot and its start for each run.
#[derive(Debug, Default)]
struct Side {
    boots: Vec<Boot>,
    starts: Vec<Mark>,
}

/// Two machines that differ in nothing but kernel and initrd, and one that only says when it starts.
#[derive(Debug)]
struct Contest {
    qemu: PathBuf,
    start: Machine,
    machines: [Machine; 2],
}

pub(super) fn measure(runs: usize) -> Result<Vec<Row>> {
    let (ours, theirs) = (ours("hardened")?, rival::kernel()?);
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let contest = Contest::prepare(&ours, &theirs, folder.path())?;
    let mut rows = counted(&contest.series(true, runs)?);
    rows.extend(timed(&contest.series(false, runs)?));
    rows.extend(sizes(&ours, &theirs)?);
    Ok(rows)
}

/// Our kernel of this flavour; built first unless it is there.
pub(super) fn ours(flavour: &str) -> Result<Kernel> {
    #[derive(Deserialize)]
    struct Shown {
        image: PathBuf,
        cmdline: String,
    }
    // By itself first: the compiler's own progress is shown.
    command::run(&mut command::cargo(&["build", "--release", "-p", "forge"]))?;
    let show = || command::read(&mut command::forge(&["kernel", "show", flavour, "--json"]));
    let shown = show().or_else(|_| {
        command::run(&mut command::forge(&["kernel", "build", flavour]))?;
        show()
    })?;
    let Shown { image, cmdline: command_line } =
        serde_json::from_str(&shown).context("cannot read what forge shows of the kernel")?;
    Ok(Kernel { image, command_line, modules: Vec::new() })
}

impl Contest {
    /// Makes what the machines need in `folder`.
    fn prepare(ours: &Kernel, theirs: &Kernel, folder: &Path) -> Result<Self> {
        let program = init::program()?;
        let root = progress::show("making the verity root", || root::make(folder))?;
        let machine = |name: &str, kernel: &Kernel| -> Result<Machine> {
            let initrd = folder.join(name);
            let work = Work { root: &root, modules: &kernel.modules, commands: None };
            fs::write(&initrd, init::archive(&program, work)?).context("cannot write an initrd")?;
            let (image, command_line) = (kernel.image.clone(), kernel.command_line.clone());
            Ok(Machine { image, initrd, command_line, disks: root.disks() })
        };
        let machines = [machine("ours", ours)?, machine("theirs", theirs)?];
        let start = Machine { image: folder.join("start"), ..machines[0].clone() };
        fs::write(&start.image, start::image()).context("cannot write a kernel")?;
        Ok(Self { qemu: emulator::program()?, start, machines })
    }

    /// Boots both in turn, `runs` times each, after the kernel that only says when it starts.
    fn series(&self, counting: bool, runs: usize) -> Result<[Side; 2]> {
        let kind = if counting { "counting instructions" } else { "wall time" };
        let mut sides = [Side::default(), Side::default()];
        for run in 1..=runs {
            let start = self.start.boot(&self.qemu, counting)?.mark("start")?;
            for (index, name) in ["our kernel", "Debian's"].into_iter().enumerate() {
                let what = format!("booting {name}, {kind}, {run} of {runs}");
                let boot = || self.machines[index].boot(&self.qemu, counting);
                let boot = progress::show(&what, boot)?;
                for (mark, _) in MARKS {
                    boot.mark(mark)?;
                }
                sides[index].boots.push(boot);
                sides[index].starts.push(start);
            }
        }
        Ok(sides)
    }
}

/// A figure of each run of both, of a mark and the start before it.
fn pair(sides: &[Side; 2], mark: &str, figure: impl Fn(Mark, Mark) -> f64) -> Pair {
    let side = |side: &Side| {
        let runs = side.boots.iter().zip(&side.starts);
        runs.filter_map(|(boot, start)| Some(figure(*start, boot.mark(mark).ok()?))).collect()
    };
    Pair { ours: side(&sides[0]), theirs: side(&sides[1]) }
}

fn counted(sides: &[Side; 2]) -> Vec<Row> {
    let unit = "10^9 instructions";
    let instructions = |start: Mark, mark: Mark| mark.work_since(start) as f64 / 1e9;
    let row =
        |(mark, name): (&str, &str)| pair(sides, mark, instructions).row("kernel", name, unit);
    let mut rows: Vec<Row> = MARKS.map(row).into();
    let memory = |name: &str, figure: &dyn Fn(&Boot) -> u64| {
        let side = |side: &Side| side.boots.iter().map(|boot| figure(boot) as f64 / 1e6).collect();
        Pair { ours: side(&sides[0]), theirs: side(&sides[1]) }.row("kernel", name, "MB")
    };
    rows.push(memory("kernel memory", &|boot| machine::MEMORY - boot.available));
    rows.push(memory("memory in all (MemTotal)", &|boot| boot.total));
    rows
}

fn timed(sides: &[Side; 2]) -> Vec<Row> {
    let milliseconds =
        |start: Mark, mark: Mark| mark.seen.saturating_sub(start.seen).as_secs_f64() * 1e3;
    MARKS.map(|(mark, name)| pair(sides, mark, milliseconds).row("kernel", name, "ms")).into()
}

fn sizes(ours: &Kernel, theirs: &Kernel) -> Result<[Row; 2]> {
    let size = |path: &PathBuf| -> Result<u64> {
        let metadata = path.metadata();
        Ok(metadata.with_context(|| format!("cannot read {}", path.display()))?.len())
    };
    let sizes = |kernel: &Kernel| -> Result<[f64; 2]> {
        let image = size(&kernel.image)?;
        let modules: Result<u64> = kernel.modules.iter().map(size).sum();
        Ok([image as f64 / 1e6, (image + modules?) as f64 / 1e6])
    };
    let (ours, theirs) = (sizes(ours)?, sizes(theirs)?);
    let row = |index: usize, name| {
        let pair = Pair { ours: vec![ours[index]], theirs: vec![theirs[index]] };
        pair.row("kernel", name, "MB")
    };
    Ok([row(0, "image"), row(1, "image and the root's modules")])
}
