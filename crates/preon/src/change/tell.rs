//! What people are told of a change.

use std::fmt::Write as _;

use base::ByteSize;
use host::activate::Activation;
use host::transaction::{Outcome, Reboot, Stays, Transaction};

/// The packages, the sizes, and what comes of it.
pub(super) fn text(outcome: &Outcome) -> String {
    let Outcome { transaction, generation, activation, against } = outcome;
    let mut text = against.map_or_else(String::new, |number| {
        format!(
            "planned against generation {number}, which boots next: the change itself has to wait until that runs\n"
        )
    });
    text += &packages(transaction);
    if transaction.is_empty() {
        text += "nothing to do\n";
        return text;
    }
    if !transaction.same_files() {
        let (sign, grows) = (
            if transaction.installed_bytes < 0 { "-" } else { "+" },
            transaction.installed_bytes.unsigned_abs(),
        );
        let fetched = ByteSize(transaction.download_bytes);
        let _ = writeln!(text, "to fetch: {fetched}; installed: {sign}{}", ByteSize(grows));
    }
    if !transaction.restarts.is_empty() {
        let _ = writeln!(text, "runs from what changes: {}", transaction.restarts.join(" "));
    }
    text += &match (generation, activation) {
        (None, _) if transaction.only_adds() => "would be seen at once; nothing restarts\n".into(),
        (None, _) if transaction.reboot == Reboot::Full => {
            "would wait for a restart of the host, with another kernel\n".into()
        }
        (None, _) => "would wait for the next boot; the kernel stays\n".into(),
        (Some(number), Activation::AtOnce) => {
            format!("generation {number} runs; nothing was restarted\n")
        }
        (Some(number), Activation::Restarted) => {
            format!("generation {number} runs, and what runs from it was restarted\n")
        }
        (Some(number), _) if transaction.reboot == Reboot::Full => format!(
            "generation {number} boots next, with another kernel: a restart of the host runs it\n"
        ),
        (Some(number), _) => {
            format!(
                "generation {number} boots next: `preon soft-reboot` or a restart of the host runs it\n"
            )
        }
    };
    text
}

/// What was fetched for a change that is still to be made.
pub(super) fn fetched(transaction: &Transaction) -> String {
    if transaction.same_files() {
        return "nothing to fetch\n".into();
    }
    let bytes = ByteSize(transaction.download_bytes);
    format!("{}{bytes} are fetched and verified; nothing was changed\n", packages(transaction))
}

fn packages(transaction: &Transaction) -> String {
    let mut text = String::new();
    let mut line = |what: &str, rest: String| {
        let _ = writeln!(text, "{what:10} {rest}");
    };
    for it in &transaction.added {
        let why = it.needed_by.as_ref().map_or_else(String::new, |name| format!(", for {name}"));
        let size = ByteSize(it.installed_bytes);
        line("install", format!("{} {} ({size}{why})", it.name, it.version));
    }
    for it in &transaction.changed {
        let closes: Vec<_> = it.closes.iter().map(String::as_str).collect();
        let closes =
            if closes.is_empty() { String::new() } else { format!(": {}", closes.join(" ")) };
        let verb = if it.downgrade { "downgrade" } else { "upgrade" };
        line(verb, format!("{} {} -> {}{closes}", it.name, it.from, it.to));
    }
    for it in &transaction.removed {
        line("remove", format!("{} {} ({})", it.name, it.version, it.reason));
    }
    for it in &transaction.held {
        let why = match it.why {
            Stays::Pinned => "pinned",
            Stays::Image => "`preon status` says what starts the kernel",
            Stays::Obstacle => "something is in the way",
        };
        line("held", format!("{} {} ({why}; newest: {})", it.name, it.version, it.newest));
    }
    for (name, automatic) in &transaction.marked {
        let word = if *automatic { "only while it is needed" } else { "asked for" };
        line("mark", format!("{name}: {word}"));
    }
    for (name, version) in &transaction.pinned {
        match version {
            Some(version) => line("pin", format!("{name} {version}")),
            None => line("unpin", name.to_string()),
        }
    }
    for name in &transaction.unneeded {
        line("unneeded", format!("{name} (`preon autoremove` removes it)"));
    }
    text
}

#[cfg(test)]
mod tests {
    use host::transaction::{Added, Changed};

    use super::*;

    #[test]
    fn what_comes_and_what_changes_is_told_with_sizes_and_what_follows() {
        let added = Added {
            name: "libgit".into(),
            version: "1".into(),
            installed_bytes: 2000,
            needed_by: Some("git".into()),
        };
        let mut transaction = Transaction {
            added: vec![added],
            download_bytes: 1000,
            installed_bytes: 2000,
            ..Transaction::default()
        };
        let told = |transaction: &Transaction, generation, activation| {
            let transaction = transaction.clone();
            text(&Outcome { transaction, generation, activation, against: None })
        };
        assert_eq!(
            told(&transaction, None, Activation::None),
            "install    libgit 1 (2.0 kB, for git)\nto fetch: 1.0 kB; installed: +2.0 kB\n\
             would be seen at once; nothing restarts\n"
        );
        let at_once = told(&transaction, Some(2), Activation::AtOnce);
        assert!(at_once.ends_with("generation 2 runs; nothing was restarted\n"), "{at_once}");
        transaction.changed.push(Changed {
            name: "bash".into(),
            from: "1".into(),
            to: "2".into(),
            downgrade: false,
            closes: ["CVE-2026-0001".to_owned()].into(),
        });
        transaction.restarts = vec!["a.service".into(), "b.service".into()];
        let would = told(&transaction, None, Activation::None);
        assert!(
            would.ends_with(
                "runs from what changes: a.service b.service\n\
                 would wait for the next boot; the kernel stays\n"
            ),
            "{would}"
        );
        let next = told(&transaction, Some(2), Activation::NextBoot);
        assert!(next.contains("upgrade    bash 1 -> 2: CVE-2026-0001\n"), "{next}");
        assert!(
            next.ends_with(
                "generation 2 boots next: `preon soft-reboot` or a restart of the host runs it\n"
            ),
            "{next}"
        );
        let fetched = fetched(&transaction);
        assert!(
            fetched.ends_with("1.0 kB are fetched and verified; nothing was changed\n"),
            "{fetched}"
        );
        assert_eq!(told(&Transaction::default(), None, Activation::None), "nothing to do\n");
        let against = text(&Outcome {
            transaction,
            generation: None,
            activation: Activation::None,
            against: Some(7),
        });
        assert!(against.starts_with("planned against generation 7, which boots next: "));
    }
}
