//! Whether a document is what its standard asks for, by the standard's own schema.

use jsonschema::Registry;
use serde_json::Value;

/// A format that others define.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// SPDX 2.3.
    Spdx,
    /// CycloneDX 1.6.
    CycloneDx,
    /// CSAF 2.0.
    Csaf,
}

impl Schema {
    fn text(self) -> &'static str {
        match self {
            Self::Spdx => include_str!("../schemas/spdx-2.3.schema.json"),
            Self::CycloneDx => include_str!("../schemas/cyclonedx-bom-1.6.schema.json"),
            Self::Csaf => include_str!("../schemas/csaf-2.0.schema.json"),
        }
    }
}

/// The schemas that others refer to, by the names that those use.
const REFERRED: [(&str, &str); 5] = [
    (
        "http://cyclonedx.org/schema/spdx.SNAPSHOT.schema.json",
        include_str!("../schemas/cyclonedx-spdx.schema.json"),
    ),
    (
        "http://cyclonedx.org/schema/jsf-0.82.SNAPSHOT.schema.json",
        include_str!("../schemas/cyclonedx-jsf-0.82.schema.json"),
    ),
    ("https://www.first.org/cvss/cvss-v2.0.json", include_str!("../schemas/cvss-2.0.schema.json")),
    ("https://www.first.org/cvss/cvss-v3.0.json", include_str!("../schemas/cvss-3.0.schema.json")),
    ("https://www.first.org/cvss/cvss-v3.1.json", include_str!("../schemas/cvss-3.1.schema.json")),
];

/// Where `document` breaks `schema`; nothing where it keeps it.
///
/// # Panics
///
/// If `document` is no JSON, or one of the schemas is broken.
pub fn violations(schema: Schema, document: &str) -> Vec<String> {
    let json =
        |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|error| panic!("{error}"));
    let mut registry = Registry::new();
    for (name, text) in REFERRED {
        registry = registry.add(name, json(text)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let registry = registry.prepare().unwrap_or_else(|error| panic!("{error}"));
    let validator = jsonschema::options()
        .with_registry(&registry)
        .should_validate_formats(true)
        .build(&json(schema.text()))
        .unwrap_or_else(|error| panic!("{schema:?}: {error}"));
    let document = json(document);
    let errors = validator.iter_errors(&document);
    errors.map(|error| format!("{}: {error}", error.instance_path())).collect()
}
