//! A bill of materials in SPDX 2.3, as JSON.
//!
//! Source: SPDX specification 2.3, clauses 6 (document), 7 (packages), 8 (files), 10 (other licences), 11
//! (relationships) and 12 (annotations).

use std::collections::BTreeMap;

use base::Digest;
use serde::Serialize;
use sha1::{Digest as _, Sha1};

use super::{Bill, File, Package, SUPPLIER, Used, json, purl};

const NO_ASSERTION: &str = "NOASSERTION";
const TOOL: &str = concat!("Tool: preon-forge-", env!("CARGO_PKG_VERSION"));

/// How much a document holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Everything, indented.
    Full,
    /// For the host itself: no texts of licences, which lie in `/usr/share/doc` there, and no white space.
    Host,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: CreationInfo,
    document_describes: [&'static str; 1],
    packages: Vec<Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<FileRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    has_extracted_licensing_infos: Vec<ExtractedRow>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreationInfo {
    created: String,
    creators: [&'static str; 2],
    license_list_version: String,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    version_info: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    package_file_name: Option<String>,
    supplier: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    originator: Option<&'static str>,
    download_location: &'static str,
    files_analyzed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    package_verification_code: Option<VerificationCode>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    license_concluded: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    license_info_from_files: Vec<&'static str>,
    license_declared: String,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalRef>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Annotation>,
    primary_package_purpose: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VerificationCode {
    package_verification_code_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalRef {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Annotation {
    annotation_date: String,
    annotation_type: &'static str,
    annotator: &'static str,
    comment: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileRow {
    #[serde(rename = "SPDXID")]
    id: String,
    file_name: String,
    checksums: [Checksum; 2],
    license_concluded: &'static str,
    license_info_in_files: [&'static str; 1],
    copyright_text: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExtractedRow {
    license_id: String,
    name: String,
    extracted_text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";

/// The bill as the text of an SPDX 2.3 document.
pub fn document(bill: &Bill, detail: Detail) -> String {
    let product = bill.product();
    let mut relationships = vec![related(DOCUMENT, "DESCRIBES", IMAGE)];
    let mut packages = vec![image(bill)];
    let mut files = Vec::new();
    for package in bill.packages() {
        let row = row(bill, package);
        relationships.push(related(IMAGE, "CONTAINS", &row.id));
        for file in &package.part.files {
            let file = file_row(file);
            relationships.push(related(&row.id, "CONTAINS", &file.id));
            files.push(file);
        }
        let used = package.used().into_iter();
        relationships.extend(used.map(|it| related(&row.id, "GENERATED_FROM", &used_id(&it))));
        packages.push(row);
    }
    packages.extend(bill.used().iter().map(used_row));
    let document = Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name: format!("preon-{}-{}", product.image, product.version),
        document_namespace: format!("urn:uuid:{}", bill.uuid(&format!("spdx {detail:?}"))),
        creation_info: CreationInfo {
            created: bill.time(),
            creators: [TOOL, "Organization: Preon OS"],
            license_list_version: list_version(),
        },
        document_describes: [IMAGE],
        packages,
        files,
        has_extracted_licensing_infos: extracted(bill, detail),
        relationships,
    };
    json(&document, detail == Detail::Host)
}

/// The version of the list of licences that identifiers come from, as SPDX writes it: `3.27`.
fn list_version() -> String {
    let version = ::spdx::license_version().trim_start_matches('v');
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

fn related(from: &str, how: &'static str, to: &str) -> Relationship {
    Relationship {
        spdx_element_id: from.to_owned(),
        relationship_type: how,
        related_spdx_element: to.to_owned(),
    }
}

/// The image itself, which is a package to SPDX too.
fn image(bill: &Bill) -> Row {
    let product = bill.product();
    Row {
        id: IMAGE.into(),
        name: format!("preon-{}", product.image),
        version_info: format!("{}+{}", product.version, product.build_id),
        supplier: format!("Organization: {SUPPLIER}"),
        download_location: NO_ASSERTION,
        license_concluded: NO_ASSERTION,
        license_declared: NO_ASSERTION.into(),
        copyright_text: NO_ASSERTION,
        primary_package_purpose: "OPERATING_SYSTEM",
        ..Row::default()
    }
}

fn row(bill: &Bill, package: &Package) -> Row {
    let control = &package.part.control;
    let (name, version) = (control.name(), control.version());
    let (source, source_version) = control.source();
    let file_version = version.as_str().split_once(':').map_or(version.as_str(), |(_, rest)| rest);
    let analyzed = !package.part.files.is_empty();
    let declared = package.licences.as_ref().map_or(NO_ASSERTION, |it| it.expression.as_str());
    let flags = package.flags().map(|flags| Annotation {
        annotation_date: bill.time(),
        annotation_type: "OTHER",
        annotator: TOOL,
        comment: format!("build flags: {}", flags.split_whitespace().collect::<Vec<_>>().join(" ")),
    });
    Row {
        id: format!("SPDXRef-Package-{}", plain(name.as_str())),
        name: name.to_string(),
        version_info: version.to_string(),
        package_file_name: Some(format!("{name}_{file_version}_{}.deb", control.architecture())),
        supplier: format!("Organization: {SUPPLIER}"),
        originator: (!package.is_own()).then_some("Organization: Debian"),
        download_location: NO_ASSERTION,
        files_analyzed: analyzed,
        package_verification_code: analyzed.then(|| verification_code(&package.part.files)),
        checksums: vec![sha256(&package.part.digest)],
        source_info: (!package.is_own())
            .then(|| format!("Debian's source package {source} {source_version}")),
        license_concluded: NO_ASSERTION,
        license_info_from_files: if analyzed { vec![NO_ASSERTION] } else { Vec::new() },
        license_declared: declared.to_owned(),
        copyright_text: NO_ASSERTION,
        summary: package.summary().map(str::to_owned),
        external_refs: vec![purl_ref(purl::purl(package))],
        annotations: flags.into_iter().collect(),
        primary_package_purpose: "INSTALL",
    }
}

fn used_id(used: &Used) -> String {
    format!("SPDXRef-Source-{}-{}", plain(&used.name), Digest::of(used.version.as_bytes()).short())
}

/// A source package of which parts are in a package.
fn used_row(used: &Used) -> Row {
    Row {
        id: used_id(used),
        name: used.name.clone(),
        version_info: used.version.clone(),
        supplier: "Organization: Debian".into(),
        download_location: NO_ASSERTION,
        license_concluded: NO_ASSERTION,
        license_declared: NO_ASSERTION.into(),
        copyright_text: NO_ASSERTION,
        external_refs: vec![purl_ref(purl::source(used))],
        primary_package_purpose: "SOURCE",
        ..Row::default()
    }
}

fn purl_ref(reference_locator: String) -> ExternalRef {
    ExternalRef { reference_category: "PACKAGE-MANAGER", reference_type: "purl", reference_locator }
}

/// Source: SPDX 2.3, clause 7.9.
fn verification_code(files: &[File]) -> VerificationCode {
    let mut digests: Vec<_> = files.iter().map(|file| file.sha1.as_str()).collect();
    digests.sort_unstable();
    let mut hasher = Sha1::new();
    digests.iter().for_each(|digest| hasher.update(digest));
    let value = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    VerificationCode { package_verification_code_value: value }
}

fn sha256(digest: &Digest) -> Checksum {
    Checksum { algorithm: "SHA256", checksum_value: digest.to_string() }
}

fn file_row(file: &File) -> FileRow {
    let sha1 = Checksum { algorithm: "SHA1", checksum_value: file.sha1.clone() };
    FileRow {
        id: format!("SPDXRef-File-{}", Digest::of(file.path.as_bytes()).short()),
        file_name: format!(".{}", file.path),
        checksums: [sha1, sha256(&file.sha256)],
        license_concluded: NO_ASSERTION,
        license_info_in_files: [NO_ASSERTION],
        copyright_text: NO_ASSERTION,
    }
}

/// A name of letters, digits, `.` and `-`. Source: SPDX 2.3, clause 7.2.
fn plain(name: &str) -> String {
    name.replace('+', "-plus").replace('_', "-")
}

fn extracted(bill: &Bill, detail: Detail) -> Vec<ExtractedRow> {
    let mut rows = BTreeMap::new();
    for package in bill.packages() {
        for (id, licence) in package.licences.iter().flat_map(|it| &it.extracted) {
            let text = match detail {
                Detail::Host => format!("See /usr/share/doc/{}/copyright.", package.name()),
                Detail::Full if licence.text.is_empty() => {
                    format!("The copyright file of {} has no text for this name.", package.name())
                }
                Detail::Full => licence.text.clone(),
            };
            let row = || ExtractedRow {
                license_id: id.clone(),
                name: licence.name.clone(),
                extracted_text: text,
            };
            rows.entry(id.clone()).or_insert_with(row);
        }
    }
    rows.into_values().collect()
}
