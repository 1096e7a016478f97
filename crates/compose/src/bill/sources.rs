//! The source packages of images, with what their versions fix: what advisories are written from, and the summary
//! that a host has.

use std::collections::BTreeMap;

use packages::fixes::Fixes;
use serde::Serialize;

use super::{Bill, Package, json, time};
use crate::integrate::os_release::Product;

/// The version of the summary's structure.
const FORMAT: u32 = 1;

/// Source packages that fix known flaws, by name.
#[derive(Debug, Default)]
pub struct Sources {
    /// When the packages were chosen, as RFC 3339 writes it.
    pub time: String,
    /// The packages.
    pub all: BTreeMap<String, Source>,
}

/// One source package of the images.
#[derive(Debug, Default)]
pub struct Source {
    /// What is curated of it, by name.
    pub packages: BTreeMap<String, Package>,
    /// What its versions fix; never nothing.
    pub fixes: Fixes,
}

impl Sources {
    /// The source packages of `bills` that fix any known flaw.
    pub fn of(bills: &[&Bill]) -> Self {
        let time = bills.iter().map(|bill| bill.time()).max().unwrap_or_else(|| time(0));
        let mut sources = Self { time, all: BTreeMap::new() };
        for package in bills.iter().flat_map(|bill| bill.packages()) {
            let name = package.part.control.source().0.to_owned();
            let source = sources.all.entry(name).or_default();
            // Of several packages of one source some have no changelog.
            if package.fixes.versions().len() > source.fixes.versions().len() {
                source.fixes.clone_from(&package.fixes);
            }
            source.packages.insert(package.name().to_string(), package.clone());
        }
        sources.all.retain(|_, source| !source.fixes.is_empty());
        sources
    }
}

#[derive(Serialize)]
struct Summary<'a> {
    format: u32,
    image: &'a str,
    version: &'a str,
    build_id: &'a str,
    time: &'a str,
    sources: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    source: &'a str,
    version: &'a str,
    packages: Vec<&'a str>,
    fixed: Vec<Fixed>,
}

#[derive(Serialize)]
struct Fixed {
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<String>,
    cves: Vec<String>,
}

/// Which flaws the packages of `bill` fix, as one JSON object (docs/advisories.md).
pub fn summary(bill: &Bill) -> String {
    let sources = Sources::of(&[bill]);
    let Product { version, build_id, image, .. } = bill.product();
    let time = &sources.time;
    let sources = sources.all.iter().map(|(name, source)| row(name, source)).collect();
    json(&Summary { format: FORMAT, image, version, build_id, time, sources }, true)
}

fn row<'a>(name: &'a str, source: &'a Source) -> Row<'a> {
    let version = source.packages.values().next();
    let fixed = source.fixes.versions().iter().map(|fixed| Fixed {
        version: fixed.version.to_string(),
        date: fixed.date.map(|date| date.to_string()),
        cves: fixed.cves.iter().map(ToString::to_string).collect(),
    });
    Row {
        source: name,
        version: version.map_or("", |package| package.part.control.source().1),
        packages: source.packages.keys().map(String::as_str).collect(),
        fixed: fixed.collect(),
    }
}
