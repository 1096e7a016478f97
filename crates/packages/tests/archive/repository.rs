//! A small Debian archive, signed with a key that was made for it.

use std::io::Write;
use std::time::{Duration, SystemTime};

use base::Digest;
use sequoia_openpgp as openpgp;

use openpgp::Cert;
use openpgp::cert::CertBuilder;
use openpgp::policy::StandardPolicy;
use openpgp::serialize::SerializeInto;
use openpgp::serialize::stream::{Message, Signer};

use crate::server::Server;

/// Sat, 21 Nov 2026 01:53:03 UTC, one hour after the archive was made.
pub const NOW: u64 = 1_795_222_383 + 3600;
pub const WEEK: u64 = 7 * 24 * 3600;

/// A package of an archive.
pub struct Package {
    pub name: String,
    pub version: String,
    /// More lines of its stanza.
    pub fields: String,
    pub deb: Vec<u8>,
}

impl Package {
    fn stanza(&self) -> String {
        let Self { name, version, fields, deb } = self;
        let (size, digest, file) = (deb.len(), Digest::of(deb), self.file());
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\n{fields}\
             Filename: {file}\nSize: {size}\nSHA256: {digest}\n\n"
        )
    }

    fn file(&self) -> String {
        format!("pool/{}_{}.deb", self.name, self.version)
    }
}

/// Packages that are no real ones, by name and version.
fn mere(packages: &[(&str, &str)]) -> Vec<Package> {
    let package = |(name, version): &(&str, &str)| Package {
        name: (*name).to_owned(),
        version: (*version).to_owned(),
        fields: String::new(),
        deb: format!("deb of {name} {version}").into_bytes(),
    };
    packages.iter().map(package).collect()
}

pub struct Repository {
    pub server: Server,
    /// The text of `Sources`, for what is published next.
    pub sources: String,
    suite: String,
    key: Cert,
    signed: String,
    packed: Digest,
}

impl Repository {
    /// An archive of one suite with these packages (name, version), made one hour before [`NOW`].
    pub fn start(suite: &str, packages: &[(&str, &str)]) -> Self {
        let mut repository = Self::empty(suite, NOW);
        repository.publish(packages, NOW - 3600);
        repository
    }

    /// A server with nothing on it yet, and a key that is a year old at `now`.
    pub fn empty(suite: &str, now: u64) -> Self {
        let (key, _) = CertBuilder::new()
            .add_userid("archive@example.org")
            .set_creation_time(time(now - 52 * WEEK))
            .add_signing_subkey()
            .generate()
            .unwrap();
        let (server, signed, packed) = (Server::start(), String::new(), Digest::of(b""));
        Self { server, sources: String::new(), suite: suite.to_owned(), key, signed, packed }
    }

    /// Replaces the packages; `date` is that of the release.
    pub fn publish(&mut self, packages: &[(&str, &str)], date: u64) {
        let suite = self.suite.clone();
        self.publish_in(("debian", &suite), &mere(packages), date);
    }

    /// Replaces the packages of a suite of the archive in the folder `root`.
    pub fn publish_in(&mut self, (root, suite): (&str, &str), packages: &[Package], date: u64) {
        let index: String = packages.iter().map(Package::stanza).collect();
        for package in packages {
            self.server.put(&format!("{root}/{}", package.file()), package.deb.clone());
        }
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
        encoder.write_all(index.as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        self.packed = Digest::of(&packed);
        let mut release = format!("Origin: Test\nSuite: {suite}\nCodename: {suite}\n");
        release += &format!("Date: {}\nValid-Until: {}\n", rfc2822(date), rfc2822(date + WEEK));
        release += "Acquire-By-Hash: yes\nSHA256:\n";
        for (bytes, name) in [(index.as_bytes(), "Packages"), (&packed, "Packages.xz")] {
            let (digest, size) = (Digest::of(bytes), bytes.len());
            release += &format!(" {digest} {size} main/binary-amd64/{name}\n");
        }
        let sources = self.sources.clone().into_bytes();
        let digest = Digest::of(&sources);
        release += &format!(" {digest} {} main/source/Sources\n", sources.len());
        self.signed = self.sign(&release, date);
        let folder = format!("{root}/dists/{suite}");
        let path = format!("{folder}/main/binary-amd64/by-hash/SHA256/{}", self.packed);
        self.server.put(&path, packed);
        self.server.put(&format!("{folder}/main/source/by-hash/SHA256/{digest}"), sources);
        self.server.put(&format!("{folder}/InRelease"), self.signed.clone());
    }

    /// The `InRelease` file.
    pub fn signed(&self) -> String {
        self.signed.clone()
    }

    /// The public key.
    pub fn keyring(&self) -> Vec<u8> {
        self.key.to_vec().unwrap()
    }

    /// The path of the packed index.
    pub fn by_hash(&self) -> String {
        let suite = &self.suite;
        format!("debian/dists/{suite}/main/binary-amd64/by-hash/SHA256/{}", self.packed)
    }

    fn sign(&self, text: &str, date: u64) -> String {
        let policy = StandardPolicy::new();
        let keys = self.key.keys().with_policy(&policy, time(date)).for_signing().secret();
        let key = keys.into_iter().next().unwrap().key().clone().into_keypair().unwrap();
        let mut signed = Vec::new();
        let message = Message::new(&mut signed);
        let signer = Signer::new(message, key).unwrap().creation_time(time(date)).cleartext();
        let mut message = signer.build().unwrap();
        message.write_all(text.as_bytes()).unwrap();
        message.finalize().unwrap();
        String::from_utf8(signed).unwrap()
    }
}

fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn rfc2822(seconds: u64) -> String {
    let time = jiff::Timestamp::from_second(seconds.try_into().unwrap()).unwrap();
    time.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string()
}
