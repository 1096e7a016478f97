//! `preon info`: what a package is.

use std::io::Write;

use base::file;
use base::{ByteSize, Failure};
use formats::deb822;
use formats::manifest::Package;
use serde::Serialize;

use crate::print;
use host::Host;

/// Show what an installed package is
#[derive(Debug, clap::Args)]
pub(crate) struct Info {
    /// The package
    package: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What there is to say.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    package: &'a Package,
    description: String,
    depends: String,
}

impl Info {
    /// Prints it.
    ///
    /// # Errors
    ///
    /// If it is not installed.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let manifest = host.manifest(None)?;
        let package = host::installed(&manifest, &self.package)?;
        let status = file::read_text(&host.usr.join("lib/preon/dpkg/status"))?;
        let told = Told {
            package,
            description: field(&status, package.name.as_str(), "Description"),
            depends: field(&status, package.name.as_str(), "Depends"),
        };
        if self.json {
            return print::json(out, &told);
        }
        let why = if package.automatic { "another package needs it" } else { "it was asked for" };
        let lines = [
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
        ];
        let filled = lines.iter().filter(|(_, value)| !value.is_empty());
        let lines = filled.map(|(name, value)| format!("{name:10} {value}\n"));
        print::text(out, &lines.collect::<String>())
    }
}

/// A field of the package `name` in dpkg's status file; empty if there is none.
fn field(status: &str, name: &str, field: &str) -> String {
    let mut paragraphs = deb822::paragraphs(status).filter_map(Result::ok);
    let found = paragraphs.find(|paragraph| paragraph.get("Package") == Some(name));
    found.and_then(|it| it.get(field).map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::trial::Trial;

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
    fn a_misspelt_package_is_not_installed_and_the_nearest_is_named() {
        let error = Trial::new().run(&["info", "bahs"]).unwrap_err();
        assert!(error.contains("error: the package bahs is not installed\n"), "{error}");
        assert!(error.contains("hint: did you mean bash?\n"), "{error}");
    }
}
