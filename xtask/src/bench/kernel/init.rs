//! What both kernels start: the init, in an initrd.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use formats::cpio::{Kind, Writer};
use serde::Deserialize;

use super::root::Root;
use crate::command;

const EXAMPLE: &str = "kernel_bench_init";
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Compiles the init, an example of `sys`, as preon-init is: static, with the same profile.
pub(in crate::bench) fn program() -> Result<Vec<u8>> {
    let mut cargo =
        command::cargo(&["build", "--locked", "--package", "sys", "--example", EXAMPLE]);
    cargo.args(["--profile", "image", "--target", TARGET]);
    // With `--target`, build scripts and macros are compiled without this.
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    command::run(&mut cargo)?;
    let path = target_folder()?.join(TARGET).join("image/examples").join(EXAMPLE);
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

fn target_folder() -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let mut cargo = command::cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Metadata =
        serde_json::from_str(&command::read(&mut cargo)?).context("cannot read cargo metadata")?;
    Ok(metadata.target_directory)
}

/// What the init is to do.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Work<'a> {
    /// The root that it mounts.
    pub(in crate::bench) root: &'a Root,
    /// The modules that it loads before, in their order.
    pub(in crate::bench) modules: &'a [PathBuf],
    /// What it runs in the root: one line each, a name, a tab, a program and its arguments.
    pub(in crate::bench) commands: Option<&'a str>,
}

/// The initrd: the init `program`, and what it is to do.
pub(in crate::bench) fn archive(program: &[u8], work: Work<'_>) -> Result<Vec<u8>> {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let names: Vec<String> = work.modules.iter().filter_map(|path| name(path)).collect();
    let list: String = names.iter().map(|name| format!("/{name}\n")).collect();
    let mut archive = Writer::new(Vec::new());
    for folder in ["dev", "proc", "root", "sys"] {
        archive.entry(folder, 0o755, Kind::Folder)?;
    }
    archive.entry("init", 0o755, Kind::File(program))?;
    archive.entry("modules", 0o644, Kind::File(list.as_bytes()))?;
    archive.entry("verity", 0o644, Kind::File(work.root.target.as_bytes()))?;
    if let Some(commands) = work.commands {
        archive.entry("commands", 0o644, Kind::File(commands.as_bytes()))?;
    }
    for (path, name) in work.modules.iter().zip(&names) {
        let module = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        archive.entry(name, 0o644, Kind::File(&module))?;
    }
    archive.finish().context("cannot write an initrd")
}
