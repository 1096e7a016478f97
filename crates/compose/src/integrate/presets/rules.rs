//! Preset files: which units are to be enabled.
//!
//! Source: systemd.preset(5).

use globset::{GlobBuilder, GlobMatcher};

use super::PresetError;

/// A line of a preset file.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) policy: Policy,
    pub(super) pattern: String,
    pub(super) instances: Vec<String>,
    pub(super) file: String,
    matcher: GlobMatcher,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Enable,
    Disable,
    Ignore,
}

impl Rule {
    /// Whether the rule names one unit that must be there: our own rules without a wildcard.
    /// Debian's list many units that are optional.
    pub(super) fn is_demand(&self) -> bool {
        let ours = self.file.split_once('-').is_some_and(|(_, rest)| rest.starts_with("preon-"));
        ours && self.policy != Policy::Ignore && !self.pattern.contains(['*', '?', '['])
    }

    /// Who says so, for people: the recipe or the image that the preset file was made from.
    pub(super) fn author(&self) -> String {
        let name = self.file.strip_suffix(".preset").unwrap_or(&self.file);
        match name.strip_prefix("50-preon-") {
            Some(recipe) => format!("the recipe {recipe}"),
            None if name == "00-preon-image" => "the image definition".to_owned(),
            None => format!("preset {}", self.file),
        }
    }
}

impl Policy {
    /// What a rule does to a unit, for people.
    pub(super) fn does(self) -> &'static str {
        match self {
            Self::Enable => "enables",
            Self::Disable => "disables",
            Self::Ignore => "ignores",
        }
    }
}

/// Reads one preset file.
pub(super) fn parse(file: &str, text: &str) -> Result<Vec<Rule>, PresetError> {
    crate::words::lines(text).map(|(number, line)| rule(file, number, line)).collect()
}

fn rule(file: &str, number: usize, line: &str) -> Result<Rule, PresetError> {
    let malformed = |reason: &str| PresetError::Malformed {
        file: file.to_owned(),
        line: number,
        reason: reason.to_owned(),
    };
    let mut words = line.split_ascii_whitespace();
    let policy = match words.next() {
        Some("enable") => Policy::Enable,
        Some("disable") => Policy::Disable,
        Some("ignore") => Policy::Ignore,
        _ => return Err(malformed("it starts with none of enable, disable, ignore")),
    };
    let pattern = words.next().ok_or_else(|| malformed("it names no unit"))?;
    let glob = GlobBuilder::new(pattern).backslash_escape(false).build();
    let matcher = glob.map_err(|error| malformed(&error.to_string()))?.compile_matcher();
    Ok(Rule {
        policy,
        pattern: pattern.to_owned(),
        instances: words.map(str::to_owned).collect(),
        file: file.to_owned(),
        matcher,
    })
}

/// The first rule about `unit`; without one it is enabled.
pub(super) fn decide<'a>(rules: &'a [Rule], unit: &str) -> (Policy, &'a [String]) {
    match rules.iter().find(|rule| rule.matcher.is_match(unit)) {
        Some(rule) => (rule.policy, &rule.instances),
        None => (Policy::Enable, &[]),
    }
}
