//! The same inputs give the same bytes: the image is built twice, by two builders that have as
//! little in common as one machine allows.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use system_tests::{forge, run};

/// What a build is made of, of a checkout.
const SOURCES: [&str; 4] = ["os", "crates", "Cargo.toml", "Cargo.lock"];
/// A file system that lists its folders in the order in which files came to them, newest first.
const MEMORY: &str = "/dev/shm";

/// Somebody who builds the image.
struct Builder {
    /// What the permissions of new files are without.
    umask: u32,
    /// Whether files come into the checkout in the other order.
    reversed: bool,
    /// Parts of the cache that are there before; layers never are.
    cached: &'static [&'static str],
    /// Variables of the environment.
    environment: &'static [(&'static str, &'static str)],
    /// Words before the command.
    launcher: Vec<String>,
}

/// What a builder works with.
struct Place {
    checkout: tempfile::TempDir,
    /// Cache, home and results: too large for memory.
    disk: tempfile::TempDir,
}

fn builders() -> [Builder; 2] {
    let ordinary = Builder {
        umask: 0o022,
        reversed: false,
        cached: &["archive", "built", "roots", "kernel", "programs", "curated"],
        environment: &[("TZ", "UTC"), ("LC_ALL", "C.UTF-8")],
        launcher: Vec::new(),
    };
    let words =
        ["unshare", "--user", "--map-user=1234", "--map-group=1234", "taskset", "--cpu-list"];
    let odd = Builder {
        umask: 0o077,
        reversed: true,
        cached: &["archive", "built", "roots", "kernel", "programs"],
        environment: &[("TZ", "Pacific/Kiritimati"), ("LC_ALL", "C"), ("LANG", "tr_TR.UTF-8")],
        launcher: words.map(str::to_owned).into_iter().chain([a_processor()]).collect(),
    };
    [ordinary, odd]
}

/// One of the processors that we may run on.
fn a_processor() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    list.trim().split(['-', ',']).next().unwrap().to_owned()
}

impl Builder {
    fn settle(&self) -> Place {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let checkout = tempfile::tempdir_in(MEMORY).unwrap();
        for name in SOURCES {
            self.copy(&root.join(name), &checkout.path().join(name));
        }
        let disk = tempfile::tempdir().unwrap();
        for folder in ["out", "home", "tmp", "cache"] {
            fs::create_dir(disk.path().join(folder)).unwrap();
        }
        symlink(disk.path().join("out"), checkout.path().join("out")).unwrap();
        let cache = forge::cache();
        // On a fresh machine nothing was built from source.
        for kind in self.cached.iter().filter(|kind| cache.join(kind).exists()) {
            // The archive's files lie two folders deeper; all else are folders to be lent whole.
            let depth = if *kind == "archive" { 2 } else { 0 };
            lend(&cache.join(kind), &disk.path().join("cache").join(kind), depth);
        }
        Place { checkout, disk }
    }

    /// As if checked out by the builder: with its umask, in its order.
    fn copy(&self, from: &Path, to: &Path) {
        let metadata = fs::symlink_metadata(from).unwrap();
        if metadata.is_symlink() {
            symlink(fs::read_link(from).unwrap(), to).unwrap();
        } else if metadata.is_file() {
            let executable =
                std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100;
            let mode = if executable != 0 { 0o777 } else { 0o666 } & !self.umask;
            let mut file = fs::File::options();
            let mut file = file.write(true).create_new(true).mode(mode).open(to).unwrap();
            std::io::Write::write_all(&mut file, &fs::read(from).unwrap()).unwrap();
        } else {
            fs::DirBuilder::new().mode(0o777 & !self.umask).create(to).unwrap();
            let mut paths = entries(from);
            paths.sort();
            if self.reversed {
                paths.reverse();
            }
            paths.iter().for_each(|path| self.copy(path, &to.join(path.file_name().unwrap())));
        }
    }

    /// Builds the image and gives the folder that it is in.
    fn build(&self, place: &Place) -> PathBuf {
        let disk = place.disk.path();
        let umask = format!("umask {:03o} && exec \"$@\"", self.umask);
        let words = self.launcher.iter().map(String::as_str).chain(["sh", "-c", &umask, "sh"]);
        let words: Vec<_> = words.collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(forge::program()).args([
            "--offline",
            "image",
            "build",
            "minimal",
        ]);
        // Rust's own folders are not the builder's.
        let rust = |name: &str, below: &str| {
            let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(below);
            std::env::var_os(name).map_or_else(home, PathBuf::from)
        };
        command.env("RUSTUP_HOME", rust("RUSTUP_HOME", ".rustup"));
        command.env("CARGO_HOME", rust("CARGO_HOME", ".cargo"));
        command.env("HOME", disk.join("home")).env("TMPDIR", disk.join("tmp"));
        command.env_remove("XDG_CONFIG_HOME").env("PREON_CACHE", disk.join("cache"));
        command.envs(self.environment.iter().copied());
        run(command.current_dir(place.checkout.path().join("os")));
        disk.join("out/minimal")
    }
}

/// Shows what is in `from` at `to`, as links; folders down to `depth` are the borrower's own, so
/// that it adds and removes only its own files.
fn lend(from: &Path, to: &Path, depth: u32) {
    fs::create_dir(to).unwrap();
    for path in entries(from) {
        let target = to.join(path.file_name().unwrap());
        if depth > 0 && path.is_dir() {
            lend(&path, &target, depth - 1);
        } else {
            symlink(&path, &target).unwrap();
        }
    }
}

/// What is in a folder, in the folder's own order.
fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Names in a folder, in the folder's own order.
fn names(folder: &Path) -> Vec<PathBuf> {
    entries(folder).iter().map(|path| path.file_name().unwrap().into()).collect()
}

/// All files below `folder`, by their path from there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let below = |path: PathBuf| match path.is_dir() {
        true => files(&path).iter().map(|file| path.join(file)).collect(),
        false => vec![path],
    };
    let all = entries(folder).into_iter().flat_map(below);
    let mut all: Vec<_> = all.map(|path| path.strip_prefix(folder).unwrap().to_owned()).collect();
    all.sort();
    all
}

#[test]
fn two_builders_make_the_same_image() {
    let builders = builders();
    let places = builders.each_ref().map(Builder::settle);
    let recipes = places.each_ref().map(|place| names(&place.checkout.path().join("os/packages")));
    assert_ne!(recipes[0], recipes[1], "{MEMORY} has folders in an order of its own");

    let [one, other] = [0, 1].map(|at| builders[at].build(&places[at]));
    assert_eq!(files(&one), files(&other));
    assert!(files(&one).len() >= 7, "disk, download, layer, hash tree, manifest, kernel, loader");
    for file in files(&one) {
        run(Command::new("cmp").args([one.join(&file), other.join(&file)]));
    }
}
