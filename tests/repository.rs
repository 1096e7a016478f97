//! The repository of all that recipes cover, read by the machine's own apt with folders of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use system_tests::recipes::Recipes;
use system_tests::{forge, open, run};

/// The suite, as `forge repo publish` calls it.
const SUITE: &str = "preon-trixie";

/// A repository that was published for the test, and an apt that knows nothing but it.
struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self { folder: tempfile::tempdir().unwrap() };
        host.forge(&["key", "new"]);
        let repository = host.path("repository");
        host.forge(&["repo", "publish", "--all", "--folder", repository.to_str().unwrap()]);
        for folder in
            ["state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d"]
        {
            fs::create_dir_all(host.path(folder)).unwrap();
        }
        let keyring = repository.join("preon-archive-keyring.gpg");
        let (keyring, repository) = (keyring.display(), repository.display());
        let line = format!("deb [signed-by={keyring}] file:{repository} {SUITE} main\n");
        fs::write(host.path("etc/sources.list"), line).unwrap();
        let configuration = format!(
            "Dir \"{}\";\nDir::State \"state\";\nDir::State::status \"{}\";\nDir::Cache \"cache\";\n\
             Dir::Etc \"etc\";\nDir::Log \"cache\";\nDir::Bin::methods \"/usr/lib/apt/methods\";\n\
             APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\n\
             APT::Sandbox::User \"root\";\n",
            host.path("").display(),
            host.path("status").display(),
        );
        fs::write(host.path("apt.conf"), configuration).unwrap();
        host.has_installed(&BTreeSet::new());
        run(&mut host.apt("apt-get", &["update"]));
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn forge(&self, arguments: &[&str]) {
        let mut forge = Command::new(forge::program());
        forge.args(arguments).arg("--keys").arg(self.path("keys"));
        run(forge.current_dir(env!("CARGO_MANIFEST_DIR")));
    }

    /// A program of apt, without anything that the machine's own configuration says.
    fn apt(&self, program: &str, arguments: &[&str]) -> Command {
        let mut apt = Command::new(program);
        apt.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        apt.env("APT_CONFIG", self.path("apt.conf")).args(arguments);
        apt
    }

    /// The names of all packages in the repository.
    fn names(&self) -> BTreeSet<String> {
        let names = run(&mut self.apt("apt-cache", &["pkgnames"]));
        names.lines().map(str::to_owned).collect()
    }

    /// Has dpkg's list say that these packages are there, and nothing else.
    fn has_installed(&self, names: &BTreeSet<String>) {
        let index = format!("repository/dists/{SUITE}/main/binary-amd64/Packages");
        let index = fs::read_to_string(self.path(&index)).unwrap();
        let stanzas = index.split("\n\n").filter_map(|stanza| Some((name_in(stanza)?, stanza)));
        let there: Vec<_> = stanzas.filter(|(name, _)| names.contains(*name)).collect();
        assert_eq!(there.len(), names.len(), "not all of {names:?} were published");
        let stanza = |(_, stanza): &(&str, &str)| {
            format!("{}\nStatus: install ok installed\n\n", stanza.trim_end())
        };
        let status: String = there.iter().map(stanza).collect();
        fs::write(self.path("status"), status).unwrap();
    }

    /// What apt says about each package that it cannot install.
    fn complaints(&self) -> Vec<String> {
        let complaint = |name: &String| {
            let mut apt = self.apt("apt-get", &["install", "--simulate", "--yes", name]);
            let output = apt.output().unwrap();
            let said =
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            (!output.status.success()).then(|| format!("{name}:\n{said}"))
        };
        self.names().iter().filter_map(complaint).collect()
    }
}

fn name_in(stanza: &str) -> Option<&str> {
    stanza.lines().find_map(|line| line.strip_prefix("Package: "))
}

#[test]
#[ignore = "nightly: curates and publishes all that recipes cover"]
fn apt_installs_every_package_by_its_name_on_nothing_and_on_a_minimal_host() {
    let host = Host::new();
    let names = host.names();
    let recipes = Recipes::load();
    let missing: Vec<_> = recipes.packages().filter(|name| !names.contains(*name)).collect();
    assert!(missing.is_empty(), "covered by recipes, and not published: {missing:?}");
    assert!(names.len() > 600, "only {} packages", names.len());
    assert_eq!(host.complaints(), [""; 0], "on nothing");

    let minimal = open("minimal").manifest().packages;
    host.has_installed(&minimal.into_iter().map(|package| package.name).collect());
    run(&mut host.apt("apt-get", &["check"]));
    assert_eq!(host.complaints(), [""; 0], "on a minimal host");
}

#[test]
#[ignore = "nightly: curates and publishes all that recipes cover"]
fn apt_fetches_and_dpkg_unpacks_what_was_published() {
    let host = Host::new();
    let copies = host.path("etc/sources.list");
    let line = fs::read_to_string(&copies).unwrap().replace(" file:", " copy:");
    fs::write(&copies, line).unwrap(); // a copy whose digest apt compares, as from a server
    run(&mut host.apt("apt-get", &["update"]));
    let wanted = ["install", "--download-only", "--yes", "podman", "gcc", "preon-kernel-hardened"];
    run(&mut host.apt("apt-get", &wanted));
    let debs: Vec<_> = fs::read_dir(host.path("cache/archives")).unwrap().collect();
    let debs = debs
        .into_iter()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "deb"));
    let unpack = |deb: PathBuf| {
        let root = host.path("root");
        run(Command::new("dpkg-deb").arg("--extract").arg(deb).arg(root));
    };
    debs.for_each(unpack);
    for file in ["podman", "gcc", "crun"] {
        assert!(host.path("root/usr/bin").join(file).exists(), "{file}");
    }
    let modules = Path::new("root/usr/lib/modules");
    assert_eq!(fs::read_dir(host.path(modules.to_str().unwrap())).unwrap().count(), 1);
}
