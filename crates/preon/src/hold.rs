//! `preon hold`: who does not want this host to restart.

use std::io::Write;

use base::Failure;
use host::Root;
use host::automatic::Seconds;
use host::holds::{self, Hold, Holds, Source};
use jiff::Timestamp;

use crate::print;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Add(Add),
    Remove(Remove),
    List(List),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    ///
    /// What the command fails with.
    pub(crate) fn run(&self, root: &Root, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Add(command) => command.run(root, out),
            Self::Remove(command) => command.run(root, out),
            Self::List(command) => command.run(root, out),
        }
    }
}

/// Keep automatic updates from restarting the host
///
/// Updates are still fetched and made ready, and a restart by hand is not hindered. Any program can do the same by
/// writing its reason to /run/preon/holds/NAME or /etc/preon/holds/NAME.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// What to call it
    name: String,
    /// Why, for people
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// When it ends by itself: `2h`, `3d`, or `2026-12-01T06:00:00Z` [default: when it is removed]
    #[arg(long, value_name = "WHEN")]
    until: Option<Until>,
    /// Let it be gone after the machine's next restart, whoever asks for that
    #[arg(long)]
    runtime: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Give up a hold
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// What it is called
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// List who does not want a restart now: holds, and systemd's inhibitors of a shutdown
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// When a hold ends.
#[derive(Clone, Debug)]
enum Until {
    /// After so many seconds.
    After(u64),
    /// Then, seconds since 1970.
    At(u64),
}

/// A text is no end of a hold.
#[derive(Debug, thiserror::Error)]
#[error("write `2h`, `3d` or `2026-12-01T06:00:00Z`")]
struct BadUntil;

impl std::str::FromStr for Until {
    type Err = BadUntil;

    fn from_str(text: &str) -> Result<Self, BadUntil> {
        if let Ok(length) = Seconds::try_from(text.to_owned()) {
            return Ok(Self::After(length.seconds()));
        }
        let moment: Timestamp = text.parse().map_err(|_| BadUntil)?;
        Ok(Self::At(moment.as_second().try_into().map_err(|_| BadUntil)?))
    }
}

impl Add {
    fn run(&self, root: &Root, out: &mut dyn Write) -> Result<(), Failure> {
        let now = print::now();
        let until = self.until.as_ref().map(|until| match until {
            Until::After(seconds) => now.saturating_add(*seconds),
            Until::At(moment) => *moment,
        });
        let source = if self.runtime { Source::Runtime } else { Source::Kept };
        let (name, reason) = (self.name.clone(), self.reason.clone());
        let hold = Hold { name, reason, until, source };
        Holds(root).add(now, &hold)?;
        if self.json {
            return print::json(out, &hold);
        }
        print::text(out, &format!("{} holds{}\n", hold.name, end(&hold)))
    }
}

impl Remove {
    fn run(&self, root: &Root, out: &mut dyn Write) -> Result<(), Failure> {
        Holds(root).remove(&self.name)?;
        if self.json {
            return print::json(out, &serde_json::json!({ "removed": self.name }));
        }
        print::text(out, &format!("{} does not hold any more\n", self.name))
    }
}

impl List {
    fn run(&self, root: &Root, out: &mut dyn Write) -> Result<(), Failure> {
        let mut all = Holds(root).list(print::now())?;
        let inhibitors = holds::inhibitors(root);
        all.extend(inhibitors.as_ref().into_iter().flatten().cloned());
        self.print(&all, out)?;
        inhibitors?; // after what is known
        Ok(())
    }

    fn print(&self, all: &[Hold], out: &mut dyn Write) -> Result<(), Failure> {
        if self.json {
            return print::json(out, &all);
        }
        let row = |hold: &Hold| {
            let until = hold.until.map_or_else(|| "-".to_owned(), print::moment);
            [hold.name.clone(), source(hold.source).to_owned(), until, hold.reason.clone()]
        };
        print::table(
            out,
            ["HOLD", "FROM", "UNTIL", "REASON"],
            &all.iter().map(row).collect::<Vec<_>>(),
        )
    }
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Kept => "/etc",
        Source::Runtime => "/run",
        Source::Inhibitor => "systemd",
    }
}

fn end(hold: &Hold) -> String {
    let until = hold.until.map(|until| format!(" until {}", print::moment(until)));
    until.unwrap_or_else(|| format!(": give it up with `preon hold remove {}`", hold.name))
}

#[cfg(test)]
mod tests {
    use crate::trial::Trial;

    /// A trial whose systemd says this of inhibitors.
    fn trial(inhibitors: &str) -> Trial {
        let trial = Trial::new();
        let json = format!("{{\"type\":\"a(ssssuu)\",\"data\":[[{inhibitors}]]}}");
        trial.script("/usr/bin/busctl", &format!("echo '{json}'"));
        trial
    }

    #[test]
    fn a_hold_is_taken_listed_beside_inhibitors_and_given_up() {
        let trial = trial(r#"["shutdown","apt","it installs","block",0,7]"#);
        let add =
            ["hold", "add", "backup", "--reason", "it runs", "--until", "2100-01-01T00:00:00Z"];
        assert_eq!(trial.run(&add).unwrap(), "backup holds until 2100-01-01 00:00 UTC\n");
        let add = ["hold", "add", "job", "--reason", "a long job", "--runtime"];
        assert!(trial.run(&add).unwrap().contains("`preon hold remove job`"));
        assert_eq!(
            trial.run(&["hold", "list"]).unwrap(),
            "HOLD    FROM     UNTIL                 REASON\n\
             backup  /etc     2100-01-01 00:00 UTC  it runs\n\
             job     /run     -                     a long job\n\
             apt     systemd  -                     it installs\n"
        );
        let json = trial.run(&["hold", "list", "--json"]).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&json[0]["until"], &json[2]["source"]),
            (&"2100-01-01T00:00:00Z".into(), &"inhibitor".into())
        );
        trial.run(&["hold", "remove", "job"]).unwrap();
        assert!(!trial.run(&["hold", "list"]).unwrap().contains("job"));
        let error = trial.run(&["hold", "remove", "job"]).unwrap_err();
        assert!(error.contains("there is no hold job") && error.contains("hint: "), "{error}");
    }

    #[test]
    fn holds_are_listed_also_where_nobody_knows_who_inhibits() {
        let trial = trial("");
        trial.run(&["hold", "add", "job", "--reason", "a long job"]).unwrap();
        trial.script("/usr/bin/busctl", "exit 1");
        assert!(trial.run_failing(&["hold", "list"]).contains("a long job"));
    }

    #[test]
    fn a_hold_that_would_be_over_is_refused() {
        let add = ["hold", "add", "a", "--reason", "b", "--until", "2000-01-01T00:00:00Z"];
        assert!(trial("").run(&add).unwrap_err().contains("the end of the hold is past"));
    }
}
