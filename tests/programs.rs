//! Every program in the image starts, tried in a sandbox that holds nothing but the layer.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use system_tests::open;

/// How many seconds a program gets. One that still runs then has started.
const LIMIT: &str = "5";
/// What `timeout` says when it had to end the program, with its first signal and with its last.
///
/// Source: timeout(1).
const ENDED: [i32; 2] = [124, 137];
/// Not found, not executable; and dead of SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV or
/// SIGSYS.
const NOT_STARTED: [i32; 9] = [126, 127, 132, 133, 134, 135, 136, 139, 159];
/// What the loader says, whatever the program makes of it.
const LOADER: [&str; 3] =
    ["error while loading shared libraries", "symbol lookup error", "no version information"];

/// All that is curated, in one layer.
const EVERYTHING: &str = "everything";

/// A layer, unpacked.
struct Layer {
    folder: tempfile::TempDir,
}

impl Layer {
    fn unpack(image: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        open(image).unpack(&folder.path().join("usr"));
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("usr")
    }

    /// A command with the layer at `/usr`, its defaults at `/etc`, and no network, no privileges
    /// and no other files. All symbols of a program are looked up as it starts.
    fn command(&self) -> Command {
        let mut command = Command::new("bwrap");
        command.args(["--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]);
        command.args(["--cap-drop", "ALL", "--ro-bind"]).arg(self.path()).arg("/usr");
        command.arg("--ro-bind").arg(self.path().join("share/preon/etc")).arg("/etc");
        for link in ["bin", "sbin", "lib", "lib64"] {
            command.args(["--symlink", &format!("usr/{link}"), &format!("/{link}")]);
        }
        command.args(["--proc", "/proc", "--dev", "/dev", "--dir", "/root"]);
        for folder in ["/tmp", "/run", "/var"] {
            command.args(["--tmpfs", folder]);
        }
        command.args(["--setenv", "LD_BIND_NOW", "1", "--setenv", "PATH", "/usr/bin:/usr/sbin"]);
        command.stdin(Stdio::null());
        command
    }

    /// Why `program` does not start, if it does not.
    fn complaint(&self, program: &str) -> Option<String> {
        let mut command = self.command();
        command.args(["--", "/usr/bin/timeout", "--kill-after=1", LIMIT, program, "--help"]);
        let output = command.output().expect("bwrap starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        let loader = LOADER.iter().any(|complaint| errors.contains(complaint));
        match output.status.code() {
            Some(code) if ENDED.contains(&code) && !loader => None,
            Some(code) if !NOT_STARTED.contains(&code) && !loader => None,
            _ => Some(format!("{program}: {}: {}", output.status, errors.trim())),
        }
    }
}

/// All files below `folder`, links included, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, mut files): (Vec<_>, Vec<_>) =
        entries.partition(|path| path.is_dir() && !path.is_symlink());
    files.extend(folders.iter().flat_map(|folder| self::files(folder)));
    files.sort();
    files
}

/// Files that may be executed, and the other names of programs: some do another thing by each.
fn programs(layer: &Path) -> Vec<String> {
    let is_program = |path: &PathBuf| {
        if path.is_symlink() {
            return ["bin", "sbin"].iter().any(|folder| path.parent() == Some(&layer.join(folder)));
        }
        path.metadata().unwrap().permissions().mode() & 0o111 != 0 && !is_library(path)
    };
    files(layer).iter().filter(|path| is_program(path)).map(|path| on_host(layer, path)).collect()
}

fn on_host(layer: &Path, path: &Path) -> String {
    format!("/usr/{}", path.strip_prefix(layer).unwrap().display())
}

#[test]
fn every_program_in_the_image_starts() {
    programs_start("minimal", 300);
}

#[test]
#[ignore = "nightly: needs the image `full`"]
fn every_program_in_the_full_image_starts() {
    programs_start("full", 1100);
}

#[test]
#[ignore = "nightly: needs the layer of everything"]
fn every_program_that_is_curated_starts() {
    programs_start(EVERYTHING, 1500);
}

/// All programs of `image` start, at least `least`, but for those that programs.toml names.
fn programs_start(image: &str, least: usize) {
    let layer = Layer::unpack(image);
    let table = include_str!("programs.toml");
    let mut exceptions: BTreeMap<String, String> = toml::from_str(table).unwrap();
    let programs = programs(&layer.path());
    exceptions.retain(|program, _| image == EVERYTHING || programs.contains(program));
    let complaint = |program: &String| {
        let complaint = layer.complaint(program)?;
        exceptions.remove(program).is_none().then_some(complaint)
    };
    let complaints: Vec<_> = programs.iter().filter_map(complaint).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(programs.len() > least, "only {} programs were found", programs.len());
    assert!(exceptions.is_empty(), "programs.toml has what starts after all: {exceptions:?}");
}

#[test]
fn every_library_in_the_image_finds_what_it_is_linked_to() {
    libraries_are_complete("minimal", 100);
}

#[test]
#[ignore = "nightly: needs the image `full`"]
fn every_library_in_the_full_image_finds_what_it_is_linked_to() {
    libraries_are_complete("full", 700);
}

#[test]
#[ignore = "nightly: needs the layer of everything"]
fn every_library_that_is_curated_finds_what_it_is_linked_to() {
    libraries_are_complete(EVERYTHING, 900);
}

fn libraries_are_complete(image: &str, least: usize) {
    let layer = Layer::unpack(image);
    let libraries: Vec<_> = files(&layer.path())
        .into_iter()
        .filter(|path| !path.is_symlink() && is_library(path) && is_elf(path))
        .collect();
    for library in &libraries {
        let host = on_host(&layer.path(), library);
        // Whoever opens it has looked there: the parts of systemd know their folder.
        let folder = host.rsplit_once('/').map_or("/", |(folder, _)| folder);
        let mut list = layer.command();
        list.args(["--", "/usr/lib64/ld-linux-x86-64.so.2", "--library-path", folder, "--list"]);
        let output = list.arg(&host).output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let complete = output.status.success() || text.contains("statically linked");
        assert!(complete && !text.contains("not found"), "{}: {text}", library.display());
    }
    assert!(libraries.len() > least, "only {} libraries were found", libraries.len());
}

/// By its name, as the linker knows libraries.
fn is_library(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".so") || name.contains(".so.")
}

fn is_elf(path: &Path) -> bool {
    fs::read(path).unwrap().starts_with(b"\x7fELF")
}

#[test]
fn a_program_that_cannot_start_is_noticed() {
    let layer = Layer::unpack("minimal");
    let libraries = layer.path().join("lib/x86_64-linux-gnu");
    assert_eq!(layer.complaint("/usr/bin/bash"), None);
    fs::remove_file(libraries.join("libtinfo.so.6")).unwrap();
    let script = layer.path().join("bin/script");
    fs::write(&script, "#!/usr/bin/perl\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(layer.path().join("bin/crash"), "#!/bin/sh\nkill -SEGV $$\n").unwrap();
    fs::set_permissions(layer.path().join("bin/crash"), fs::Permissions::from_mode(0o755)).unwrap();

    for (program, reason) in [("bash", "libtinfo.so.6"), ("script", "127"), ("crash", "139")] {
        let complaint = layer.complaint(&format!("/usr/bin/{program}")).expect(program);
        assert!(complaint.contains(reason), "{complaint}");
    }
    assert_eq!(layer.complaint("/usr/bin/true"), None);
}
