//! `preon gc`: what nobody needs goes, layers that became many become one.

use std::fmt::Write as _;
use std::io::Write;

use base::progress::Lines;
use base::{ByteSize, Failure};
use host::Host;
use host::activate::Activation;
use host::housekeeping::{self, Asked, Folded, Outcome};

use crate::print;

/// Remove what nobody needs any more, and fold layers
///
/// The generation that runs, the one that boots next, the one that was good last and N others stay. Layers that none of them
/// has go, what interrupted work has left, and what was fetched and no repository names any more.
///
/// When changes have laid several layers over the image's, they are folded into one: a new generation with the same packages
/// and files. The image's own layer is made anew only when what lies over it is larger than 30 % of it.
///
/// preon-gc.timer does this each week. Exit status 3: somebody else changes the host, and nothing was done.
#[derive(Debug, clap::Args)]
pub(crate) struct Gc {
    /// How many other generations stay, the newest first
    #[arg(long, value_name = "N", default_value_t = 3)]
    keep: usize,
    /// Fold layers only if a boot has shown that what runs is good. The host does this by itself each week
    #[arg(long)]
    unattended: bool,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Gc {
    /// Does it, and tells what was done.
    ///
    /// # Errors
    ///
    /// If the store is locked or cannot be read, or a layer cannot be composed.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let asked = Asked { keep: self.keep, dry_run: self.dry_run, unattended: self.unattended };
        let progress = Lines::new(std::io::stderr());
        let outcome = housekeeping::run(host, asked, &progress)?;
        if self.json {
            return print::json(out, &outcome);
        }
        print::text(out, &text(&outcome))
    }
}

fn text(outcome: &Outcome) -> String {
    if outcome.is_empty() {
        return "nothing to do\n".into();
    }
    let mut text = String::new();
    let mut line = |what: &str, rest: &str| {
        let _ = writeln!(text, "{what:8} {rest}");
    };
    let numbers = |all: &[u64]| all.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
    if !outcome.removed.is_empty() {
        line("remove", &format!("generations {}", numbers(&outcome.removed)));
    }
    let counts = [
        (outcome.layers.len(), "layers that no generation has"),
        (outcome.leftovers.len(), "files that interrupted work left"),
        (outcome.fetched.len(), "fetched files that no repository names"),
        (outcome.kernels.len(), "kernels that no generation needs"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        line("remove", &format!("{count} {what}"));
    }
    if outcome.freed_bytes > 0 {
        line("free", &ByteSize(outcome.freed_bytes).to_string());
    }
    if !outcome.kept.is_empty() {
        line("keep", &format!("generations {}", numbers(&outcome.kept)));
    }
    if let Some(folded) = &outcome.folded {
        line("fold", &layers(folded));
        text += &seen(folded);
    }
    text
}

/// Which layers become one.
fn layers(folded: &Folded) -> String {
    let Folded { from, deltas, base, before_bytes, after_bytes, .. } = folded;
    let what = if *base { "all layers" } else { "the changes' layers" };
    let after = after_bytes.map_or_else(String::new, |bytes| format!(" to {}", ByteSize(bytes)));
    format!(
        "{what} of generation {from} ({deltas} over the image's): {}{after}",
        ByteSize(*before_bytes)
    )
}

fn seen(folded: &Folded) -> String {
    match (folded.generation, folded.activation) {
        (Some(number), Activation::AtOnce) => {
            format!("generation {number} runs; nothing was restarted\n")
        }
        (Some(number), _) => format!("generation {number} boots next: it has the same files\n"),
        (None, _) => "a new generation with the same files would take its place\n".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::Trial;

    #[test]
    fn old_generations_go_and_those_in_use_stay() {
        let trial = Trial::new();
        for _ in 0..3 {
            trial.stage_second();
        }
        let would = trial.run(&["gc", "--keep", "1", "--dry-run"]).unwrap();
        let lines: Vec<_> = would.lines().filter(|line| !line.starts_with("free ")).collect();
        assert_eq!(lines, ["remove   generations 2 3", "keep     generations 1 4"]);
        assert_eq!(trial.store().generations().unwrap().len(), 4);
        assert_eq!(trial.run(&["gc", "--keep", "1"]).unwrap(), would);
        assert_eq!(trial.store().generations().unwrap().len(), 2);
        assert_eq!(trial.run(&["gc", "--keep", "1"]).unwrap(), "nothing to do\n");
        let json = trial.run(&["gc", "--keep", "0", "--json"]).unwrap();
        assert!(json.contains("\"removed\": [\n    4\n  ]"), "{json}");
    }

    #[test]
    fn a_fold_is_told_with_what_it_saves_and_what_follows() {
        let folded = Folded {
            from: 5,
            generation: Some(6),
            deltas: 3,
            base: false,
            before_bytes: 3_000_000,
            after_bytes: Some(2_000_000),
            activation: Activation::NextBoot,
        };
        let told = |folded: Folded| {
            text(&Outcome { kept: vec![5], folded: Some(folded), ..Outcome::default() })
        };
        assert_eq!(
            told(folded.clone()),
            "keep     generations 5\n\
             fold     the changes' layers of generation 5 (3 over the image's): 3.0 MB to 2.0 MB\n\
             generation 6 boots next: it has the same files\n"
        );
        let at_once = told(Folded { activation: Activation::AtOnce, ..folded.clone() });
        assert!(at_once.ends_with("generation 6 runs; nothing was restarted\n"), "{at_once}");
        let would = told(Folded { generation: None, after_bytes: None, ..folded.clone() });
        assert!(would.contains("3.0 MB\na new generation "), "{would}");
        // Where nothing but the folded one was there, only its heir stays.
        let folded = Folded { generation: None, after_bytes: None, ..folded };
        let alone = text(&Outcome { removed: vec![5], folded: Some(folded), ..Outcome::default() });
        assert!(alone.starts_with("remove   generations 5\nfold "), "{alone}");
    }
}
