//! The control file of a curated package, made from Debian's.

use formats::relation::{Constraint, Group, Operator, Relation, Relations};
use packages::control::{BUILD_FLAGS, Control};
use packages::resolve;

use super::{Claim, Problem, Review};
use crate::recipe::Recipe;

/// Relations that are wishes; a product that lists what it holds has none.
const WISHES: [&str; 3] = ["Recommends", "Suggests", "Enhances"];

/// Relations that must be met.
const NEEDS: [&str; 2] = ["Pre-Depends", "Depends"];

/// Relations that must not be met.
const REFUSALS: [&str; 3] = ["Conflicts", "Breaks", "Replaces"];

/// Turns Debian's control file into that of the curated package.
///
/// # Errors
///
/// [`Problem::Relation`] if a field breaks the grammar.
pub(super) fn curated(
    debian: &Control,
    recipe: &Recipe,
    review: &mut Review,
) -> Result<Control, Problem> {
    let mut control = debian.clone();
    let (source, source_version) = debian.source();
    control.set("Source", &format!("{source} ({source_version})"));
    control.set_version(super::version(debian.version(), recipe, Some(debian)));
    for wish in WISHES {
        control.set(wish, "");
    }
    built_without(debian, recipe, review)?;
    let left_out = recipe.without();
    let is_left_out = |name: &str| left_out.iter().any(|known| known.as_str() == name);
    for (fields, rewrite) in [(&NEEDS[..], need as Rewrite), (&REFUSALS[..], refusal)] {
        for &field in fields {
            let Some(value) = debian.get(field) else { continue };
            let mut relations =
                Relations::parse(value).map_err(|source| Problem::Relation { field, source })?;
            if NEEDS.contains(&field) {
                let named = relations.groups.iter().flat_map(|group| &group.alternatives);
                let used = named.map(|relation| relation.name).filter(|name| is_left_out(name));
                review.used.extend(used.map(|name| Claim::Without(name.to_owned())));
                relations = resolve::without(relations, is_left_out);
            }
            let rewritten: Vec<_> = relations.groups.iter().flat_map(rewrite).collect();
            control.set(field, &rewritten.join(", "));
        }
    }
    add_needs(&mut control, recipe)?;
    Ok(control)
}

/// Holds the recipe to what it says its build does without: Debian's depends on it, its own does not.
fn built_without(debian: &Control, recipe: &Recipe, review: &mut Review) -> Result<(), Problem> {
    let Some(build) = &recipe.declared.build else { return Ok(()) };
    let is_ours = debian.get(BUILD_FLAGS).is_some();
    for name in build.without.keys() {
        let mut depends = false;
        for field in NEEDS {
            let relations = Relations::parse(debian.get(field).unwrap_or_default())
                .map_err(|source| Problem::Relation { field, source })?;
            let mut all = relations.groups.iter().flat_map(|group| &group.alternatives);
            depends |= all.any(|relation| relation.name == name.as_str());
        }
        if is_ours && depends {
            return Err(Problem::StillNeeded { name: name.clone() });
        }
        if is_ours || depends {
            review.used.insert(Claim::Without(name.to_string()));
        }
    }
    Ok(())
}

/// Adds what the recipe says is needed beside what Debian names. Every package that it covers needs that.
pub(super) fn add_needs(control: &mut Control, recipe: &Recipe) -> Result<(), Problem> {
    for name in recipe.declared.with.keys() {
        let mut named = false;
        for field in NEEDS {
            let Some(value) = control.get(field) else { continue };
            let relations =
                Relations::parse(value).map_err(|source| Problem::Relation { field, source })?;
            let mut all = relations.groups.iter().flat_map(|group| &group.alternatives);
            named |= all.any(|relation| relation.name == name.as_str());
        }
        if !named && control.name() != name {
            let depends = control.get("Depends").filter(|value| !value.is_empty());
            let depends = depends.map_or_else(String::new, |value| format!("{value}, "));
            control.set("Depends", &format!("{depends}{name}"));
        }
    }
    Ok(())
}

type Rewrite = fn(&Group<'_>) -> Vec<String>;

/// A need, in terms of curated versions: `a (= V) | b` becomes two groups, `a (>= V) | b` and
/// `a (<< V+1) | b`, which is the same where one version is installed at a time.
fn need(group: &Group<'_>) -> Vec<String> {
    let bounds: Vec<_> = group.alternatives.iter().map(bounds).collect();
    let joined = |pick: fn(&Bounds) -> &String| {
        bounds.iter().map(|bounds| pick(bounds).as_str()).collect::<Vec<_>>().join(" | ")
    };
    let mut groups = vec![joined(|bounds| &bounds.first)];
    if bounds.iter().any(|bounds| bounds.second.is_some()) {
        groups.push(joined(|bounds| bounds.second.as_ref().unwrap_or(&bounds.first)));
    }
    groups
}

/// A refusal, in terms of curated versions. An exact version stays as it is: two bounds cannot be
/// refused together, and it means Debian's own package, which is not in the product.
fn refusal(group: &Group<'_>) -> Vec<String> {
    let one = |relation: &Relation<'_>| match bounds(relation) {
        Bounds { first, second: None } => first,
        Bounds { second: Some(_), .. } => relation.to_string(),
    };
    vec![group.alternatives.iter().map(one).collect::<Vec<_>>().join(" | ")]
}

/// A relation as one bound on the version, or two.
struct Bounds {
    first: String,
    second: Option<String>,
}

/// What a relation to Debian's version `V` means where that package's version is `V+0preonN`.
/// `V+1` sorts between all of these and whatever Debian makes of `V` next. Later than a `V` without a revision
/// is said of each revision of it (`libc-bin` needs `libc6 (>> 2.41)`), which sorts before `V+1`.
fn bounds(relation: &Relation<'_>) -> Bounds {
    let one = |first| Bounds { first, second: None };
    let Some(Constraint { operator, version }) = relation.version else {
        return one(relation.to_string());
    };
    let name = Relation { version: None, ..*relation };
    let next = format!("{name} (<< {}+1)", version.as_str());
    match operator {
        Operator::Equal => {
            Bounds { first: format!("{name} (>= {})", version.as_str()), second: Some(next) }
        }
        Operator::EarlierOrEqual => one(next),
        Operator::Later if !version.as_str().contains('-') => one(relation.to_string()),
        Operator::Later => one(format!("{name} (>= {}+1)", version.as_str())),
        Operator::Earlier | Operator::LaterOrEqual => one(relation.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use formats::Version;

    use super::*;

    #[test]
    fn exact_relations_still_hold_between_curated_packages() {
        #[rustfmt::skip]
        let cases = [
            // Debian's                 needed                                       refused
            ("a",                       "a",                                         "a"),
            ("a (>= 1)",                "a (>= 1)",                                  "a (>= 1)"),
            ("a (<< 1)",                "a (<< 1)",                                  "a (<< 1)"),
            ("a (= 1-2)",               "a (>= 1-2); a (<< 1-2+1)",                  "a (= 1-2)"),
            ("a (<= 1-2)",              "a (<< 1-2+1)",                              "a (<< 1-2+1)"),
            ("a (>> 1-2)",              "a (>= 1-2+1)",                              "a (>= 1-2+1)"),
            ("a (>> 1)",                "a (>> 1)",                                  "a (>> 1)"), // 1-2 is
            ("a:any (= 1) | b",         "a:any (>= 1) | b; a:any (<< 1+1) | b",      "a:any (= 1) | b"),
        ];
        for (debian, needed, refused) in cases {
            let relations = Relations::parse(debian).unwrap();
            let group = &relations.groups[0];
            assert_eq!(need(group).join("; "), needed, "{debian}");
            assert_eq!(refusal(group).join("; "), refused, "{debian}");
        }
    }

    #[test]
    fn the_bound_lies_between_curated_versions_and_the_next_of_debian() {
        for version in ["1", "1-2", "2:1.0~rc1-3", "1-2+b1", "1-2~deb13u1"] {
            let parse = |text: String| text.parse::<Version>().unwrap();
            let bound = parse(format!("{version}+1"));
            for revision in [1, 9, 10, 4_000_000] {
                let curated = parse(version.to_owned()).with_preon(revision);
                assert_eq!(curated.cmp(&bound), Ordering::Less, "{curated} {bound}");
            }
            for ending in ["+b1", "+b2", "+deb13u1", ".1", "1", "+nmu1"] {
                let later = parse(format!("{version}{ending}"));
                assert_eq!(bound.cmp(&later), Ordering::Less, "{bound} {later}");
            }
        }
    }
}
