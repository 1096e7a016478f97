//! Starting cargo, forge and other programs in the checkout.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The checkout.
pub(crate) fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// A program to be run in the checkout.
pub(crate) fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(workspace());
    command
}

/// `cargo` as it was called for this program.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = program(&cargo, arguments);
    // What cargo tells us of this package is not for the next: build scripts that read it (ring's)
    // would run again each time, and half of forge be compiled again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.starts_with(start)) {
            command.env_remove(&*name);
        }
    }
    command
}

/// `cargo` of the toolchain `nightly`, which fuzzing needs.
pub(crate) fn cargo_nightly(arguments: &[&str]) -> Command {
    let mut command = program("rustup", &["run", "nightly", "cargo"]);
    // Set by the cargo that runs this program; they would pin the other toolchain again.
    command.args(arguments).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    command
}

/// `forge`, optimised.
pub(crate) fn forge(arguments: &[&str]) -> Command {
    let mut command = cargo(&["run", "--quiet", "--release", "-p", "forge", "--"]);
    command.args(arguments);
    command
}

/// Runs a command; all that it prints goes to standard error, which leaves standard output to
/// what this program itself has to say.
///
/// # Errors
///
/// If it cannot be started or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let words = words(command);
    let status = command
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot start `{words}`"))?;
    if !status.success() {
        bail!("`{words}` failed with {status}");
    }
    Ok(())
}

/// Runs a command and gives back what it prints on standard output.
///
/// # Errors
///
/// If it cannot be started or fails, with what it printed.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let words = words(command);
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start `{words}`"))?;
    if !output.status.success() {
        let printed = [output.stdout, output.stderr].concat();
        bail!("`{words}` failed with {}\n{}", output.status, String::from_utf8_lossy(&printed));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as a person would type it; the beginning of a long one.
fn words(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words: Vec<_> =
        std::iter::once(name).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    let line = words.join(" ");
    match line.char_indices().nth(200) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}

/// Whether a program is on the search path.
pub(crate) fn exists(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
