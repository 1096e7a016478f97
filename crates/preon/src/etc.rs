//! `preon etc`: how `/etc` differs from the image's defaults and from what it was, and what comes back.

mod text;

use std::io::Write;
use std::path::{Path, PathBuf};

use base::Failure;
use host::Host;
use host::etc::snapshot::{self, Name};
use host::etc::{self, Difference, To, Underneath, What};
use serde_json::json;

use crate::print;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Diff(Diff),
    Restore(Restore),
    Accept(Accept),
    Snapshots(Snapshots),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    ///
    /// What the command fails with.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Diff(command) => command.run(host, out),
            Self::Restore(command) => command.run(host, out),
            Self::Accept(command) => command.run(host, out),
            Self::Snapshots(command) => command.run(host, out),
        }
    }
}

/// Show how /etc differs from the image's defaults, and which defaults changed underneath an edit
///
/// Lists what was added, changed or removed, and shows how the text of changed files differs. Files that not everybody may
/// read are shown only where they are named.
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// Files and folders of /etc [default: all]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Compare with a snapshot instead: `3` is the newest one of generation 3, `3.1` its first one
    #[arg(long, value_name = "N")]
    generation: Option<Name>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Bring files of /etc back: the image's default, or what a snapshot holds
///
/// What is there now is kept in a snapshot of the generation that runs. A default that comes back follows later upgrades
/// again. Services that have read the file are not restarted.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["paths", "all"])))]
pub(crate) struct Restore {
    /// Files and folders of /etc
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// All of /etc
    #[arg(long)]
    all: bool,
    /// What a snapshot holds: `3` is the newest one of generation 3, `3.1` its first one
    #[arg(long, value_name = "N", conflicts_with = "default")]
    generation: Option<Name>,
    /// The image's default, which it is anyway unless a generation is named
    #[arg(long)]
    default: bool,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Say that you have seen how defaults changed underneath edited files; `preon etc diff` tells no more of it
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["paths", "all"])))]
pub(crate) struct Accept {
    /// Files and folders of /etc
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// All of /etc
    #[arg(long)]
    all: bool,
}

/// List the snapshots of what was edited in /etc
///
/// One is made under the generation that runs, before each change, each rollback and each `preon etc restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct Snapshots {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn names(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    Ok(paths.iter().map(|path| etc::name(path)).collect::<Result<_, _>>()?)
}

impl Diff {
    fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let all = match self.generation {
            Some(name) => etc::since(host, name)?,
            None => etc::drift(host)?,
        };
        let all = etc::select(all, &names(&self.paths)?, |it| &it.path);
        if self.json {
            return print::json(out, &all);
        }
        list(out, &all)?;
        for difference in &all {
            let named = !self.paths.is_empty();
            print::text(out, &text::changed(difference, named)?)?;
            print::text(out, &text::underneath(host, difference, named)?)?;
        }
        Ok(())
    }
}

/// A table; without what is in folders that are gone.
fn list(out: &mut dyn Write, all: &[Difference]) -> Result<(), Failure> {
    let gone = |path: &Path| all.iter().any(|it| it.path == path && it.what == What::Removed);
    let shown = all.iter().filter(|it| !it.path.ancestors().skip(1).any(gone));
    let rows: Vec<_> = shown.map(|it| [what(it.what), place(&it.path), note(it)]).collect();
    if rows.is_empty() {
        return print::text(out, "nothing differs\n");
    }
    print::table(out, ["WHAT", "WHERE", "NOTE"], &rows)
}

fn place(path: &Path) -> String {
    format!("/etc/{}", path.display())
}

fn what(what: What) -> String {
    let word = match what {
        What::Added => "added",
        What::Changed => "changed",
        What::Attributes => "attributes",
        What::Removed => "removed",
    };
    word.to_owned()
}

fn note(difference: &Difference) -> String {
    let mut notes = Vec::new();
    if let (Some(before), Some(now)) = (&difference.before, &difference.now) {
        let whose = |it: &etc::Entry| format!("{:04o} {}:{}", it.mode, it.uid, it.gid);
        if whose(before) != whose(now) {
            notes.push(format!("{} was {}", whose(now), whose(before)));
        }
    }
    notes.extend(difference.underneath.as_ref().map(|it| match it {
        Underneath::Changed(_) => "the default changed underneath".to_owned(),
        Underneath::Appeared => "there is a default now".to_owned(),
        Underneath::Gone => "its default is gone".to_owned(),
    }));
    notes.join("; ")
}

impl Restore {
    fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let to = self.generation.map_or(To::Default, To::Snapshot);
        let restored = etc::restore(host, &names(&self.paths)?, to, self.dry_run)?;
        if self.json {
            let kept = restored.kept.map(|it| it.to_string());
            let json = json!({ "differences": restored.differences, "kept": kept });
            return print::json(out, &json);
        }
        let verb = |what| match (what, self.dry_run) {
            (What::Added, false) => "removed",
            (What::Added, true) => "would be removed:",
            (_, false) => "restored",
            (_, true) => "would be restored:",
        };
        let line = |it: &Difference| format!("{} {}\n", verb(it.what), place(&it.path));
        let mut text: String = restored.differences.iter().map(line).collect();
        if restored.differences.is_empty() {
            text = "nothing differs\n".into();
        }
        if let Some(kept) = restored.kept {
            text += &format!(
                "what was there is in the snapshot {kept}: `preon etc restore --generation {kept} …`\n"
            );
        }
        print::text(out, &text)
    }
}

impl Accept {
    fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let accepted = etc::accept(host, &names(&self.paths)?)?;
        let lines = accepted.iter().map(|path| format!("accepted {}\n", place(path)));
        print::text(out, &lines.collect::<String>())
    }
}

impl Snapshots {
    fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let all = snapshot::all(&host.store)?;
        if self.json {
            let row =
                |it: &snapshot::Snapshot| json!({ "name": it.name.to_string(), "about": it.about });
            return print::json(out, &all.iter().map(row).collect::<Vec<_>>());
        }
        let row = |it: &snapshot::Snapshot| {
            [it.name.to_string(), print::moment(it.about.at), it.about.why.clone()]
        };
        let rows: Vec<_> = all.iter().map(row).collect();
        print::table(out, ["SNAPSHOT", "WHEN", "BEFORE"], &rows)
    }
}

#[cfg(test)]
mod tests;
