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
pub(super) fn program() -> Result<Vec<u8>> {
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

/// The initrd: the init, the modules, and what it is to do with them.
pub(super) fn archive(program: &[u8], root: &Root, modules: &[PathBuf]) -> Result<Vec<u8>> {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let names: Vec<String> = modules.iter().filter_map(|path| name(path)).collect();
    let list: String = names.iter().map(|name| format!("/{name}\n")).collect();
    let mut archive = Writer::new(Vec::new());
    for folder in ["dev", "proc", "root", "sys"] {
        archive.entry(folder, 0o755, Kind::Folder)?;
    }
    archive.entry("init", 0o755, Kind::File(program))?;
    archive.entry("modules", 0o644, Kind::File(list.as_bytes()))?;
    archive.entry("verity", 0o644, Kind::File(root.target.as_bytes()))?;
    for (path, name) in modules.iter().zip(&names) {
        let module = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        archive.entry(name, 0o644, Kind::File(&module))?;
    }
    archive.finish().context("cannot write an initrd")
}
