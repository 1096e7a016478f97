//! A bill of materials in CycloneDX 1.6, as JSON.
//!
//! Source: ECMA-424, first edition (CycloneDX 1.6).

use serde::Serialize;

use super::{Bill, File, Package, SUPPLIER, Used, json, purl};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct Metadata {
    timestamp: String,
    tools: Tools,
    component: Component,
    supplier: Organization,
}

#[derive(Serialize)]
struct Tools {
    components: [Component; 1],
}

#[derive(Clone, Serialize)]
struct Organization {
    name: &'static str,
}

#[derive(Default, Serialize)]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref", skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<Organization>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Licence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<Component>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
struct Licence {
    expression: String,
}

#[derive(Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    r#ref: String,
    depends_on: Vec<String>,
}

const IMAGE: &str = "image";

/// The bill as the text of a CycloneDX 1.6 document.
pub fn document(bill: &Bill) -> String {
    let product = bill.product();
    let mut components: Vec<_> = bill.packages().iter().map(component).collect();
    let all = components.iter().filter_map(|component| component.reference.clone()).collect();
    let mut dependencies = vec![Dependency { r#ref: IMAGE.into(), depends_on: all }];
    dependencies.extend(bill.packages().iter().filter_map(parts));
    components.extend(bill.used().iter().map(used));
    let supplier = Organization { name: SUPPLIER };
    let document = Document {
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: format!("urn:uuid:{}", bill.uuid("cyclonedx")),
        version: 1,
        metadata: Metadata {
            timestamp: bill.time(),
            tools: Tools { components: [tool()] },
            component: Component {
                kind: "operating-system",
                reference: Some(IMAGE.into()),
                name: format!("preon-{}", product.image),
                version: Some(format!("{}+{}", product.version, product.build_id)),
                ..Component::default()
            },
            supplier,
        },
        components,
        dependencies,
    };
    json(&document, false)
}

fn tool() -> Component {
    Component {
        kind: "application",
        name: "preon-forge".into(),
        version: Some(env!("CARGO_PKG_VERSION").into()),
        ..Component::default()
    }
}

fn component(package: &Package) -> Component {
    let control = &package.part.control;
    let (source, source_version) = control.source();
    let property = |name, value: &str| Property { name, value: value.to_owned() };
    let mut properties = vec![
        property("preon:source:name", source),
        property("preon:source:version", source_version),
        property("preon:suite", &package.part.suite),
    ];
    if let Some(origin) = package.origin() {
        properties.push(property("preon:origin:sha256", &origin.to_string()));
    }
    if let Some(flags) = package.flags() {
        let flags: Vec<_> = flags.split_whitespace().collect();
        properties.push(property("preon:build-flags", &flags.join(" ")));
    }
    let licence =
        |it: &packages::copyright::Licences| Licence { expression: it.expression.clone() };
    Component {
        kind: "library",
        reference: Some(reference(package)),
        supplier: Some(Organization { name: SUPPLIER }),
        name: control.name().to_string(),
        version: Some(control.version().to_string()),
        description: package.summary().map(str::to_owned),
        hashes: vec![Hash { alg: "SHA-256", content: package.part.digest.to_string() }],
        licenses: package.licences.iter().map(licence).collect(),
        purl: Some(purl::purl(package)),
        components: package.part.files.iter().map(file).collect(),
        properties,
    }
}

fn reference(package: &Package) -> String {
    format!("package:{}", package.name())
}

/// The source packages of which parts are in a package.
fn parts(package: &Package) -> Option<Dependency> {
    let depends_on: Vec<_> = package.used().iter().map(used_reference).collect();
    let r#ref = reference(package);
    (!depends_on.is_empty()).then_some(Dependency { r#ref, depends_on })
}

fn used_reference(used: &Used) -> String {
    format!("source:{}@{}", used.name, used.version)
}

fn used(used: &Used) -> Component {
    Component {
        kind: "library",
        reference: Some(used_reference(used)),
        supplier: Some(Organization { name: "Debian" }),
        name: used.name.clone(),
        version: Some(used.version.clone()),
        purl: Some(purl::source(used)),
        ..Component::default()
    }
}

fn file(file: &File) -> Component {
    Component {
        kind: "file",
        reference: Some(format!("file:{}", file.path)),
        name: file.path.clone(),
        hashes: vec![Hash { alg: "SHA-256", content: file.sha256.to_string() }],
        ..Component::default()
    }
}
