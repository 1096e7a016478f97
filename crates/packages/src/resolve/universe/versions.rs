//! The packages of each name, sorted by version.

use super::Candidate;
use crate::index::{IndexError, NameHash, Stanza};

/// Which versions of a package are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Newest,
    All,
}

/// The head of a candidate that is not kept.
pub(super) const LEFT_OUT: u32 = u32::MAX;

type Named = (NameHash, Candidate);

/// Sorts packages by name and version, newest first; of those of one name that compare alike the
/// first is kept.
pub(super) fn sort(
    mut named: Vec<Named>,
    all: &[Stanza<'_>],
    keep: Keep,
) -> Result<Vec<Named>, IndexError> {
    named.sort_unstable();
    let mut kept = Vec::with_capacity(named.len());
    for same in named.chunk_by(|(one, _), (other, _)| one == other) {
        match same {
            [_] => kept.extend_from_slice(same),
            _ => sort_some(same, all, keep, &mut kept)?,
        }
    }
    Ok(kept)
}

/// The same for packages whose names have one hash.
fn sort_some(
    same: &[Named],
    all: &[Stanza<'_>],
    keep: Keep,
    kept: &mut Vec<Named>,
) -> Result<(), IndexError> {
    let mut same = same.to_vec();
    let name = |(_, candidate): &Named| all[candidate.0 as usize].name();
    same.sort_by_key(name); // stable: of one name the earlier index stays first
    for of_name in same.chunk_by(|one, other| name(one) == name(other)) {
        let [_, _, ..] = of_name else {
            kept.extend_from_slice(of_name);
            continue;
        };
        let version = |&named: &Named| Ok((all[named.1.0 as usize].version()?, named));
        let mut versions = of_name.iter().map(version).collect::<Result<Vec<_>, IndexError>>()?;
        versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        versions.dedup_by_key(|(version, _)| *version);
        let many = if keep == Keep::Newest { 1 } else { versions.len() };
        kept.extend(versions.into_iter().take(many).map(|(_, named)| named));
    }
    Ok(())
}

/// For each candidate where in `named` the packages of its name begin.
pub(super) fn heads(named: &[Named], all: &[Stanza<'_>]) -> Vec<u32> {
    let mut heads = vec![LEFT_OUT; all.len()];
    let same = |one: &Named, other: &Named| {
        let name = |candidate: Candidate| all[candidate.0 as usize].name();
        one.0 == other.0 && name(one.1) == name(other.1)
    };
    let mut head = 0;
    for of_name in named.chunk_by(same) {
        of_name.iter().for_each(|(_, candidate)| heads[candidate.0 as usize] = head);
        head += of_name.len() as u32;
    }
    heads
}
