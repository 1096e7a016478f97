//! `preon search`: packages that could be installed.

use std::io::Write;

use base::{ByteSize, Failure};
use packages::index::Stanza;
use serde::Serialize;

use crate::print;
use host::Root;
use host::repositories::Repositories;

/// Find packages in the repositories, as of the last refresh
#[derive(Debug, clap::Args)]
pub(crate) struct Search {
    /// All of these must be in the name or in the summary, in whatever capitals
    #[arg(value_name = "WORD", required = true)]
    words: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A package that was found.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Hit {
    name: String,
    version: String,
    repository: String,
    installed_bytes: u64,
    summary: String,
}

impl Search {
    /// Prints them: those first whose name is a word, then those whose name has one.
    ///
    /// # Errors
    ///
    /// If no repository is known, or nothing is known of one.
    pub(crate) fn run(&self, root: &Root, out: &mut dyn Write) -> Result<(), Failure> {
        let words: Vec<_> = self.words.iter().map(|word| word.to_lowercase()).collect();
        let repositories = Repositories(root);
        let mut hits = Vec::new();
        for repository in repositories.some()? {
            let index = repositories.index(&repository)?;
            for stanza in index.stanzas() {
                if let Some(rank) = rank(stanza, &words) {
                    hits.push((rank, Hit::new(stanza, &repository)));
                }
            }
        }
        hits.sort_by(|(rank, hit), (other_rank, other)| {
            (rank, &hit.name).cmp(&(other_rank, &other.name))
        });
        let hits: Vec<_> = hits.into_iter().map(|(_, hit)| hit).collect();
        if self.json {
            return print::json(out, &hits);
        }
        let row = |hit: &Hit| {
            let size = ByteSize(hit.installed_bytes).to_string();
            [hit.name.clone(), hit.version.clone(), size, hit.summary.clone()]
        };
        let rows: Vec<_> = hits.iter().map(row).collect();
        print::table(out, ["PACKAGE", "VERSION", "SIZE", "SUMMARY"], &rows)
    }
}

impl Hit {
    fn new(stanza: Stanza<'_>, repository: &str) -> Self {
        Self {
            name: stanza.name().to_owned(),
            version: stanza.version_text().to_owned(),
            repository: repository.to_owned(),
            installed_bytes: stanza.installed_bytes(),
            summary: stanza.summary().to_owned(),
        }
    }
}

/// How well a package fits, 0 best; `None` if it does not.
fn rank(stanza: Stanza<'_>, words: &[String]) -> Option<u8> {
    let (name, summary) = (stanza.name(), stanza.summary().to_lowercase());
    if !words.iter().all(|word| name.contains(word) || summary.contains(word)) {
        return None;
    }
    let is = words.iter().any(|word| name == word);
    let has = words.iter().any(|word| name.contains(word));
    Some(if is { 0 } else { 2 - u8::from(has) })
}

#[cfg(test)]
mod tests {
    use packages::index::Index;

    use super::*;

    #[test]
    fn names_count_more_than_summaries_and_every_word_must_fit() {
        let text = "Package: git\nVersion: 1\nArchitecture: all\nDescription: fast version control\n\n\
                    Package: git-lfs\nVersion: 1\nArchitecture: all\nDescription: large files\n\n\
                    Package: tig\nVersion: 1\nArchitecture: all\nDescription: browser for Git\n\n\
                    Package: bash\nVersion: 1\nArchitecture: all\nDescription: shell\n";
        let index = Index::parse("preon", text.to_owned()).unwrap();
        let ranks = |words: &[&str]| -> Vec<_> {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            index.stanzas().map(|stanza| rank(stanza, &words)).collect()
        };
        assert_eq!(ranks(&["git"]), [Some(0), Some(1), Some(2), None]);
        assert_eq!(ranks(&["git", "large"]), [None, Some(1), None, None]);
    }
}
