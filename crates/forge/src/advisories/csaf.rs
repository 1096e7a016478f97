//! Advisories as CSAF 2.0 VEX: a document for each source package, and one for each image.
//!
//! Source: OASIS Common Security Advisory Framework 2.0, sections 3, 4.5 (profile VEX) and 5.1 (file names).

use std::collections::BTreeMap;

use compose::bill::sources::Sources;
use compose::bill::{Bill, Package, purl};
use packages::changelog::Cve;
use packages::fixes::Fixed;
use serde_json::{Value, json};

use super::{details, tracker};

/// Who publishes. The namespace is nobody's, for the project has no site of its own.
const NAMESPACE: &str = "https://preon.invalid";

/// What a document is about.
struct Subject<'a> {
    /// The end of the tracking identifier.
    id: &'a str,
    title: String,
    time: &'a str,
    tree: Value,
    vulnerabilities: Vec<Value>,
}

/// The documents of source packages that fix any flaw, with the names of their files.
pub(super) fn of_sources(sources: &Sources) -> impl Iterator<Item = (String, Value)> {
    sources.all.iter().map(|(name, source)| {
        let ids: Vec<_> = source.packages.values().map(product_id).collect();
        let flaws = source.fixes.by_flaw().into_iter();
        let flaws = flaws.map(|(cve, fixed)| vulnerability(cve, &[(name, fixed)], &ids));
        document(Subject {
            id: name,
            title: format!("Flaws that {name} of Preon OS fixes"),
            time: &sources.time,
            tree: json!({ "branches": [vendor(source.packages.values())] }),
            vulnerabilities: flaws.collect(),
        })
    })
}

/// The document of an image, with the name of its file; `None` if no package of it fixes any flaw.
pub(super) fn of_image(bill: &Bill) -> Option<(String, Value)> {
    let product = bill.product();
    let image = format!("preon-{}", product.image);
    let image_id = format!("{image}:{}+{}", product.version, product.build_id);
    let mut flaws: BTreeMap<Cve, Flaw<'_>> = BTreeMap::new();
    let mut relationships = Vec::new();
    for package in bill.packages().iter().filter(|package| !package.fixes.is_empty()) {
        let id = format!("{image_id}:{}", product_id(package));
        for (cve, fixed) in package.fixes.by_flaw() {
            let flaw = flaws.entry(cve).or_default();
            flaw.ids.push(id.clone());
            flaw.fixed.insert(package.part.control.source().0, fixed);
        }
        relationships.push(json!({
            "category": "default_component_of",
            "product_reference": product_id(package),
            "relates_to_product_reference": image_id,
            "full_product_name": { "product_id": id, "name": format!("{} in {image}", package.name()) },
        }));
    }
    let mut vendor = vendor(bill.packages().iter().filter(|package| !package.fixes.is_empty()));
    let version = format!("{}+{}", product.version, product.build_id);
    let itself = json!({ "product_id": image_id, "name": format!("{image} {version}") });
    vendor["branches"].as_array_mut()?.push(branch(&image, &version, &itself));
    let vulnerabilities = flaws.into_iter().map(|(cve, flaw)| {
        vulnerability(cve, &flaw.fixed.into_iter().collect::<Vec<_>>(), &flaw.ids)
    });
    let vulnerabilities: Vec<_> = vulnerabilities.collect();
    (!vulnerabilities.is_empty()).then(|| {
        document(Subject {
            id: &format!("image-{}", product.image),
            title: format!("Flaws that the packages of {image} {version} fix"),
            time: &bill.time(),
            tree: json!({ "branches": [vendor], "relationships": relationships }),
            vulnerabilities,
        })
    })
}

/// A flaw of an image.
#[derive(Default)]
struct Flaw<'a> {
    ids: Vec<String>,
    /// By source package.
    fixed: BTreeMap<&'a str, &'a Fixed>,
}

fn product_id(package: &Package) -> String {
    format!("{}@{}", package.name(), package.part.control.version())
}

fn vendor<'a>(packages: impl Iterator<Item = &'a Package>) -> Value {
    let branches: Vec<_> = packages
        .map(|package| {
            let (name, version) =
                (package.name().as_str(), package.part.control.version().as_str());
            let product = json!({
                "product_id": product_id(package),
                "name": format!("{name} {version}"),
                "product_identification_helper": { "purl": purl::curated(package) },
            });
            branch(name, version, &product)
        })
        .collect();
    json!({ "category": "vendor", "name": "Preon OS", "branches": branches })
}

fn branch(name: &str, version: &str, product: &Value) -> Value {
    let version = json!({ "category": "product_version", "name": version, "product": product });
    json!({ "category": "product_name", "name": name, "branches": [version] })
}

fn vulnerability(cve: Cve, fixed: &[(&str, &Fixed)], ids: &[String]) -> Value {
    let details: Vec<_> = fixed.iter().map(|(source, fixed)| details(source, cve, fixed)).collect();
    json!({
        "cve": cve.to_string(),
        "notes": [{ "category": "details", "text": details.join(" ") }],
        "product_status": { "fixed": ids },
        "references": [{
            "category": "external",
            "summary": "Debian's security tracker",
            "url": tracker(cve),
        }],
    })
}

/// The document of `subject`, and the name that its file must have.
fn document(subject: Subject<'_>) -> (String, Value) {
    let Subject { id, title, time, tree, vulnerabilities } = subject;
    let id = format!("preon-vex-{id}");
    // No history is kept: the time of the packages stands for how often the document changed.
    let seconds = time.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
    let version = format!("1.0.{seconds}");
    let document = json!({
        "document": {
            "category": "csaf_vex",
            "csaf_version": "2.0",
            "distribution": { "tlp": { "label": "WHITE" } },
            "lang": "en",
            "publisher": { "category": "vendor", "name": "Preon OS", "namespace": NAMESPACE },
            "title": title,
            "tracking": {
                "id": id,
                "status": "final",
                "version": version,
                "initial_release_date": time,
                "current_release_date": time,
                "generator": {
                    "engine": { "name": "preon-forge", "version": env!("CARGO_PKG_VERSION") },
                },
                "revision_history": [
                    { "number": version, "date": time, "summary": "As the packages are now." },
                ],
            },
        },
        "product_tree": tree,
        "vulnerabilities": vulnerabilities,
    });
    (file_name(&id), document)
}

/// Source: CSAF 2.0, section 5.1.
fn file_name(id: &str) -> String {
    let plain = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || "+-".contains(letter)
    };
    let name = id.to_ascii_lowercase().replace(|letter| !plain(letter), "_");
    name + ".json"
}
