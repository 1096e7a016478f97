//! Questions about what is installed and what could be.

use formats::relation::Relations;

use crate::change::{ChangeError, Host};
use crate::index::Stanza;
use crate::resolve::together::needs;
use crate::resolve::{Candidate, Link};

/// One dependency of a package.
#[derive(Clone, Debug)]
pub struct Dependency<'a> {
    /// `Pre-Depends` or `Depends`, one group of it.
    pub relation: String,
    /// Who meets it, of what is installed; the preferred first.
    pub met_by: Vec<Stanza<'a>>,
    /// Who could, of what the repository has and is not installed.
    pub others: Vec<Stanza<'a>>,
}

/// A package that has or provides a name.
#[derive(Clone, Debug)]
pub struct Provider<'a> {
    /// The package.
    pub package: Stanza<'a>,
    /// The version of the name that it provides, if it gives one; its own where the name is its own.
    pub version: Option<String>,
    /// Whether it is installed.
    pub installed: bool,
}

/// What is wrong with what is installed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// Nothing that is installed meets a dependency.
    #[error("{package} needs `{relation}`, which nothing that is installed meets")]
    Unmet {
        /// Whose.
        package: String,
        /// The dependency.
        relation: String,
    },
    /// Two packages cannot be together.
    #[error("{package} has `{field}: {relation}`, which refuses {other}")]
    Conflict {
        /// Who says so.
        package: String,
        /// `Conflicts` or `Breaks`.
        field: &'static str,
        /// Its relation.
        relation: String,
        /// Who is refused.
        other: String,
    },
    /// A package has a field that cannot be read.
    #[error("the field {field} of {package} is malformed")]
    Malformed {
        /// The package.
        package: String,
        /// The field.
        field: &'static str,
    },
}

impl<'a> Host<'a> {
    /// What the package `name` needs: the installed one, else the newest.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Unknown`].
    pub fn depends(&self, name: &str) -> Result<Vec<Dependency<'a>>, ChangeError> {
        let newest = || self.universe.versions(name).next();
        let subject = self.universe.installed(name).or_else(newest);
        let subject = subject.ok_or_else(|| self.unknown(name))?;
        let mut found = Vec::new();
        for relations in needs(self.universe.stanza(subject), false) {
            for group in &relations.groups {
                let targets = self.universe.targets(group);
                let (met, others): (Vec<Candidate>, Vec<Candidate>) =
                    targets.into_iter().partition(|&it| self.universe.is_installed(it));
                let stanzas = |of: Vec<Candidate>| {
                    of.into_iter().map(|candidate| self.universe.stanza(candidate)).collect()
                };
                found.push(Dependency {
                    relation: group.to_string(),
                    met_by: stanzas(met),
                    others: stanzas(others),
                });
            }
        }
        Ok(found)
    }

    /// The shortest chain from a package that somebody asked for, or that the host needs to boot, to
    /// the installed package `name`; empty if nothing needs it.
    ///
    /// # Errors
    ///
    /// [`ChangeError::NotInstalled`].
    pub fn why(&self, name: &str) -> Result<Vec<Link>, ChangeError> {
        let candidate = self.installed(name)?;
        let reached = self.together().reach(self.roots().chain(self.protected()));
        Ok(reached.chain(&self.universe, candidate))
    }

    /// The packages that have or provide `name`: those of this name first, newest first.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Unknown`].
    pub fn provides(&self, name: &str) -> Result<Vec<Provider<'a>>, ChangeError> {
        let own = self.universe.versions(name).map(|candidate| {
            let package = self.universe.stanza(candidate);
            (candidate, Some(package.version_text().to_owned()))
        });
        let others = self.universe.providers(name).into_iter();
        let all = own.chain(others).map(|(candidate, version)| Provider {
            package: self.universe.stanza(candidate),
            version,
            installed: self.universe.is_installed(candidate),
        });
        let all: Vec<_> = all.collect();
        if all.is_empty() { Err(self.unknown(name)) } else { Ok(all) }
    }

    /// What is wrong with what is installed: nothing, if all is well.
    pub fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for candidate in self.universe.all_installed() {
            for field in ["Pre-Depends", "Depends", "Conflicts", "Breaks"] {
                self.check_field(candidate, field, &mut findings);
            }
        }
        findings.sort_by_cached_key(ToString::to_string);
        findings
    }

    fn check_field(&self, of: Candidate, field: &'static str, findings: &mut Vec<Finding>) {
        let stanza = self.universe.stanza(of);
        let package = || stanza.name().to_owned();
        let Ok(relations) = Relations::parse(stanza.field(field).unwrap_or_default()) else {
            return findings.push(Finding::Malformed { package: package(), field });
        };
        for group in &relations.groups {
            let relation = group.to_string();
            let there = self.universe.targets(group).into_iter();
            let mut there = there.filter(|&it| self.universe.is_installed(it));
            if matches!(field, "Pre-Depends" | "Depends") {
                if there.next().is_none() {
                    findings.push(Finding::Unmet { package: package(), relation });
                }
                continue;
            }
            findings.extend(there.filter(|&other| other != of).map(|other| Finding::Conflict {
                package: package(),
                field,
                relation: relation.clone(),
                other: self.universe.stanza(other).name().to_owned(),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::change::State;
    use crate::change::tests::index;

    const INSTALLED: &str = "
        init 1;   Depends: libinit
        libinit 1
        app 1;    Depends: liba, mta | mail
        liba 1;   Depends: libb
        libb 1
        exim 4;   Provides: mta (= 2); Conflicts: mta
        idle 1
        broken 1; Depends: libb (>= 2), nothing; Breaks: liba (<< 3)
        bad 1;    Conflicts: liba (1)
    ";

    const REPOSITORY: &str = "
        postfix 3; Provides: mta; Conflicts: mta
        exim 5;    Provides: mta (= 2); Conflicts: mta
        app 2;     Depends: other
    ";

    fn state() -> State {
        let automatic = ["libinit", "liba", "libb", "exim", "idle"];
        State {
            installed: index(INSTALLED),
            automatic: automatic.iter().map(|name| name.parse().unwrap()).collect(),
            pins: BTreeMap::new(),
            of_image: BTreeSet::new(),
            protected: BTreeSet::from(["init".parse().unwrap()]),
        }
    }

    #[test]
    fn a_dependency_is_told_with_who_meets_it_and_who_could() {
        let (state, repository) = (state(), index(REPOSITORY));
        let host = Host::new(&state, [&repository]).unwrap();
        let told = |name: &str| {
            let names = |of: &[Stanza<'_>]| {
                let all = of.iter().map(|it| format!("{} {}", it.name(), it.version_text()));
                all.collect::<Vec<_>>().join(", ")
            };
            let all = host.depends(name).unwrap().into_iter();
            let line = |it: Dependency<'_>| {
                format!("{}: {} / {}", it.relation, names(&it.met_by), names(&it.others))
            };
            all.map(line).collect::<Vec<_>>()
        };
        let expected = ["liba: liba 1 / ", "mta | mail: exim 4 / exim 5, postfix 3"];
        assert_eq!(told("app"), expected); // the installed version
        assert!(told("postfix").is_empty());
        assert!(host.depends("nobody").is_err());
    }

    #[test]
    fn a_chain_leads_from_what_was_asked_for_to_a_package() {
        let (state, repository) = (state(), index(REPOSITORY));
        let host = Host::new(&state, [&repository]).unwrap();
        #[rustfmt::skip]
        let cases = [
            ("libb", ":app app:liba liba:libb"),
            ("app",  ":app"),
            ("exim", ":app app:mta | mail"),
            ("idle", ""),
        ];
        for (name, expected) in cases {
            let chain = host.why(name).unwrap().into_iter();
            let chain = chain.map(|link| format!("{}:{}", link.package, link.relation));
            assert_eq!(chain.collect::<Vec<_>>().join(" "), expected, "{name}");
        }
        assert!(host.why("postfix").is_err());
    }

    #[test]
    fn who_provides_a_name_is_told_with_versions() {
        let (state, repository) = (state(), index(REPOSITORY));
        let host = Host::new(&state, [&repository]).unwrap();
        let told = |name: &str| {
            let all = host.provides(name).unwrap().into_iter().map(|it| {
                let version = it.version.unwrap_or_default();
                let installed = if it.installed { "*" } else { "" };
                format!("{}{installed} {} {version}", it.package.name(), it.package.version_text())
            });
            all.collect::<Vec<_>>()
        };
        assert_eq!(told("mta"), ["exim* 4 2", "exim 5 2", "postfix 3 "]);
        assert_eq!(told("app"), ["app 2 2", "app* 1 1"]);
        assert!(host.provides("nobody").is_err());
    }

    #[test]
    fn what_is_broken_among_what_is_installed_is_found() {
        let state = state();
        let host = Host::new(&state, []).unwrap();
        let findings: Vec<_> = host.check().iter().map(ToString::to_string).collect();
        let expected = [
            "broken has `Breaks: liba (<< 3)`, which refuses liba",
            "broken needs `libb (>= 2)`, which nothing that is installed meets",
            "broken needs `nothing`, which nothing that is installed meets",
            "the field Conflicts of bad is malformed",
        ];
        assert_eq!(findings, expected);
    }
}
