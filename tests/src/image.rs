//! What the tests know of an image that `forge image build` left in `out/`: its files, read here
//! without any of the product's own code.

pub mod debian;
pub mod differences;
pub mod features;
pub mod forge;
pub mod full;
pub mod kernel;
pub mod policy;
pub mod publisher;
pub mod recipes;
pub mod tools;
pub mod tree;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// An image in `out/`.
#[derive(Debug)]
pub struct Image {
    folder: PathBuf,
}

/// The part of a manifest that tests look at.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    /// `VERSION_ID`.
    pub version: String,
    /// `BUILD_ID`.
    pub build_id: String,
    /// The kernel: a layer of everything has none.
    #[serde(default)]
    pub kernel: Kernel,
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// What is installed.
    pub packages: Vec<Package>,
    /// Packages that are to be built from source and are Debian's builds.
    #[serde(default)]
    pub not_rebuilt: Vec<String>,
    /// What decided the bytes beside them, by name.
    pub tools: BTreeMap<String, String>,
}

/// The kernel.
#[derive(Debug, Default, Deserialize)]
pub struct Kernel {
    /// What `uname -r` prints.
    pub release: String,
    /// The package that brings its unified kernel image.
    pub package: String,
    /// The digest of the unified kernel image.
    pub uki: String,
}

impl Kernel {
    /// What the boot loader calls it.
    pub fn entry_id(&self) -> String {
        let version = self.release.split('-').next().unwrap();
        let flavour = self.package.strip_prefix("preon-uki-").unwrap();
        format!("preon-{version}_{flavour}_{}.efi", &self.uki[..12])
    }
}

/// One layer.
#[derive(Debug, Deserialize)]
pub struct Layer {
    /// The digest that names both of its files.
    pub erofs: String,
    /// The root of its hash tree.
    pub root_hash: String,
}

/// One package.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// The version of ours.
    pub version: String,
    /// Debian's version.
    pub debian_version: String,
    /// Whether it was built from source.
    #[serde(default)]
    pub rebuilt: bool,
}

/// A partition: its place on the disk in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Partition {
    /// Where it begins.
    pub start: u64,
    /// How long it is.
    pub size: u64,
}

/// The image `name` in the folder that the variable `PREON_OUT` names, or in `out/`.
///
/// # Panics
///
/// If it was not built.
pub fn open(name: &str) -> Image {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../out");
    let out = std::env::var_os("PREON_OUT").map_or_else(here, PathBuf::from);
    let folder = out
        .join(name)
        .canonicalize()
        .unwrap_or_else(|_| panic!("build it first: cargo forge image build {name}"));
    Image { folder }
}

impl Image {
    /// One of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Its manifest.
    ///
    /// # Panics
    ///
    /// If it cannot be read.
    pub fn manifest(&self) -> Manifest {
        json(&fs::read(self.file("manifest.json")).expect("the manifest"))
    }

    /// A layer's EROFS file and its hash tree.
    pub fn layer(&self, layer: &Layer) -> (PathBuf, PathBuf) {
        let file = |ending: &str| self.file(&format!("layers/{}.{ending}", layer.erofs));
        (file("erofs"), file("verity"))
    }

    /// Unpacks its layers over each other: what the host sees at `/usr`. Owned by whoever does it, unless that
    /// is root.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn unpack(&self, target: &Path) {
        let staging = tempfile::tempdir().expect("a temporary folder");
        let stacking = Stacking { attributes: "--no-xattrs", last: "true" };
        run(&mut self.stacking(Command::new("sh"), &stacking, &[target, staging.path()]));
    }

    /// A tar archive of its layers over each other, owners and attributes included, in `folder`.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn archive(&self, folder: &Path) -> PathBuf {
        const PACK: &str = r#"tar --xattrs --format=pax --numeric-owner -cf "$staging/layer.tar" -C "$target" . &&
            rm -r "$target""#;
        let stacking = Stacking { attributes: "--xattrs", last: PACK };
        run(&mut self.stacking(as_root("sh"), &stacking, &[&folder.join("tree"), folder]));
        folder.join("layer.tar")
    }

    /// A command that unpacks the lowest layer into the first folder and copies each further one over it, by way
    /// of the second.
    fn stacking(&self, mut shell: Command, how: &Stacking, folders: &[&Path; 2]) -> Command {
        const STACK: &str = r#"set -e
            target=$0 staging=$1 attributes=$2 loader=$3 option=$4 libraries=$5 fsck=$6; shift 6
            extract() {
                "$loader" "$option" "$libraries" "$fsck" "$attributes" --extract="$2" "$1" > "$staging/log"
            }
            extract "$1" "$target"; shift
            for layer; do
                extract "$layer" "$staging/upper"
                ( cd "$staging/upper"; find . -type c | while read -r gone; do rm -r "$target/$gone" "$gone"; done )
                cp -a --remove-destination "$staging/upper/." "$target/"; rm -r "$staging/upper"
            done
            "#;
        let manifest = self.manifest();
        let fsck = forge::fsck_erofs(&manifest);
        let arguments: Vec<_> = fsck.get_args().collect();
        assert_eq!(arguments.len(), 3, "the loader's option, its folder, the program");
        shell.args(["-c", &format!("{STACK}{}", how.last)]).args(folders).arg(how.attributes);
        shell.arg(fsck.get_program()).args(arguments);
        shell.args(manifest.layers.iter().map(|layer| self.layer(layer).0));
        shell
    }

    /// The partitions of its disk, as sfdisk sees them.
    ///
    /// # Panics
    ///
    /// If sfdisk cannot read the disk.
    pub fn partitions(&self) -> Vec<Partition> {
        #[derive(Deserialize)]
        struct Answer {
            partitiontable: Table,
        }
        #[derive(Deserialize)]
        struct Table {
            sectorsize: u64,
            partitions: Vec<Row>,
        }
        #[derive(Deserialize)]
        struct Row {
            start: u64,
            size: u64,
        }
        let disk = self.file("disk.raw");
        let table: Answer = json(run(Command::new("sfdisk").arg("--json").arg(disk)).as_bytes());
        let Table { sectorsize, partitions } = table.partitiontable;
        let bytes =
            |row: &Row| Partition { start: row.start * sectorsize, size: row.size * sectorsize };
        partitions.iter().map(bytes).collect()
    }

    /// Copies a partition to a file of its own.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn extract(&self, partition: Partition, target: &Path) {
        let mut disk = File::open(self.file("disk.raw")).expect("the disk");
        disk.seek(SeekFrom::Start(partition.start)).expect("the partition's start");
        let mut file = File::create(target).expect("a temporary file");
        let mut left = partition.size;
        let mut buffer = vec![0; 1 << 20];
        while left > 0 {
            let length = left.min(buffer.len() as u64) as usize;
            disk.read_exact(&mut buffer[..length]).expect("the partition's bytes");
            if buffer[..length].iter().all(|&byte| byte == 0) {
                file.seek_relative(length as i64).expect("a hole");
            } else {
                file.write_all(&buffer[..length]).expect("room for the partition");
            }
            left -= length as u64;
        }
        file.set_len(partition.size).expect("the partition's length");
    }
}

/// How layers are unpacked over each other.
struct Stacking<'a> {
    /// What fsck.erofs is told about extended attributes.
    attributes: &'a str,
    /// What the shell does last.
    last: &'a str,
}

/// Where the first 4096 bytes of `file` lie on `disk`.
///
/// # Panics
///
/// If they are not there, or not at the start of any 4096-byte block.
pub fn find_block(disk: &Path, file: &Path) -> u64 {
    let mut wanted = [0; 4096];
    File::open(file).and_then(|mut file| file.read_exact(&mut wanted)).expect("the file's start");
    let mut disk = std::io::BufReader::with_capacity(1 << 20, File::open(disk).expect("the disk"));
    let mut block = [0; 4096];
    let mut position = 0;
    loop {
        disk.read_exact(&mut block).expect("the file's first block somewhere on the disk");
        if block == wanted {
            return position;
        }
        position += 4096;
    }
}

/// A command that may give files to other users: root's, or one in a namespace that has them.
fn as_root(program: &str) -> Command {
    if fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-auto", "--map-root-user", "--", program]);
    command
}

/// Runs a command to its end and gives back what it prints.
///
/// # Panics
///
/// If it cannot be started or fails, with what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{printed}{errors}", output.status);
    printed
}

/// What JSON says.
///
/// # Panics
///
/// If it says something else than is expected.
pub fn json<T: DeserializeOwned>(bytes: &[u8]) -> T {
    serde_json::from_slice(bytes).expect("the expected JSON")
}
