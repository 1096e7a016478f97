//! What an image needs of the packages that the lock has for it. The lock is chosen by what Debian's builds depend
//! on; a package that was built from source may depend on less, and then what only it had asked for is left out.

use std::collections::{BTreeMap, BTreeSet};

use base::Failure;
use formats::PackageName;
use formats::relation::{BadRelation, Relations};
use packages::control::Control;
use packages::deb::Deb;

use crate::curate::Curated;

/// The fields that say what must be there, and by what other names a package is known.
const NEEDS: [&str; 2] = ["Pre-Depends", "Depends"];
const NAMES: &str = "Provides";

/// The packages among `packages` that `roots` need, themselves included.
///
/// # Errors
///
/// If a package cannot be read.
pub(super) fn needed(
    roots: &[PackageName],
    packages: &[(Curated, String)],
) -> Result<BTreeSet<PackageName>, Failure> {
    let controls =
        packages.iter().map(|(package, _)| Ok(Deb::open(&package.path)?.control().clone()));
    let controls = controls.collect::<Result<Vec<Control>, Failure>>()?;
    let found = reached(roots, &controls)?;
    Ok(found.into_iter().cloned().collect())
}

/// The names of the packages that lead from `roots` by any alternative of a relation. Versions are not looked at: the
/// lock has one of each.
fn reached<'a>(
    roots: &'a [PackageName],
    controls: &'a [Control],
) -> Result<BTreeSet<&'a PackageName>, BadRelation> {
    let mut known_as: BTreeMap<&str, Vec<&Control>> = BTreeMap::new();
    for control in controls {
        known_as.entry(control.name().as_str()).or_default().push(control);
        for name in names(control, NAMES)? {
            known_as.entry(name).or_default().push(control);
        }
    }
    let mut found = BTreeSet::new();
    let mut asked: Vec<&str> = roots.iter().map(PackageName::as_str).collect();
    while let Some(name) = asked.pop() {
        for control in known_as.get(name).into_iter().flatten() {
            if found.insert(control.name()) {
                for field in NEEDS {
                    asked.extend(names(control, field)?);
                }
            }
        }
    }
    Ok(found)
}

/// All names in a field of relations.
fn names<'a>(control: &'a Control, field: &str) -> Result<Vec<&'a str>, BadRelation> {
    let relations = Relations::parse(control.get(field).unwrap_or_default())?;
    let alternatives = relations.groups.into_iter().flat_map(|group| group.alternatives);
    Ok(alternatives.map(|relation| relation.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_root_leads_to_is_not_needed() {
        let packages = [
            ("root", "Pre-Depends: early\nDepends: a (>= 1), mta | b\n"),
            ("early", ""),
            ("a", "Depends: a:any, deep\n"), // in a circle
            ("deep", ""),
            ("b", ""), // every alternative stays
            ("exim", "Provides: mta (= 4)\n"),
            ("alone", "Depends: beside, deep\n"),
            ("beside", ""),
        ];
        let control = |(name, fields): &(&str, &str)| {
            Control::parse(&format!("Package: {name}\nVersion: 1\nArchitecture: all\n{fields}"))
        };
        let controls: Vec<_> = packages.iter().map(|it| control(it).unwrap()).collect();
        let roots = ["root".parse().unwrap()];
        let found: Vec<_> =
            reached(&roots, &controls).unwrap().into_iter().map(PackageName::as_str).collect();
        assert_eq!(found, ["a", "b", "deep", "early", "exim", "root"]);
    }
}
