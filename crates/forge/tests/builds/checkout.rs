//! A checkout of a small product in a scratch folder, with an archive and a cache of its own.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use packages::control::Control;
use packages::deb::{Entry, Kind, Writer};

use crate::repository::{Package, Repository, WEEK};
use crate::server::Fault;

pub struct Checkout {
    folder: tempfile::TempDir,
    pub archive: Repository,
    pub now: u64,
}

/// What a run of forge printed.
pub struct Printed {
    /// `None` if it was killed.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The suite with the packages; the two beside it are empty.
const SUITE: &str = "trixie";
/// Where the index of that suite is.
pub const IN_RELEASE: &str = "debian/dists/trixie/InRelease";

/// What a kernel is configured as.
const CONFIGURED: &str = "# Linux/x86 6.12.2 Kernel Configuration\n";

/// A package of nothing but a control file and the maintainer script `postinst`.
pub fn scripted((name, version): (&str, &str), postinst: &str) -> Package {
    let control = control((name, version), "");
    let mut members = tar::Builder::new(Vec::new());
    for (path, text) in [("./control", control.as_str()), ("./postinst", postinst)] {
        let mut header = tar::Header::new_gnu();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_mode(0o755);
        header.set_size(text.len() as u64);
        members.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    let empty = tar::Builder::new(Vec::new()).into_inner().unwrap();
    let mut deb = formats::ar::Writer::new(Vec::new()).unwrap();
    deb.member("debian-binary", b"2.0\n").unwrap();
    deb.member("control.tar", &members.into_inner().unwrap()).unwrap();
    deb.member("data.tar", &empty).unwrap();
    let (name, version, fields) = (name.to_owned(), version.to_owned(), String::new());
    Package { name, version, fields, deb: deb.finish() }
}

fn control((name, version): (&str, &str), fields: &str) -> String {
    format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: x <x@example.org>\n{fields}\
         Description: x\n"
    )
}

/// A package of plain files, by path and text, that says `fields` beside its name.
pub fn package(name: (&str, &str), fields: &str, files: &[(&str, &str)]) -> Package {
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_bytes())).collect();
    binary(name, fields, &files)
}

/// The same with files that are no text.
pub fn binary(name: (&str, &str), fields: &str, files: &[(&str, &[u8])]) -> Package {
    let files: Vec<_> = files.iter().map(|(path, bytes)| (*path, 0o755, *bytes)).collect();
    with_modes(name, fields, &files)
}

/// The same with each file's mode.
pub fn with_modes(
    (name, version): (&str, &str),
    fields: &str,
    files: &[(&str, u32, &[u8])],
) -> Package {
    let mut writer = Writer::new(1, 0).unwrap();
    for (path, mode, bytes) in files {
        let entry = Entry {
            path: (*path).to_owned(),
            kind: Kind::File,
            mode: *mode,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: Vec::new(),
            size: bytes.len() as u64,
        };
        writer.add(&entry, &mut &**bytes).unwrap();
    }
    let fields: String = fields.lines().map(|line| format!("{line}\n")).collect();
    let control = control((name, version), &fields);
    let deb = writer.finish(&Control::parse(&control).unwrap()).unwrap();
    Package { name: name.to_owned(), version: version.to_owned(), fields, deb }
}

/// What a kernel is built with and from.
pub fn kernel_tools(version: &str) -> [Package; 2] {
    let mut changelog = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writeln!(changelog, "linux ({version}) trixie; urgency=medium").unwrap();
    let changelog = changelog.finish().unwrap();
    let source = [
        ("usr/src/linux-source-6.12.tar.xz", version.as_bytes()),
        ("usr/share/doc/linux-source-6.12/changelog.Debian.gz", &changelog),
        ("usr/share/doc/linux-source-6.12/copyright", b"x"),
    ];
    [package(("gcc", version), "", &[]), binary(("linux-source-6.12", version), "", &source)]
}

impl Checkout {
    /// A product whose container image and whose image `demo` are made of all `packages`, each with
    /// a recipe.
    pub fn new(packages: &[Package]) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let archive = Repository::empty(SUITE, now);
        let mut checkout = Self { folder: tempfile::tempdir().unwrap(), archive, now };
        checkout.publish(packages);
        let names: Vec<_> = packages.iter().map(|package| package.name.as_str()).collect();
        for name in &names {
            checkout.write(&format!("os/packages/{name}/recipe.toml"), "summary = \"x\"\n");
        }
        checkout.write("os/tools.toml", "[root]\n");
        checkout.choose(&names);
        checkout
    }

    /// Lets both images be made of these packages.
    fn choose(&self, names: &[&str]) {
        let definition = format!("summary = \"x\"\npackages = {names:?}\n");
        self.write("os/images/oci.toml", &format!("{definition}[container]\n"));
        self.write("os/images/demo.toml", &definition);
    }

    /// A product of the package `demo` whose image tools are the package `mkfs`.
    pub fn with_tools(demo: Package, mkfs: Package) -> Self {
        let [gcc, source] = kernel_tools("1");
        let checkout = Self::new(&[demo, mkfs, gcc, source]);
        checkout.describe_kernel("[root.image]\nsummary = \"x\"\npackages = [\"mkfs\"]\n");
        checkout.choose(&["demo"]);
        checkout
    }

    /// Describes a kernel, and tool roots: `others` beside those that build it.
    pub fn describe_kernel(&self, others: &str) {
        let tools = "[root.build]\nsummary = \"x\"\npackages = [\"gcc\"]\n\
                     [root.kernel-source]\nsummary = \"x\"\npackages = [\"linux-source-6.12\"]\n";
        self.write("os/tools.toml", &format!("{tools}{others}"));
        self.write("os/kernel/base.config", "CONFIG_A=y # reason\n");
        self.write("os/kernel/hardened/closed.config", "CONFIG_B=n # reason\n");
        self.write("os/kernel/generated/hardened.config", CONFIGURED);
        self.write("os/kernel/package.toml", "revision = 1\n");
        self.write("os/policy/kernel.toml", "[kconfig]\n[cmdline]\n[sysctl]\n");
        for path in ["os/kernel/cmdline", "os/kernel/hardened/cmdline"] {
            self.write(path, "quiet # reason\n");
        }
    }

    /// The folder of the kernel that `forge kernel show` says was not built.
    pub fn missing_kernel(&self) -> String {
        let error = self.forge(&["kernel", "show"]).error();
        assert!(error.contains("hint: run `forge kernel build hardened`"), "{error}");
        let (_, rest) = error.split_once("was not built: ").expect(&error);
        rest.split_once(" is not there, or not whole\n").expect(&error).0.to_owned()
    }

    /// Puts a kernel into the cache, as if it had been built.
    pub fn plant_kernel(&self) {
        let missing = self.missing_kernel();
        let folder = format!("cache/kernel/{}", missing.rsplit('/').next().unwrap());
        let files = [
            ("bzImage", "image"),
            ("config", CONFIGURED),
            ("System.map", ""),
            ("release", "6.12.2\n"),
        ];
        let mut digests = String::new();
        for (name, text) in files {
            self.write(&format!("{folder}/{name}"), text);
            digests += &format!("{}  {name}\n", base::Digest::of(text.as_bytes()));
        }
        self.write(&format!("{folder}/SHA256SUMS"), &digests);
    }

    /// Replaces the packages in the archive. Files of older versions stay on the server.
    pub fn publish(&mut self, packages: &[Package]) {
        let date = self.now - 3600;
        self.archive.publish_in(("debian-security", "trixie-security"), &[], date);
        self.archive.publish_in(("debian", "trixie-updates"), &[], date);
        self.archive.publish_in(("debian", SUITE), packages, date);
        fs::write(self.path("keyring.pgp"), self.archive.keyring()).unwrap();
    }

    /// Lets the server misbehave for the file at `path`.
    pub fn fault(&self, path: &str, fault: Fault) {
        self.archive.server.fault(path, fault);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn lock(&self) -> String {
        fs::read_to_string(self.path("os/packages.lock")).unwrap_or_default()
    }

    /// Starts forge; its cache is `cache` in the checkout.
    pub fn start(&self, words: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forge"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.folder.path());
        command.env("PREON_CACHE", self.path("cache")).current_dir(self.folder.path()).args(words);
        command.arg("--archive").arg(format!("{}/debian", self.archive.server.uri()));
        command.arg("--keyring").arg(self.path("keyring.pgp"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    pub fn forge(&self, words: &[&str]) -> Printed {
        Printed::of(self.start(words))
    }

    /// Every unfinished file and folder below the checkout.
    pub fn unfinished(&self) -> Vec<PathBuf> {
        let is_unfinished = |path: &PathBuf| path.to_string_lossy().ends_with(".part");
        below(self.folder.path()).into_iter().filter(is_unfinished).collect()
    }

    /// What lies in a folder of the checkout.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = self.path(folder).read_dir() else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The dates of a suite that expired a week ago, signed by the archive's own key.
    pub fn expire(&mut self, packages: &[Package]) {
        self.archive.publish_in(("debian", SUITE), packages, self.now - 2 * WEEK);
    }
}

impl Printed {
    pub fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        assert!(output.status.signal().is_none_or(|signal| signal == 9), "{}", output.status);
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What it printed, of a run that succeeded.
    pub fn good(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self
    }

    /// The error of a run that failed and said what to do.
    pub fn error(self) -> String {
        assert_eq!(self.code, Some(1), "{}", self.err);
        let start = self.err.find("error: ").unwrap_or_else(|| panic!("no error in {}", self.err));
        assert!(self.err[start..].contains("\nhint: "), "no hint in {}", self.err);
        self.err[start..].to_owned()
    }
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            paths.extend(below(&path));
        }
        paths.push(path);
    }
    paths
}
