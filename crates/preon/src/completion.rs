//! `preon completion`: what a shell needs to complete preon's command line.

use std::io::Write;

use base::Failure;
use base::file::FileError;
use clap::{Command, CommandFactory};
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
        clap_complete::generate(self.shell, &mut shown(), "preon", &mut script);
        let script = String::from_utf8_lossy(&script);
        let script = match self.shell {
            Shell::Bash => bash(&script),
            Shell::Zsh => zsh(&script),
            Shell::Fish => fish(&script),
            _ => script.into_owned(),
        };
        Ok(out
            .write_all(script.as_bytes())
            .map_err(FileError::at("write to", "standard output"))?)
    }
}

/// The verbs whose arguments are names of installed packages.
const INSTALLED: [&str; 8] =
    ["advisories", "downgrade", "files", "mark", "pin", "remove", "unpin", "upgrade"];
/// The verbs whose arguments are names of any packages.
const KNOWN: [&str; 5] = ["depends", "download", "info", "install", "provides"];

/// Those of them that take paths, too.
const PATHS: [&str; 2] = ["files", "provides"];

/// The command line without what nobody types: the generators do not leave it out.
fn shown() -> Command {
    let all = Preon::command();
    let subcommands = all.get_subcommands().filter(|it| !it.is_hide_set()).cloned();
    let about = all.get_about().cloned().unwrap_or_default();
    Command::new("preon")
        .about(about)
        .version(env!("CARGO_PKG_VERSION"))
        .args(all.get_arguments().cloned())
        .subcommands(subcommands)
}

/// Lets the generated function come first, and puts names in the place of what it says where an argument is one. Paths are
/// completed by bash, and what an option takes as before.
fn bash(script: &str) -> String {
    let mut function = String::from(
        r#"
_preon_with_names() {
    _preon "$@"
    local word verb="" skip=""
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        if [ -n "$skip" ]; then skip=""; continue; fi
        case "$word" in
            --root) skip=1 ;;
            -* | plan | mark) ;;
            *) verb="$word"; break ;;
        esac
    done
    case "$3" in --root | --to) return ;; esac
    case "$2" in -* | /* | ./* | ../*) return ;; esac
    case "$verb" in
"#,
    );
    let verbs = |all: &[&str]| all.join(" | ");
    // Behind `mark` is first how.
    let installed = verbs(&INSTALLED).replace("mark", "asked | automatic");
    for (verbs, which) in [(installed, "installed"), (verbs(&KNOWN), "known")] {
        let names = format!(r#"COMPREPLY=($("$1" names {which} "$2" 2>/dev/null))"#);
        function += &format!("        {verbs}) {names} ;;\n");
    }
    function += "    esac\n}\n";
    let script = script.replace("complete -F _preon ", "complete -F _preon_with_names ");
    format!("{script}{function}")
}

/// Lets a function of ours complete the arguments for which the generator knows none.
///
/// Source: zshcompsys(1), `_arguments`: an action that is a function is called with what `compadd` is to be given before
/// its own arguments.
fn zsh(script: &str) -> String {
    const FUNCTION: &str = r#"(( $+functions[_preon_names] )) ||
_preon_names() {
    if [[ "$PREFIX" == (/*|./*|../*) ]]; then _files; return; fi
    local -a names
    names=(${(f)"$(_call_program packages preon names ${@[-1]} ${(q)PREFIX} 2>/dev/null)"})
    compadd "${@[1,-2]}" -a names
}

if [ "$funcstack[1]" = "_preon" ]"#;
    let mut verb = "";
    let mut lines = Vec::new();
    for line in script.lines() {
        let block = line.trim_start().strip_prefix('(').and_then(|it| it.strip_suffix(')'));
        verb = block.unwrap_or(verb);
        let which = match verb {
            verb if INSTALLED.contains(&verb) => "installed",
            verb if KNOWN.contains(&verb) => "known",
            _ => "",
        };
        // `repo remove` and `hold remove` take other names.
        let mut starts = ["'*::package", "'::package", "':package"].iter();
        let is_package = PATHS.contains(&verb) || starts.any(|start| line.starts_with(start));
        lines.push(match line.strip_suffix(":_default' \\") {
            Some(start) if is_package && !which.is_empty() => {
                format!("{start}:_preon_names {which}' \\")
            }
            _ => line.to_owned(),
        });
    }
    let script = lines.join("\n") + "\n";
    script.replace(r#"if [ "$funcstack[1]" = "_preon" ]"#, FUNCTION)
}

/// Adds a line for each verb, and for each one behind `plan`.
fn fish(script: &str) -> String {
    let mut lines = script.to_owned();
    for (verbs, which) in [(&INSTALLED[..], "installed"), (&KNOWN[..], "known")] {
        for verb in verbs {
            let files = if PATHS.contains(verb) { "" } else { " -f" };
            let behind = match *verb {
                "mark" => "; and __fish_seen_subcommand_from asked automatic",
                _ => "",
            };
            lines += &format!(
                "complete -c preon -n \"__fish_preon_using_subcommand {verb}{behind}\"{files} -a \
                 \"(preon names {which} (commandline -ct) 2>/dev/null)\"\n"
            );
        }
    }
    for (verb, which) in [("install", "known"), ("remove upgrade downgrade", "installed")] {
        lines += &format!(
            "complete -c preon -n \"__fish_preon_using_subcommand plan; and __fish_seen_subcommand_from {verb}\" -f -a \
             \"(preon names {which} (commandline -ct) 2>/dev/null)\"\n"
        );
    }
    let how = "asked automatic";
    lines += &format!(
        "complete -c preon -n \"__fish_preon_using_subcommand mark; and not __fish_seen_subcommand_from {how}\" -f -a \"{how}\"\n"
    );
    lines
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
             _preon_with_names preon rollb preon; echo ${{COMPREPLY[@]}}; complete -p preon"
        );
        let mut bash = Program::new("bash").command();
        let printed = child::run(bash.args(["--norc", "-c", &call])).unwrap();
        let printed = String::from_utf8(printed).unwrap();
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!(lines[..3], ["complete -F _preon_load preon", "124", "rollback"], "{printed}");
        assert!(lines[3].contains("-F _preon_with_names "), "{printed}");
    }

    /// The words that bash offers behind `words`, of which the last one is begun.
    fn offered(words: &[&str]) -> String {
        let mut script = Vec::new();
        Completion { shell: Shell::Bash }.run(&mut script).unwrap();
        let script = String::from_utf8(script).unwrap();
        let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
        let call = format!(
            "preon() {{ echo \"<$@>\"; }}\n{script}\nCOMP_WORDS=(preon {}) COMP_CWORD={}\n\
             _preon_with_names preon '{last}' '{before}'; echo \"${{COMPREPLY[*]}}\"",
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.len(),
        );
        let mut bash = Program::new("bash").command();
        let printed = child::run(bash.args(["--norc", "-c", &call])).unwrap();
        String::from_utf8(printed).unwrap().trim_end().to_owned()
    }

    #[test]
    fn bash_completes_names_of_packages_where_an_argument_is_one() {
        #[rustfmt::skip]
        let cases: [(&[&str], &str); 9] = [
            (&["install", "gi"],                   "<names known gi>"),
            (&["remove", "bash", ""],              "<names installed >"),
            (&["--root", "/x", "info", "b"],       "<names known b>"),
            (&["plan", "--json", "upgrade", "b"],  "<names installed b>"),
            (&["mark", "asked", "b"],              "<names installed b>"),
            (&["mark", "as"],                      "asked"),
            (&["remove", "--casc"],                "--cascade"),
            (&["plan", "rem"],                     "remove"),
            (&["provides", "/usr/bin/pre"],        ""), // bash's own completion of files
        ];
        for (words, expected) in cases {
            assert_eq!(offered(words), expected, "{words:?}");
        }
        assert!(!offered(&["download", "--to", "b"]).contains("names"));
    }

    #[test]
    fn each_verb_whose_argument_is_a_package_completes_names_in_every_shell() {
        let script = |shell| {
            let mut script = Vec::new();
            Completion { shell }.run(&mut script).unwrap();
            String::from_utf8(script).unwrap()
        };
        let [bash, zsh, fish] = [Shell::Bash, Shell::Zsh, Shell::Fish].map(script);
        let (all, mut verbs) = (Preon::command(), Vec::new());
        for verb in all.get_subcommands() {
            let names = |it: &&clap::Arg| it.get_value_names().unwrap_or_default().concat();
            if verb.get_positionals().any(|it| {
                let name = names(&it);
                name.contains("PACKAGE") || name.ends_with("|PATH")
            }) {
                verbs.push(verb.get_name());
            }
        }
        let mut expected = [&INSTALLED[..], &KNOWN[..]].concat();
        expected.sort_unstable();
        verbs.sort_unstable();
        assert_eq!(verbs, expected);
        for verb in verbs {
            let which = if INSTALLED.contains(&verb) { "installed" } else { "known" };
            let line = format!("using_subcommand {verb}");
            let is_it = |it: &&str| it.contains(&line) && it.contains(&format!("names {which} "));
            assert_eq!(fish.lines().filter(is_it).count(), 1, "{verb}");
            let block = zsh.split(&format!("\n({verb})\n")).nth(1).unwrap();
            let block = block.split("\n;;").next().unwrap();
            assert!(block.contains(&format!(":_preon_names {which}'")), "{verb}: {block}");
        }
        let plan = zsh.split("preon-plan-command").nth(1).unwrap();
        assert!(plan.split("\n;;").next().unwrap().contains(":_preon_names known'"));
        assert!(!zsh.contains("What it is called:_preon_names")); // `repo remove`
        // Nobody types what shells ask.
        for (script, word) in [(&bash, "preon,names"), (&zsh, "'names:"), (&fish, "-a \"names\"")] {
            assert!(!script.contains(word), "{word}");
        }
    }
}
