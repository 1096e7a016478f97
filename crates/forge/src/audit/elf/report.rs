//! What the audit found, for people, as JSON and as a page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::hardening::{Hardening, Kind, Language, Relro};
use super::policy::{Policy, Privilege};
use super::waivers::Waivers;
use super::{Measured, Subject, What};
use crate::recipe::{Recipes, Shortcoming};

/// What became of all files of an image.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) image: String,
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
    /// How many files run with more rights than their caller, and which.
    privileged: usize,
    privileged_files: Vec<Privileged>,
    /// How many waivers of recipes accept something.
    pub(super) waivers: usize,
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
    pub(super) package: String,
    pub(super) path: String,
    pub(super) finding: Shortcoming,
    /// The folder that is searched, why a file cannot be read, who may change it, what a waiver is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
}

/// The columns of a list of findings.
const FINDING_HEADS: [&str; 4] = ["package", "file", "finding", "detail"];

/// The same of what is waived.
const WAIVED_HEADS: [&str; 4] = ["package", "waived", "finding", "reason"];

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
    /// The path or pattern in the recipe.
    waiver: String,
    reason: String,
    /// When that was decided.
    on: String,
}

/// A file that runs with more rights than its caller.
#[derive(Debug, Serialize)]
struct Privileged {
    package: String,
    path: String,
    with: Privilege,
    /// Why os/policy/elf.toml allows it.
    reason: Option<String>,
}

impl Privileged {
    fn of(policy: &Policy, file: &Measured) -> Option<Self> {
        let What::Privileged(with) = file.what else { return None };
        let allowed = policy.privileged.iter().find(|(path, _)| path.as_str() == file.path);
        let reason = allowed.map(|(_, allowed)| allowed.reason.to_string());
        Some(Self { package: file.package.clone(), path: file.path.clone(), with, reason })
    }

    fn cells(&self) -> [String; 4] {
        let Self { package, path, with, reason } = self;
        let reason = reason.clone().unwrap_or_default();
        [package.clone(), path.clone(), with.to_string(), reason]
    }
}

/// The columns of the list of these.
const PRIVILEGED_HEADS: [&str; 4] = ["package", "privileged", "with", "reason"];

#[derive(Debug, Serialize)]
struct Row {
    package: String,
    path: String,
    #[serde(flatten)]
    hardening: Hardening,
}

impl Report {
    /// Judges what was measured by `policy` and the waivers of `recipes`.
    pub(super) fn new(policy: &Policy, recipes: &Recipes, subject: &Subject) -> Self {
        let all = &subject.files;
        let matrix: Vec<Row> = all.iter().filter_map(Row::of).collect();
        let count =
            |has: fn(&Hardening) -> bool| matrix.iter().filter(|row| has(&row.hardening)).count();
        let found: BTreeSet<Finding> = all.iter().flat_map(|file| findings(policy, file)).collect();
        let mut waivers = Waivers::new(recipes, subject);
        let (mut findings, mut waived) = (Vec::new(), Vec::new());
        for finding in found {
            match waivers.accept(&finding) {
                Some((path, waiver)) => waived.push(Waived {
                    finding,
                    waiver: path.as_str().to_owned(),
                    reason: waiver.reason.to_string(),
                    on: waiver.on.to_string(),
                }),
                None => findings.push(finding),
            }
        }
        findings.extend(waivers.findings());
        let privileged_files: Vec<_> =
            all.iter().filter_map(|file| Privileged::of(policy, file)).collect();
        Self {
            image: subject.name.clone(),
            files: matrix.len(),
            pie: count(|file| file.pie),
            full_relro: count(|file| file.relro == Relro::Full),
            nx: count(|file| file.nx),
            canary: count(|file| file.canary),
            fortify: count(|file| file.fortified > 0),
            cet: count(|file| file.ibt && file.shstk),
            c_files: count(|file| file.language == Language::C),
            privileged: privileged_files.len(),
            privileged_files,
            waivers: waivers.used(),
            waived,
            findings,
            matrix,
            all: false,
        }
    }

    /// All of it as a page that needs nothing else.
    pub(super) fn html(&self) -> String {
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{image}: ELF audit</title>\n\
             <style>body{{font:14px sans-serif}}td,th{{padding:2px 8px;text-align:left}}\
             .no{{background:#f8d0d0}}tr:nth-child(even){{background:#f4f4f4}}</style>\n\
             <h1>{image}: how its programs and libraries are hardened</h1>\n<p>{totals}</p>\n",
            image = escaped(&self.image),
            totals = escaped(&self.totals()),
        );
        let plain = |_: usize, _: &str| false;
        page += &html_table(FINDING_HEADS, self.findings.iter().map(Finding::cells), plain);
        let privileged = self.privileged_files.iter().map(Privileged::cells);
        page += &html_table(PRIVILEGED_HEADS, privileged, plain);
        page += &html_table(WAIVED_HEADS, self.accepted().into_iter(), plain);
        let weak = |at: usize, cell: &str| {
            (HARD..HARD + 3).contains(&at) && matches!(cell, "no" | "partial")
        };
        page + &html_table(HEADS, self.matrix.iter().map(Row::cells), weak) + "</html>\n"
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

    /// What is waived, by waiver and package: how many files, and why.
    fn accepted(&self) -> Vec<[String; 4]> {
        let mut rows: BTreeMap<_, (usize, &Waived)> = BTreeMap::new();
        for waived in &self.waived {
            let Finding { package, finding, .. } = &waived.finding;
            rows.entry((package, &waived.waiver, finding)).or_insert((0, waived)).0 += 1;
        }
        let row = |((package, path, finding), (files, waived)): ((&String, &String, _), _)| {
            let (count, Waived { reason, on, .. }): (usize, &Waived) = (files, waived);
            let finding: &Shortcoming = finding;
            let count = if count == 1 { String::new() } else { format!("{count} files: ") };
            [package.clone(), path.clone(), finding.to_string(), format!("{count}{reason} ({on})")]
        };
        rows.into_iter().map(row).collect()
    }

    fn totals(&self) -> String {
        let Self { files, pie, full_relro, nx, canary, fortify, cet, c_files, .. } = self;
        format!(
            "{files} files: {pie} position-independent, {full_relro} full RELRO, {nx} NX, {cet} CET; \
             of {c_files} in C {canary} with canaries, {fortify} with checked calls; {} privileged; \
             {} waived by {} waivers, {} findings",
            self.privileged,
            self.waived.len(),
            self.waivers,
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
        What::Exposed(what, detail) => vec![finding(*what, detail.as_deref())],
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

/// The folder that a file at `path` means by `folder`: `$ORIGIN` is the one that it lies in itself, `..` the
/// one above.
///
/// Source: ld.so(8), "Dynamic string tokens".
pub(super) fn searched(folder: &str, path: &str) -> String {
    let own = path.rsplit_once('/').map_or("/", |(above, _)| above);
    let folder = folder.replace("${ORIGIN}", own).replace("$ORIGIN", own);
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').filter(|part| !part.is_empty()) {
        match part {
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    let root = if folder.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all {
            write_table(f, &HEADS.map(str::to_owned), self.matrix.iter().map(Row::cells))?;
        }
        if !self.privileged_files.is_empty() {
            let rows = self.privileged_files.iter().map(Privileged::cells);
            write_table(f, &PRIVILEGED_HEADS.map(str::to_owned), rows)?;
        }
        if !self.waived.is_empty() {
            write_table(f, &WAIVED_HEADS.map(str::to_owned), self.accepted().into_iter())?;
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

/// A table of a page; cells that are `weak` stand out.
fn html_table<const N: usize>(
    heads: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    weak: impl Fn(usize, &str) -> bool,
) -> String {
    let heads = heads.iter().map(|head| format!("<th>{head}</th>"));
    let mut table = format!("<table>\n<tr>{}</tr>\n", heads.collect::<String>());
    for row in rows {
        let cells = row.iter().enumerate().map(|(at, cell)| {
            let class = if weak(at, cell) { " class=\"no\"" } else { "" };
            format!("<td{class}>{}</td>", escaped(cell))
        });
        table += &format!("<tr>{}</tr>\n", cells.collect::<String>());
    }
    table + "</table>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
