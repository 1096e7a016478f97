//! `preon rollback`: another generation boots next.

use std::io::Write;

use base::{Explain, Failure, explain};
use generations::Generation;
use serde_json::json;

use crate::print;
use host::loader::{LoaderError, Told};
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
        let loader = switch(host, target, self.dry_run)?;
        if self.json {
            let by_hand = start_by_hand(&loader);
            let told = json!({ "boots_next": target.0, "dry_run": self.dry_run, "start_by_hand": by_hand });
            return print::json(out, &told);
        }
        print::text(out, &(told(host, target, self.dry_run) + &untold(host, &loader)))
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
pub(crate) fn switch(host: &Host, target: Generation, dry_run: bool) -> Result<Told, Failure> {
    host.store.check(target)?;
    if dry_run {
        return Ok(Told::Yes);
    }
    if let Some(running) = host.running {
        etc::keep(host, running, &format!("rollback {}", target.0))?;
    }
    host.boots_next(target)
}

/// What the boot loader calls the kernel that somebody has to start by hand, because it could not be told to.
pub(crate) fn start_by_hand(loader: &Told) -> Option<String> {
    match loader {
        Told::Yes => None,
        Told::No { kernel, .. } => Some(kernel.entry_id()),
    }
}

/// What people are told who have to start the kernel by hand.
pub(crate) fn untold(host: &Host, loader: &Told) -> String {
    let Told::No { kernel, why } = loader else { return String::new() };
    let (release, entry) = (&kernel.release, kernel.entry_id());
    if let Some(LoaderError::Foreign) = why {
        return format!("{}: let it start Linux {release} ({entry})\n", LoaderError::Foreign);
    }
    let place = host.root.below("/efi");
    let place = place.display();
    let why = match why {
        Some(error) => explain::render(error).trim_start_matches("error: ").trim_end().to_owned(),
        None => format!("its partition is neither at {place} nor on the disk of the host's data"),
    };
    format!(
        "the boot loader was not told which kernel to start: {why}\n\
         hint: mount its partition at {place} and ask again; or hold the space bar while the loader starts, \
         and choose Linux {release} ({entry}) in its menu\n"
    )
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
    fn from_another_system_it_is_said_which_kernel_to_start_where_the_loader_cannot_be_told() {
        let trial = Trial::new();
        trial.stage_second();
        std::fs::remove_file(trial.below(generations::RUNNING)).unwrap();
        // All generations have one kernel.
        assert_eq!(trial.run(&["rollback", "2"]).unwrap(), "generation 2 boots next\n");
        trial.stage_kernel("6.13-preon");
        let text = trial.run(&["rollback", "3"]).unwrap();
        let entry = trial.store().manifest(Generation(3)).unwrap().kernel.entry_id();
        let place = trial.below("/efi");
        let expected = format!(
            "generation 3 boots next\nthe boot loader was not told which kernel to start: its partition is neither at \
             {0} nor on the disk of the host's data\nhint: mount its partition at {0} and ask again; or hold the space \
             bar while the loader starts, and choose Linux 6.13-preon ({entry}) in its menu\n",
            place.display()
        );
        assert_eq!(text, expected);
        let json = trial.run(&["rollback", "3", "--json"]).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["start_by_hand"], *entry);
    }

    #[test]
    fn where_another_loader_starts_the_host_it_is_said_which_kernel_it_has_to_start() {
        let trial = Trial::new();
        base::file::replace(&trial.below(generations::kernel::RELEASE), b"6.12-preon\n").unwrap();
        trial.stage_kernel("6.13-preon");
        let text = trial.run(&["rollback", "2"]).unwrap();
        let expected = "\nthis host was not started by the boot loader of its image: let it start Linux 6.13-preon (";
        assert!(text.contains(expected), "{text}");
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
