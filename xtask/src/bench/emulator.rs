//! Debian 13's QEMU, whatever machine measures: its processor has the SHA instructions that servers'
//! have (AMD since 2017, Intel since 2021), unlike Debian 12's, and the count depends on them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use testkit::debian;

use crate::{command, progress};

/// Runs QEMU with its own loader, libraries, modules and firmware, wherever its folder lies.
const RUN: &str = r#"#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/root/usr
libraries=$root/lib/x86_64-linux-gnu
export QEMU_MODULE_DIR=$libraries/qemu
exec "$root/lib64/ld-linux-x86-64.so.2" --library-path "$libraries:$libraries/pulseaudio" \
    "$root/bin/qemu-system-x86_64" -L "$root/share/qemu" -L "$root/share/seabios" "$@"
"#;

/// The program; unpacked once, below `target/`.
pub(super) fn program() -> Result<PathBuf> {
    let folder = command::workspace().join("target/bench/qemu-13");
    let program = folder.join("qemu");
    if !program.exists() {
        progress::show("unpacking Debian 13's QEMU", || make(&folder))?;
    }
    Ok(program)
}

fn make(folder: &Path) -> Result<()> {
    let parent = folder.parent().unwrap_or(folder);
    fs::create_dir_all(parent).context("cannot make target/bench")?;
    let staging = tempfile::tempdir_in(parent).context("cannot make a folder in target/bench")?;
    let options = ["--quiet", "--variant=extract", "--include=qemu-system-x86"];
    let mut bootstrap = command::program("mmdebstrap", &options);
    bootstrap.args(["trixie", "root"]).args(debian::sources()?);
    command::read(bootstrap.current_dir(staging.path()))?;
    let program = staging.path().join("qemu");
    fs::write(&program, RUN).context("cannot write how QEMU is run")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .context("cannot make a program of it")?;
    fs::rename(staging.keep(), folder).context("cannot put QEMU in its place")
}
