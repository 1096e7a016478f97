//! `preon depends`, `provides`, `check`: questions about packages and what they need.

use std::io::Write;

use base::{Explain, Failure};
use host::Host;
use host::repositories::Repositories;
use host::transaction;
use packages::change::{self, State};
use packages::index::{Index, Stanza};
use serde_json::json;

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

/// Say which packages have or provide a name
#[derive(Debug, clap::Args)]
pub(crate) struct Provides {
    /// The name: `mail-transport-agent`
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
    let repositories = Repositories(&host.root);
    let mut indexes = Vec::new();
    for name in repositories.names()? {
        if repositories.found(&name)?.is_some() {
            indexes.push(repositories.index(&name)?);
        }
    }
    Ok((state, indexes))
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
    /// If nobody has or provides the name.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
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
    fn what_is_installed_fits_together_or_the_check_fails() {
        let trial = Trial::new();
        assert_eq!(trial.run(&["check"]).unwrap(), "2 packages fit together\n");
        trial.lose_package("libc6");
        let error = trial.run(&["check"]).unwrap_err();
        assert!(error.contains("error: 1 findings\nhint: "), "{error}");
    }
}
