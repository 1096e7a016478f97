//! The control file of a package: its fields, to read, change and write.

use std::collections::BTreeSet;
use std::fmt;

use base::Explain;
use formats::name::BadName;
use formats::relation::{Operator, Relations};
use formats::version::BadVersion;
use formats::{PackageName, Version, deb822};

/// The fields of one package in the order of its control file; names in whatever capitals.
///
/// Displays as a control file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    fields: Vec<(String, String)>,
    name: PackageName,
    version: Version,
    architecture: String,
}

/// A text is not the control file of a package.
#[derive(Debug, thiserror::Error)]
pub enum BadControl {
    /// It is no single paragraph of fields.
    #[error("the control file is malformed")]
    Malformed(#[from] deb822::Malformed),
    /// A field that every package has is not there.
    #[error("the control file has no field {0}")]
    Missing(&'static str),
    /// The package's name is none.
    #[error("the control file names no package")]
    Name(#[from] BadName),
    /// The version is none.
    #[error("the control file holds a bad version")]
    Version(#[from] BadVersion),
}

impl Explain for BadControl {}

/// What the names of fields begin with that only curation sets.
pub const OURS: &str = "Preon-";

/// The field with the source packages, in exact versions, of which parts are in a package beside those of its own.
///
/// Source: Debian Policy, section 7.8.
pub const BUILT_USING: &str = "Built-Using";
/// The same where no licence demands it. Source: deb-control(5).
const STATIC_BUILT_USING: &str = "Static-Built-Using";

/// The field of a package that was built from source which says what the compiler was told.
pub const BUILD_FLAGS: &str = "Preon-Build-Flags";

impl Control {
    /// Reads a control file.
    ///
    /// # Errors
    ///
    /// [`BadControl`] if it is malformed or lacks `Package`, `Version` or `Architecture`.
    pub fn parse(text: &str) -> Result<Self, BadControl> {
        let paragraph = deb822::single(text)?;
        let needed = |name| paragraph.get(name).ok_or(BadControl::Missing(name));
        Ok(Self {
            name: needed("Package")?.parse()?,
            version: needed("Version")?.parse()?,
            architecture: needed("Architecture")?.to_owned(),
            fields: paragraph
                .fields
                .iter()
                .map(|field| (field.name.to_owned(), field.value.to_owned()))
                .collect(),
        })
    }

    /// The package's name.
    pub fn name(&self) -> &PackageName {
        &self.name
    }

    /// The package's version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The architecture: `amd64` or `all` for all that this crate fetches.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The name of the source package and its version; both are the binary package's own where
    /// the field `Source` does not say otherwise.
    ///
    /// Source: Debian Policy, section 5.6.1.
    pub fn source(&self) -> (&str, &str) {
        let own = (self.name.as_str(), self.version.as_str());
        source_of(self.get("Source"), own)
    }

    /// The value of the field `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(&field.1)
    }

    /// The source packages of which parts are in it beside those of its own: names and versions. What is no exact version
    /// says nothing.
    pub fn built_using(&self) -> BTreeSet<(&str, &str)> {
        let fields = [BUILT_USING, STATIC_BUILT_USING].into_iter();
        let fields = fields.filter_map(|field| Relations::parse(self.get(field)?).ok());
        let all = fields.flat_map(|field| field.groups).flat_map(|group| group.alternatives);
        let exact = all.filter_map(|it| Some((it.name, it.version?)));
        let exact = exact.filter(|(_, version)| version.operator == Operator::Equal);
        exact.map(|(name, version)| (name, version.version.as_str())).collect()
    }

    /// All fields in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Sets the field `name`, in its place if it is there, at the end otherwise. An empty value
    /// removes it. `Package`, `Version` and `Architecture` are left as they are: see
    /// [`Control::set_version`].
    pub fn set(&mut self, name: &str, value: &str) {
        if ["Package", "Version", "Architecture"].iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return;
        }
        self.put(name, value);
    }

    /// Removes every field whose name begins so, whatever the case.
    pub fn remove_all(&mut self, beginning: &str) {
        let begins = |name: &str| {
            name.get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning))
        };
        self.fields.retain(|(name, _)| !begins(name));
    }

    /// Sets the version.
    pub fn set_version(&mut self, version: Version) {
        self.put("Version", version.as_str());
        self.version = version;
    }

    fn put(&mut self, name: &str, value: &str) {
        let at = self.fields.iter().position(|(known, _)| known.eq_ignore_ascii_case(name));
        match (at, value.is_empty()) {
            (Some(at), true) => drop(self.fields.remove(at)),
            (Some(at), false) => self.fields[at].1 = value.to_owned(),
            (None, true) => {}
            (None, false) => self.fields.push((name.to_owned(), value.to_owned())),
        }
    }
}

/// Reads a `Source` field, `name` or `name (version)`; `own` stands in for what it does not say.
pub(crate) fn source_of<'a>(field: Option<&'a str>, own: (&'a str, &'a str)) -> (&'a str, &'a str) {
    let Some(field) = field else { return own };
    match field.split_once('(') {
        Some((name, version)) => (name.trim(), version.trim_end().trim_end_matches(')').trim()),
        None => (field.trim(), own.1),
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.fields() {
            let gap = if value.starts_with('\n') { "" } else { " " };
            writeln!(f, "{name}:{gap}{value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Package: libssl3t64\nSource: openssl (3.5.0-1)\nVersion: 3.5.0-1+b1\n\
                        Architecture: amd64\nDescription: TLS\n more text\n .\n end\n";

    #[test]
    fn a_control_file_survives_reading_and_writing() {
        assert_eq!(Control::parse(TEXT).unwrap().to_string(), TEXT);
    }

    #[test]
    fn fields_are_replaced_in_place_added_at_the_end_and_removed() {
        let mut control = Control::parse(TEXT).unwrap();
        control.set_version("3.5.0-1+b1+0preon1".parse().unwrap());
        control.set("source", "");
        control.set("Depends", "libc6");
        control.set("Package", "other");
        let text = "Package: libssl3t64\nVersion: 3.5.0-1+b1+0preon1\nArchitecture: amd64\n\
                    Description: TLS\n more text\n .\n end\nDepends: libc6\n";
        assert_eq!(control.to_string(), text);
    }

    #[test]
    fn the_source_package_may_have_another_name_and_version() {
        #[rustfmt::skip]
        let cases = [
            (None,                    ("own", "1-1+b1")),
            (Some("openssl"),         ("openssl", "1-1+b1")),
            (Some("openssl (1-1)"),   ("openssl", "1-1")),
        ];
        for (field, expected) in cases {
            assert_eq!(source_of(field, ("own", "1-1+b1")), expected, "{field:?}");
        }
    }

    #[test]
    fn a_control_file_without_a_version_is_refused() {
        let error = Control::parse("Package: a\nArchitecture: all\n").unwrap_err();
        assert_eq!(error.to_string(), "the control file has no field Version");
    }
}
