//! `preon refresh`: what repositories have now.

use std::io::Write;

use base::{Failure, explain};
use serde_json::json;

use crate::print;
use host::Root;
use host::repositories::{Asked, Found, NotAsked, Repositories};

/// Fetch and verify what the repositories have now
///
/// Signatures, expiry, and that nothing is older than what was seen before; of several mirrors the first one counts
/// that can be believed.
#[derive(Debug, clap::Args)]
pub(crate) struct Refresh {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Refresh {
    /// Refreshes all repositories, also where one of them fails.
    ///
    /// # Errors
    ///
    /// If none is known; why the first did that failed; of the others there are warnings.
    pub(crate) fn run(&self, root: &Root, out: &mut dyn Write) -> Result<(), Failure> {
        let asked = Repositories(root).refresh_all()?;
        self.tell(&asked, out)?;
        let mut silent = asked.silent.into_iter();
        let first = silent.next();
        for other in silent {
            eprint!("{}", explain::warning(&other));
        }
        first.map_or(Ok(()), |error| Err(error.into()))
    }

    fn tell(&self, asked: &Asked<(String, Found)>, out: &mut dyn Write) -> Result<(), Failure> {
        let Asked { answered, silent } = asked;
        if self.json {
            let found = |(name, found): &(_, _)| json!({ "name": name, "found": found });
            let none =
                |it: &NotAsked| json!({ "name": it.name, "found": null, "why": it.told().why });
            let rows = answered.iter().map(found).chain(silent.iter().map(none));
            return print::json(out, &rows.collect::<Vec<_>>());
        }
        let lines = answered.iter().map(|(name, found)| line(name, found));
        print::text(out, &lines.collect::<String>())
    }
}

/// What was found in the repository `name`.
pub(crate) fn line(name: &str, found: &Found) -> String {
    let until = print::moment(found.valid_until);
    format!(
        "{name}: publication {} with {} packages, valid until {until}, from {}\n",
        found.version, found.packages, found.mirror
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::Trial;

    #[test]
    fn without_a_repository_there_is_nothing_to_refresh() {
        let error = Trial::new().run(&["refresh"]).unwrap_err();
        assert!(error.contains("no repository is known"), "{error}");
        assert!(error.contains("hint: add one: `preon repo add "), "{error}");
    }

    #[test]
    fn a_mirror_that_cannot_be_reached_is_named() {
        let trial = Trial::new();
        let root = trial.file("root.json", "{\"signed\": {\"_type\": \"root\"}}");
        let add = ["repo", "add", "main", "file:///nonexistent", "--no-check"];
        trial.run(&[&add[..], &["--root-metadata", &root]].concat()).unwrap();
        let error = trial.run(&["refresh"]).unwrap_err();
        assert!(error.contains("error: the repository main could not be asked\n"), "{error}");
        assert!(error.contains("file:///nonexistent"), "{error}");
        let (mut out, root) = (Vec::new(), Root(trial.below("/")));
        Refresh { json: true }.run(&root, &mut out).unwrap_err();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&json[0]["name"], &json[0]["found"]), (&"main".into(), &json!(null)));
        assert!(json[0]["why"].as_str().unwrap().contains("file:///nonexistent"), "{json}");
    }
}
