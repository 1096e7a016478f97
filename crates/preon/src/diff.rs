//! `preon diff`: what two generations have that the other has not.

use std::collections::BTreeMap;
use std::io::Write;

use base::Failure;
use formats::manifest::Manifest;
use formats::{PackageName, Version};
use serde::Serialize;

use crate::print;
use host::Host;

/// Compare the packages of two generations
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// The generation to compare with
    #[arg(value_name = "FROM")]
    from: u64,
    /// The other one [default: the running one]
    #[arg(value_name = "TO")]
    to: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A package that is not the same in both.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Difference {
    package: PackageName,
    /// Missing if it was added.
    from: Option<Version>,
    /// Missing if it was removed.
    to: Option<Version>,
}

impl Diff {
    /// Prints them.
    ///
    /// # Errors
    ///
    /// If one of the generations is not there.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let from = host.manifest(Some(self.from))?;
        let to = host.manifest(self.to)?;
        let differences = differences(&from, &to);
        if self.json {
            return print::json(out, &differences);
        }
        let cell = |version: &Option<Version>| {
            version.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
        };
        let row = |it: &Difference| [it.package.to_string(), cell(&it.from), cell(&it.to)];
        let rows: Vec<_> = differences.iter().map(row).collect();
        print::table(out, ["PACKAGE", "FROM", "TO"], &rows)
    }
}

fn differences(from: &Manifest, to: &Manifest) -> Vec<Difference> {
    let mut all: BTreeMap<&PackageName, (Option<&Version>, Option<&Version>)> = BTreeMap::new();
    for package in &from.packages {
        all.entry(&package.name).or_default().0 = Some(&package.version);
    }
    for package in &to.packages {
        all.entry(&package.name).or_default().1 = Some(&package.version);
    }
    let differ = all.into_iter().filter(|(_, (from, to))| from != to);
    differ
        .map(|(package, (from, to))| Difference {
            package: package.clone(),
            from: from.cloned(),
            to: to.cloned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::trial::Trial;

    #[test]
    fn two_generations_differ_in_what_was_removed_and_in_versions() {
        let trial = Trial::new();
        trial.stage_second();
        assert_eq!(
            trial.run(&["diff", "1", "2"]).unwrap(),
            "PACKAGE  FROM            TO\n\
             bash     5.2-1+0preon1   5.3-1+0preon1\n\
             libc6    2.41-1+0preon1  -\n"
        );
        assert_eq!(trial.run(&["diff", "1"]).unwrap(), "PACKAGE  FROM  TO\n");
        let json = trial.run(&["diff", "2", "1", "--json"]).unwrap();
        assert!(json.contains("\"from\": null"), "{json}");
    }
}
