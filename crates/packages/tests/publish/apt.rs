//! The machine's own apt, with folders of its own, reads a repository over loopback.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use packages::keys::{Replaced, Role};

use crate::sample::{SUITE, Sample, deb_with};
use crate::server::Server;

/// apt looks at the machine's clock.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A repository on a server, and an apt that knows nothing but it.
struct Host {
    sample: Sample,
    server: Server,
}

impl Host {
    fn new(made: u64) -> Self {
        let host = Self { sample: Sample::made_at(made), server: Server::start() };
        let a = deb_with("a", "1:1-1+0preon1", "Depends: b (>= 2~)\n", &[("usr/bin/a", "of a")]);
        let b = deb_with("b", "2+b1+0preon1", "", &[("usr/share/b", "of b")]);
        host.sample.publish(&[a, b], made).unwrap();
        host.serve();
        for folder in ["state/lists/partial", "cache/archives/partial", "dpkg"] {
            fs::create_dir_all(host.path(folder)).unwrap();
        }
        for folder in ["etc/apt.conf.d", "etc/preferences.d"] {
            fs::create_dir_all(host.path(folder)).unwrap();
        }
        fs::write(host.path("dpkg/status"), "").unwrap();
        host.trust();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.sample.path("apt").join(name)
    }

    /// Gives apt the certificates that the keys have now.
    fn trust(&self) {
        let keyring = self.path("etc/keyring.gpg");
        fs::write(&keyring, self.sample.keys().keyring().unwrap()).unwrap();
        let line =
            format!("deb [signed-by={}] {} {SUITE} main\n", keyring.display(), self.server.uri());
        fs::write(self.path("etc/sources.list"), line).unwrap();
    }

    /// Shows the repository as it is now, and nothing that it does not hold.
    fn serve(&self) {
        for path in self.sample.tree().into_keys() {
            let bytes = fs::read(self.sample.folder().join(&path)).unwrap();
            self.server.put(&path.replace('+', "%2b"), bytes.clone());
            self.server.put(&path, bytes);
        }
    }

    /// Runs apt-get without anything that the machine's own configuration says.
    fn apt(&self, arguments: &[&str]) -> Output {
        let configuration = format!(
            "Dir \"{}\";\nDir::State \"state\";\nDir::State::status \"{}\";\nDir::Cache \"cache\";\n\
             Dir::Etc \"etc\";\nDir::Log \"cache\";\n\
             Dir::Bin::methods \"/usr/lib/apt/methods\";\n\
             APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\n\
             APT::Sandbox::User \"root\";\nAcquire::http::Proxy \"false\";\n",
            self.path("").display(),
            self.path("dpkg/status").display(),
        );
        fs::write(self.path("apt.conf"), configuration).unwrap();
        Command::new("apt-get")
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .env("APT_CONFIG", self.path("apt.conf"))
            .args(arguments)
            .output()
            .unwrap()
    }

    /// What apt prints when it has nothing to complain about.
    fn contented(&self, arguments: &[&str]) -> String {
        let output = self.apt(arguments);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{printed}{complaints}");
        assert_eq!(complaints, "", "{printed}");
        printed
    }

    fn complaint(&self, arguments: &[&str]) -> String {
        let output = self.apt(arguments);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!complaints.is_empty(), "{printed}");
        printed + &complaints
    }
}

#[test]
fn an_apt_of_debian_changes_nothing_by_itself() {
    let host = Host::new(now());
    let status = "Package: b\nStatus: install ok installed\nVersion: 2+b1\nArchitecture: amd64\n\
                  Maintainer: x\nDescription: x\n";
    fs::write(host.path("dpkg/status"), status).unwrap();
    host.contented(&["update"]);
    let said = host.contented(&["dist-upgrade", "--simulate", "-qq"]);
    assert!(!said.contains("Inst"), "{said}");
    let asked = host.contented(&["install", "--simulate", "-qq", &format!("b/{SUITE}")]);
    assert!(asked.contains("Inst b [2+b1] (2+b1+0preon1 "), "{asked}");
}

#[test]
fn stock_apt_installs_from_the_repository_without_complaint() {
    let host = Host::new(now());
    host.contented(&["update"]);
    let requests = host.server.requests();
    assert!(requests.iter().any(|(path, _)| path.contains("/by-hash/SHA256/")), "{requests:?}");
    let uris = host.contented(&["install", "--print-uris", "-y", "-qq", "a"]);
    assert!(uris.contains("a_1%3a1-1+0preon1_amd64.deb"), "{uris}");
    host.contented(&["install", "--download-only", "-y", "a"]);

    let root = host.path("root");
    for (file, path, content) in [
        ("a_1%3a1-1+0preon1_amd64.deb", "usr/bin/a", "of a"),
        ("b_2+b1+0preon1_amd64.deb", "usr/share/b", "of b"),
    ] {
        let deb = host.path("cache/archives").join(file);
        let unpacked = Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(&root).status();
        assert!(unpacked.unwrap().success());
        assert_eq!(fs::read_to_string(root.join(path)).unwrap(), content);
    }
}

#[test]
fn apt_refuses_a_mirror_that_has_another_key() {
    let host = Host::new(now());
    host.contented(&["update"]);
    let stranger = Sample::made_at(now());
    stranger.publish(&[deb_with("a", "1", "", &[])], now()).unwrap();
    let signed = fs::read(stranger.suite().join("InRelease")).unwrap();
    host.server.put(&format!("dists/{SUITE}/InRelease"), signed);
    let text = host.complaint(&["update"]);
    assert!(text.contains("NO_PUBKEY"), "{text}");
}

#[test]
fn apt_refuses_a_repository_that_was_not_renewed() {
    let host = Host::new(now() - packages::publish::LIFE - 60);
    let text = host.complaint(&["update"]);
    assert!(text.contains("is expired"), "{text}");
    host.sample.publish(&[], now()).unwrap();
    host.serve();
    host.contented(&["update"]);
}

#[test]
fn an_apt_that_knows_only_the_old_certificate_survives_a_rotation() {
    let host = Host::new(now() - 60);
    host.contented(&["update"]);
    host.sample.keys().rotate(Role::OpenPgp, now() - 30, Replaced::Retires).unwrap();
    host.sample.publish(&[], now()).unwrap();
    host.serve();
    host.contented(&["update"]);
    host.trust(); // as the package with the keyring does
    host.contented(&["update"]);
    host.contented(&["install", "--download-only", "-y", "a"]);
}

#[test]
fn apt_refuses_a_revoked_certificate() {
    let host = Host::new(now() - 60);
    host.sample.keys().rotate(Role::OpenPgp, now() - 30, Replaced::IsCompromised).unwrap();
    host.trust();
    let text = host.complaint(&["update"]); // what the old key signed is still shown
    assert!(text.contains("REVKEYSIG") || text.contains("revoked"), "{text}");
    host.sample.publish(&[], now()).unwrap();
    host.serve();
    host.contented(&["update"]);
}

#[test]
fn an_apt_in_the_middle_of_an_update_still_finds_what_it_was_told_of() {
    let host = Host::new(now() - 60);
    let old = fs::read(host.sample.suite().join("InRelease")).unwrap();
    let c = deb_with("c", "1", "", &[]);
    host.sample.publish(&[c], now()).unwrap();
    host.serve();
    host.server.put(&format!("dists/{SUITE}/InRelease"), old);
    host.contented(&["update"]);
    host.contented(&["install", "--download-only", "-y", "a"]);
}
