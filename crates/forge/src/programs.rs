//! Our own programs that go into images: compiled in the build root, against Debian 13's C library,
//! with this machine's Rust.

mod words;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base::child::{self, ChildError};
use base::digest::Hasher;
use base::file::{self, FileError};
use base::progress::Unit;
use base::{Digest, Explain, Failure};

use serde::Deserialize;

use crate::cache::Kind;
use crate::context::Context;
use crate::sandbox::{Bind, Inside};
use crate::tools::ToolRoot;

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Rises when the way of building changes in a way that the key below does not see.
const METHOD: &[u8] = b"2";

/// Why a program of ours could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    #[error("cannot fetch the crates that {name} is made of")]
    Fetch { name: &'static str, source: ChildError },
    #[error("cannot compile {name}")]
    Compile { name: &'static str, source: ChildError },
    #[error("cannot ask rustc where it is installed")]
    Rust { source: ChildError },
    #[error("cannot ask {name} for its manual and for what shells complete")]
    Words { name: &'static str, source: ChildError },
}

impl Explain for ProgramError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Fetch { .. } => Some("check that the crate registry can be reached".into()),
            Self::Compile { name, .. } => {
                Some(format!("`cargo build -p {name}` shows the same error with less around it"))
            }
            Self::Rust { .. } => Some("install Rust with rustup".into()),
            Self::Words { .. } => None, // the program's own message says it
        }
    }
}

/// A program of ours that images have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Program {
    /// PID 1 of the initrd: static, for nothing is beside it.
    PreonInit,
    /// The operator's program.
    Preon,
}

impl Program {
    /// What it is called, as the crate that it is made of.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PreonInit => "preon-init",
            Self::Preon => "preon",
        }
    }

    /// The other crates of ours that it is made of.
    fn crates(self) -> &'static [&'static str] {
        match self {
            Self::PreonInit => &["base", "formats", "sys", "generations"],
            Self::Preon => {
                &["base", "formats", "sys", "generations", "packages", "compose", "host"]
            }
        }
    }

    fn rust_flags(self) -> &'static str {
        match self {
            Self::PreonInit => "-C target-feature=+crt-static",
            Self::Preon => "",
        }
    }
}

/// A program of ours as it was built, with what it says of itself. Files lie at the paths that they have on the host.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    folder: PathBuf,
    name: &'static str,
}

impl Built {
    /// The folder with the program, in `usr/bin`, and with what completes its command line in shells.
    pub(crate) fn program(&self) -> PathBuf {
        self.folder.join("program")
    }

    /// The folder with its man pages, if it has any.
    pub(crate) fn manual(&self) -> PathBuf {
        self.folder.join("manual")
    }

    /// The program itself.
    pub(crate) fn path(&self) -> PathBuf {
        self.program().join("usr/bin").join(self.name)
    }
}

/// A program of ours; built now unless the cache has it.
///
/// # Errors
///
/// [`ProgramError`], or what the build root fails with.
pub(crate) fn built(context: &Context, program: Program) -> Result<Built, Failure> {
    let name = program.name();
    let root = ToolRoot::open(context, "build")?;
    let key = key(context, &root, program)?;
    let folder = context.cache.folder(Kind::Programs, &key, |folder| {
        let task = context.progress.begin(&format!("compiling {name}"), None, Unit::Nothing);
        fetch(context, name)?;
        let target = folder.join("target");
        file::create_dir_all(&target)?;
        compile(context, &root, &target, program)?;
        let compiled = target.join(TARGET).join("image").join(name);
        let built = Built { folder: folder.to_owned(), name };
        file::create_dir_all(&built.program().join("usr/bin"))?;
        fs::rename(&compiled, built.path()).map_err(FileError::at("move", &compiled))?;
        fs::remove_dir_all(&target).map_err(FileError::at("remove", &target))?;
        if program == Program::Preon {
            words::write(&root, &built)?;
        }
        drop(task);
        Ok(())
    })?;
    Ok(Built { folder, name })
}

fn fetch(context: &Context, name: &'static str) -> Result<(), ProgramError> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&context.root).args(["fetch", "--locked", "--quiet", "--target", TARGET]);
    if context.offline {
        cargo.arg("--offline");
    }
    child::run(&mut cargo).map_err(|source| ProgramError::Fetch { name, source })?;
    Ok(())
}

fn compile(
    context: &Context,
    root: &ToolRoot,
    target: &Path,
    program: Program,
) -> Result<(), Failure> {
    let name = program.name();
    let binds = [
        Bind::read_only(&context.root, "/build/src"),
        Bind::read_only(&sysroot()?, "/build/rust"),
        Bind::read_only(&context.cargo_home.join("registry"), "/build/cargo/registry"),
        Bind::writable(target, "/build/target"),
    ];
    let environment = [
        ("CARGO_HOME", "/build/cargo"),
        ("CARGO_TARGET_DIR", "/build/target"),
        ("PATH", "/build/rust/bin:/usr/bin"),
        ("RUSTFLAGS", program.rust_flags()),
    ];
    let inside = Inside { binds: &binds, environment: &environment, folder: "/build/src" };
    let mut cargo = root.command("/build/rust/bin/cargo", &inside);
    cargo.args(["build", "--locked", "--offline", "--quiet", "--profile", "image"]).args([
        "--target",
        TARGET,
        "--package",
        name,
    ]);
    child::run(&mut cargo).map_err(|source| ProgramError::Compile { name, source })?;
    Ok(())
}

/// Everything that the bytes of a program follow from.
fn key(context: &Context, root: &ToolRoot, program: Program) -> Result<Digest, Failure> {
    let mut hasher = Hasher::default();
    hasher.field(METHOD).field(root.identity().as_bytes());
    hasher.field(program.rust_flags().as_bytes());
    let version = child::run(Command::new("rustc").arg("-vV"));
    hasher.field(&version.map_err(|source| ProgramError::Rust { source })?);
    for path in ["Cargo.toml", "Cargo.lock"] {
        hasher.field(&file::read(&context.root.join(path))?);
    }
    for name in program.crates().iter().copied().chain([program.name()]) {
        hash_folder(&context.root.join("crates").join(name), &mut hasher)?;
    }
    Ok(hasher.finish())
}

/// Adds the names and contents of all files below `folder`, in the order of their names.
pub(crate) fn hash_folder(folder: &Path, hasher: &mut Hasher) -> Result<(), FileError> {
    let entries = fs::read_dir(folder).map_err(FileError::at("read", folder))?;
    let entries = entries.collect::<Result<Vec<_>, _>>().map_err(FileError::at("read", folder))?;
    let mut paths: Vec<_> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        hasher.field(path.file_name().unwrap_or_default().as_encoded_bytes());
        if path.is_dir() {
            hash_folder(&path, hasher)?;
        } else {
            hasher.field(&file::read(&path)?);
        }
    }
    Ok(())
}

fn sysroot() -> Result<PathBuf, ProgramError> {
    let output = child::run(Command::new("rustc").args(["--print", "sysroot"]));
    let output = output.map_err(|source| ProgramError::Rust { source })?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output).trim()))
}
