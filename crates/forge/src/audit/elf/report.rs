//! What the audit found, for people, as JSON and as a page.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::hardening::{Hardening, Kind, Language, Relro};
use super::policy::{Policy, Privilege};
use super::{Measured, What};
use crate::recipe::{Recipes, Shortcoming};

/// What became of all files of an image.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    image: String,
    /// How many ELF files there are, and how many of them have each property.
    files: usize,
    pie: usize,
    full_relro: usize,
    nx: usize,
    canary: usize,
    fortify: usize,
    cet: usize,
    /// How many of them are of C or C++: canaries and checked calls are theirs only.
    c_files: usize,
    /// Files that run with more rights than their caller.
    privileged: usize,
    /// Shortcomings that are accepted, with the reasons.
    waived: Vec<Waived>,
    /// Shortcomings that are not.
    pub(super) findings: Vec<Finding>,
    /// Every ELF file.
    matrix: Vec<Row>,
    /// Whether people are shown every file.
    #[serde(skip)]
    pub(super) all: bool,
}

/// A shortcoming of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Finding {
    package: String,
    path: String,
    finding: Shortcoming,
    /// The folder that is searched, why a file cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// The columns of a list of findings.
const FINDING_HEADS: [&str; 4] = ["package", "file", "finding", "detail"];

impl Finding {
    fn cells(&self) -> [String; 4] {
        let Self { package, path, finding, detail } = self.clone();
        [package, path, finding.to_string(), detail.unwrap_or_default()]
    }
}

/// A shortcoming that a recipe accepts.
#[derive(Debug, Serialize)]
struct Waived {
    #[serde(flatten)]
    finding: Finding,
    reason: String,
    /// When that was decided.
    on: String,
}

#[derive(Debug, Serialize)]
struct Row {
    package: String,
    path: String,
    #[serde(flatten)]
    hardening: Hardening,
}

impl Report {
    /// Judges what was measured by `policy` and the waivers of `recipes`.
    pub(super) fn new(image: &str, policy: &Policy, recipes: &Recipes, all: &[Measured]) -> Self {
        let matrix: Vec<Row> = all.iter().filter_map(Row::of).collect();
        let count =
            |has: fn(&Hardening) -> bool| matrix.iter().filter(|row| has(&row.hardening)).count();
        let found: BTreeSet<Finding> = all.iter().flat_map(|file| findings(policy, file)).collect();
        let (mut findings, mut waived) = (Vec::new(), Vec::new());
        for finding in found {
            match waiver(recipes, &finding) {
                Some((reason, on)) => waived.push(Waived { finding, reason, on }),
                None => findings.push(finding),
            }
        }
        findings.extend(idle(recipes, all, &waived));
        let is_privileged = |file: &&Measured| matches!(file.what, What::Privileged(_));
        Self {
            image: image.to_owned(),
            files: matrix.len(),
            pie: count(|file| file.pie),
            full_relro: count(|file| file.relro == Relro::Full),
            nx: count(|file| file.nx),
            canary: count(|file| file.canary),
            fortify: count(|file| file.fortified > 0),
            cet: count(|file| file.ibt && file.shstk),
            c_files: count(|file| file.language == Language::C),
            privileged: all.iter().filter(is_privileged).count(),
            waived,
            findings,
            matrix,
            all: false,
        }
    }

    /// The whole matrix as a page that needs nothing else.
    pub(super) fn html(&self) -> String {
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{image}: ELF audit</title>\n\
             <style>body{{font:14px sans-serif}}td,th{{padding:2px 8px;text-align:left}}\
             .no{{background:#f8d0d0}}tr:nth-child(even){{background:#f4f4f4}}</style>\n\
             <h1>{image}: how its programs and libraries are hardened</h1>\n<p>{totals}</p>\n<table>\n<tr>",
            image = escaped(&self.image),
            totals = escaped(&self.totals()),
        );
        for head in HEADS {
            page += &format!("<th>{head}</th>");
        }
        page += "</tr>\n";
        for row in &self.matrix {
            page += "<tr>";
            for (at, cell) in row.cells().iter().enumerate() {
                let weak =
                    (HARD..HARD + 3).contains(&at) && matches!(cell.as_str(), "no" | "partial");
                let class = if weak { " class=\"no\"" } else { "" };
                page += &format!("<td{class}>{}</td>", escaped(cell));
            }
            page += "</tr>\n";
        }
        page + "</table>\n</html>\n"
    }

    /// The findings alone, as a table.
    pub(super) fn list(&self) -> String {
        struct List<'a>(&'a Report);
        impl fmt::Display for List<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write_findings(f)
            }
        }
        List(self).to_string()
    }

    fn write_findings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_table(f, &FINDING_HEADS.map(str::to_owned), self.findings.iter().map(Finding::cells))
    }

    fn totals(&self) -> String {
        let Self { files, pie, full_relro, nx, canary, fortify, cet, c_files, .. } = self;
        format!(
            "{files} files: {pie} position-independent, {full_relro} full RELRO, {nx} NX, {cet} CET; \
             of {c_files} in C {canary} with canaries, {fortify} with checked calls; {} privileged; \
             {} waived, {} findings",
            self.privileged,
            self.waived.len(),
            self.findings.len()
        )
    }
}

/// The columns of the matrix; from [`HARD`] on three that each file must have.
const HEADS: [&str; 11] = [
    "package",
    "file",
    "kind",
    "language",
    "PIE",
    "RELRO",
    "NX",
    "canary",
    "checked",
    "unchecked",
    "CET",
];
const HARD: usize = 4;

impl Row {
    fn of(file: &Measured) -> Option<Self> {
        let What::Elf(hardening) = &file.what else { return None };
        let (package, path) = (file.package.clone(), file.path.clone());
        Some(Self { package, path, hardening: hardening.clone() })
    }

    fn cells(&self) -> [String; 11] {
        let Hardening { kind, language, pie, relro, nx, canary, ibt, shstk, .. } = &self.hardening;
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        [
            self.package.clone(),
            self.path.clone(),
            match kind {
                Kind::Program => "program".into(),
                Kind::Library => "library".into(),
            },
            match language {
                Language::C => "C".into(),
                Language::Go => "Go".into(),
                Language::Rust => "Rust".into(),
            },
            yes(*pie),
            match relro {
                Relro::No => "no".into(),
                Relro::Partial => "partial".into(),
                Relro::Full => "full".into(),
            },
            yes(*nx),
            yes(*canary),
            self.hardening.fortified.to_string(),
            self.hardening.unfortified.to_string(),
            yes(*ibt && *shstk),
        ]
    }
}

/// What the policy does not allow of a file.
fn findings(policy: &Policy, file: &Measured) -> Vec<Finding> {
    let finding = |finding, detail: Option<&str>| Finding {
        package: file.package.clone(),
        path: file.path.clone(),
        finding,
        detail: detail.map(str::to_owned),
    };
    match &file.what {
        What::Unreadable(why) => vec![finding(Shortcoming::Unreadable, Some(why))],
        What::Privileged(privilege) => {
            let mut allowed = policy.privileged.iter();
            let allowed = allowed
                .any(|(path, allowed)| path.as_str() == file.path && allowed.with == *privilege);
            let what = match privilege {
                Privilege::Setuid => Shortcoming::Setuid,
                Privilege::Setgid => Shortcoming::Setgid,
                Privilege::Capabilities => Shortcoming::Capabilities,
            };
            if allowed { Vec::new() } else { vec![finding(what, None)] }
        }
        What::Elf(hardening) => {
            let own = |folder: &&String| {
                let folder = searched(folder, &file.path);
                !policy.search.keys().any(|allowed| allowed.as_str() == folder)
            };
            let search = hardening.search.iter().filter(own);
            let search = search.map(|folder| finding(Shortcoming::Runpath, Some(folder)));
            let others = hardening.shortcomings().into_iter().map(|what| finding(what, None));
            others.chain(search).collect()
        }
    }
}

/// The folder that a file at `path` means by `folder`: `$ORIGIN` is the one that it lies in itself.
///
/// Source: ld.so(8), "Dynamic string tokens".
pub(super) fn searched(folder: &str, path: &str) -> String {
    let own = path.rsplit_once('/').map_or("/", |(above, _)| above);
    let folder = folder.replace("${ORIGIN}", own).replace("$ORIGIN", own);
    folder.trim_end_matches('/').to_owned()
}

/// Why the recipe of its package accepts it, and since when.
fn waiver(recipes: &Recipes, finding: &Finding) -> Option<(String, String)> {
    let recipe = recipes.for_package(&finding.package.parse().ok()?)?;
    let waivers = recipe.declared.waive.iter().filter(|(path, _)| path.as_str() == finding.path);
    let waiver = waivers.flat_map(|(_, waivers)| waivers).find(|w| w.finding == finding.finding)?;
    Some((waiver.reason.to_string(), waiver.on.to_string()))
}

/// Waivers of these packages' recipes that accept what is not there.
fn idle(recipes: &Recipes, all: &[Measured], waived: &[Waived]) -> Vec<Finding> {
    let packages: BTreeSet<&str> = all.iter().map(|file| file.package.as_str()).collect();
    let mut idle = Vec::new();
    for recipe in recipes.iter() {
        let Some(package) = recipe.packages().iter().find(|name| packages.contains(name.as_str()))
        else {
            continue;
        };
        for (path, waivers) in &recipe.declared.waive {
            for waiver in waivers {
                let used = |waived: &Waived| {
                    waived.finding.path == path.as_str() && waived.finding.finding == waiver.finding
                };
                if !waived.iter().any(used) {
                    idle.push(Finding {
                        package: package.to_string(),
                        path: path.to_string(),
                        finding: Shortcoming::IdleWaiver,
                        detail: Some(waiver.finding.to_string()),
                    });
                }
            }
        }
    }
    idle
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all {
            write_table(f, &HEADS.map(str::to_owned), self.matrix.iter().map(Row::cells))?;
        }
        let heads = FINDING_HEADS.map(str::to_owned);
        let accepted = |waived: &Waived| {
            let [package, path, finding, _] = waived.finding.cells();
            [package, path, finding, format!("{} ({})", waived.reason, waived.on)]
        };
        if !self.waived.is_empty() {
            writeln!(f, "waived")?;
            write_table(f, &heads, self.waived.iter().map(accepted))?;
        }
        if !self.findings.is_empty() {
            self.write_findings(f)?;
        }
        writeln!(f, "{}", self.totals())
    }
}

/// Writes rows below heads, each column as wide as its widest cell.
fn write_table<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    heads: &[String; N],
    rows: impl Iterator<Item = [String; N]>,
) -> fmt::Result {
    let rows: Vec<[String; N]> = std::iter::once(heads.clone()).chain(rows).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
