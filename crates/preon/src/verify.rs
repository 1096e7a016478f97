//! `preon verify`: are the layers what they were when they were made?

use std::io::Write;

use base::Failure;
use generations::Generation;
use serde_json::json;

use crate::print;
use host::Host;

/// Read every byte of a generation's layers and compare it with what the manifest says
///
/// The kernel does the same for each block that it reads; this finds damage before somebody needs the file.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The generation [default: all]
    #[arg(value_name = "N")]
    generation: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    /// Verifies, and names what is whole.
    ///
    /// # Errors
    ///
    /// The first layer that is damaged.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let generations = match self.generation {
            Some(number) => vec![Generation(number)],
            None => host.store.generations()?,
        };
        for generation in &generations {
            host.store.check_bytes(*generation)?;
        }
        if self.json {
            let numbers: Vec<_> = generations.iter().map(|it| it.0).collect();
            return print::json(out, &json!({ "whole": numbers }));
        }
        let lines = generations.iter().map(|it| format!("{it}: every byte is as it was made\n"));
        print::text(out, &lines.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use crate::trial::Trial;

    #[test]
    fn a_changed_byte_is_found_and_its_layer_named() {
        let trial = Trial::new();
        let text = trial.run(&["verify"]).unwrap();
        assert_eq!(text, "generation 1: every byte is as it was made\n");
        trial.damage_layers();
        let error = trial.run(&["verify", "1"]).unwrap_err();
        assert!(error.contains("error: layer base is damaged: "), "{error}");
        assert!(error.contains("hint: "), "{error}");
    }
}
