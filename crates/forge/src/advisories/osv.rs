//! Advisories in the format of Open Source Vulnerabilities (OSV), a record for each flaw.
//!
//! Source: OSV schema 1.7.0. The package is the source package, as in Debian's own records; a version is that of Debian's
//! source with `+0preonN`.

use std::collections::BTreeMap;

use compose::bill::sources::{Source, Sources};
use packages::changelog::Cve;
use packages::fixes::Fixed;
use serde_json::{Value, json};

use super::{details, tracker};

/// The version of the schema.
const SCHEMA: &str = "1.7.0";

/// What the versions belong to. The name is not registered with OSV.
const ECOSYSTEM: &str = "Preon";

/// The first curated version of a version of Debian: all that can be published of it sort at or above it.
const FIRST_REVISION: u32 = 1;

/// A record.
pub(super) struct Record {
    /// Its identifier.
    pub(super) id: String,
    /// The record itself.
    pub(super) document: Value,
}

/// One record for each flaw that any source package fixes, by its identifier.
pub(super) fn records(sources: &Sources) -> impl Iterator<Item = Record> {
    let mut flaws: BTreeMap<Cve, Vec<(&str, &Source, &Fixed)>> = BTreeMap::new();
    for (name, source) in &sources.all {
        for (cve, fixed) in source.fixes.by_flaw() {
            flaws.entry(cve).or_default().push((name, source, fixed));
        }
    }
    flaws.into_iter().map(|(cve, fixed)| record(cve, &fixed, &sources.time))
}

fn record(cve: Cve, fixed: &[(&str, &Source, &Fixed)], time: &str) -> Record {
    let dates = || fixed.iter().filter_map(|(_, _, fixed)| fixed.date);
    let shown = |date: Option<_>| {
        date.map_or_else(|| time.to_owned(), |it: jiff::Timestamp| it.to_string())
    };
    let details: Vec<_> = fixed.iter().map(|(name, _, fixed)| details(name, cve, fixed)).collect();
    let id = format!("PREON-{cve}");
    let document = json!({
        "schema_version": SCHEMA,
        "id": id,
        "published": shown(dates().min()),
        "modified": shown(dates().max()),
        "upstream": [cve.to_string()],
        "details": details.join(" "),
        "affected": fixed.iter().map(affected).collect::<Vec<_>>(),
        "references": [{ "type": "ADVISORY", "url": tracker(cve) }],
    });
    Record { id, document }
}

fn affected((name, source, fixed): &(&str, &Source, &Fixed)) -> Value {
    let first = fixed.version.with_preon(FIRST_REVISION);
    let versions = source
        .packages
        .iter()
        .map(|(name, package)| (name.clone(), json!(package.part.control.version().as_str())));
    json!({
        "package": { "ecosystem": ECOSYSTEM, "name": name },
        "ranges": [{
            "type": "ECOSYSTEM",
            "events": [{ "introduced": "0" }, { "fixed": first.as_str() }],
        }],
        "ecosystem_specific": { "binaries": versions.collect::<serde_json::Map<_, _>>() },
    })
}
