//! `preon plan`: what a change would be.

use std::io::Write;

use base::Failure;
use host::Host;

use crate::change::{self, Autoremove, Downgrade, Install, Remove, Upgrade};

/// Say what a change would do, and do nothing
///
/// Packages, sizes, services that run from what changes, whether the host has to restart, which known flaws it closes.
/// Without a verb it is an upgrade of everything. `preon plan VERB …` is the same as `preon VERB … --dry-run`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Plan {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Install(Install),
    Remove(Remove),
    Upgrade(Upgrade),
    Downgrade(Downgrade),
    Autoremove(Autoremove),
}

impl Plan {
    /// Prints it.
    ///
    /// # Errors
    ///
    /// If a repository cannot be believed, or the wish cannot be met.
    pub(crate) fn run(self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        match self.verb {
            None => change::plan(Upgrade::of_all(self.json), host, out),
            Some(Verb::Install(verb)) => change::plan(verb, host, out),
            Some(Verb::Remove(verb)) => change::plan(verb, host, out),
            Some(Verb::Upgrade(verb)) => change::plan(verb, host, out),
            Some(Verb::Downgrade(verb)) => change::plan(verb, host, out),
            Some(Verb::Autoremove(verb)) => change::plan(verb, host, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::trial::Trial;

    #[test]
    fn a_plan_asks_the_repositories_and_takes_every_verb_that_changes_packages() {
        let trial = Trial::new();
        for words in [
            &["plan"][..],
            &["plan", "--json"],
            &["plan", "upgrade", "--security"],
            &["plan", "install", "git"],
            &["plan", "remove", "bash", "--cascade"],
            &["plan", "downgrade", "bash"],
            &["plan", "autoremove"],
        ] {
            let error = trial.run(words).unwrap_err();
            assert!(error.contains("no repository is known"), "{words:?}: {error}");
        }
    }
}
