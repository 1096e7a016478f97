//! `preon man`: man pages from the same words as `--help`.

use std::io::Write;
use std::path::PathBuf;

use base::Failure;
use base::file::{self, FileError};
use clap::CommandFactory;

use crate::Preon;

/// Write the man pages, one for each command, into a folder: `man -l FOLDER/preon.1`
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// The folder, made where it is missing
    folder: PathBuf,
}

impl Man {
    pub(crate) fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let Self { folder } = self;
        file::create_dir_all(folder)?;
        clap_mangen::generate_to(Preon::command(), folder)
            .map_err(FileError::at("write man pages to", folder))?;
        writeln!(out, "{}", folder.join("preon.1").display())
            .map_err(FileError::at("write to", "standard output"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_says_what_the_exit_status_means_and_each_command_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        Man { folder: dir.path().join("man1") }.run(&mut Vec::new()).unwrap();
        let page = |name: &str| file::read_text(&dir.path().join("man1").join(name)).unwrap();
        let status = "Exit status: 0 done, 1 failed, 2 misused, 3 somebody else changes the host";
        assert!(page("preon.1").contains(status));
        assert!(page("preon-rollback.1").contains("\\-\\-dry\\-run"));
    }
}
