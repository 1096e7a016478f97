//! What people are told of automatic updates.

use host::automatic::{Config, Memory, Reboot, Step};
use host::repositories::Silent;

use crate::print;

/// Whether something was done, or would be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tense {
    Did,
    Would,
}

/// What is known, by heads.
pub(super) fn lines(config: &Config, memory: &Memory) -> Vec<(&'static str, String)> {
    let mut lines = vec![("Mode", config.mode.to_string())];
    if memory.at == 0 {
        lines.push(("Last turn", "none yet".into()));
        return lines;
    }
    lines.push(("Last turn", print::moment(memory.at)));
    lines.push(("Available", available(memory)));
    match &memory.failure {
        Some(failure) => lines.push(("Failed", failure.clone())),
        None => lines.push(("Step", step(memory.step.as_ref(), Tense::Did))),
    }
    for silent in &memory.silent {
        lines.push(("Not asked", self::silent(silent)));
    }
    if let Some(restart) = &memory.restart {
        let kept = restart.kept.as_deref().unwrap_or("nobody knows yet how it went");
        let asked = print::moment(restart.at);
        lines.push((
            "Restart",
            format!("into generation {}, asked for {asked}: {kept}", restart.generation),
        ));
    }
    lines
}

/// A repository of which nobody knows what it offers, and why.
pub(super) fn silent(silent: &Silent) -> String {
    format!("the repository {} could not be asked: {}", silent.name, silent.why)
}

/// What the repositories offer.
pub(super) fn available(memory: &Memory) -> String {
    let Some(plan) = &memory.available else { return "nothing newer".into() };
    let list = |key: &str| plan[key].as_array().map_or(&[][..], Vec::as_slice);
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let changed =
        list("changed").iter().map(|it| format!("{} {}", word(&it["name"]), word(&it["to"])));
    let added =
        list("added").iter().map(|it| format!("{} {}", word(&it["name"]), word(&it["version"])));
    let removed = list("removed").iter().map(|it| format!("{} goes", word(&it["name"])));
    let lines: Vec<_> = changed.chain(added).chain(removed).collect();
    let closes: Vec<_> = list("closes").iter().map(word).collect();
    let closes =
        if closes.is_empty() { String::new() } else { format!("\ncloses {}", closes.join(" ")) };
    lines.join("\n") + &closes
}

/// What was done, or would be.
pub(super) fn step(step: Option<&Step>, tense: Tense) -> String {
    let did = tense == Tense::Did;
    match step {
        None => "none".into(),
        Some(Step::Nothing { why }) => why.clone(),
        Some(Step::Notify) => "there is something newer; nothing is done with it by itself".into(),
        Some(Step::Stage) => "the newer packages would boot next".into(),
        Some(Step::Withdraw { generation }) => {
            format!(
                "generation {generation} would not boot: the repositories do not offer it any more"
            )
        }
        Some(Step::Restart { reboot, generation }) => {
            let how = match reboot {
                Reboot::Soft => "",
                Reboot::Full => ", with its kernel",
            };
            let verb = if did { "the host restarts" } else { "the host would restart" };
            format!("{verb} into generation {generation}{how}")
        }
        Some(Step::Wait { until, why }) => {
            let until = until.map(|until| format!(" until {}", print::moment(until)));
            let verb = if did { "it waits" } else { "it would wait" };
            format!("{verb}{}: {why}", until.unwrap_or_default())
        }
    }
}
