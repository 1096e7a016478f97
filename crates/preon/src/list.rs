//! `preon list`: what is installed.

use std::io::Write;

use base::{ByteSize, Failure};
use formats::manifest::Package;

use crate::print;
use host::Host;

/// List the installed packages
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only those whose name contains TEXT
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// Only those that somebody asked for, not those that others need
    #[arg(long)]
    asked: bool,
    /// Of generation N rather than the running one
    #[arg(long, value_name = "N")]
    generation: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl List {
    /// Prints them.
    ///
    /// # Errors
    ///
    /// If there is no such generation.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let manifest = host.manifest(self.generation)?;
        let packages: Vec<_> = manifest.packages.iter().filter(|it| self.shows(it)).collect();
        if self.json {
            return print::json(out, &packages);
        }
        let row = |package: &&Package| {
            [
                package.name.to_string(),
                package.version.to_string(),
                ByteSize(package.installed_bytes).to_string(),
                if package.automatic { "automatic" } else { "asked for" }.to_owned(),
            ]
        };
        let rows: Vec<_> = packages.iter().map(row).collect();
        print::table(out, ["PACKAGE", "VERSION", "SIZE", "WHY"], &rows)
    }

    fn shows(&self, package: &Package) -> bool {
        let text = self.text.as_ref();
        text.is_none_or(|text| package.name.as_str().contains(text))
            && !(self.asked && package.automatic)
    }
}

#[cfg(test)]
mod tests {
    use crate::trial::Trial;

    #[test]
    fn what_is_installed_is_listed_with_its_reason() {
        let trial = Trial::new();
        let text = trial.run(&["list"]).unwrap();
        assert_eq!(
            text,
            "PACKAGE  VERSION         SIZE    WHY\n\
             bash     5.2-1+0preon1   1.0 kB  asked for\n\
             libc6    2.41-1+0preon1  1.0 kB  automatic\n"
        );
        assert!(!trial.run(&["list", "--asked"]).unwrap().contains("libc6"));
        assert!(!trial.run(&["list", "ash"]).unwrap().contains("libc6"));
        let json = trial.run(&["list", "--json"]).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json[1]["name"], "libc6");
        assert_eq!(json[1]["automatic"], true);
    }

    #[test]
    fn a_generation_that_is_not_there_is_named() {
        let error = Trial::new().run(&["list", "--generation", "9"]).unwrap_err();
        assert!(error.contains("holds no generation 9"), "{error}");
    }
}
