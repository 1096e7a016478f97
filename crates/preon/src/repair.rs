//! `preon repair`: layers that were damaged on the disk are fetched again.

use std::io::Write;

use base::progress::Lines;
use base::{Explain, Failure};
use host::{Host, repair};

use crate::print;

/// Read every byte of all layers, and fetch what is damaged again
///
/// A layer is known by its digest, so it does not matter who has it: a mirror of the host's repositories, the folder of an
/// image, another host's store. For a host that does not start, attach its disk to another one, mount its data
/// filesystem at FOLDER/run/preon/data, and give `--root FOLDER`. Exit status: 0 if all is whole, 1 if not.
#[derive(Debug, clap::Args)]
pub(crate) struct Repair {
    /// A folder or URI that has the layers as `DIGEST.erofs` and `DIGEST.verity`, or a folder `layers` with them; asked
    /// before the host's repositories. May be given more than once
    #[arg(long, value_name = "PLACE")]
    from: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Something stays damaged.
#[derive(Debug, thiserror::Error)]
enum StillDamaged {
    #[error("nobody has {}", .0.join(", "))]
    Files(Vec<String>),
    /// Said before.
    #[error("the layers of {0} of the generations are not known")]
    Manifests(usize),
}

impl Explain for StillDamaged {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Files(_) => {
                Some("name a place that has them: `preon repair --from PLACE`".into())
            }
            Self::Manifests(_) => {
                Some("let another generation boot, and remove these: `preon gc --keep 0`".into())
            }
        }
    }
}

impl Repair {
    /// Repairs, and names what was damaged.
    ///
    /// # Errors
    ///
    /// If something stays damaged.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let repaired = repair::repair(host, &self.from, &Lines::new(std::io::stderr()))?;
        if self.json {
            print::json(out, &repaired)?;
        } else if repaired == repair::Repaired::default() {
            print::text(out, "every layer is whole\n")?;
        } else {
            let line = |it: &repair::File| format!("restored {} of layer {}\n", it.name, it.layer);
            print::text(out, &repaired.restored.iter().map(line).collect::<String>())?;
        }
        for text in repaired.manifests.iter().filter(|_| !self.json) {
            print::text(out, text)?;
        }
        if !repaired.missing.is_empty() {
            let names = repaired.missing.into_iter().map(|it| it.name).collect();
            return Err(StillDamaged::Files(names).into());
        }
        match repaired.manifests.len() {
            0 => Ok(()),
            count => Err(StillDamaged::Manifests(count).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::trial::Trial;

    #[test]
    fn a_damaged_layer_is_fetched_again_from_whoever_has_its_bytes() {
        let trial = Trial::new();
        assert_eq!(trial.run(&["repair"]).unwrap(), "every layer is whole\n");
        let layers = trial.below(generations::STORE).join("layers");
        let copy = trial.below("/other/layers");
        std::fs::create_dir_all(&copy).unwrap();
        for file in layers.read_dir().unwrap() {
            let path = file.unwrap().path();
            std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
        }
        trial.damage_layers();
        let error = trial.run(&["repair"]).unwrap_err();
        assert!(error.contains("nobody has "), "{error}");
        assert!(error.contains("hint: "), "{error}");
        let other = trial.below("/other").to_str().unwrap().to_owned();
        let text = trial.run(&["repair", "--from", &other]).unwrap();
        assert_eq!(text.matches("restored ").count(), 2, "{text}");
        trial.run(&["verify"]).unwrap();
    }

    #[test]
    fn a_manifest_that_cannot_be_read_keeps_no_layer_from_being_repaired() {
        let trial = Trial::new();
        trial.stage_second();
        let store = trial.below(generations::STORE);
        let (layers, copy) = (store.join("layers"), trial.below("/other"));
        std::fs::create_dir_all(&copy).unwrap();
        for file in layers.read_dir().unwrap() {
            let path = file.unwrap().path();
            std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
        }
        trial.damage_layers();
        std::fs::write(store.join("generations/1/manifest.json"), "{").unwrap();
        let error = trial.run(&["repair", "--from", copy.to_str().unwrap()]).unwrap_err();
        assert!(error.contains("the layers of 1 of the generations are not known"), "{error}");
        trial.run(&["verify", "2"]).unwrap();
        let json = trial.run_failing(&["repair", "--json"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let named = json["manifests"][0].as_str().unwrap();
        assert!(named.contains("generations/1/manifest.json"), "{named}");
        assert_eq!(json["missing"].as_array().unwrap().len(), 0);
        // As the hint says.
        assert!(error.contains("hint: let another generation boot, and remove these"), "{error}");
        trial.run(&["rollback", "2"]).unwrap();
        trial.runs(2);
        trial.run(&["gc", "--keep", "0"]).unwrap();
        assert_eq!(trial.run(&["repair"]).unwrap(), "every layer is whole\n");
    }

    #[test]
    fn other_bytes_are_not_taken_and_a_place_must_be_one() {
        let trial = Trial::new();
        trial.damage_layers();
        let store = trial.below(generations::STORE).to_str().unwrap().to_owned();
        let error = trial.run(&["repair", "--from", &store]).unwrap_err();
        assert!(error.contains("nobody has "), "{error}");
        let error = trial.run(&["repair", "--from", "/no/such"]).unwrap_err();
        assert!(error.contains("neither a folder nor a URI"), "{error}");
    }
}
