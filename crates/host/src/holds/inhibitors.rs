//! systemd's inhibitors of a shutdown.

use base::Explain;
use base::child::{self, ChildError, Program};
use serde::Deserialize;

use super::{Hold, Source, line};
use crate::Root;

/// Nobody knows who inhibits a shutdown.
#[derive(Debug, thiserror::Error)]
pub enum InhibitorsError {
    /// systemd-logind does not answer.
    #[error("systemd-logind does not say who inhibits a shutdown")]
    Child(#[from] ChildError),
    /// It says something else.
    #[error("systemd-logind's list of inhibitors is not understood")]
    Malformed(#[from] serde_json::Error),
}

impl Explain for InhibitorsError {
    fn hint(&self) -> Option<String> {
        Some("look at `systemctl status systemd-logind`".into())
    }
}

/// What `busctl --json=short` prints of ListInhibitors.
#[derive(Deserialize)]
struct Answer {
    data: (Vec<Inhibitor>,),
}

/// What is inhibited (`shutdown:sleep`), who does it, why, in which mode, and the numbers of user and process.
///
/// Source: org.freedesktop.login1(5), "ListInhibitors".
type Inhibitor = (String, String, String, String, u32, u32);

/// The inhibitors that block a shutdown, also those that root could override; those that only delay it do not count.
///
/// # Errors
///
/// [`InhibitorsError`]: then nobody should restart the host unasked.
pub fn inhibitors(root: &Root) -> Result<Vec<Hold>, InhibitorsError> {
    let mut command = Program::new(root.below("/usr/bin/busctl")).command();
    command.args(["--system", "--json=short", "--timeout=10", "call", "org.freedesktop.login1"]);
    command.args(["/org/freedesktop/login1", "org.freedesktop.login1.Manager", "ListInhibitors"]);
    Ok(parse(&child::run(&mut command)?)?)
}

fn parse(json: &[u8]) -> Result<Vec<Hold>, serde_json::Error> {
    let Answer { data: (all,) } = serde_json::from_slice(json)?;
    let blocks = |(what, _, _, mode, _, _): &Inhibitor| {
        what.split(':').any(|what| what == "shutdown") && mode != "delay"
    };
    let hold = |(_, who, why, ..): Inhibitor| Hold {
        name: line(&who),
        reason: line(&why),
        until: None,
        source: Source::Inhibitor,
    };
    Ok(all.into_iter().filter(blocks).map(hold).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_blocks_a_shutdown_holds() {
        let json = br#"{"type":"a(ssssuu)","data":[[
            ["shutdown:sleep","backup","it runs","block",0,700],
            ["shutdown","editor","un\u001b[2J\nsaved","block-weak",1000,701],
            ["shutdown","docker","stops slowly","delay",0,702],
            ["sleep:idle","movie","it plays","block",1000,703]]]}"#;
        let names: Vec<_> = parse(json).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["backup (it runs)", "editor (un\\u{1b}[2J saved)"]);
        assert_eq!(parse(br#"{"type":"a(ssssuu)","data":[[]]}"#).unwrap(), []);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in ["", "No inhibitors.", r#"{"data":[["shutdown"]]}"#] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn without_an_answer_nobody_knows() {
        let error = inhibitors(&Root("/nonexistent".into())).unwrap_err();
        assert!(base::explain::render(&error).contains("hint: look at"), "{error}");
    }
}
