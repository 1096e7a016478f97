//! `preon repo`: where packages come from.

use std::io::Write;
use std::path::PathBuf;

use base::Failure;
use base::file;
use serde_json::json;

use crate::{print, refresh};
use host::Root;
use host::repositories::{Configured, Repositories};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    List(List),
    Add(Add),
    Remove(Remove),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    ///
    /// What the command fails with.
    pub(crate) fn run(&self, root: &Root, out: &mut dyn Write) -> Result<(), Failure> {
        let repositories = Repositories(root);
        match self {
            Self::List(command) => command.run(&repositories, out),
            Self::Add(command) => command.run(&repositories, out),
            Self::Remove(command) => Ok(repositories.remove(&command.name)?),
        }
    }
}

/// List the repositories, and what the last refresh found in them
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Add a repository: a folder with `dists` and `targets`, on one server or several
///
/// What it has is fetched and verified first; where that fails, nothing is added.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// What to call it: letters, digits and hyphens
    name: String,
    /// Where it is (https://, http:// or file:///); several are mirrors of each other, the best first
    #[arg(value_name = "URI", required = true)]
    uris: Vec<String>,
    /// The publisher's root metadata, from which all trust comes: get it over a way that you trust
    #[arg(long, value_name = "FILE")]
    root_metadata: PathBuf,
    /// Certificates, as PEM, of those who alone vouch for its servers of HTTPS; the file is copied [default: Mozilla's list]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The suite
    #[arg(long, default_value = "preon-trixie")]
    suite: String,
    /// Add it without a look at it, for a host that cannot reach it yet
    #[arg(long)]
    no_check: bool,
}

/// Remove a repository; what is installed from it stays
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// What it is called
    name: String,
}

/// The publisher's metadata is none.
#[derive(Debug, thiserror::Error)]
#[error("{} is no root metadata", .0.display())]
struct NoRoot(PathBuf);

impl base::Explain for NoRoot {
    fn hint(&self) -> Option<String> {
        Some("take the file `1.root.json` or a later one of the publisher".into())
    }
}

impl List {
    fn run(&self, repositories: &Repositories<'_>, out: &mut dyn Write) -> Result<(), Failure> {
        let mut all = Vec::new();
        for name in repositories.names()? {
            let (configured, found) = (repositories.configured(&name)?, repositories.found(&name)?);
            all.push((name, configured, found));
        }
        if self.json {
            let row = |(name, configured, found): &(_, _, _)| json!({ "name": name, "configured": configured, "found": found });
            return print::json(out, &all.iter().map(row).collect::<Vec<_>>());
        }
        let rows: Vec<_> = all
            .into_iter()
            .map(|(name, Configured { uris, suite, .. }, found)| {
                let until = found.as_ref().map(|found| print::moment(found.valid_until));
                let packages = found.map(|found| found.packages.to_string());
                let unknown = || "-".to_owned();
                [
                    name,
                    suite,
                    packages.unwrap_or_else(unknown),
                    until.unwrap_or_else(unknown),
                    uris.join(" "),
                ]
            })
            .collect();
        print::table(out, ["REPOSITORY", "SUITE", "PACKAGES", "VALID UNTIL", "URIS"], &rows)
    }
}

impl Add {
    fn run(&self, repositories: &Repositories<'_>, out: &mut dyn Write) -> Result<(), Failure> {
        let root = file::read(&self.root_metadata)?;
        let signed = serde_json::from_slice::<serde_json::Value>(&root).ok();
        if signed.is_none_or(|it| it["signed"]["_type"] != "root") {
            return Err(NoRoot(self.root_metadata.clone()).into());
        }
        let Self { uris, suite, ca, .. } = self;
        let configured = Configured { uris: uris.clone(), suite: suite.clone(), ca: ca.clone() };
        if self.no_check {
            repositories.add(&self.name, &configured, &root)?;
            let text = format!("{}: run `preon refresh` to see what it has\n", self.name);
            return print::text(out, &text);
        }
        let found = repositories.try_and_add(&self.name, &configured, &root)?;
        print::text(out, &refresh::line(&self.name, &found))
    }
}

#[cfg(test)]
mod tests {
    use crate::trial::Trial;

    #[test]
    fn a_repository_is_added_listed_and_removed() {
        let trial = Trial::new();
        let root = trial.file("root.json", "{\"signed\": {\"_type\": \"root\"}}");
        let ca = trial.file("page", "<html>");
        let add = ["repo", "add", "main", "https://one", "https://two", "--no-check"];
        let add = [&add[..], &["--root-metadata", &root]].concat();
        let error = trial.run(&[&add[..], &["--ca", &ca]].concat()).unwrap_err();
        assert!(error.contains("cannot vouch for servers") && error.contains("hint: "), "{error}");
        trial.run(&add).unwrap();
        assert_eq!(
            trial.run(&["repo", "list"]).unwrap(),
            "REPOSITORY  SUITE         PACKAGES  VALID UNTIL  URIS\n\
             main        preon-trixie  -         -            https://one https://two\n"
        );
        let error = trial.run(&add).unwrap_err();
        assert!(error.contains("the repository main is there already"), "{error}");
        let found = trial.below("/var/lib/preon/repositories/main.json");
        base::file::replace(&found, b"{").unwrap();
        let error = trial.run(&["repo", "list"]).unwrap_err();
        assert!(error.contains("hint: `preon refresh` writes it anew"), "{error}");
        trial.run(&["repo", "remove", "main"]).unwrap();
        assert!(!trial.run(&["repo", "list"]).unwrap().contains("main"));
        let error = trial.run(&["repo", "remove", "main"]).unwrap_err();
        assert!(error.contains("there is no repository main"), "{error}");
    }

    #[test]
    fn a_repository_that_cannot_be_asked_is_not_added_unless_that_is_wanted() {
        let trial = Trial::new();
        let root = trial.file("root.json", "{\"signed\": {\"_type\": \"root\"}}");
        let add = ["repo", "add", "main", "file:///nonexistent", "--root-metadata", &root];
        let error = trial.run(&add).unwrap_err();
        assert!(error.contains("error: the repository main is not added"), "{error}");
        assert!(
            error.contains("caused by: file:///nonexistent: ") && error.contains("hint: "),
            "{error}"
        );
        let files =
            |folder: &str| std::fs::read_dir(trial.below(folder)).map_or(0, Iterator::count);
        let places = ["/etc/preon/repositories", "/var/lib/preon/repositories"];
        assert_eq!(places.map(files), [0, 0]);
        let told = trial.run(&[&add[..], &["--no-check"]].concat()).unwrap();
        assert_eq!(told, "main: run `preon refresh` to see what it has\n");
    }

    #[test]
    fn what_is_no_root_metadata_and_no_name_is_refused_and_nothing_is_kept() {
        let trial = Trial::new();
        let page = trial.file("page", "<html>");
        let good = trial.file("root.json", "{\"signed\": {\"_type\": \"root\"}}");
        #[rustfmt::skip]
        let cases = [
            ("main",  &page, "is no root metadata"),
            ("../x",  &good, "`../x` is no name for a repository"),
            ("",      &good, "`` is no name for a repository"),
        ];
        for (name, root, why) in cases {
            let error = trial.run(&["repo", "add", name, "https://one", "--root-metadata", root]);
            let error = error.unwrap_err();
            assert!(error.contains(why) && error.contains("hint: "), "{error}");
        }
        assert!(!trial.run(&["repo", "list"]).unwrap().contains("https"));
    }
}
