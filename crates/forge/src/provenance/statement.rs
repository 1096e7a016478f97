//! What something was made from, and by what: an in-toto statement with SLSA provenance.
//!
//! No time is in it: the same inputs make the same statement.
//!
//! Source: in-toto Attestation Framework, Statement v1; SLSA 1.0, Provenance.

use std::collections::BTreeMap;
use std::fmt;

use base::Digest;
use serde::{Deserialize, Serialize};

const TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://slsa.dev/provenance/v1";

/// Who builds. The host is nobody's, for the project has no site of its own.
const BUILDER: &str = "https://preon.invalid/forge";

/// A statement about one or more files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Resource>,
    predicate_type: String,
    predicate: Predicate,
}

/// A file, or what else has a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resource {
    /// What people call it.
    name: String,
    digest: Sha256,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sha256 {
    sha256: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Predicate {
    build_definition: Definition,
    run_details: Run,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Definition {
    build_type: String,
    external_parameters: BTreeMap<String, String>,
    resolved_dependencies: Vec<Resource>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    builder: Builder,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Builder {
    id: String,
    version: BTreeMap<String, String>,
}

/// A way in which things are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Build {
    /// A package of Debian, or files of ours, and a recipe: docs/curation.md.
    Curate,
    /// A source package of Debian, in a root of Debian's packages: docs/packages.md.
    Package,
    /// The kernel's source: docs/kernel.md.
    Kernel,
    /// Curated packages to a layer: docs/compose.md.
    Compose,
}

impl Build {
    fn uri(self) -> String {
        let name = match self {
            Self::Curate => "curate",
            Self::Package => "package",
            Self::Kernel => "kernel",
            Self::Compose => "compose",
        };
        format!("{BUILDER}/{name}/v1")
    }
}

/// The payload of an envelope is not such a statement.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadStatement {
    #[error("it is no in-toto statement with SLSA provenance")]
    Json(#[source] serde_json::Error),
    #[error("it is `{0}`, which is not understood")]
    Type(String),
    #[error("it was made by `{0}`, not by forge")]
    Builder(String),
}

impl Resource {
    /// Something by its digest.
    pub(super) fn new(name: impl Into<String>, sha256: Digest) -> Self {
        Self { name: name.into(), digest: Sha256 { sha256 } }
    }

    /// Whether it has this digest.
    pub(super) fn is(&self, digest: &Digest) -> bool {
        self.digest.sha256 == *digest
    }
}

impl Statement {
    /// States that `build` made `subject` of `dependencies`, told `parameters`.
    pub(super) fn new(
        build: Build,
        subject: Vec<Resource>,
        parameters: &[(&str, &str)],
        dependencies: Vec<Resource>,
    ) -> Self {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Self {
            kind: TYPE.into(),
            subject,
            predicate_type: PREDICATE.into(),
            predicate: Predicate {
                build_definition: Definition {
                    build_type: build.uri(),
                    external_parameters: parameters.iter().map(owned).collect(),
                    resolved_dependencies: dependencies,
                },
                run_details: Run {
                    builder: Builder {
                        id: BUILDER.into(),
                        version: [("forge".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]
                            .into(),
                    },
                },
            },
        }
    }

    /// The statement as JSON.
    pub(super) fn to_json(&self) -> String {
        // Text only: nothing in it can fail to be JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a statement. Check its envelope first.
    ///
    /// # Errors
    ///
    /// [`BadStatement`].
    pub(super) fn parse(json: &[u8]) -> Result<Self, BadStatement> {
        let statement: Self = serde_json::from_slice(json).map_err(BadStatement::Json)?;
        for (found, known) in [(&statement.kind, TYPE), (&statement.predicate_type, PREDICATE)] {
            if found != known {
                return Err(BadStatement::Type(found.clone()));
            }
        }
        let builder = &statement.predicate.run_details.builder.id;
        if builder != BUILDER {
            return Err(BadStatement::Builder(builder.clone()));
        }
        Ok(statement)
    }

    /// Whether a file of this digest is among what the statement is about.
    pub(super) fn is_about(&self, digest: &Digest) -> bool {
        self.subject.iter().any(|subject| subject.is(digest))
    }
}

/// A table for people.
impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Definition { build_type, external_parameters, resolved_dependencies } =
            &self.predicate.build_definition;
        write!(f, "made by   {build_type}")?;
        for (key, value) in external_parameters {
            write!(f, "\n{key:<9} {value}")?;
        }
        for (word, resources) in [("is", &self.subject), ("of", resolved_dependencies)] {
            for Resource { name, digest } in resources {
                write!(f, "\n{word:<9} {} {name}", digest.sha256)?;
            }
        }
        Ok(())
    }
}
