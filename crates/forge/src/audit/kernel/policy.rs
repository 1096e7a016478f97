//! `os/policy/kernel.toml`: what must hold for our kernels, and why something does not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::Explain;
use base::file::{self, FileError};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::expression::{Claim, Expression, Test};
use super::facts::{Facts, Setting};
use crate::kernel::{Flavour, Profile};
use crate::recipe::Reason;
use packages::spelling;

/// What a check is good for, in the words of kernel-hardening-checker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    SelfProtection,
    SecurityPolicy,
    CutAttackSurface,
    NetworkSecurity,
    HardenUserspace,
}

/// Who recommends it, in the words of kernel-hardening-checker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// The Kernel Self-Protection Project.
    Kspp,
    /// The kernel's own default.
    Defconfig,
    Grsec,
    Clipos,
    Grapheneos,
    /// What lockdown forbids too.
    Lockdown,
    /// The maintainer of that part of the kernel.
    Maintainer,
    /// The Center for Internet Security's benchmarks.
    Cis,
    Ubuntu,
    /// The author of kernel-hardening-checker.
    A13xp0p0v,
    /// Ourselves: what our explanations rest on. Not among the checker's, so not counted with them.
    Preon,
}

/// All checks of a setting.
type Checks = BTreeMap<Kind, BTreeMap<Source, Vec<Expression>>>;

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kconfig: Checks,
    cmdline: Checks,
    sysctl: Checks,
    #[serde(default)]
    unmet: Vec<Explanation>,
}

/// What must hold, and why something does not.
#[derive(Debug)]
pub(crate) struct Policy {
    /// All checks: options, then words of the command line, then parameters.
    pub(crate) checks: Vec<Check>,
    /// Why some are not met.
    pub(crate) unmet: Vec<Explanation>,
}

/// One check.
#[derive(Debug)]
pub(crate) struct Check {
    /// What of a kernel it is about.
    pub(crate) setting: Setting,
    /// What it is good for.
    pub(crate) kind: Kind,
    /// Who recommends it.
    pub(crate) source: Source,
    /// What is demanded.
    pub(crate) expression: Expression,
}

/// Why checks are not met, and what takes their place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Explanation {
    /// The first terms of the checks.
    pub(crate) checks: Vec<Claim>,
    /// The kernels of which it speaks.
    pub(crate) flavours: Vec<Flavour>,
    /// The profiles of which it speaks; all if it names none.
    #[serde(default)]
    pub(crate) profiles: Vec<Profile>,
    /// What may be there in place of what is demanded; nothing if it names nothing.
    #[serde(default)]
    pub(crate) found: Vec<Claim>,
    /// Why.
    pub(crate) reason: Reason,
    /// What takes its place, or what is lost.
    pub(crate) instead: Reason,
}

impl Explanation {
    /// Whether it speaks of this kernel.
    pub(crate) fn speaks_of(&self, flavour: Flavour, profile: Profile) -> bool {
        self.flavours.contains(&flavour)
            && (self.profiles.is_empty() || self.profiles.contains(&profile))
    }

    /// Whether it speaks of this check.
    pub(crate) fn explains(&self, check: &Check) -> bool {
        self.checks.contains(&check.expression.subject)
    }

    /// Whether what is there is what it speaks of: nothing, or what `found` names; where an option is to be
    /// off, that it is on.
    pub(crate) fn fits(&self, check: &Check, facts: &Facts) -> bool {
        let subject = &check.expression.subject;
        let named = |claim: &&Claim| claim.name == subject.name;
        !facts.has(subject, check.setting)
            || subject.is_option() && subject.test == Test::Is("n".to_owned())
            || self.found.iter().filter(named).any(|claim| facts.is_so(claim, check.setting))
    }
}

/// Why the policy could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}:{line} is not understood", path.display())]
    Syntax { path: PathBuf, line: usize, source: toml::de::Error },
    #[error("{} contradicts itself", path.display())]
    Contradiction { path: PathBuf, source: Contradiction },
}

/// A policy that can be read, but makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Contradiction {
    #[error(
        "`{check}` stands below the wrong key: names of options begin with CONFIG_, others do not"
    )]
    WrongPlace { check: Claim },
    #[error("`{check}` is demanded twice")]
    Twice { check: Claim },
    #[error("an [[unmet]] explains `{check}`, which nothing demands")]
    NotDemanded { check: Claim, meant: Option<String> },
    #[error("an [[unmet]] says that `{claim}` may be found, but explains no check of that name")]
    FoundElsewhere { claim: Claim },
    #[error("an [[unmet]] without any `{0}` explains nothing")]
    Empty(&'static str),
    #[error("two [[unmet]] explain `{check}` of the {flavour} kernel with the {profile} profile")]
    ExplainedTwice { check: Claim, flavour: Flavour, profile: Profile },
}

impl Explain for PolicyError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::File(error) => return error.hint(),
            Self::Syntax { .. } => {
                "docs/kernel.md, \"What must hold\", has every key and the grammar of checks".into()
            }
            Self::Contradiction { source, .. } => match source {
                Contradiction::NotDemanded { meant: Some(meant), .. } => {
                    format!("did you mean `{meant}`?")
                }
                Contradiction::NotDemanded { .. } => {
                    "name the check by its first term, as it stands above".into()
                }
                Contradiction::WrongPlace { .. } => {
                    "move it below [kconfig.…], [cmdline.…] or [sysctl.…]".into()
                }
                Contradiction::FoundElsewhere { .. } => {
                    "name what `checks` names, with the value that may be there".into()
                }
                Contradiction::Empty(_) => "remove it".into(),
                Contradiction::Twice { .. } | Contradiction::ExplainedTwice { .. } => {
                    "remove one of them".into()
                }
            },
        })
    }
}

/// Reads the policy at `path`.
///
/// # Errors
///
/// [`PolicyError`].
pub(crate) fn load(path: &Path) -> Result<Policy, PolicyError> {
    parse(path, &file::read_text(path)?)
}

/// Parses the text of a policy; `path` is for errors.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Policy, PolicyError> {
    let path = path.to_owned();
    let written: Written = match toml::from_str(text) {
        Ok(written) => written,
        Err(source) => {
            let start = source.span().map_or(0, |span| span.start);
            let line = text.get(..start).unwrap_or_default().matches('\n').count() + 1;
            return Err(PolicyError::Syntax { path, line, source });
        }
    };
    let settings = [
        (Setting::Kconfig, written.kconfig),
        (Setting::Cmdline, written.cmdline),
        (Setting::Sysctl, written.sysctl),
    ];
    let flat = settings.into_iter().flat_map(|(setting, checks)| flatten(setting, checks));
    let policy = Policy { checks: flat.collect(), unmet: written.unmet };
    match contradiction(&policy) {
        Some(source) => Err(PolicyError::Contradiction { path, source }),
        None => Ok(policy),
    }
}

fn flatten(setting: Setting, checks: Checks) -> impl Iterator<Item = Check> {
    checks.into_iter().flat_map(move |(kind, by_source)| {
        by_source.into_iter().flat_map(move |(source, expressions)| {
            let check = move |expression| Check { setting, kind, source, expression };
            expressions.into_iter().map(check)
        })
    })
}

/// The first thing in the policy that makes no sense.
fn contradiction(policy: &Policy) -> Option<Contradiction> {
    let mut demanded = BTreeMap::new();
    for Check { setting, expression, .. } in &policy.checks {
        let check = expression.subject.clone();
        if check.is_option() != (*setting == Setting::Kconfig) {
            return Some(Contradiction::WrongPlace { check });
        }
        if demanded.insert(check.clone(), check.to_string()).is_some() {
            return Some(Contradiction::Twice { check });
        }
    }
    for explanation in &policy.unmet {
        let empty = [
            ("checks", explanation.checks.is_empty()),
            ("flavours", explanation.flavours.is_empty()),
        ];
        if let Some((key, _)) = empty.into_iter().find(|(_, empty)| *empty) {
            return Some(Contradiction::Empty(key));
        }
        let strange =
            |claim: &&Claim| explanation.checks.iter().all(|check| check.name != claim.name);
        if let Some(claim) = explanation.found.iter().find(strange) {
            return Some(Contradiction::FoundElsewhere { claim: claim.clone() });
        }
        for check in &explanation.checks {
            if !demanded.contains_key(check) {
                let known = demanded.values().map(String::as_str);
                let meant = spelling::nearest(&check.to_string(), known).map(str::to_owned);
                return Some(Contradiction::NotDemanded { check: check.clone(), meant });
            }
        }
    }
    policy.checks.iter().find_map(|check| explained_twice(policy, check))
}

fn explained_twice(policy: &Policy, check: &Check) -> Option<Contradiction> {
    let kernels = Flavour::value_variants().iter().flat_map(|flavour| {
        Profile::value_variants().iter().map(move |profile| (*flavour, *profile))
    });
    kernels
        .filter(|(flavour, profile)| {
            let speaks = |e: &&Explanation| e.speaks_of(*flavour, *profile) && e.explains(check);
            policy.unmet.iter().filter(speaks).count() > 1
        })
        .map(|(flavour, profile)| {
            let check = check.expression.subject.clone();
            Contradiction::ExplainedTwice { check, flavour, profile }
        })
        .next()
}

#[cfg(test)]
mod tests;
