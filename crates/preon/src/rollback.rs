//! `preon rollback`: another generation boots next.

use std::io::Write;

use base::{Explain, Failure};
use generations::Generation;
use serde_json::json;

use crate::print;
use host::{Host, etc};

/// Let an older generation boot next; nothing that runs changes before
///
/// The generation that runs stays in the store, and `preon rollback N` with its number takes this back. `preon undo` goes
/// to what the last change was made from instead.
#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    /// The generation [default: the one before the one that runs]
    #[arg(value_name = "N")]
    generation: Option<u64>,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// There is nothing to go back to.
#[derive(Debug, thiserror::Error)]
#[error("{0} is the oldest one: there is nothing to go back to")]
struct Oldest(Generation);

impl Explain for Oldest {
    fn hint(&self) -> Option<String> {
        Some("`preon history` lists all generations; any can be named".into())
    }
}

impl Rollback {
    /// Makes it the one that boots, after its files were checked.
    ///
    /// # Errors
    ///
    /// If there is no such generation, or something of it is missing.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let _lock = if self.dry_run { None } else { Some(host.store.lock()?) };
        let target = self.target(host)?;
        switch(host, target, self.dry_run)?;
        if self.json {
            return print::json(out, &json!({ "boots_next": target.0, "dry_run": self.dry_run }));
        }
        print::text(out, &told(host, target, self.dry_run))
    }

    fn target(&self, host: &Host) -> Result<Generation, Failure> {
        if let Some(number) = self.generation {
            return Ok(Generation(number));
        }
        let current = host.current()?;
        let older = host.store.generations()?.into_iter().rfind(|it| *it < current);
        older.ok_or_else(|| Oldest(current).into())
    }
}

/// Lets a generation boot next, if all of its files are there; in a dry run it only looks for them.
///
/// # Errors
///
/// If there is no such generation, or something of it is missing.
pub(crate) fn switch(host: &Host, target: Generation, dry_run: bool) -> Result<(), Failure> {
    host.store.check(target)?;
    if !dry_run {
        if let Some(running) = host.running {
            etc::keep(host, running, &format!("rollback {}", target.0))?;
        }
        host.boots_next(target)?;
    }
    Ok(())
}

/// What people are told of that.
pub(crate) fn told(host: &Host, target: Generation, dry_run: bool) -> String {
    let would = if dry_run { "would boot" } else { "boots" };
    let restart = if host.running == Some(target) || host.running.is_none() {
        ""
    } else if host.needs_another_kernel(target).unwrap_or_default() {
        ", with another kernel: a restart of the host runs it"
    } else {
        ": `preon soft-reboot` or a restart of the host runs it"
    };
    format!("{target} {would} next{restart}\n")
}

#[cfg(test)]
mod tests {
    use generations::Generation;

    use crate::trial::Trial;

    #[test]
    fn another_generation_boots_next_and_the_way_back_is_open() {
        let trial = Trial::new();
        trial.stage_second();
        let wanted = || trial.store().wanted().unwrap().generation;
        let text = trial.run(&["rollback", "2", "--dry-run"]).unwrap();
        assert_eq!(
            text,
            "generation 2 would boot next: `preon soft-reboot` or a restart of the host runs it\n"
        );
        assert_eq!(wanted(), Generation(1));
        trial.run(&["rollback", "2"]).unwrap();
        assert_eq!(wanted(), Generation(2));
        let text = trial.run(&["rollback", "1"]).unwrap();
        assert_eq!(text, "generation 1 boots next\n");
        assert_eq!(wanted(), Generation(1));
    }

    #[test]
    fn without_a_number_it_is_the_one_before_the_running_one() {
        let trial = Trial::new();
        let error = trial.run(&["rollback"]).unwrap_err();
        assert!(error.contains("generation 1 is the oldest one"), "{error}");
        trial.stage_second();
        trial.runs(2);
        assert!(trial.run(&["rollback"]).unwrap().starts_with("generation 1 boots next"));
    }

    #[test]
    fn a_generation_that_lacks_a_layer_is_refused() {
        let trial = Trial::new();
        trial.stage_second();
        trial.lose_layers();
        let error = trial.run(&["rollback", "2"]).unwrap_err();
        assert!(error.contains("layer base cannot be used"), "{error}");
        assert_eq!(trial.store().wanted().unwrap().generation, Generation(1));
    }
}
