//! `preon depends`, `provides`, `check`: questions about packages and what they need.

use std::io::Write;

use base::{Explain, Failure};
use formats::manifest::Package;
use host::Host;
use host::repositories::Repositories;
use host::transaction;
use packages::change::{self, State};
use packages::index::{Index, Stanza};
use serde_json::json;

use crate::files::Owner;
use crate::print;

/// Say what a package needs, who meets that, and why the package is there
#[derive(Debug, clap::Args)]
pub(crate) struct Depends {
    /// Its name
    package: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Say which packages have or provide a name, or which installed ones hold a file
#[derive(Debug, clap::Args)]
pub(crate) struct Provides {
    /// The name: `mail-transport-agent`; or the path of a file: it begins with a slash then
    #[arg(value_name = "NAME|PATH")]
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Check that what is installed fits together; exit status 1 if it does not
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is installed does not fit together.
#[derive(Debug, thiserror::Error)]
#[error("{0} findings")]
struct Findings(usize);

impl Explain for Findings {
    fn hint(&self) -> Option<String> {
        Some("go back to a generation that was whole: `preon rollback`".into())
    }
}

/// What is installed, and what repositories had when they were refreshed last.
fn known(host: &Host) -> Result<(State, Vec<Index>), Failure> {
    let state = transaction::state(host, &host.manifest(None)?)?;
    let indexes = Repositories(&host.root).known_indexes()?;
    Ok((state, indexes.into_iter().map(|(_, index)| index).collect()))
}

fn told(stanza: Stanza<'_>) -> String {
    format!("{} {}", stanza.name(), stanza.version_text())
}

impl Depends {
    /// Prints it.
    ///
    /// # Errors
    ///
    /// If nobody knows the package.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let (state, indexes) = known(host)?;
        let host = change::Host::new(&state, &indexes)?;
        let needs = host.depends(&self.package)?;
        let why = host.why(&self.package).ok();
        let row = |it: &packages::query::Dependency<'_>| {
            let list = |of: &[Stanza<'_>]| of.iter().map(|it| told(*it)).collect::<Vec<_>>();
            (it.relation.clone(), list(&it.met_by), list(&it.others))
        };
        let rows: Vec<_> = needs.iter().map(row).collect();
        if self.json {
            let rows = rows.iter().map(|(relation, met, others)| {
                json!({ "relation": relation, "met_by": met, "others": others })
            });
            let chain = why.map(|chain| {
                let link = |it: &packages::resolve::Link| json!({ "package": it.package, "relation": it.relation });
                chain.iter().map(link).collect::<Vec<_>>()
            });
            let json = json!({ "depends": rows.collect::<Vec<_>>(), "why": chain });
            return print::json(out, &json);
        }
        let cells = |(relation, met, others): &(String, Vec<String>, Vec<String>)| {
            [relation.clone(), met.join(", "), others.join(", ")]
        };
        let rows: Vec<_> = rows.iter().map(cells).collect();
        print::table(out, ["NEEDS", "MET BY", "COULD BE MET BY"], &rows)?;
        let Some(chain) = why else { return print::text(out, "\nnot installed\n") };
        // The first link is what somebody asked for.
        let links = chain.iter().filter(|it| !it.package.is_empty());
        let chain: Vec<_> = links.map(|it| format!("{} ({})", it.package, it.relation)).collect();
        if chain.is_empty() {
            return print::text(out, "\ninstalled because it was asked for\n");
        }
        print::text(out, &format!("\ninstalled for {}\n", chain.join(" -> ")))
    }
}

impl Provides {
    /// Prints them.
    ///
    /// # Errors
    ///
    /// If nobody has or provides the name, or holds the file.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        if self.name.starts_with('/') {
            return self.holders(host, out);
        }
        let (state, indexes) = known(host)?;
        let providers = change::Host::new(&state, &indexes)?.provides(&self.name)?;
        if self.json {
            let row = |it: &packages::query::Provider<'_>| {
                json!({ "package": it.package.name(), "version": it.package.version_text(),
                        "provides": it.version, "installed": it.installed })
            };
            return print::json(out, &providers.iter().map(row).collect::<Vec<_>>());
        }
        let row = |it: &packages::query::Provider<'_>| {
            let installed = if it.installed { "yes" } else { "" };
            let version = it.version.clone().unwrap_or_default();
            [it.package.name().into(), it.package.version_text().into(), version, installed.into()]
        };
        let rows: Vec<[String; 4]> = providers.iter().map(row).collect();
        print::table(out, ["PACKAGE", "VERSION", "PROVIDES", "INSTALLED"], &rows)
    }

    fn holders(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let owner = Owner::of(host, &self.name)?;
        let manifest = host.manifest(None)?;
        let installed = manifest.packages.iter();
        let held =
            installed.filter(|it| owner.packages.iter().any(|name| name == it.name.as_str()));
        if self.json {
            let row = |it: &Package| json!({ "package": it.name, "version": it.version, "provides": self.name, "installed": true });
            return print::json(out, &held.map(row).collect::<Vec<_>>());
        }
        let rows: Vec<_> = held.map(|it| [it.name.to_string(), it.version.to_string()]).collect();
        print::table(out, ["PACKAGE", "VERSION"], &rows)?;
        // A repository's `Contents` is not among what hosts fetch.
        print::text(out, "\nonly installed packages were looked at\n")
    }
}

impl Check {
    /// Prints what is wrong.
    ///
    /// # Errors
    ///
    /// If anything is.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let state = transaction::state(host, &host.manifest(None)?)?;
        let findings = change::Host::new(&state, [])?.check();
        let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
        if self.json {
            print::json(out, &lines)?;
        } else if lines.is_empty() {
            print::text(out, &format!("{} packages fit together\n", state.installed.len()))?;
        } else {
            print::text(out, &lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
        }
        if lines.is_empty() { Ok(()) } else { Err(Findings(lines.len()).into()) }
    }
}

#[cfg(test)]
mod tests {
    use crate::trial::Trial;

    #[test]
    fn what_a_package_needs_and_why_it_is_there_is_told() {
        let trial = Trial::new();
        let text = trial.run(&["depends", "bash"]).unwrap();
        assert!(text.contains("libc6 (>= 2.41)  libc6 2.41-1+0preon1"), "{text}");
        assert!(text.ends_with("\ninstalled because it was asked for\n"), "{text}");
        let text = trial.run(&["depends", "libc6"]).unwrap();
        assert!(text.ends_with("\ninstalled for bash (libc6 (>= 2.41))\n"), "{text}");
        let json = trial.run(&["depends", "libc6", "--json"]).unwrap();
        assert!(json.contains("\"package\": \"bash\""), "{json}");
    }

    #[test]
    fn a_name_is_provided_by_whoever_has_it_and_nobody_else() {
        let trial = Trial::new();
        let text = trial.run(&["provides", "bash"]).unwrap();
        assert!(text.contains("bash     5.2-1+0preon1  5.2-1+0preon1  yes"), "{text}");
        let error = trial.run(&["provides", "bahs"]).unwrap_err();
        assert!(error.contains("hint: did you mean "), "{error}");
    }

    #[test]
    fn a_file_is_held_by_installed_packages_and_it_is_said_that_no_others_were_looked_at() {
        let trial = Trial::new();
        assert_eq!(
            trial.run(&["provides", "/bin/bash"]).unwrap(),
            "PACKAGE  VERSION\nbash     5.2-1+0preon1\n\nonly installed packages were looked at\n"
        );
        let json = trial.run(&["provides", "/usr/bin/bash", "--json"]).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((json[0]["package"].as_str(), json[1].as_str()), (Some("bash"), None));
        let error = trial.run(&["provides", "/usr/bin/git"]).unwrap_err();
        assert!(error.contains("no package holds /usr/bin/git"), "{error}");
        assert!(error.contains("hint: only installed packages were looked at"), "{error}");
    }

    #[test]
    fn what_is_installed_fits_together_or_the_check_fails() {
        let trial = Trial::new();
        assert_eq!(trial.run(&["check"]).unwrap(), "2 packages fit together\n");
        trial.lose_package("libc6");
        let error = trial.run(&["check"]).unwrap_err();
        assert!(error.contains("error: 1 findings\nhint: "), "{error}");
    }
}
