//! `forge man`: man pages from the same words as `--help`.

use std::io::Write;
use std::path::PathBuf;

use base::Failure;
use base::file::{self, FileError};
use clap::CommandFactory;

use crate::Forge;

/// Write the man pages, one for each command, into a folder: `man -l FOLDER/forge.1`
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// The folder, made where it is missing
    folder: PathBuf,
}

impl Man {
    pub(crate) fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let Self { folder } = self;
        file::create_dir_all(folder)?;
        clap_mangen::generate_to(Forge::command(), folder)
            .map_err(FileError::at("write man pages to", folder))?;
        writeln!(out, "{}", folder.join("forge.1").display())
            .map_err(FileError::at("write to", "standard output"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_that_says_what_its_help_says() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("man1");
        let mut out = Vec::new();
        Man { folder: folder.clone() }.run(&mut out).unwrap();
        assert_eq!(out, format!("{}/forge.1\n", folder.display()).into_bytes());

        let page = |name: &str| file::read_text(&folder.join(name)).unwrap();
        assert!(page("forge.1").contains("forge\\-image(1)"), "{}", page("forge.1"));
        let build = page("forge-image-build.1");
        for text in ["Build an image", "\\-\\-release", "The image\\*(Aqs name"] {
            assert!(build.contains(text), "no {text} in {build}");
        }
    }
}
