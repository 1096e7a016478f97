//! Debian 13's QEMU, whatever machine measures: its processor has the SHA instructions that servers'
//! have (AMD since 2017, Intel since 2021), unlike Debian 12's, and the count depends on them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::unpacked::Unpacked;

/// Runs QEMU with its own loader, libraries, modules and firmware, wherever its folder lies.
const RUN: &str = r#"#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/root/usr
libraries=$root/lib/x86_64-linux-gnu
export QEMU_MODULE_DIR=$libraries/qemu
exec "$root/lib64/ld-linux-x86-64.so.2" --library-path "$libraries:$libraries/pulseaudio" \
    "$root/bin/qemu-system-x86_64" -L "$root/share/qemu" -L "$root/share/seabios" "$@"
"#;

const QEMU: Unpacked = Unpacked { name: "qemu-13", what: "QEMU", packages: "qemu-system-x86" };

/// The program.
pub(super) fn program() -> Result<PathBuf> {
    let folder = QEMU.folder(|folder| {
        let program = folder.join("qemu");
        fs::write(&program, RUN).context("cannot write how QEMU is run")?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
            .context("cannot make a program of it")
    })?;
    Ok(folder.join("qemu"))
}
