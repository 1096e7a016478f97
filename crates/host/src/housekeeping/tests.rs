use super::*;

fn set(numbers: &[u64]) -> BTreeSet<Generation> {
    numbers.iter().copied().map(Generation).collect()
}

#[test]
fn what_is_needed_stays_and_so_many_of_the_others() {
    let all = [1, 2, 4, 5, 6].map(Generation);
    #[rustfmt::skip]
    let cases: [(&[u64], usize, &[u64]); 5] = [
        // needed, more, what stays
        (&[5, 2], 0, &[2, 5]),
        (&[5, 2], 2, &[2, 4, 5, 6]),
        (&[5, 2], 9, &[1, 2, 4, 5, 6]),
        (&[0, 3], 1, &[6]), // 0 is none, 3 is gone
        (&[2],    1, &[2, 6]), // 6 was folded and counts as another one
    ];
    for (needed, more, expected) in cases {
        assert_eq!(staying(&all, &set(needed), more), set(expected), "{needed:?} and {more} more");
    }
}

#[test]
fn what_a_fold_makes_needless_is_told_before_with_the_layers_that_no_other_one_has() {
    let layer = |name: &str| Layer {
        name: name.into(),
        erofs: Digest::of(name.as_bytes()),
        erofs_bytes: 100,
        verity: Digest::of(b"verity"),
        verity_bytes: 1,
        root_hash: Digest::of(b"root"),
        compression: "lz4".into(),
        cluster_bytes: 4096,
        inputs: Digest::of(b"inputs"),
    };
    let mut outcome =
        Outcome { kept: vec![1, 5], removed: vec![2], freed_bytes: 7, ..Outcome::default() };
    let staying = BTreeSet::from([Digest::of(b"base"), Digest::of(b"shared")]);
    outcome.then_without(Generation(5), &["own", "shared"].map(layer), &staying);
    let own = BTreeSet::from([Digest::of(b"own")]);
    assert_eq!((outcome.kept, outcome.removed, outcome.layers), (vec![1], vec![2, 5], own));
    assert_eq!(outcome.freed_bytes, 7 + 101);
}
