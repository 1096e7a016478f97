//! `cargo xtask bench NAME`: our figures beside those of what Debian offers for the same.

mod boot;
mod compose;
mod emulator;
mod hardening;
mod kernel;
mod resolve;
mod unpacked;

use anyhow::Result;
use serde::Serialize;

use crate::setup;

#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// What to measure
    name: Name,
    /// Print one JSON object a row
    #[arg(long)]
    json: bool,
    /// How often each side is measured, in turn; the median counts. 3 unless told otherwise, 7 for
    /// `kernel`, whose boots are short
    #[arg(long)]
    runs: Option<usize>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Name {
    /// Choosing packages, beside `apt-get -s install`
    Resolve,
    /// Composing the minimal layer, beside mmdebstrap with the same packages
    Compose,
    /// Booting the minimal host, beside Debian 13 with the same packages
    Boot,
    /// Booting the hardened kernel to a verity root, beside Debian 13's cloud kernel
    Kernel,
    /// What hardening costs programs: stress-ng on the hardened kernel, and on the same without it
    Hardening,
}

impl Name {
    fn usual_runs(self) -> usize {
        match self {
            Self::Resolve | Self::Compose | Self::Boot | Self::Hardening => 3,
            Self::Kernel => 7,
        }
    }
}

/// One line of a benchmark's table.
#[derive(Debug, Serialize)]
struct Row {
    bench: &'static str,
    row: String,
    unit: &'static str,
    ours: f64,
    theirs: f64,
    ratio: f64,
    runs: usize,
}

/// The figures of both sides, one for each run.
#[derive(Debug, Default)]
struct Pair {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Pair {
    fn row(mut self, bench: &'static str, row: &str, unit: &'static str) -> Row {
        let runs = self.ours.len();
        let (ours, theirs) = (median(&mut self.ours), median(&mut self.theirs));
        Row { bench, row: row.to_owned(), unit, ours, theirs, ratio: ours / theirs, runs }
    }
}

/// The middle one; of an even number the lower of the two in the middle. NaN of nothing.
fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        setup::ensure()?;
        let runs = self.runs.unwrap_or_else(|| self.name.usual_runs());
        let rows = match self.name {
            Name::Resolve => resolve::measure(runs)?,
            Name::Compose => compose::measure(runs)?,
            Name::Boot => boot::measure(runs)?,
            Name::Kernel => kernel::measure(runs)?,
            Name::Hardening => hardening::measure(runs)?,
        };
        if !self.json {
            let titles = ("ours", "theirs", "ratio", "runs");
            println!(
                "{:<44} {:>10} {:>10} {:>6} {:>5}",
                "", titles.0, titles.1, titles.2, titles.3
            );
        }
        for row in &rows {
            if self.json {
                println!("{}", serde_json::to_string(row)?);
            } else {
                let name = format!("{} [{}]", row.row, row.unit);
                let Row { ours, theirs, ratio, runs, .. } = row;
                println!("{name:<44} {ours:>10.3} {theirs:>10.3} {ratio:>6.3} {runs:>5}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_counts() {
        for (mut figures, expected) in [(vec![3.0, 1.0, 2.0], 2.0), (vec![2.0, 1.0], 1.0)] {
            assert_eq!(median(&mut figures), expected, "{figures:?}");
        }
        assert!(median(&mut []).is_nan());
    }
}
