//! What holds for every plan, whatever the packages.

use proptest::prelude::*;
use proptest::sample::{Index as Pick, subsequence};

use super::tests::{after, index};
use super::*;

const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

/// A relation to one or two of the names, or to what some of them provide.
fn group() -> impl Strategy<Value = String> {
    let names: Vec<_> = NAMES.iter().copied().chain(["virtual"]).collect();
    let one = (prop::sample::select(names), prop::sample::select(vec!["", " (>= 2)", " (<< 2)"]));
    let one = one.prop_map(|(name, version)| format!("{name}{version}"));
    prop::collection::vec(one, 1..=2).prop_map(|group| group.join(" | "))
}

fn package(name: &'static str, version: u32) -> impl Strategy<Value = String> {
    let depends = prop::collection::vec(group(), 0..=2);
    let refused = prop::option::weighted(0.15, group());
    (depends, refused, prop::bool::weighted(0.3)).prop_map(move |(depends, refused, provides)| {
        let mut line = format!("{name} {version}");
        if !depends.is_empty() {
            line += &format!("; Depends: {}", depends.join(", "));
        }
        if let Some(refused) = refused {
            line += &format!("; Conflicts: {}", refused.replace(" |", ","));
        }
        line + if provides { "; Provides: virtual" } else { "" }
    })
}

/// A repository with up to three versions of each name.
fn repository() -> impl Strategy<Value = String> {
    let name = |name: &'static str| {
        let all = (package(name, 1), package(name, 2), package(name, 3));
        (all, subsequence(vec![0, 1, 2], 1..=3)).prop_map(|((one, two, three), which)| {
            let all = [one, two, three];
            which.into_iter().map(|at| all[at].clone()).collect::<Vec<_>>().join("\n")
        })
    };
    NAMES.map(name).prop_map(|lines| lines.join("\n"))
}

fn wishes() -> impl Strategy<Value = Wish> {
    let name = || prop::sample::select(NAMES.to_vec()).prop_map(|name| name.parse().unwrap());
    let names = || prop::collection::vec(name(), 1..=2);
    let version = || prop::option::of((1..=3_u32).prop_map(|it| it.to_string().parse().unwrap()));
    prop_oneof![
        3 => prop::collection::vec((name(), version()), 1..=2).prop_map(|all| {
            Wish::Install(all.into_iter().map(|(name, version)| Selector { name, version }).collect())
        }),
        2 => (names(), any::<bool>()).prop_map(|(names, cascade)| Wish::Remove { names, cascade }),
        2 => prop::collection::vec(name(), 0..=1)
            .prop_map(|names| Wish::Upgrade { names, security: false }),
        1 => (name(), version()).prop_map(|(name, version)| Wish::Downgrade { name, version }),
        1 => Just(Wish::Autoremove),
        1 => (name(), version()).prop_map(|(name, version)| Wish::Pin { name, version }),
        1 => name().prop_map(Wish::Unpin),
        1 => (names(), any::<bool>()).prop_map(|(names, automatic)| Wish::Mark { names, automatic }),
    ]
}

fn nothing_installed() -> State {
    State {
        installed: index(""),
        automatic: BTreeSet::new(),
        pins: BTreeMap::new(),
        of_image: BTreeSet::new(),
        protected: BTreeSet::new(),
    }
}

/// The names of the roots that are installed.
fn roots(state: &State) -> BTreeSet<String> {
    let names = state.installed.stanzas().map(|stanza| stanza.name().to_owned());
    names.filter(|name| !state.automatic.contains(name.as_str())).collect()
}

/// Whether `wish` says the same a second time.
fn is_idempotent(wish: &Wish) -> bool {
    !matches!(wish, Wish::Remove { .. } | Wish::Downgrade { version: None, .. })
}

/// Checks the plan of one wish, and returns the state that it leads to.
fn step(state: &State, repository: &Index, wish: &Wish) -> Result<Option<State>, TestCaseError> {
    let host = Host::new(state, [repository]).unwrap();
    let Ok(plan) = host.plan(wish) else { return Ok(None) };
    let then = after(&plan, &state.protected);
    let next = Host::new(&then, [repository]).unwrap();
    prop_assert_eq!(next.check(), [], "{:?}: {:?}", wish, plan);
    if !matches!(wish, Wish::Remove { .. } | Wish::Mark { .. }) {
        prop_assert!(roots(&then).is_superset(&roots(state)), "{:?}: {:?}", wish, plan);
    }
    let installed =
        |name: &PackageName| then.installed.stanzas().find(|it| it.name() == name.as_str());
    for (name, pin) in &state.pins {
        if let (Some(stanza), true) = (installed(name), then.pins.get(name) == Some(pin)) {
            prop_assert!(stanza.version().unwrap() == pin.borrowed(), "{:?}: {:?}", wish, plan);
        }
    }
    for changed in &plan.changed {
        let asks_for_older = matches!(wish, Wish::Downgrade { .. } | Wish::Pin { .. })
            || matches!(wish, Wish::Install(all) if all.iter().any(|it| it.version.is_some()));
        prop_assert!(asks_for_older || changed.direction == Direction::Upgrade);
    }
    for added in &plan.added {
        prop_assert!(!added.why.is_empty(), "nothing needs {:?}", added);
    }
    if is_idempotent(wish) {
        let again = next.plan(wish);
        prop_assert!(
            again.as_ref().is_ok_and(Plan::is_empty),
            "{:?}: {:?} {:?}",
            wish,
            plan,
            again
        );
    }
    let swept = next.plan(&Wish::Autoremove).unwrap();
    let clean = after(&swept, &then.protected);
    let clean_host = Host::new(&clean, [repository]).unwrap();
    prop_assert_eq!(clean_host.check(), []);
    prop_assert_eq!(roots(&clean), roots(&then));
    for stanza in clean.installed.stanzas() {
        prop_assert!(!clean_host.why(stanza.name()).unwrap().is_empty(), "{:?} is idle", stanza);
    }
    prop_assert!(clean_host.plan(&Wish::Autoremove).unwrap().is_empty());
    Ok(Some(then))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_wished_a_plan_leaves_a_host_that_is_whole(
        old in repository(),
        new in repository(),
        wishes in prop::collection::vec((wishes(), any::<Pick>()), 1..8),
    ) {
        let repositories = [index(&old), index(&new)];
        let mut state = nothing_installed();
        for (wish, pick) in &wishes {
            // The packages of another repository may have the same versions and other fields.
            if let Some(then) = step(&state, pick.get(&repositories), wish)? {
                state = then;
            }
        }
    }
}
