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
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            Completion { shell: *shell }.run(&mut script).unwrap();
            assert!(String::from_utf8(script).unwrap().contains("rollback"), "{shell}");
        }
    }
}
