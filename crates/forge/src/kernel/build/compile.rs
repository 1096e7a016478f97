//! Compiling a configured kernel, the same bytes each time.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use base::digest::Hasher;
use base::file::FileError;
use base::progress::{Task, Unit};
use base::{Digest, child, file};

use super::{BuildError, Site, TIMESTAMP};
use crate::sandbox::Bind;

/// What is compiled.
pub(super) struct Job<'a> {
    /// The version that `uname -v` shows.
    pub(super) version: &'a str,
    /// The build's key, which the randomised parts follow from.
    pub(super) key: Digest,
    /// Whether there are modules.
    pub(super) modules: bool,
}

impl Job<'_> {
    /// How many C files are compiled; counted in builds of 6.12.118. Only progress depends on it.
    fn objects(&self) -> u64 {
        if self.modules { 4300 } else { 2850 }
    }

    fn targets(&self) -> &'static [&'static str] {
        if self.modules { &["bzImage", "modules"] } else { &["bzImage"] }
    }
}

/// Compiles `arch/x86/boot/bzImage`, and the modules into `modules.tar`.
pub(super) fn compile(site: &Site<'_>, job: &Job<'_>) -> Result<(), BuildError> {
    let seed = seed(job.key);
    file::replace(&site.out().join("randstruct-seed.sh"), seed_script(seed).as_bytes())?;
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    let mut make = site.make();
    make.args([format!("-j{jobs}"), format!("KBUILD_BUILD_VERSION={}", job.version)]);
    make.args([
        &format!("KBUILD_BUILD_TIMESTAMP={TIMESTAMP}"),
        "KBUILD_BUILD_USER=preon",
        "KBUILD_BUILD_HOST=preon",
        // Kbuild makes a random seed by this script, whose name is a variable of its makefile.
        "gen-randstruct-seed=/build/out/randstruct-seed.sh",
        // Without the seed the latent entropy plugin takes its constants from /dev/urandom. GCC 14
        // warns of a copy in kernel/padata.c that cannot happen, and WERROR would stop there.
        &format!(
            "KCFLAGS=-frandom-seed=0x{} -Wno-error=stringop-overread",
            &seed.to_string()[..16]
        ),
    ]);
    make.args(job.targets());
    let count = Some(job.objects());
    let task = site.progress.begin("compiling the kernel", count, Unit::Count("files"));
    let (status, output) =
        watch(make, task.as_ref()).map_err(|source| BuildError::Start { source })?;
    if !status.success() {
        return Err(BuildError::Compile { status, output: output.to_string() });
    }
    if job.modules { pack_modules(site) } else { Ok(()) }
}

/// Packs the modules without their debugging information, always in the same way.
fn pack_modules(site: &Site<'_>) -> Result<(), BuildError> {
    let run = |command: &mut Command| {
        child::run(command).map(drop).map_err(|source| BuildError::Modules { source })
    };
    let install = ["INSTALL_MOD_PATH=/build/out/install", "INSTALL_MOD_STRIP=1"];
    run(site.make().arg("-s").args(install).arg("modules_install"))?;
    throw_key_away(site)?;
    let binds = [Bind::writable(&site.out(), "/build/out")];
    run(site.sandbox.command("tar", &binds).args([
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mtime=@0",
        "--exclude=lib/modules/*/build", // leads to the folder of this build
        "-C",
        "/build/out/install",
        "-cf",
        "/build/out/modules.tar",
        "lib",
    ]))
}

/// Removes the key that has signed the modules: nobody signs another for this kernel, even where the build
/// is cut off before its folder is cleared.
fn throw_key_away(site: &Site<'_>) -> Result<(), BuildError> {
    let path = site.out().join("certs/signing_key.pem");
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::at("remove", path)(error).into())
        }
        _ => Ok(()),
    }
}

/// What structures are shuffled by: follows from the inputs, so that the same inputs give the same
/// bytes. Whoever has the inputs of a published image can compute it; who has only the host cannot.
fn seed(key: Digest) -> Digest {
    let mut hasher = Hasher::default();
    hasher.field(b"randstruct").field(key.as_bytes());
    hasher.finish()
}

/// A stand-in for the source's scripts/gen-randstruct-seed.sh, which draws a random seed.
///
/// Source: that script; Documentation/kbuild/reproducible-builds.rst, "Structure randomisation".
fn seed_script(seed: Digest) -> String {
    let hash = Digest::of(seed.to_string().as_bytes());
    format!("echo {seed} > \"$1\"\necho '#define RANDSTRUCT_HASHED_SEED \"{hash}\"' > \"$2\"\n")
}

/// Runs `command`, counting what it compiles, and returns what matters of its output.
fn watch(mut command: Command, task: &dyn Task) -> io::Result<(ExitStatus, Excerpt)> {
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    drop(command); // closes our ends of the pipe: reading ends when the build does
    let mut excerpt = Excerpt::default();
    for line in BufReader::new(reader).split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line);
        if line.trim_start().starts_with("CC ") {
            task.advance(1);
        }
        excerpt.add(&line);
    }
    Ok((child.wait()?, excerpt))
}

/// The errors in a build's output, and its last lines.
#[derive(Default)]
struct Excerpt {
    errors: Vec<String>,
    last: VecDeque<String>,
}

impl Excerpt {
    fn add(&mut self, line: &str) {
        // With several jobs the error is followed by what the others still print.
        if line.contains("error:") && self.errors.len() < 10 {
            self.errors.push(line.to_owned());
        } else {
            if self.last.len() == 15 {
                self.last.pop_front();
            }
            self.last.push_back(line.to_owned());
        }
    }
}

impl std::fmt::Display for Excerpt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines = self.errors.iter().chain(&self.last);
        f.write_str(&lines.map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n"))
    }
}
