//! What an audit found, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::expression::Term;
use super::facts::{Facts, Setting};
use super::policy::{Check, Kind, Policy, Source};
use crate::kernel::{Flavour, Profile};

/// What became of all checks.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The kernel's flavour.
    pub(crate) flavour: Flavour,
    /// The profile.
    pub(crate) profile: Profile,
    /// Each check.
    pub(crate) checks: Vec<Finding>,
    /// How many of each setting.
    pub(crate) totals: BTreeMap<Setting, Totals>,
    /// Where each setting was looked up.
    pub(crate) looked_at: BTreeMap<Setting, String>,
    /// Whether people are shown only what is not met.
    #[serde(skip)]
    pub(crate) only_unmet: bool,
}

/// What became of a check.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    /// The check's first term.
    pub(crate) check: String,
    #[serde(rename = "type")]
    setting: Setting,
    kind: Kind,
    source: Source,
    #[serde(skip)]
    name: String,
    wanted: String,
    found: String,
    /// What it came to.
    pub(crate) verdict: Verdict,
    /// The other way in which it is met.
    #[serde(skip_serializing_if = "Option::is_none")]
    through: Option<String>,
    /// Why it need not be met, whether it is or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What takes its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    instead: Option<String>,
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It is met.
    Met,
    /// It is not, and the policy says why.
    Explained,
    /// It is not.
    Unexplained,
}

/// How many checks of a setting came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    /// All of them.
    pub(crate) checks: usize,
    /// Those that are met.
    pub(crate) met: usize,
    /// Those that are not, for a reason.
    pub(crate) explained: usize,
    /// Those that are not.
    pub(crate) unexplained: usize,
    /// All that the Kernel Self-Protection Project recommends.
    pub(crate) kspp: usize,
    /// Those of them that are met.
    pub(crate) kspp_met: usize,
    /// What we demand ourselves besides: in none of the numbers above.
    pub(crate) ours: usize,
    /// Those of them that are met.
    pub(crate) ours_met: usize,
}

impl Report {
    /// Checks `facts` of a kernel against `policy`.
    pub(crate) fn new(policy: &Policy, facts: &Facts, flavour: Flavour, profile: Profile) -> Self {
        let finding = |check| Finding::new(policy, facts, (flavour, profile), check);
        let checks: Vec<Finding> = policy.checks.iter().map(finding).collect();
        let mut totals = BTreeMap::<Setting, Totals>::new();
        for finding in &checks {
            totals.entry(finding.setting).or_default().count(finding);
        }
        let (looked_at, only_unmet) = (BTreeMap::new(), false);
        Self { flavour, profile, checks, totals, looked_at, only_unmet }
    }

    /// The checks that are not met and not explained.
    pub(crate) fn unexplained(&self) -> impl Iterator<Item = &Finding> {
        self.checks.iter().filter(|finding| finding.verdict == Verdict::Unexplained)
    }

    /// The first check of `settings` that is met although the policy says why it is not.
    pub(crate) fn idle(&self, settings: &[Setting]) -> Option<&Finding> {
        let idle = |finding: &&Finding| finding.verdict == Verdict::Met && finding.reason.is_some();
        self.checks.iter().filter(|finding| settings.contains(&finding.setting)).find(idle)
    }
}

impl Finding {
    fn new(
        policy: &Policy,
        facts: &Facts,
        (flavour, profile): (Flavour, Profile),
        check: &Check,
    ) -> Self {
        let Check { setting, kind, source, expression } = check;
        let mut explanations = policy.unmet.iter();
        let explanation = explanations.find(|e| e.speaks_of(flavour, profile) && e.explains(check));
        let way = facts.way_that_holds(expression, *setting);
        // A reason for something else than what is there would be a lie.
        let explanation = explanation.filter(|e| way.is_some() || e.fits(check, facts));
        let other = way.filter(|way| *way > 0).and_then(|way| expression.ways.get(way));
        Self {
            check: expression.subject.to_string(),
            setting: *setting,
            kind: *kind,
            source: *source,
            name: expression.subject.name.clone(),
            wanted: expression.subject.test.to_string(),
            found: facts.found(&expression.subject, *setting),
            verdict: match (way, explanation) {
                (Some(_), _) => Verdict::Met,
                (None, Some(_)) => Verdict::Explained,
                (None, None) => Verdict::Unexplained,
            },
            through: other
                .map(|way| way.iter().map(Term::to_string).collect::<Vec<_>>().join(" and ")),
            reason: explanation.map(|explanation| explanation.reason.to_string()),
            instead: explanation.map(|explanation| explanation.instead.to_string()),
        }
    }
}

impl Totals {
    fn count(&mut self, finding: &Finding) {
        if finding.source == Source::Preon {
            self.ours += 1;
            self.ours_met += usize::from(finding.verdict == Verdict::Met);
            return;
        }
        let kspp = finding.source == Source::Kspp;
        self.checks += 1;
        self.kspp += usize::from(kspp);
        match finding.verdict {
            Verdict::Met => {
                self.met += 1;
                self.kspp_met += usize::from(kspp);
            }
            Verdict::Explained => self.explained += 1,
            Verdict::Unexplained => self.unexplained += 1,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |of: fn(&Finding) -> &str| {
            self.checks.iter().map(|finding| of(finding).chars().count()).max().unwrap_or_default()
        };
        let name = width(|finding| &finding.name);
        let wanted = width(|finding| &finding.wanted);
        let mut group = None;
        let shown = |finding: &&Finding| !self.only_unmet || finding.verdict != Verdict::Met;
        for finding in self.checks.iter().filter(shown) {
            if group.replace((finding.setting, finding.kind))
                != Some((finding.setting, finding.kind))
            {
                writeln!(
                    f,
                    "{}, {}",
                    word(&finding.setting),
                    word(&finding.kind).replace('_', " ")
                )?;
            }
            let Finding { found, source, verdict, .. } = finding;
            writeln!(
                f,
                "  {:name$}  {:wanted$}  {:11}  {:10}  {}{}",
                finding.name,
                finding.wanted,
                word(verdict),
                word(source),
                found,
                finding.through.as_ref().map(|way| format!(" ({way})")).unwrap_or_default(),
            )?;
            for (label, text) in [("why", &finding.reason), ("instead", &finding.instead)] {
                if let Some(text) = text.as_ref().filter(|_| *verdict != Verdict::Met) {
                    writeln!(f, "      {label:7}  {text}")?;
                }
            }
        }
        for (setting, totals) in &self.totals {
            let Totals { checks, met, explained, unexplained, kspp, kspp_met, ours, ours_met } =
                totals;
            writeln!(
                f,
                "{:7}  {met} met, {explained} explained, {unexplained} unexplained of {checks}; \
                 of the KSPP's {kspp_met} of {kspp}; of our own {ours_met} of {ours}; {}",
                word(setting),
                self.looked_at.get(setting).map_or("", String::as_str),
            )?;
        }
        Ok(())
    }
}

/// A unit of an enum by its name in JSON, so that each is spelled once.
fn word(value: &impl Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}
