//! `forge completion`: what a shell needs to complete forge's command line.

use std::io::Write;

use base::Failure;
use base::file::FileError;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::Forge;

/// Print the completion script of a shell: `source <(forge completion bash)`
#[derive(Debug, clap::Args)]
pub(crate) struct Completion {
    /// The shell
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        // clap_complete panics where it cannot write, as into the pipe of a reader that has gone.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Forge::command(), "forge", &mut script);
        Ok(out.write_all(&script).map_err(FileError::at("write to", "standard output"))?)
    }
}

#[cfg(test)]
mod tests {
    use base::child::{self, Program};

    use super::*;

    fn script(shell: Shell) -> String {
        let mut script = Vec::new();
        Completion { shell }.run(&mut script).unwrap();
        String::from_utf8(script).unwrap()
    }

    #[test]
    fn bash_completes_commands_and_options() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("forge.bash");
        std::fs::write(&path, script(Shell::Bash)).unwrap();
        #[rustfmt::skip]
        let cases = [
            ("forge im",                  "image"),
            ("forge image bu",            "build"),
            ("forge image build x --rel", "--release"),
            ("forge cache clear kern",    "kernel"),
        ];
        for (line, expected) in cases {
            let words: Vec<_> = line.split(' ').collect();
            let [.., before, last] = words[..] else { panic!("{line}") };
            let call = format!(
                ". {}; COMP_WORDS=({line}) COMP_CWORD={}; _forge forge {last} {before}; echo ${{COMPREPLY[@]}}",
                path.display(),
                words.len() - 1,
            );
            let printed = child::run(Program::new("bash").command().args(["-c", &call])).unwrap();
            assert_eq!(String::from_utf8(printed).unwrap().trim(), expected, "{line}");
        }
    }

    #[test]
    fn zsh_and_fish_get_scripts_of_their_own() {
        assert!(script(Shell::Zsh).starts_with("#compdef forge"));
        assert!(script(Shell::Fish).contains("complete -c forge "));
    }
}
