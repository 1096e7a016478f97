//! `preon advisories`: which known flaws newer packages would close.

use std::collections::BTreeSet;
use std::io::Write;

use base::{Explain, Failure};
use host::Host;
use host::advisories::{self, Flaw, State};

use crate::print;

/// List the known flaws that newer packages in the repositories fix, as of the last refresh
///
/// One flaw a line: `open` is closed by `preon upgrade --security`, `pinned` only after `preon unpin`, `image` with a newer
/// image, which brings the kernel. A flaw that no package fixes yet is in no list.
///
/// Exit status: 0 whether there are flaws or not; with --check 1 if one is not fixed.
#[derive(Debug, clap::Args)]
pub(crate) struct Advisories {
    /// Only the flaws of these installed packages [default: all]
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,
    /// Also the flaws that the installed versions have fixed
    #[arg(long)]
    all: bool,
    /// Fail if a flaw is not fixed
    #[arg(long)]
    check: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// There are flaws, and somebody asked to be told so.
#[derive(Debug, thiserror::Error)]
#[error("{0} known flaws are not fixed")]
struct Flaws(usize);

impl Explain for Flaws {
    fn hint(&self) -> Option<String> {
        Some("`preon upgrade --security` closes those that are open".into())
    }
}

impl Advisories {
    /// Prints them.
    ///
    /// # Errors
    ///
    /// If a package is not installed, nothing is known of a repository, or with `--check` a flaw is not fixed.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let manifest = host.manifest(None)?;
        let mut named = BTreeSet::new();
        for name in &self.packages {
            named.insert(host::installed(&manifest, name)?.name.to_string());
        }
        let mut flaws = advisories::flaws(host, &manifest, self.all)?;
        if !named.is_empty() {
            flaws.retain(|flaw| flaw.packages.iter().any(|name| named.contains(name)));
        }
        if self.json {
            print::json(out, &flaws)?;
        } else {
            let rows: Vec<_> = flaws.iter().map(cells).collect();
            print::table(out, ["FLAW", "STATE", "FIXED IN", "FIXED ON", "PACKAGES"], &rows)?;
        }
        let left = flaws.iter().filter(|flaw| flaw.state != State::Fixed).count();
        if self.check && left > 0 { Err(Flaws(left).into()) } else { Ok(()) }
    }
}

fn cells(flaw: &Flaw) -> [String; 5] {
    let state = match flaw.state {
        State::Open => "open",
        State::Pinned => "pinned",
        State::Image => "image",
        State::Fixed => "fixed",
    };
    let day = flaw.fixed_on.as_ref().and_then(|time| time.get(..10));
    [
        flaw.cve.to_string(),
        state.to_owned(),
        format!("{} {}", flaw.source, flaw.fixed_in),
        day.unwrap_or("-").to_owned(),
        flaw.packages.join(" "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::Trial;

    #[test]
    fn a_flaw_is_a_line_with_what_closes_it() {
        let flaw = Flaw {
            cve: "CVE-2026-0001".parse().unwrap(),
            source: "openssl".into(),
            fixed_in: "3.5.4-1".parse().unwrap(),
            fixed_on: Some("2026-01-27T19:02:11Z".into()),
            state: State::Pinned,
            packages: vec!["libssl3t64".into(), "openssl".into()],
        };
        let expected =
            ["CVE-2026-0001", "pinned", "openssl 3.5.4-1", "2026-01-27", "libssl3t64 openssl"];
        assert_eq!(cells(&flaw), expected);
    }

    #[test]
    fn without_a_repository_nothing_is_known_and_a_wrong_name_is_told() {
        let trial = Trial::new();
        let error = trial.run(&["advisories"]).unwrap_err();
        assert!(error.contains("no repository is known"), "{error}");
        let error = trial.run(&["advisories", "bsh"]).unwrap_err();
        assert!(error.contains("hint: did you mean bash?"), "{error}");
    }
}
