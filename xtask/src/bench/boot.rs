//! `cargo xtask bench boot`: the minimal host beside Debian 13 with the same packages.
//!
//! Both boot the same way: UEFI, systemd-boot, one processor, 1024 MB, a virtio disk. Wall time
//! runs from power-on. Under emulation it says little, so a second series counts instructions:
//! the guest's clock moves one nanosecond with each, and what it idles is taken off.

mod measure;
mod rival;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use self::measure::Marks;
use super::{Pair, Row, emulator};
use crate::{command, progress, run};

/// The marks that the guest sets, and what reaching them is called.
const MARKS: [(&str, &str); 3] = [
    ("systemd", "to systemd's first units"),
    ("docker", "to Docker answering"),
    ("container", "to a container's first output"),
];

pub(super) fn measure(runs: usize) -> Result<Vec<Row>> {
    run::build(run::IMAGE)?;
    let ours = command::workspace().join("out").join(run::IMAGE).join("disk.raw");
    let theirs = rival::disk()?;
    let qemu = emulator::program()?;
    let mut rows = Vec::new();
    for counting in [false, true] {
        let (ours, theirs) = series(&qemu, &[&ours, &theirs], counting, runs)?;
        rows.extend(if counting { counted(&ours, &theirs)? } else { timed(&ours, &theirs) });
    }
    let mut used = Pair::default();
    used.ours.push(disk_used(&ours)?);
    used.theirs.push(disk_used(&theirs)?);
    rows.push(used.row("boot", "disk used", "MB"));
    Ok(rows)
}

/// Boots both in turn, `runs` times each.
fn series(
    qemu: &Path,
    disks: &[&Path; 2],
    counting: bool,
    runs: usize,
) -> Result<(Vec<Marks>, Vec<Marks>)> {
    let mut results = (Vec::new(), Vec::new());
    for run in 1..=runs {
        for (index, name) in ["Preon", "Debian"].into_iter().enumerate() {
            let kind = if counting { "counting instructions" } else { "wall time" };
            let what = format!("booting {name}, {kind}, {run} of {runs}");
            let container = run::container_image();
            let marks =
                progress::show(&what, || measure::boot(qemu, disks[index], &container, counting))?;
            let results = if index == 0 { &mut results.0 } else { &mut results.1 };
            results.push(marks);
        }
    }
    Ok(results)
}

fn pair(ours: &[Marks], theirs: &[Marks], figure: impl Fn(&Marks) -> f64) -> Pair {
    let ours = ours.iter().map(&figure).collect();
    Pair { ours, theirs: theirs.iter().map(&figure).collect() }
}

fn timed(ours: &[Marks], theirs: &[Marks]) -> Vec<Row> {
    let mut rows: Vec<Row> = MARKS
        .iter()
        .map(|(mark, name)| pair(ours, theirs, |run| run.wall(mark)).row("boot", name, "s"))
        .collect();
    let memory = pair(ours, theirs, |run| run.used_memory_mb);
    rows.push(memory.row("boot", "idle memory", "MB"));
    rows
}

fn counted(ours: &[Marks], theirs: &[Marks]) -> Result<Vec<Row>> {
    for run in ours.iter().chain(theirs) {
        let (known, counted) = (measure::LOOP, run.known_loop());
        let error = (counted / known - 1.0).abs();
        ensure!(error < 0.03, "a loop of {known} billion instructions was counted as {counted}");
    }
    let unit = "10^9 instructions";
    let row = |(mark, name): &(&str, &str)| {
        pair(ours, theirs, |run| run.busy(mark)).row("boot", name, unit)
    };
    let known = pair(ours, theirs, Marks::known_loop);
    let known = known.row("boot", "check: a loop of 2", unit);
    Ok(MARKS.iter().map(row).chain([known]).collect())
}

/// What a disk image takes on the disk, in MB: holes are free.
fn disk_used(path: &Path) -> Result<f64> {
    let metadata = path.metadata().with_context(|| format!("cannot read {}", path.display()))?;
    Ok(metadata.blocks() as f64 * 512.0 / 1e6)
}
