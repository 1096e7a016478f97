//! `preon files`: what a package holds.

use std::io::Write;
use std::path::PathBuf;

use base::Failure;
use base::file::{self, FileError};
use serde::Serialize;

use crate::print;
use host::Host;

/// List the files of an installed package, or say which package a file is of
#[derive(Debug, clap::Args)]
pub(crate) struct Files {
    /// The package, or the path of a file: it begins with a slash then
    #[arg(value_name = "PACKAGE|PATH")]
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A file is in no package.
#[derive(Debug, thiserror::Error)]
#[error("no package holds {0}")]
struct NoOwner(String);

impl base::Explain for NoOwner {
    fn hint(&self) -> Option<String> {
        Some(
            "only installed packages were looked at; what compose works out, and what the host wrote itself, is of none"
                .into(),
        )
    }
}

/// Who holds a file, of what is installed.
#[derive(Serialize)]
pub(crate) struct Owner<'a> {
    path: &'a str,
    pub(crate) packages: Vec<String>,
}

impl<'a> Owner<'a> {
    /// Who holds the file at `path`.
    ///
    /// # Errors
    ///
    /// If nobody does.
    pub(crate) fn of(host: &Host, path: &'a str) -> Result<Self, Failure> {
        let sought = merged(path);
        let mut packages = Vec::new();
        for (package, list) in lists(host)? {
            if file::read_text(&list)?.lines().any(|line| line == sought) {
                packages.push(package);
            }
        }
        if packages.is_empty() {
            return Err(NoOwner(path.to_owned()).into());
        }
        Ok(Self { path, packages })
    }
}

/// Where a file of the host's root is that is below `/usr` in truth: `/bin` is a link to `/usr/bin`.
fn merged(path: &str) -> String {
    let path = path.trim_end_matches('/');
    let is_link = |first: &str| ["bin", "sbin", "lib", "lib64"].contains(&first);
    let first = path.split('/').nth(1).unwrap_or_default();
    if is_link(first) { format!("/usr{path}") } else { path.to_owned() }
}

impl Files {
    /// Prints them.
    ///
    /// # Errors
    ///
    /// If the package is not installed, or nobody owns the file.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        if self.name.starts_with('/') {
            return self.owner(host, out);
        }
        let manifest = host.manifest(None)?;
        let name = host::installed(&manifest, &self.name)?.name.as_str();
        let mut files = Vec::new();
        for (package, path) in lists(host)? {
            if package == name {
                let text = file::read_text(&path)?;
                files.extend(text.lines().filter(|line| *line != "/.").map(str::to_owned));
            }
        }
        if self.json {
            return print::json(out, &files);
        }
        print::text(out, &files.iter().map(|path| format!("{path}\n")).collect::<String>())
    }

    fn owner(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let owner = Owner::of(host, &self.name)?;
        if self.json {
            return print::json(out, &owner);
        }
        print::text(out, &owner.packages.iter().map(|name| format!("{name}\n")).collect::<String>())
    }
}

/// Each package, by name, with the file that lists what it holds.
fn lists(host: &Host) -> Result<Vec<(String, PathBuf)>, FileError> {
    let folder = host.usr.join("lib/preon/dpkg/info");
    let mut found = Vec::new();
    for entry in folder.read_dir().map_err(FileError::at("read", &folder))? {
        let path = entry.map_err(FileError::at("read", &folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(name) = name.strip_suffix(".list") {
            let package = name.split_once(':').map_or(name, |(package, _)| package);
            found.push((package.to_owned(), path.clone()));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use crate::trial::Trial;

    #[test]
    fn the_files_of_a_package_are_listed() {
        let trial = Trial::new();
        assert_eq!(trial.run(&["files", "libc6"]).unwrap(), "/usr\n/usr/lib\n/usr/lib/libc.so.6\n");
        let json = trial.run(&["files", "bash", "--json"]).unwrap();
        assert!(json.contains("\"/usr/bin/bash\""), "{json}");
    }

    #[test]
    fn a_path_names_its_packages() {
        let trial = Trial::new();
        assert_eq!(trial.run(&["files", "/usr/bin/bash"]).unwrap(), "bash\n");
        assert_eq!(trial.run(&["files", "/bin/bash"]).unwrap(), "bash\n"); // a link to /usr/bin
        assert_eq!(trial.run(&["files", "/usr/"]).unwrap(), "bash\nlibc6\n");
        let error = trial.run(&["files", "/usr/bin/none"]).unwrap_err();
        assert!(error.contains("no package holds /usr/bin/none"), "{error}");
    }
}
