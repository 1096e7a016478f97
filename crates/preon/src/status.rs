//! `preon status`: what runs, and what boots next.

use std::io::Write;

use base::{ByteSize, Failure};
use serde::Serialize;

use crate::print;
use host::Host;

/// Say which generation runs and which one boots next
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What there is to say.
#[derive(Serialize)]
struct Told {
    /// Missing if the host does not run.
    running: Option<u64>,
    boots_next: u64,
    /// Boots of that one that were begun since it was wanted or found good.
    attempts: u32,
    image: String,
    version: String,
    build: String,
    kernel: String,
    packages: usize,
    /// Layers of the generation that this is about: the running one, else the next.
    layers: usize,
    /// Their length.
    bytes: u64,
    generations: usize,
}

impl Status {
    /// Prints it.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let told = told(host)?;
        if self.json {
            return print::json(out, &told);
        }
        let running =
            told.running.map_or_else(|| "nothing".into(), |it| format!("generation {it}"));
        let lines = [
            ("Running", running),
            ("Boots next", format!("generation {}, attempts: {}", told.boots_next, told.attempts)),
            ("System", format!("{} {}, build {}", told.image, told.version, told.build)),
            ("Kernel", told.kernel),
            ("Packages", told.packages.to_string()),
            ("Layers", format!("{}, {}", told.layers, ByteSize(told.bytes))),
            ("Generations", told.generations.to_string()),
        ];
        let lines = lines.iter().map(|(name, value)| format!("{name:12} {value}\n"));
        print::text(out, &lines.collect::<String>())
    }
}

fn told(host: &Host) -> Result<Told, Failure> {
    let manifest = host.manifest(None)?;
    let wanted = host.store.wanted()?;
    Ok(Told {
        running: host.running.map(|generation| generation.0),
        boots_next: wanted.generation.0,
        attempts: wanted.attempts,
        image: manifest.image,
        version: manifest.version,
        build: manifest.build_id,
        kernel: manifest.kernel.release,
        packages: manifest.packages.len(),
        layers: manifest.layers.len(),
        bytes: manifest.layers.iter().map(|layer| layer.erofs_bytes + layer.verity_bytes).sum(),
        generations: host.store.generations()?.len(),
    })
}

#[cfg(test)]
mod tests {
    use crate::trial::Trial;

    #[test]
    fn status_tells_what_runs_and_what_boots_next() {
        let trial = Trial::new();
        trial.stage_second();
        trial.run(&["rollback", "2"]).unwrap();
        let text = trial.run(&["status"]).unwrap();
        for line in [
            "Running      generation 1\n",
            "Boots next   generation 2, attempts: 0\n",
            "System       minimal 0.1, build build1\n",
            "Generations  2\n",
        ] {
            assert!(text.contains(line), "no {line} in {text}");
        }
        let json = trial.run(&["status", "--json"]).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["running"], 1);
        assert_eq!(json["boots_next"], 2);
    }

    #[test]
    fn a_machine_that_is_no_host_is_told_so() {
        let error = Trial::new().run_at("/nonexistent", &["status"]).unwrap_err();
        assert!(
            error.contains("there is no store at /nonexistent/run/preon/data/preon"),
            "{error}"
        );
        assert!(error.contains("hint: "), "{error}");
    }
}
