//! `preon bundle`: a change on a file, for hosts that reach no mirror.

use std::io::Write;
use std::path::PathBuf;

use base::Failure;
use base::progress::{Lines, Progress};
use host::Host;
use host::bundle::{self, Installed, Says, Unpacked};
use packages::change::{Selector, Wish};

use crate::change::How;
use crate::print;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Create(Create),
    Apply(Apply),
    Describe(Describe),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    ///
    /// What the command fails with.
    pub(crate) fn run(self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Create(command) => command.run(host, out),
            Self::Apply(command) => command.run(host, out),
            Self::Describe(_) => print::json_as_kept(out, &Installed::on(host)?),
        }
    }
}

/// What a bundle is for.
#[derive(Clone, Debug, clap::Args)]
struct What {
    /// Install this package, and what it needs, instead of upgrading all; more than once for several
    #[arg(long, value_name = "PACKAGE", conflicts_with = "security")]
    install: Vec<Selector>,
    /// Upgrade only what fixes a known flaw
    #[arg(long)]
    security: bool,
}

impl What {
    fn wish(&self) -> (String, Wish) {
        if self.install.is_empty() {
            let words = if self.security { "upgrade --security" } else { "upgrade" };
            return (words.into(), Wish::Upgrade { names: Vec::new(), security: self.security });
        }
        let names = self.install.iter().map(|it| it.name.to_string());
        let words: Vec<_> = std::iter::once("install".to_owned()).chain(names).collect();
        (words.join(" "), Wish::Install(self.install.clone()))
    }
}

/// Write all that an upgrade needs into one file
///
/// The file holds the packages that come, and the signed metadata by which another host believes them. It is as good as a
/// mirror, and for as long as the publisher's signatures say.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The bundle to write
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// For the host that has written this with `preon bundle describe` [default: this host]
    #[arg(long = "for", value_name = "FILE")]
    other: Option<PathBuf>,
    #[command(flatten)]
    what: What,
}

/// Upgrade from a bundle, without any mirror
///
/// What is in it is verified as if it came from a mirror. Ask for what it was made for, which is shown first: that is what
/// the bundle says, and nobody has verified it.
#[derive(Debug, clap::Args)]
pub(crate) struct Apply {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    how: How,
}

/// Print what is installed here, for `preon bundle create --for` on another host
#[derive(Debug, clap::Args)]
pub(crate) struct Describe {}

impl Create {
    fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let installed = match &self.other {
            Some(path) => Installed::read(path)?,
            None => Installed::on(host)?,
        };
        let (words, wish) = self.what.wish();
        let progress = Lines::new(std::io::stderr());
        let made = bundle::create(host, &self.bundle, (&words, &wish, &installed), &progress)?;
        let name = self.bundle.display();
        print::text(out, &format!("{name}: {} packages, for `{words}`\n", made.packages))
    }
}

impl Apply {
    fn run(self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let (words, wish) = self.what.wish();
        let asked = self.how.asked(words, wish);
        let progress = Lines::new(std::io::stderr());
        let bundle = Unpacked::of(host, &self.bundle)?;
        progress.note(&said(&bundle.says(), &asked.words));
        self.how.tell(&bundle.apply(host, &asked, &progress)?, out)
    }
}

/// What the bundle says of itself, and what is asked of it where that is something else.
fn said(says: &Says, asked: &str) -> String {
    let Says { asked: said, at, suites } = says;
    let (at, suites) = (print::moment(*at), suites.join(", "));
    let other = if said == asked { String::new() } else { format!("; asked for here: `{asked}`") };
    format!("the bundle says: made {at} for `{said}`, from {suites}{other}")
}

#[cfg(test)]
mod tests {
    use host::bundle::Says;

    use super::said;
    use crate::trial::Trial;

    #[test]
    fn what_a_bundle_was_made_for_is_told_with_what_is_asked_of_it() {
        let says =
            Says { asked: "upgrade".into(), at: 60, suites: vec!["one".into(), "two".into()] };
        let made = "the bundle says: made 1970-01-01 00:01 UTC for `upgrade`, from one, two";
        assert_eq!(said(&says, "upgrade"), made);
        assert_eq!(said(&says, "install git"), format!("{made}; asked for here: `install git`"));
    }

    #[test]
    fn a_host_describes_itself_and_what_is_no_description_or_bundle_is_refused() {
        let trial = Trial::new();
        let json = trial.run(&["bundle", "describe"]).unwrap();
        assert!(json.contains("\"status\": \"Package: bash\\n"), "{json}");
        let page = trial.file("page", "<html>");
        let error = trial.run(&["bundle", "create", "x.tar", "--for", &page]).unwrap_err();
        assert!(error.contains("does not say what is installed on a host"), "{error}");
        let error = trial.run(&["bundle", "apply", &page]).unwrap_err();
        assert!(error.contains("is no whole bundle") && error.contains("hint: "), "{error}");
    }
}
