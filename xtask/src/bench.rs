//! `cargo xtask bench NAME`: our figures beside those of what Debian offers for the same.

mod boot;
mod compose;
mod emulator;
mod hardening;
mod kernel;
mod packages;
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
    /// How often each side is measured, in turn; the median counts. 3 unless told otherwise, 5 for
    /// `packages`, 7 for `kernel`, whose boots are short
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
    /// Changing a host's packages, beside apt, dnf and zypper
    Packages,
}

impl Name {
    fn usual_runs(self) -> usize {
        match self {
            Self::Resolve | Self::Compose | Self::Boot | Self::Hardening => 3,
            Self::Packages => 5,
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
    /// The least and the most of ours.
    ours_range: [f64; 2],
    /// The same of theirs.
    theirs_range: [f64; 2],
    ratio: f64,
    /// What the ratio is to be at most, where something was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<f64>,
    runs: usize,
}

impl Row {
    /// The row with what its ratio is to be at most.
    fn goal(mut self, most: f64) -> Self {
        self.goal = Some(most);
        self
    }

    /// The line of the table, below [`titles`].
    fn line(&self) -> String {
        let Self { ours, theirs, ratio, runs, .. } = self;
        let name = format!("{} [{}]", self.row, self.unit);
        let range = |[least, most]: [f64; 2]| format!("{least:.3}-{most:.3}");
        let (our_range, their_range) = (range(self.ours_range), range(self.theirs_range));
        let goal = self.goal.map_or_else(String::new, |most| {
            format!("{most:.2} {}", if *ratio <= most { "met" } else { "missed" })
        });
        format!(
            "{name:<48} {ours:>9.3} {our_range:>17} {theirs:>9.3} {their_range:>17} {ratio:>6.3} {goal:>11} {runs:>4}"
        )
    }
}

/// What stands above the lines of rows.
fn titles() -> String {
    let between = "least-most";
    format!(
        "{:<48} {:>9} {between:>17} {:>9} {between:>17} {:>6} {:>11} {:>4}",
        "", "ours", "theirs", "ratio", "goal", "runs"
    )
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
        let (ours_range, theirs_range) = (range(&self.ours), range(&self.theirs));
        let (row, ratio) = (row.to_owned(), ours / theirs);
        Row { bench, row, unit, ours, theirs, ours_range, theirs_range, ratio, goal: None, runs }
    }
}

/// The middle one; of an even number the lower of the two in the middle. NaN of nothing.
fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// The least and the most. NaN of nothing.
fn range(figures: &[f64]) -> [f64; 2] {
    [f64::min, f64::max].map(|choose| figures.iter().copied().fold(f64::NAN, choose))
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
            Name::Packages => packages::measure(runs)?,
        };
        if !self.json {
            println!("{}", titles());
        }
        for row in &rows {
            let line = if self.json { serde_json::to_string(row)? } else { row.line() };
            println!("{line}");
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

    #[test]
    fn a_row_says_whether_its_goal_is_met() {
        let pair = || Pair { ours: vec![1.0, 3.0, 2.0], theirs: vec![8.0; 3] };
        let row = pair().row("x", "a", "s");
        assert_eq!((row.ratio, row.ours_range), (0.25, [1.0, 3.0]));
        for (most, expected) in [(0.25, "0.25 met"), (0.2, "0.20 missed")] {
            let line = pair().row("x", "a", "s").goal(most).line();
            assert!(line.contains(expected) && line.contains("1.000-3.000"), "{line}");
        }
    }
}
