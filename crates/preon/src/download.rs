//! `preon download`: packages as files.

use std::io::Write;
use std::path::PathBuf;

use base::progress::Lines;
use base::{ByteSize, Failure};
use host::{Root, download};
use packages::change::Selector;

use crate::print;

/// Fetch and verify packages into a folder, without installing them
///
/// Only those that are named, not what they need: `preon upgrade --download-only` fetches that for an upgrade.
#[derive(Debug, clap::Args)]
pub(crate) struct Download {
    /// `git` for the newest version, `git=1:2.47.3-1+0preon1` for that one
    #[arg(value_name = "PACKAGE", required = true)]
    packages: Vec<Selector>,
    /// Where to put them; files of the same names are replaced
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    to: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Download {
    /// Fetches them and says where they are.
    ///
    /// # Errors
    ///
    /// If a repository cannot be believed, or a package is not there, or cannot be fetched or written.
    pub(crate) fn run(&self, root: &Root, out: &mut dyn Write) -> Result<(), Failure> {
        let progress = Lines::new(std::io::stderr());
        let done = download::download(root, &self.packages, &self.to, &progress)?;
        if self.json {
            return print::json(out, &done);
        }
        let line =
            |it: &download::Downloaded| format!("{} ({})\n", it.path.display(), ByteSize(it.bytes));
        print::text(out, &done.iter().map(line).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use crate::trial::Trial;

    #[test]
    fn without_a_repository_nothing_is_fetched_and_no_folder_is_made() {
        let trial = Trial::new();
        let folder = trial.below("/new");
        let words = ["download", "git", "--to", folder.to_str().unwrap()];
        let error = trial.run(&words).unwrap_err();
        assert!(error.contains("no repository is known"), "{error}");
        assert!(!folder.exists());
    }
}
