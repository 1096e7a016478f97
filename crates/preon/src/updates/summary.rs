//! Automatic updates in a few lines: for `preon status`, and for whoever logs in.

use std::io::ErrorKind;

use base::Failure;
use base::file::{self, FileError};
use host::Host;
use host::automatic::{Step, Summary};

use super::tell;
use crate::print;

/// What pam_motd(8) shows at each login; gone after a restart, and written again after the first look.
const MESSAGE: &str = "/run/motd.d/preon-updates";

/// What people are told.
pub(crate) fn lines(summary: &Summary) -> Vec<String> {
    let failed = if summary.failure.is_some() { ", which failed" } else { "" };
    let looked = summary.at.map(|at| format!("(looked {}{failed})", print::moment(at)));
    let available = match (&looked, summary.available, summary.closing) {
        (None, ..) => "not looked yet".into(),
        (Some(looked), 0, _) if summary.failure.is_some() => format!("nothing known {looked}"),
        (Some(looked), 0, _) => format!("nothing newer {looked}"),
        (Some(looked), count, 0) => format!("{} to take {looked}", packages(count)),
        (Some(looked), count, closing) => {
            format!("{} to take, {closing} of them close known flaws {looked}", packages(count))
        }
    };
    let staged = summary
        .staged
        .map(|generation| format!("generation {generation} is staged: a restart runs it"));
    let step = match &summary.step {
        Some(step @ (Step::Wait { .. } | Step::Restart { .. })) => {
            Some(tell::step(Some(step), tell::Tense::Did))
        }
        _ => None,
    };
    let failure = summary.failure.as_ref().map(|failure| failure.trim_end().to_owned());
    let silent = summary.silent.iter().map(tell::silent);
    [Some(available), staged, step, failure].into_iter().flatten().chain(silent).collect()
}

fn packages(count: usize) -> String {
    if count == 1 { "1 package".into() } else { format!("{count} packages") }
}

/// Writes for whoever logs in what is new, and takes away what is not any more.
///
/// # Errors
///
/// If the store cannot be read or the file cannot be written.
pub(super) fn post(host: &Host) -> Result<(), Failure> {
    let path = host.root.below(MESSAGE);
    let Some(summary) = Summary::of(host)?.filter(Summary::is_news) else {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(FileError::at("remove", path)(error).into())
            }
            _ => Ok(()),
        };
    };
    let text = lines(&summary).join("\n").replace('\n', "\n         ");
    Ok(file::replace(&path, format!("Updates: {text}\n").as_bytes())?)
}

#[cfg(test)]
mod tests {
    use host::Root;

    use super::*;
    use crate::trial::Trial;

    #[test]
    fn what_is_as_new_as_it_can_be_is_no_news_at_a_login() {
        let trial = Trial::new();
        let host = Host::open(&Root(trial.below("/"))).unwrap();
        let found = |memory: &str| {
            file::replace(&trial.below("/var/lib/preon/updates.json"), memory.as_bytes()).unwrap();
            post(&host).unwrap();
            std::fs::read_to_string(trial.below(MESSAGE)).ok()
        };
        file::replace(&trial.below("/etc/preon/updates.toml"), b"mode = \"notify\"").unwrap();
        let one = r#"{"at": 60, "available": {"changed": [{"closes": []}]}}"#;
        let expected = "Updates: 1 package to take (looked 1970-01-01 00:01 UTC)\n";
        assert_eq!(found(one).as_deref(), Some(expected));
        assert_eq!(found(r#"{"at": 120}"#), None);
        let silent = r#"{"at": 60, "silent": [{"name": "extra", "why": "error: gone"}]}"#;
        let expected = "Updates: nothing newer (looked 1970-01-01 00:01 UTC)\n         \
                        the repository extra could not be asked: error: gone\n";
        assert_eq!(found(silent).as_deref(), Some(expected));
    }
}
