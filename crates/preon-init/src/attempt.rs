//! Which generation boots, and that it is written down before and after.

use std::path::PathBuf;

use base::Explain;
use base::explain::render;
use generations::{Booted, Choice, Generation, Reason, Store, StoreError, Why};

use crate::{log, stop};

/// The generation that boots now, with the attempt written down. Never returns when none is left.
///
/// # Errors
///
/// [`StoreError`].
pub(crate) fn begin(store: &Store, kernel: &Booted, previous: bool) -> Result<Choice, StoreError> {
    let chosen = if previous { store.choose_previous(kernel) } else { store.choose(kernel) };
    let choice = match chosen {
        // The next start would end in the same way.
        Err(error @ StoreError::NothingBoots { .. }) => stop(store, &error),
        choice => choice?,
    };
    // Here the manifest's signature will be verified, before anything of it is used.
    // Before anything of it can fail: a generation that cannot even be stacked has been tried, too.
    let attempts = store.count_attempt(&choice)?;
    let generation = choice.generation;
    let text = choice.told();
    match &choice.why {
        Why::Wanted => log::info(&text),
        Why::NothingElse => log::warning(&text),
        Why::FellBack { reason: Reason::NotNow, .. } => log::info(&text),
        Why::FellBack { from, .. } => {
            log::warning(&text);
            add_note(store, *from, &text);
        }
    }
    let manifest = &choice.manifest;
    let (image, version, build) = (&manifest.image, &manifest.version, &manifest.build_id);
    log::info(&format!("{generation} ({image} {version} {build})"));
    log::info(&format!("attempt {attempts} to boot {generation}"));
    Ok(choice)
}

/// Writes down why the boot of a generation failed, in the first of these stores that is there.
pub(crate) fn note(stores: &[PathBuf], generation: Generation, failure: &dyn Explain) {
    let store = stores.iter().find_map(|folder| Store::open(folder).ok());
    let noted = store.map(|store| store.note_failure(generation, &render(failure)));
    if let Some(Err(error)) = noted {
        log::warning(&render(&error)); // the failure itself is what matters
    }
}

/// Adds to what is known of a generation that did not boot: what came before may say more.
fn add_note(store: &Store, generation: Generation, text: &str) {
    let add = || -> Result<(), StoreError> {
        let before = store.failure(generation)?.unwrap_or_default();
        if before.ends_with(text) {
            return Ok(()); // it stands in at every boot
        }
        store.note_failure(generation, &format!("{before}{text}"))
    };
    match add() {
        // The generation itself is gone.
        Ok(()) | Err(StoreError::NoSuchGeneration { .. }) => {}
        Err(error) => log::warning(&render(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_fall_back_is_told_with_its_reason_and_what_to_do() {
        let reason = Reason::Kernel { needed: "6.2".into(), running: "6.1".into() };
        let text = choice(Why::FellBack { from: Generation(5), reason }).told();
        let expected = "generation 3 boots in place of generation 5, which needs kernel 6.2, 6.1 runs\n\
                        hint: choose the kernel 6.2 in the boot loader's menu\n";
        assert_eq!(text, expected);
        let reason = Reason::Attempts { attempts: 3 };
        let text = choice(Why::FellBack { from: Generation(5), reason }).told();
        assert!(text.ends_with("which was tried 3 times and never found good\n"), "{text}");
    }

    #[test]
    fn a_note_is_added_once_behind_what_was_known() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path()).unwrap();
        std::fs::create_dir(dir.path().join("generations/5")).unwrap();
        let failure = base::file::read("/no/such".as_ref()).unwrap_err();
        note(&["/no/store".into(), dir.path().into()], Generation(5), &failure);
        add_note(&store, Generation(5), "given up\n");
        add_note(&store, Generation(5), "given up\n");
        let text = store.failure(Generation(5)).unwrap().unwrap();
        assert!(text.starts_with("error: cannot read /no/such\n"), "{text}");
        assert_eq!(text.matches("given up").count(), 1, "{text}");
        add_note(&store, Generation(6), "given up\n"); // there is no such generation
        assert_eq!(store.generations().unwrap(), [Generation(5)]);
    }

    fn choice(why: Why) -> Choice {
        Choice { generation: Generation(3), manifest: sample::manifest(), why }
    }
}
