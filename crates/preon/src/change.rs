//! The verbs that change packages: what is asked for, one call, what became of it.

mod tell;

use std::io::Write;

use base::Failure;
use base::progress::Lines;
use formats::PackageName;
use host::Host;
use host::transaction::{self, Asked, Outcome};
use packages::change::{Selector, Wish};

/// What all changes have in common.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct How {
    /// Only say what would happen; while another generation waits for a boot, to that one
    #[arg(long)]
    dry_run: bool,
    /// Let the new generation wait for the next boot, even if it could be seen at once
    #[arg(long)]
    stage: bool,
    /// Show what changes or goes at once, too, and restart the services that run from it
    #[arg(long, conflicts_with = "stage")]
    restart: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Install packages, with what they need
///
/// A generation that only adds to the one that runs is seen at once, and nothing is restarted; any other waits for the
/// next boot.
#[derive(Debug, clap::Args)]
pub(crate) struct Install {
    /// `git`, or `git=1:2.47.3-1+0preon1` for one version
    #[arg(value_name = "PACKAGE", required = true)]
    packages: Vec<Selector>,
    #[command(flatten)]
    how: How,
}

/// Remove packages, and what only they needed
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// Names of installed packages
    #[arg(value_name = "PACKAGE", required = true)]
    packages: Vec<PackageName>,
    /// Remove what needs them, too
    #[arg(long)]
    cascade: bool,
    #[command(flatten)]
    how: How,
}

/// Bring packages to their newest versions
///
/// What is pinned stays, and so does a kernel that another boot loader or an EFI variable starts.
#[derive(Debug, clap::Args)]
pub(crate) struct Upgrade {
    /// Names of installed packages [default: all]
    #[arg(value_name = "PACKAGE")]
    packages: Vec<PackageName>,
    /// Only those whose newer version fixes a known flaw
    #[arg(long)]
    security: bool,
    /// Only fetch and verify what is needed, for an upgrade later on
    #[arg(long, conflicts_with_all = ["dry_run", "stage"])]
    download_only: bool,
    #[command(flatten)]
    how: How,
}

/// Bring a package to an older version that a repository has
#[derive(Debug, clap::Args)]
pub(crate) struct Downgrade {
    /// `git` for the next older version, `git=1:2.47.2-1+0preon1` for that one
    #[arg(value_name = "PACKAGE")]
    package: Selector,
    #[command(flatten)]
    how: How,
}

/// Remove what nothing needs any more and nobody asked for
#[derive(Debug, clap::Args)]
pub(crate) struct Autoremove {
    #[command(flatten)]
    how: How,
}

/// Hold a package at its version, whatever a repository has
#[derive(Debug, clap::Args)]
pub(crate) struct Pin {
    /// `git` for the installed version, `git=1:2.47.3-1+0preon1` for that one
    #[arg(value_name = "PACKAGE")]
    package: Selector,
    #[command(flatten)]
    how: How,
}

/// Let a pinned package have any version again
#[derive(Debug, clap::Args)]
pub(crate) struct Unpin {
    /// Its name
    #[arg(value_name = "PACKAGE")]
    package: PackageName,
    #[command(flatten)]
    how: How,
}

/// Say that packages were asked for, or are only there while others need them
#[derive(Debug, clap::Args)]
pub(crate) struct Mark {
    /// `asked` or `automatic`
    mark: As,
    /// Names of installed packages
    #[arg(value_name = "PACKAGE", required = true)]
    packages: Vec<PackageName>,
    #[command(flatten)]
    how: How,
}

/// Why a package is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum As {
    /// Somebody asked for it
    Asked,
    /// Another package needs it
    Automatic,
}

/// A verb with its arguments.
pub(crate) trait Verb {
    /// In words, and as a wish.
    fn asked(self) -> (String, Wish, How);
}

impl Upgrade {
    /// Of everything.
    pub(crate) fn of_all(json: bool) -> Self {
        let how = How { dry_run: false, stage: false, restart: false, json };
        Self { packages: Vec::new(), security: false, download_only: false, how }
    }

    /// Makes the upgrade, or only fetches what it needs, and tells what became of it.
    ///
    /// # Errors
    ///
    /// As [`run`].
    pub(crate) fn run(self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        if !self.download_only {
            return run(self, host, out);
        }
        let (_, wish, how) = self.asked();
        let transaction = transaction::fetch(host, &wish, &Lines::new(std::io::stderr()))?;
        if how.json {
            return crate::print::json(out, &transaction);
        }
        crate::print::text(out, &tell::fetched(&transaction))
    }
}

fn words<T: ToString>(verb: &str, all: &[T]) -> String {
    let all = all.iter().map(ToString::to_string);
    std::iter::once(verb.to_owned()).chain(all).collect::<Vec<_>>().join(" ")
}

fn selector(it: &Selector) -> String {
    it.version
        .as_ref()
        .map_or_else(|| it.name.to_string(), |version| format!("{}={version}", it.name))
}

impl Verb for Install {
    fn asked(self) -> (String, Wish, How) {
        let all: Vec<_> = self.packages.iter().map(selector).collect();
        (words("install", &all), Wish::Install(self.packages), self.how)
    }
}

impl Verb for Remove {
    fn asked(self) -> (String, Wish, How) {
        let wish = Wish::Remove { names: self.packages.clone(), cascade: self.cascade };
        (words("remove", &self.packages), wish, self.how)
    }
}

impl Verb for Upgrade {
    fn asked(self) -> (String, Wish, How) {
        let verb = if self.security { "upgrade --security" } else { "upgrade" };
        let text = words(verb, &self.packages);
        (text, Wish::Upgrade { names: self.packages, security: self.security }, self.how)
    }
}

impl Verb for Downgrade {
    fn asked(self) -> (String, Wish, How) {
        let text = words("downgrade", &[selector(&self.package)]);
        let Selector { name, version } = self.package;
        (text, Wish::Downgrade { name, version }, self.how)
    }
}

impl Verb for Autoremove {
    fn asked(self) -> (String, Wish, How) {
        ("autoremove".into(), Wish::Autoremove, self.how)
    }
}

impl Verb for Pin {
    fn asked(self) -> (String, Wish, How) {
        let text = words("pin", &[selector(&self.package)]);
        let Selector { name, version } = self.package;
        (text, Wish::Pin { name, version }, self.how)
    }
}

impl Verb for Unpin {
    fn asked(self) -> (String, Wish, How) {
        (words("unpin", &[&self.package]), Wish::Unpin(self.package), self.how)
    }
}

impl Verb for Mark {
    fn asked(self) -> (String, Wish, How) {
        let automatic = self.mark == As::Automatic;
        let verb = if automatic { "mark automatic" } else { "mark asked" };
        let text = words(verb, &self.packages);
        (text, Wish::Mark { names: self.packages, automatic }, self.how)
    }
}

/// Makes the change and tells what became of it.
///
/// # Errors
///
/// What the transaction fails with; the host is as before then.
pub(crate) fn run(verb: impl Verb, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
    make(verb.asked(), host, out)
}

/// Tells what the change would be.
///
/// # Errors
///
/// If a repository cannot be believed, or the wish cannot be met.
pub(crate) fn plan(verb: impl Verb, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
    let (words, wish, how) = verb.asked();
    make((words, wish, How { dry_run: true, ..how }), host, out)
}

fn make(
    (words, wish, how): (String, Wish, How),
    host: &Host,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let asked = how.asked(words, wish);
    let progress = Lines::new(std::io::stderr());
    how.tell(&transaction::run(host, &asked, &progress)?, out)
}

impl How {
    /// What is asked for, to be done so.
    pub(crate) fn asked(self, words: String, wish: Wish) -> Asked {
        let how = match self {
            Self { dry_run: true, .. } => transaction::How::Tell,
            Self { stage: true, .. } => transaction::How::Stage,
            Self { restart: true, .. } => transaction::How::ApplyAndRestart,
            _ => transaction::How::Apply,
        };
        Asked { words, wish, how }
    }

    /// Tells what became of it.
    ///
    /// # Errors
    ///
    /// If that cannot be written.
    pub(crate) fn tell(self, outcome: &Outcome, out: &mut dyn Write) -> Result<(), Failure> {
        if self.json {
            return crate::print::json(out, outcome);
        }
        crate::print::text(out, &tell::text(outcome))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use host::transaction::How;

    use super::*;
    use crate::{Command, Preon};

    #[test]
    fn of_what_is_said_on_the_command_line_one_way_to_do_it_follows() {
        #[rustfmt::skip]
        let cases: [(&[&str], Option<How>); 6] = [
            (&[],                         Some(How::Apply)),
            (&["--stage"],                Some(How::Stage)),
            (&["--restart"],              Some(How::ApplyAndRestart)),
            (&["--dry-run"],              Some(How::Tell)),
            (&["--dry-run", "--restart"], Some(How::Tell)), // what it would restart
            (&["--stage", "--restart"],   None),
        ];
        for (words, expected) in cases {
            let line = [&["preon", "autoremove"][..], words].concat();
            let how = Preon::try_parse_from(line).ok().map(|preon| {
                let Command::Autoremove(verb) = preon.command else { panic!("{words:?}") };
                let (text, wish, how) = verb.asked();
                how.asked(text, wish).how
            });
            assert_eq!(how, expected, "{words:?}");
        }
    }
}
