//! `preon completion`: what a shell needs to complete preon's command line.

use std::io::Write;

use base::Failure;
use base::file::FileError;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::Preon;

/// Print the completion script of a shell: `source <(preon completion bash)`
#[derive(Debug, clap::Args)]
pub(crate) struct Completion {
    /// The shell
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        // clap_complete panics where it cannot write, as into the pipe of a reader that has gone.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Preon::command(), "preon", &mut script);
        Ok(out.write_all(&script).map_err(FileError::at("write to", "standard output"))?)
    }
}

#[cfg(test)]
mod tests {
    use base::child::{self, Program};
    use clap::ValueEnum;

    use super::*;

    /// What login shells read, as the package has it.
    const PROFILE: &str = include_str!("../../../os/packages/preon/files/etc/profile.d/preon.sh");

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            Completion { shell: *shell }.run(&mut script).unwrap();
            assert!(String::from_utf8(script).unwrap().contains("rollback"), "{shell}");
        }
    }

    #[test]
    fn a_login_shell_completes_preon_from_the_first_tab_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("preon");
        let mut script = Vec::new();
        Completion { shell: Shell::Bash }.run(&mut script).unwrap();
        base::file::replace(&path, &script).unwrap();
        let place = "/usr/share/bash-completion/completions/preon";
        assert!(PROFILE.contains(place));
        let profile = PROFILE.replace(place, path.to_str().unwrap());
        let call = format!(
            "{profile}\ncomplete -p preon; _preon_load; echo $?; COMP_WORDS=(preon rollb) COMP_CWORD=1\n\
             _preon preon rollb preon; echo ${{COMPREPLY[@]}}; complete -p preon"
        );
        let mut bash = Program::new("bash").command();
        let printed = child::run(bash.args(["--norc", "-c", &call])).unwrap();
        let printed = String::from_utf8(printed).unwrap();
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!(lines[..3], ["complete -F _preon_load preon", "124", "rollback"], "{printed}");
        assert!(lines[3].contains("-F _preon preon"), "{printed}");
    }
}
