//! `preon names`: what a shell asks when somebody completes the name of a package. It is asked at each TAB: it takes
//! nothing from the network, and what cannot be read has no names.

use std::collections::BTreeSet;
use std::io::Write;

use base::{Failure, file};
use clap::ValueEnum;
use host::Root;
use host::repositories::Repositories;
use packages::index::Stanza;

use crate::print;

/// Print names of packages, one a line, for the completion of a shell
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct Names {
    /// Of which
    which: Which,
    /// How they begin
    #[arg(default_value = "")]
    beginning: String,
}

/// Which packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// Those that are installed
    Installed,
    /// These, and those that repositories had at the last refresh
    Known,
}

impl Names {
    /// Prints them.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    pub(crate) fn run(&self, root: &Root, out: &mut dyn Write) -> Result<(), Failure> {
        let mut names = installed(root);
        if self.which == Which::Known {
            let repositories = Repositories(root);
            for name in repositories.names().unwrap_or_default() {
                let Ok(index) = repositories.index(&name) else { continue };
                names.extend(index.stanzas().map(Stanza::name).map(str::to_owned));
            }
        }
        let fits = names.iter().filter(|name| name.starts_with(&self.beginning));
        print::text(out, &fits.map(|name| format!("{name}\n")).collect::<String>())
    }
}

/// By dpkg's list, which everybody may read.
fn installed(root: &Root) -> BTreeSet<String> {
    let list = file::read_text(&root.below("/usr/lib/preon/dpkg/status")).unwrap_or_default();
    list.lines().filter_map(|line| line.strip_prefix("Package: ")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use crate::trial::Trial;

    #[test]
    fn names_that_begin_so_are_printed_and_what_cannot_be_read_has_none() {
        let trial = Trial::new();
        assert_eq!(trial.run(&["names", "installed"]).unwrap(), "bash\nlibc6\n");
        assert_eq!(trial.run(&["names", "installed", "b"]).unwrap(), "bash\n");
        assert_eq!(trial.run(&["names", "installed", "x"]).unwrap(), "");
        trial.publish("git");
        assert_eq!(trial.run(&["names", "known"]).unwrap(), "bash\ngit\nlibc6\n");
        assert_eq!(trial.run(&["names", "installed"]).unwrap(), "bash\nlibc6\n");
        std::fs::remove_dir_all(trial.below("/usr/lib/preon")).unwrap();
        std::fs::remove_dir_all(trial.below("/var")).unwrap();
        assert_eq!(trial.run(&["names", "known"]).unwrap(), "");
    }
}
