//! Whatever is wrong with the generations of a host: what can boot boots, and nothing boots for
//! ever.

use std::collections::BTreeMap;

use generations::choose::{ATTEMPTS, LAST_ATTEMPTS};
use generations::{Booted, Generation, StoreError, Why};
use proptest::prelude::*;

use crate::trial::{KERNEL, Trial};

const OTHER: &str = "6.13.0-preon";

/// What happens when a generation boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Good,
    Bad,
    /// Bad, and needs another kernel than the others.
    OtherKernel,
    NoLayer,
    NoManifest,
}

/// A host with these generations, of which these are wanted and were good.
fn host(kinds: &[Kind], wanted: usize, good: Option<usize>) -> Trial {
    let trial = Trial::new();
    for (number, kind) in (1..).zip(kinds) {
        let kernel = if *kind == Kind::OtherKernel { OTHER } else { KERNEL };
        trial.stage(&["base", &format!("delta{number}")], kernel);
    }
    let number = |index: usize| Generation(index as u64 % kinds.len() as u64 + 1);
    if let Some(good) = good {
        trial.store.want(number(good)).unwrap();
        trial.store.bless(number(good)).unwrap();
    }
    trial.store.want(number(wanted)).unwrap();
    for (number, kind) in (1..).zip(kinds) {
        match kind {
            Kind::NoLayer => trial.lose_layer(number),
            Kind::NoManifest => drop(trial.edit_manifest(number, "format", "fromat")),
            Kind::Good | Kind::Bad | Kind::OtherKernel => {}
        }
    }
    trial
}

/// Boots on these kernels, one after the other, until a boot is blessed (`Some`) or nothing boots;
/// returns what booted as well.
fn walk<'a>(
    trial: &Trial,
    kinds: &[Kind],
    kernels: impl Iterator<Item = &'a str>,
) -> (Option<u64>, Vec<u64>) {
    let mut booted = Vec::new();
    let mut row = 0;
    for kernel in kernels {
        let choice = match trial.store.choose(&Booted::of_release(kernel)) {
            Ok(choice) => choice,
            Err(StoreError::NothingBoots { .. }) => return (None, booted),
            Err(error) => panic!("{error}"),
        };
        let number = choice.generation.0;
        trial.store.count_attempt(&choice).unwrap();
        row = if booted.last() == Some(&number) { row + 1 } else { 1 };
        booted.push(number);
        let most = if matches!(choice.why, Why::NothingElse) { LAST_ATTEMPTS } else { ATTEMPTS };
        assert!(row <= most, "{row} in a row: {booted:?}");
        if kinds[number as usize - 1] == Kind::Good {
            trial.store.bless(choice.generation).unwrap();
            return (Some(number), booted);
        }
    }
    panic!("this does not end: {booted:?}");
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let kind = prop_oneof![
        2 => Just(Kind::Good),
        5 => Just(Kind::Bad),
        2 => Just(Kind::OtherKernel),
        1 => Just(Kind::NoLayer),
        1 => Just(Kind::NoManifest),
    ];
    proptest::collection::vec(kind, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_good_generation_is_found_if_there_is_one_and_else_all_were_tried(
        kinds in kinds(),
        wanted in 0_usize..6,
        good in proptest::option::of(0_usize..6),
    ) {
        let trial = host(&kinds, wanted, good);
        let (blessed, booted) = walk(&trial, &kinds, std::iter::repeat_n(KERNEL, 200));
        prop_assert_eq!(blessed.is_some(), kinds.contains(&Kind::Good), "{:?}", booted);
        if let Some(number) = blessed {
            prop_assert_eq!(trial.boots(2), [number; 2]);
            return Ok(());
        }
        let mut count = BTreeMap::<u64, u32>::new();
        booted.iter().for_each(|number| *count.entry(*number).or_default() += 1);
        for (number, kind) in (1..).zip(&kinds) {
            let boots = count.get(&number).copied().unwrap_or(0);
            let enough = match kind {
                Kind::Bad => boots >= ATTEMPTS,
                Kind::NoLayer | Kind::NoManifest => boots == 0,
                Kind::Good | Kind::OtherKernel => true,
            };
            prop_assert!(enough, "{} boots of {}: {:?}", boots, number, booted);
        }
    }

    #[test]
    fn there_is_an_end_whichever_kernels_boot(
        kinds in kinds(),
        wanted in 0_usize..6,
        good in proptest::option::of(0_usize..6),
        others in proptest::collection::vec(any::<bool>(), 400),
    ) {
        let trial = host(&kinds, wanted, good);
        let kernels = others.iter().map(|other| if *other { OTHER } else { KERNEL });
        walk(&trial, &kinds, kernels);
    }
}
