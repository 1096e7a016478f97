//! The build machine's program, and what it keeps between builds.

use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use crate::{Manifest, json, run};

/// The optimised `forge`, built now if need be.
///
/// # Panics
///
/// If it cannot be built.
pub fn program() -> PathBuf {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
    }
    let mut build = Command::new(env!("CARGO"));
    // What cargo tells us of this package is not for the next: build scripts that read it (ring's)
    // would run again, and half of forge be compiled again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.starts_with(start)) {
            build.env_remove(&*name);
        }
    }
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    build.args(["build", "--quiet", "--release", "-p", "forge", "--message-format=json"]);
    let messages = run(&mut build);
    let executable = |line: &str| json::<Message>(line.as_bytes()).executable;
    messages.lines().find_map(executable).expect("cargo names the program that it built")
}

/// The folder of the cache.
///
/// # Panics
///
/// If `forge` does not say.
pub fn cache() -> PathBuf {
    #[derive(Deserialize)]
    struct Row {
        folder: PathBuf,
    }
    let mut show = Command::new(program());
    show.args(["cache", "show", "--json"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let rows: Vec<Row> = json(run(&mut show).as_bytes());
    let folder = rows.first().and_then(|row| row.folder.parent());
    folder.expect("a folder for each kind").to_owned()
}

/// `fsck.erofs` of the suite that the image with this manifest was made with: older ones cannot
/// read its compression.
///
/// # Panics
///
/// If the cache does not have it.
pub fn fsck_erofs(manifest: &Manifest) -> Command {
    let identity = &manifest.tools["image-root"];
    let root = cache().join("roots").join(&identity[..12]);
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
    command.arg("--library-path").arg(&libraries).arg(root.join("usr/bin/fsck.erofs"));
    command
}
