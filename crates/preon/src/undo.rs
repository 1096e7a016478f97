//! `preon undo`: the last change is taken back.

use std::io::Write;

use base::Failure;
use host::{Host, undo};
use serde_json::json;

use crate::{print, rollback};

/// Take back the last change: what it was made from boots next
///
/// Undone is what led to the generation that boots next; asked again, the change before that one. `preon rollback` goes by
/// numbers instead, to any generation, also to one that came later: `preon rollback N` takes an undo back. What was written to
/// /etc and /var since then stays in both cases.
#[derive(Debug, clap::Args)]
pub(crate) struct Undo {
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Undo {
    /// Makes the generation before the last change the one that boots, after its files were checked.
    ///
    /// # Errors
    ///
    /// If there was no change, or what it was made from is not there any more.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let _lock = if self.dry_run { None } else { Some(host.store.lock()?) };
        let undo::Undoable { change, before } = undo::last(host)?;
        let loader = rollback::switch(host, before, self.dry_run)?;
        if self.json {
            let by_hand = rollback::start_by_hand(&loader);
            let told = json!({
                "undoes": change, "boots_next": before.0, "dry_run": self.dry_run, "start_by_hand": by_hand,
            });
            return print::json(out, &told);
        }
        let would = if self.dry_run { "would take" } else { "takes" };
        let next = rollback::told(host, before, self.dry_run) + &rollback::untold(host, &loader);
        print::text(out, &format!("this {would} back `{}`\n{next}", change.asked))
    }
}

#[cfg(test)]
mod tests {
    use generations::Generation;

    use crate::trial::Trial;

    #[test]
    fn the_last_change_is_taken_back_and_an_image_has_none() {
        let trial = Trial::new();
        let error = trial.run(&["undo"]).unwrap_err();
        assert!(error.contains("generation 1 came with the image"), "{error}");
        trial.stage_second();
        trial.store().want(Generation(2)).unwrap();
        trial.runs(2);
        let expected = "this would take back `remove libc6`\n\
                        generation 1 would boot next: `preon soft-reboot` or a restart of the host runs it\n";
        assert_eq!(trial.run(&["undo", "--dry-run"]).unwrap(), expected);
        assert_eq!(trial.store().wanted().unwrap().generation, Generation(2));
        let json = trial.run(&["undo", "--json"]).unwrap();
        assert!(json.contains("\"asked\": \"remove libc6\""), "{json}");
        assert_eq!(trial.store().wanted().unwrap().generation, Generation(1));
        trial.run(&["rollback", "2"]).unwrap();
        assert!(trial.run(&["undo"]).unwrap().starts_with("this takes back `remove libc6`\n"));
    }

    #[test]
    fn it_goes_where_the_change_came_from_and_not_to_the_number_before() {
        let trial = Trial::new();
        trial.stage_second(); // nobody ran it
        trial.stage_second();
        trial.store().want(Generation(3)).unwrap();
        trial.runs(3);
        assert!(trial.run(&["undo", "--dry-run"]).unwrap().contains("generation 1 would boot"));
        assert!(trial.run(&["rollback", "--dry-run"]).unwrap().contains("generation 2 would boot"));
    }

    #[test]
    fn what_is_not_in_the_store_any_more_cannot_be_gone_back_to() {
        let trial = Trial::new();
        trial.stage_second();
        trial.store().want(Generation(2)).unwrap();
        trial.runs(2);
        trial.run(&["gc", "--keep", "0"]).unwrap();
        let error = trial.run(&["undo"]).unwrap_err();
        assert!(error.contains("generation 1, from which `remove libc6` was made"), "{error}");
        assert!(error.contains("hint: make the opposite change"), "{error}");
    }
}
