//! Which units run: presets to enablement links.
//!
//! What `systemctl preset-all` would do at the first boot in `/etc` is done here in the defaults
//! that `/etc` is laid over: `systemctl` sees what is enabled and can disable it, the host's own
//! `/etc` stays empty, and a later image can change its mind.

mod rules;

use std::collections::{BTreeMap, BTreeSet};

use base::Explain;
use base::file::FileError;

use crate::finding::Finding;
use crate::path::{BadPath, UsrPath};
use crate::tree::{Conflict, Kind, Node, Origin, Tree};
use crate::unit::{self, Install};
use rules::{Policy, Rule};

/// Whose units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// The system's.
    System,
    /// Those of each user's session.
    User,
}

impl Manager {
    fn units(self) -> &'static str {
        match self {
            Self::System => "usr/lib/systemd/system",
            Self::User => "usr/lib/systemd/user",
        }
    }

    /// Where enabling makes links; below the defaults for `/etc`.
    fn links(self) -> &'static str {
        match self {
            Self::System => "usr/share/preon/etc/systemd/system",
            Self::User => "usr/share/preon/etc/systemd/user",
        }
    }

    fn presets(self) -> &'static str {
        match self {
            Self::System => "usr/lib/systemd/system-preset",
            Self::User => "usr/lib/systemd/user-preset",
        }
    }
}

/// Units cannot be enabled as the presets say.
#[derive(Debug, thiserror::Error)]
pub enum PresetError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line is not what systemd.preset(5) describes.
    #[error("preset {file}, line {line}: {reason}")]
    Malformed {
        /// The file's name.
        file: String,
        /// The line's number, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Our own preset is about what is not there.
    #[error("{by} {does} {unit}, which no package holds")]
    NoUnit {
        /// Who says it.
        by: String,
        /// `enables` or `disables`.
        does: &'static str,
        /// The unit.
        unit: String,
    },
    /// Our own preset is about a unit by its second name.
    #[error("{by} {does} {unit}, which is only a link to {target}")]
    IsAlias {
        /// Who says it.
        by: String,
        /// `enables` or `disables`.
        does: &'static str,
        /// The unit.
        unit: String,
        /// What it links to.
        target: String,
    },
    /// An enabled unit wants a second name that another unit has.
    #[error("{unit} is to be known as {alias} too, but {alias} is there in {origin}")]
    AliasTaken {
        /// The enabled unit.
        unit: String,
        /// The name.
        alias: String,
        /// Who has it.
        origin: Origin,
    },
    /// A link cannot be made.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// A unit's file asks for a link with a name that is none.
    #[error(transparent)]
    Path(#[from] BadPath),
}

impl Explain for PresetError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::NoUnit { unit, .. } => Some(format!(
                "correct the name, add the package that holds {unit}, or take the preset away"
            )),
            Self::IsAlias { target, .. } => Some(format!("name {target} in the preset")),
            Self::AliasTaken { unit, alias, .. } => {
                Some(format!("drop {alias} in the recipe of its package, or disable {unit}"))
            }
            Self::Conflict(error) => error.hint(),
            Self::Malformed { .. } | Self::Path(_) => None,
        }
    }
}

/// Makes the links that the presets in `tree` ask for.
///
/// # Errors
///
/// [`PresetError`].
pub fn enable(tree: &mut Tree, manager: Manager) -> Result<Vec<Finding>, PresetError> {
    let mut rules = Vec::new();
    for (name, _, node) in tree.children(manager.presets()) {
        if let (Some(content), true) = (node.content(), name.ends_with(".preset")) {
            rules.extend(rules::parse(name, &content.text()?)?);
        }
    }
    let mut work =
        Work { units: units(tree, manager)?, folder: manager.units(), ..Work::default() };
    work.report_dangling(tree);
    work.check_demands(tree, &rules)?;
    let names: Vec<String> = work.units.keys().cloned().collect();
    for name in names {
        let (policy, instances) = rules::decide(&rules, &name);
        if policy != Policy::Enable {
            continue;
        }
        match instances {
            [] => work.enable(&name, None),
            _ => instances.iter().for_each(|instance| work.enable(&name, Some(instance))),
        }
    }
    let Work { links, findings, .. } = work;
    for (place, unit) in links {
        link(tree, manager, &place, unit)?;
    }
    Ok(findings)
}

/// The unit files with what enabling them means; links (second names) are none.
fn units(tree: &Tree, manager: Manager) -> Result<BTreeMap<String, Install>, FileError> {
    let mut units = BTreeMap::new();
    for (name, path, node) in tree.children(manager.units()) {
        let Some(content) = node.content().filter(|_| unit::is_name(name)) else { continue };
        let mut all = content.text()?;
        for (_, _, drop_in) in tree.children(&format!("{}.d", path.as_str())) {
            if let Some(content) = drop_in.content() {
                all += "\n";
                all += &content.text()?;
            }
        }
        units.insert(name.to_owned(), Install::parse(&all));
    }
    Ok(units)
}

/// Makes the link to `unit` at `place`, relative to the folder of links, unless a package holds
/// it among the units.
fn link(tree: &mut Tree, manager: Manager, place: &str, unit: String) -> Result<(), PresetError> {
    let taken = |unit, origin: &Origin| {
        let (alias, origin) = (place.to_owned(), origin.clone());
        Err(PresetError::AliasTaken { unit, alias, origin })
    };
    let vendor = format!("{}/{place}", manager.units());
    match tree.get(&vendor) {
        None => {}
        Some(Node { kind: Kind::Symlink(_), origin, .. }) => {
            let found = tree.resolve(&vendor).map(|(path, _)| path.name());
            if place.contains('/') || found == Some(unit.as_str()) {
                return Ok(());
            }
            return taken(unit, origin);
        }
        Some(node) => return taken(unit, &node.origin),
    }
    let target = format!("/{}/{unit}", manager.units());
    let path = UsrPath::new(&format!("{}/{place}", manager.links()))?;
    match tree.get(path.as_str()) {
        None => Ok(tree.add(path, Node::symlink(target, Origin::Composed))?),
        Some(Node { kind: Kind::Symlink(old), .. }) if *old == target => Ok(()),
        Some(node) => taken(unit, &node.origin),
    }
}

#[derive(Default)]
struct Work {
    units: BTreeMap<String, Install>,
    folder: &'static str,
    /// Place below the folder of links → the unit it leads to.
    links: BTreeMap<String, String>,
    done: BTreeSet<(String, Option<String>)>,
    findings: Vec<Finding>,
}

impl Work {
    /// Reports second names of units that are gone: harmless here, but `systemctl preset-all`
    /// on the host would give up over one.
    fn report_dangling(&mut self, tree: &Tree) {
        for (name, path, node) in tree.children(self.folder) {
            let Kind::Symlink(target) = &node.kind else { continue };
            if target != "/dev/null" && tree.resolve(&path.to_string()).is_none() {
                let (alias, target) = (name.to_owned(), target.clone());
                self.findings.push(Finding::DanglingAlias { alias, target });
            }
        }
    }

    fn check_demands(&mut self, tree: &Tree, rules: &[Rule]) -> Result<(), PresetError> {
        for rule in rules.iter().filter(|rule| rule.is_demand()) {
            let unit = rule.pattern.clone();
            if let Some(install) = self.units.get(self.file_of(&unit).as_str()) {
                if install.is_empty() && rule.policy == Policy::Enable {
                    let file = rule.file.clone();
                    self.findings.push(Finding::NothingToEnable { file, unit });
                }
                continue;
            }
            let (by, does) = (rule.author(), rule.policy.does());
            return match tree.get(&format!("{}/{unit}", self.folder)).map(|node| &node.kind) {
                Some(Kind::Symlink(target)) => {
                    let target = target.rsplit('/').next().unwrap_or(target).to_owned();
                    Err(PresetError::IsAlias { by, does, unit, target })
                }
                _ => Err(PresetError::NoUnit { by, does, unit }),
            };
        }
        Ok(())
    }

    /// The name of the file of `unit`: an instance's is its template.
    fn file_of(&self, unit: &str) -> String {
        match unit::parts(unit) {
            (prefix, Some(_), suffix) if !self.units.contains_key(unit) => {
                format!("{prefix}@{suffix}")
            }
            _ => unit.to_owned(),
        }
    }

    /// Notes the links for `unit`, a file's name, as `instance` if it is a template.
    fn enable(&mut self, unit: &str, instance: Option<&str>) {
        let key = (unit.to_owned(), instance.map(str::to_owned));
        let Some(install) = self.units.get(unit).cloned() else { return };
        if install.is_empty() || !self.done.insert(key) {
            return;
        }
        let instance = instance.or(install.default_instance.as_deref());
        let name = match unit::parts(unit) {
            (prefix, Some(""), suffix) => match instance {
                Some(instance) => format!("{prefix}@{instance}{suffix}"),
                None => unit.to_owned(),
            },
            _ => unit.to_owned(),
        };
        let template = matches!(unit::parts(&name), (_, Some(""), _));
        for (folder, by) in &install.wanted_by {
            let Some(by) = self.expand(by, &name) else { continue };
            // A template without an instance can only be wanted by a template.
            if !template || matches!(unit::parts(&by), (_, Some(""), _)) {
                self.links.insert(format!("{by}.{folder}/{name}"), unit.to_owned());
            }
        }
        for alias in &install.aliases {
            if let Some(alias) = self.expand(alias, &name).filter(|alias| *alias != unit) {
                self.links.insert(alias, unit.to_owned());
            }
        }
        for also in &install.also {
            let Some(also) = self.expand(also, &name) else { continue };
            let file = self.file_of(&also);
            if self.units.contains_key(&file) {
                let instance = unit::parts(&also).1.filter(|instance| !instance.is_empty());
                self.enable(&file, instance);
            } else {
                let unit = unit.to_owned();
                self.findings.push(Finding::AlsoMissing { unit, also });
            }
        }
    }

    /// Replaces specifiers in a name; what comes out must be the name of a unit.
    fn expand(&mut self, text: &str, unit: &str) -> Option<String> {
        let (prefix, instance, suffix) = unit::parts(unit);
        let stem = unit.strip_suffix(suffix).unwrap_or(unit);
        let expanded = text
            .replace("%i", instance.unwrap_or_default())
            .replace("%p", prefix)
            .replace("%n", unit)
            .replace("%N", stem);
        if unit::is_name(&expanded) {
            return Some(expanded);
        }
        let (unit, name) = (unit.to_owned(), text.to_owned());
        self.findings.push(Finding::BadUnitName { unit, name });
        None
    }
}

#[cfg(test)]
mod tests;
