//! Packages that tests make, and the curation of them.

use std::fs;

use base::explain::render;
use base::progress::Silent;
use formats::ar;
use packages::deb::{Kind, Limits};
use tar::{EntryType, Header};

use super::*;

/// One file of a package to be made.
pub(super) struct File<'a> {
    pub(super) path: &'a str,
    pub(super) mode: u32,
    pub(super) gid: u64,
    pub(super) what: What<'a>,
}

pub(super) enum What<'a> {
    Folder,
    Text(&'a str),
    Link(&'a str),
    Hard(&'a str),
    Pipe,
}

pub(super) fn file<'a>(path: &'a str, text: &'a str) -> File<'a> {
    File { path, mode: 0o644, gid: 0, what: What::Text(text) }
}

pub(super) fn folder(path: &str) -> File<'_> {
    File { path, mode: 0o755, gid: 0, what: What::Folder }
}

pub(super) fn link<'a>(path: &'a str, text: &'a str) -> File<'a> {
    File { path, mode: 0o777, gid: 0, what: What::Link(text) }
}

pub(super) fn hard<'a>(path: &'a str, target: &'a str) -> File<'a> {
    File { path, mode: 0o644, gid: 0, what: What::Hard(target) }
}

/// A tar archive of `files`, as dpkg-deb makes them.
pub(super) fn archive(files: &[File<'_>]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for File { path, mode, gid, what } in files {
        let mut header = Header::new_gnu();
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(*gid);
        header.set_mtime(1_700_000_000);
        header.set_size(0);
        let path = format!(".{path}");
        match what {
            What::Folder => {
                header.set_entry_type(EntryType::Directory);
                archive.append_data(&mut header, format!("{path}/"), io::empty()).unwrap();
            }
            What::Pipe => {
                header.set_entry_type(EntryType::Fifo);
                archive.append_data(&mut header, path, io::empty()).unwrap();
            }
            What::Text(text) => {
                header.set_size(text.len() as u64);
                archive.append_data(&mut header, path, text.as_bytes()).unwrap();
            }
            What::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                archive.append_link(&mut header, path, target).unwrap();
            }
            What::Hard(target) => {
                header.set_entry_type(EntryType::Link);
                archive.append_link(&mut header, path, format!(".{target}")).unwrap();
            }
        }
    }
    archive.into_inner().unwrap()
}

/// A folder with recipes, packages and a cache.
pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) inputs: Vec<Input>,
}

impl Bench {
    pub(super) fn new(recipes: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in recipes {
            let path = dir.path().join("packages").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self { dir, inputs: Vec::new() }
    }

    /// Adds a package with `fields` in its control file, besides those that every package has.
    pub(super) fn package(&mut self, name: &str, fields: &str, files: &[File<'_>]) {
        self.add(name, (fields, &[]), files);
    }

    /// Says of the package that was added last that it was built from source.
    pub(super) fn rebuilt(&mut self) {
        let input = self.inputs.last_mut().unwrap();
        let Origin::Debian { deb, digest } = input.origin.clone() else { unreachable!() };
        input.origin = Origin::Rebuilt(RebuiltPackage { deb, digest, flags: "x".into() });
    }

    /// Adds a package with maintainer scripts, by name.
    pub(super) fn scripted(&mut self, name: &str, scripts: &[(&str, &str)]) {
        self.add(name, ("", scripts), &[]);
    }

    pub(super) fn add(
        &mut self,
        name: &str,
        (fields, scripts): (&str, &[(&str, &str)]),
        files: &[File<'_>],
    ) {
        let control = format!(
            "Package: {name}\nVersion: 1.2-3\nArchitecture: amd64\n{fields}Description: x\n"
        );
        let scripts: Vec<_> =
            scripts.iter().map(|(name, text)| (format!("/{name}"), *text)).collect();
        let mut members = vec![file("/control", &control)];
        members.extend(scripts.iter().map(|(path, text)| file(path, text)));
        let mut deb = ar::Writer::new(Vec::new()).unwrap();
        deb.member("debian-binary", b"2.0\n").unwrap();
        deb.member("control.tar", &archive(&members)).unwrap();
        deb.member("data.tar", &archive(files)).unwrap();
        let bytes = deb.finish();
        let path = self.dir.path().join(format!("{name}.deb"));
        fs::write(&path, &bytes).unwrap();
        let origin = Origin::Debian { deb: path, digest: Digest::of(&bytes) };
        self.inputs.push(Input { name: name.parse().unwrap(), origin });
    }

    /// Notes that the scripts of the packages are read as they are now.
    pub(super) fn accept_scripts(&self) {
        let folder = self.dir.path().join("packages");
        let mut reviewed = Recipes::load(&folder).unwrap().reviewed().clone();
        for Input { name, origin } in &self.inputs {
            let Origin::Debian { deb, .. } = origin else { continue };
            for (key, text) in scripts::keyed(Deb::open(deb).unwrap().scripts(), name) {
                reviewed.accept(key, script_digest(text));
            }
        }
        reviewed.save(&folder).unwrap();
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    pub(super) fn run(&self) -> Result<Vec<Curated>, CurateError> {
        let recipes = Recipes::load(&self.dir.path().join("packages")).unwrap();
        curate_all(&self.inputs, &recipes, &self.cache(), &Silent)
    }

    pub(super) fn complaint(&self) -> String {
        let text = render(&self.run().expect_err("this should be refused"));
        text.replace(self.dir.path().to_str().unwrap(), "os")
    }
}

/// The files of a curated package, one a line: mode, owner, path, what it is or holds.
pub(super) fn listing(curated: &Curated) -> Vec<String> {
    let deb = Deb::open(&curated.path).unwrap();
    let mut lines = Vec::new();
    deb.visit::<DebError>(Limits::default(), |entry, content| {
        if entry.is_implied_folder() {
            return Ok(());
        }
        let mut text = String::new();
        content.read_to_string(&mut text).unwrap();
        let what = match &entry.kind {
            Kind::Directory => "/".to_owned(),
            Kind::Symlink(target) => format!(" -> {target}"),
            Kind::HardLink(target) => format!(" == {target}"),
            _ => format!(": {}", text.replace('\n', ";")),
        };
        lines.push(format!("{:o} {}:{} {}{what}", entry.mode, entry.uid, entry.gid, entry.path));
        Ok(())
    })
    .unwrap();
    lines
}

/// The paths of the folders that are there for dpkg only.
pub(super) fn implied(curated: &Curated) -> Vec<String> {
    let deb = Deb::open(&curated.path).unwrap();
    let mut paths = Vec::new();
    deb.visit::<DebError>(Limits::default(), |entry, _| {
        if entry.is_implied_folder() {
            paths.push(entry.path.clone());
        }
        Ok(())
    })
    .unwrap();
    paths
}

/// The files without folders.
pub(super) fn files(curated: &Curated) -> Vec<String> {
    listing(curated).into_iter().filter(|line| !line.ends_with('/')).collect()
}

pub(super) const PLAIN: &str = "summary = \"A test\"\n";
