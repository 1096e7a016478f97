//! `preon info`: what a package is.

use std::io::Write;

use base::file;
use base::{ByteSize, Explain, Failure};
use formats::deb822;
use formats::manifest::{Manifest, Package};
use host::Host;
use host::repositories::Repositories;
use packages::index::{Index, Stanza};
use packages::spelling;
use serde::Serialize;

use crate::print;

/// Show what a package is: the installed one, else the newest that a repository had at the last refresh
#[derive(Debug, clap::Args)]
pub(crate) struct Info {
    /// The package
    package: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What there is to say of an installed package.
#[derive(Serialize)]
struct Told<'a> {
    installed: bool,
    #[serde(flatten)]
    package: &'a Package,
    description: String,
    depends: String,
}

/// What there is to say of another one.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Offered {
    installed: bool,
    name: String,
    version: String,
    source: String,
    source_version: String,
    architecture: String,
    repository: String,
    installed_bytes: u64,
    download_bytes: u64,
    description: String,
    depends: String,
}

/// Nobody has the package.
#[derive(Debug, thiserror::Error)]
#[error("the package {name} is not installed, and no repository had it at the last refresh")]
struct Nowhere {
    name: String,
    nearest: Option<String>,
}

impl Explain for Nowhere {
    fn hint(&self) -> Option<String> {
        Some(match &self.nearest {
            Some(name) => format!("did you mean {name}?"),
            None => {
                "`preon search WORD` finds packages; `preon refresh` asks what there is now".into()
            }
        })
    }
}

impl Info {
    /// Prints it.
    ///
    /// # Errors
    ///
    /// If it is neither installed nor in a repository.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let manifest = host.manifest(None)?;
        let mut packages = manifest.packages.iter();
        match packages.find(|it| it.name.as_str() == self.package) {
            Some(package) => self.installed(host, package, out),
            None => self.offered(host, &manifest, out),
        }
    }

    fn installed(
        &self,
        host: &Host,
        package: &Package,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let status = file::read_text(&host.usr.join("lib/preon/dpkg/status"))?;
        let told = Told {
            installed: true,
            package,
            description: field(&status, package.name.as_str(), "Description"),
            depends: field(&status, package.name.as_str(), "Depends"),
        };
        if self.json {
            return print::json(out, &told);
        }
        let why = if package.automatic { "another package needs it" } else { "it was asked for" };
        print::text(
            out,
            &lines(&[
                ("Package", package.name.to_string()),
                ("Version", package.version.to_string()),
                ("Debian", format!("{} in {}", package.debian_version, package.suite)),
                ("Source", format!("{} {}", package.source, package.source_version)),
                ("Built", if package.rebuilt { "from source" } else { "by Debian" }.to_owned()),
                ("Size", ByteSize(package.installed_bytes).to_string()),
                ("Layer", package.layer.clone()),
                ("Installed", format!("because {why}")),
                ("Depends", told.depends.clone()),
                ("About", told.description.clone()),
            ]),
        )
    }

    fn offered(
        &self,
        host: &Host,
        manifest: &Manifest,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let indexes = Repositories(&host.root).known_indexes()?;
        let Some(it) = Offered::newest(&self.package, &indexes)? else {
            let installed = manifest.packages.iter().map(|package| package.name.as_str());
            let offered = indexes.iter().flat_map(|(_, index)| index.stanzas()).map(Stanza::name);
            let nearest = spelling::nearest(&self.package, installed.chain(offered));
            let nearest = nearest.map(str::to_owned);
            return Err(Nowhere { name: self.package.clone(), nearest }.into());
        };
        if self.json {
            return print::json(out, &it);
        }
        let size = ByteSize(it.installed_bytes);
        print::text(
            out,
            &lines(&[
                ("Package", it.name.clone()),
                ("Version", it.version.clone()),
                ("Source", format!("{} {}", it.source, it.source_version)),
                ("Size", format!("{size}, {} to fetch", ByteSize(it.download_bytes))),
                ("Installed", "no".into()),
                ("Repository", format!("{}, as of the last refresh", it.repository)),
                ("Depends", it.depends.clone()),
                ("About", it.description.clone()),
            ]),
        )
    }
}

impl Offered {
    /// The newest package of this name; of the same version, the first repository's.
    fn newest(name: &str, indexes: &[(String, Index)]) -> Result<Option<Self>, Failure> {
        let mut newest: Option<(&str, Stanza<'_>)> = None;
        for (repository, index) in indexes {
            for stanza in index.stanzas().filter(|stanza| stanza.name() == name) {
                let best = newest.map(|(_, best)| best.version()).transpose()?;
                if best.is_none_or(|best| stanza.version().is_ok_and(|it| it > best)) {
                    newest = Some((repository, stanza));
                }
            }
        }
        let Some((repository, stanza)) = newest else { return Ok(None) };
        let text = |field| stanza.field(field).unwrap_or_default().to_owned();
        let (source, source_version) = stanza.source();
        Ok(Some(Self {
            installed: false,
            name: name.to_owned(),
            version: stanza.version_text().to_owned(),
            source: source.to_owned(),
            source_version: source_version.to_owned(),
            architecture: stanza.architecture().to_owned(),
            repository: repository.to_owned(),
            installed_bytes: stanza.installed_bytes(),
            download_bytes: stanza.download()?.size,
            description: text("Description"),
            depends: text("Depends"),
        }))
    }
}

/// A line for each that has something to say.
fn lines(all: &[(&str, String)]) -> String {
    let filled = all.iter().filter(|(_, value)| !value.is_empty());
    filled.map(|(name, value)| format!("{name:10} {value}\n")).collect()
}

/// A field of the package `name` in dpkg's status file; empty if there is none.
fn field(status: &str, name: &str, field: &str) -> String {
    let mut paragraphs = deb822::paragraphs(status).filter_map(Result::ok);
    let found = paragraphs.find(|paragraph| paragraph.get("Package") == Some(name));
    found.and_then(|it| it.get(field).map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use packages::index::Index;

    use super::Offered;
    use crate::trial::Trial;

    #[test]
    fn of_a_package_that_is_not_installed_the_newest_of_all_repositories_is_told() {
        let index = |versions: &[&str]| {
            let stanza = |version: &&str| {
                format!(
                    "Package: git\nVersion: {version}\nArchitecture: amd64\nSource: git-src (2)\nInstalled-Size: 3\n\
                     Filename: pool/git.deb\nSize: 7\nSHA256: {}\nDepends: libc6\nDescription: fast\n more\n\n",
                    "0".repeat(64)
                )
            };
            Index::parse("preon", versions.iter().map(stanza).collect::<String>()).unwrap()
        };
        let all = [
            ("extra".to_owned(), index(&["1:1", "9"])),
            ("main".to_owned(), index(&["1:2", "1:10"])),
            ("more".to_owned(), index(&["1:10"])),
        ];
        let it = Offered::newest("git", &all).unwrap().unwrap();
        assert_eq!((it.version.as_str(), it.repository.as_str()), ("1:10", "main"));
        assert_eq!((it.source.as_str(), it.source_version.as_str()), ("git-src", "2"));
        assert_eq!((it.installed_bytes, it.download_bytes), (3072, 7));
        assert_eq!((it.depends.as_str(), it.description.as_str()), ("libc6", "fast\n more"));
        assert!(!it.installed);
        assert_eq!(Offered::newest("gti", &all).unwrap(), None);
    }

    #[test]
    fn a_package_is_told_with_its_debian_version_and_its_reason() {
        let text = Trial::new().run(&["info", "bash"]).unwrap();
        for line in [
            "Version    5.2-1+0preon1\n",
            "Debian     5.2-1 in trixie\n",
            "Installed  because it was asked for\n",
            "Depends    libc6 (>= 2.41)\n",
            "About      a shell\n",
        ] {
            assert!(text.contains(line), "no {line} in {text}");
        }
    }

    #[test]
    fn a_package_that_only_a_repository_has_is_told_as_of_the_last_refresh() {
        let trial = Trial::new();
        trial.publish("git");
        assert_eq!(
            trial.run(&["info", "git"]).unwrap(),
            "Package    git\nVersion    1\nSource     git 1\nSize       3.1 kB, 7 B to fetch\nInstalled  no\n\
             Repository main, as of the last refresh\nAbout      fast\n"
        );
        let json = trial.run(&["info", "git", "--json"]).unwrap();
        assert!(json.contains("\"installed\": false"), "{json}");
        let error = trial.run(&["info", "gti"]).unwrap_err();
        assert!(error.contains("hint: did you mean git?\n"), "{error}");
    }

    #[test]
    fn a_misspelt_package_is_not_installed_and_the_nearest_is_named() {
        let error = Trial::new().run(&["info", "bahs"]).unwrap_err();
        assert!(error.contains("error: the package bahs is not installed, and no"), "{error}");
        assert!(error.contains("hint: did you mean bash?\n"), "{error}");
    }
}
