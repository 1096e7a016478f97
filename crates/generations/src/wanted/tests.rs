use super::*;

const HIGHEST: Generation = Generation(9000);

/// All its numbers are different, so that none can stand for another.
fn wanted(generation: u64, attempts: u32) -> Wanted {
    Wanted {
        generation: Generation(generation),
        attempts,
        good: Generation(generation + 1000),
        failed: Generation(generation + 2000),
        asked: Generation(generation + 3000),
        stand_in: Generation(generation + 4000),
        stand_in_attempts: attempts + 5000,
        highest: HIGHEST, // which no write lowers
    }
}

fn bytes_after(writes: &[Wanted]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wanted");
    for wanted in writes {
        write(&path, *wanted).unwrap();
    }
    std::fs::read(&path).unwrap()
}

fn says(bytes: &[u8]) -> Option<Wanted> {
    current(bytes).map(|current| current.wanted)
}

#[test]
fn the_file_says_what_was_written_last_and_keeps_its_length() {
    for count in 1..5 {
        let writes: Vec<_> = (1..=count).map(|n| wanted(u64::from(n), n)).collect();
        let bytes = bytes_after(&writes);
        assert_eq!(says(&bytes), writes.last().copied(), "{count} writes");
        assert_eq!(bytes.len(), 2 * SLOT);
    }
}

#[test]
fn a_write_that_is_torn_anywhere_leaves_the_old_or_the_new_value() {
    let (old, new) = (wanted(7, 3), wanted(8, 0));
    for history in [vec![old], vec![wanted(6, 1), old]] {
        let before = bytes_after(&history);
        let Next::Slot { offset, slot } = next(&before, new) else { panic!("a slot") };
        for written in 0..=SLOT {
            let mut torn = before.clone();
            let start = offset as usize;
            torn[start..start + written].copy_from_slice(&slot[..written]);
            let value = says(&torn).unwrap();
            assert!(value == old || value == new, "{written} bytes: {value:?}");
            assert!(written < USED || value == new, "{written} bytes");
        }
    }
}

#[test]
fn damage_to_any_one_byte_leaves_one_of_the_two_last_values() {
    let good = bytes_after(&[wanted(1, 0), wanted(2, 0), wanted(3, 0)]);
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        let value = says(&bytes);
        let whole = [wanted(2, 0), wanted(3, 0)].map(Some).contains(&value);
        assert!(whole, "byte {at}: {value:?}");
    }
}

#[test]
fn a_truncated_file_says_something_that_was_written_or_nothing() {
    let good = bytes_after(&[wanted(1, 0), wanted(2, 0), wanted(3, 0)]);
    for length in 0..good.len() {
        let value = says(&good[..length]);
        // The number that came later may be cut off alone.
        let cut = (COUNTED..USED).contains(&length);
        let value =
            value.map(|it| Wanted { highest: if cut { HIGHEST } else { it.highest }, ..it });
        let whole = [None, Some(wanted(2, 0)), Some(wanted(3, 0))].contains(&value);
        assert!(whole, "{length} bytes: {value:?}");
    }
}

#[test]
fn a_damaged_file_is_an_error_until_it_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wanted");
    for damaged in [vec![], vec![0; 2 * SLOT], vec![0xff; 100]] {
        std::fs::write(&path, &damaged).unwrap();
        assert!(matches!(read(&path), Err(WantedError::Damaged { .. })));
        write(&path, wanted(4, 0)).unwrap();
        assert_eq!(read(&path).unwrap(), wanted(4, 0));
    }
}

#[test]
fn a_change_keeps_all_that_it_does_not_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wanted");
    write(&path, wanted(4, 1)).unwrap();
    let expected = Wanted { attempts: 2, ..wanted(4, 1) };
    assert_eq!(update(&path, |wanted| wanted.attempts += 1).unwrap(), expected);
    assert_eq!(read(&path).unwrap(), expected);
}

#[test]
fn a_file_of_the_first_format_is_not_understood() {
    let mut slot = slot(1, wanted(4, 0));
    slot[..8].copy_from_slice(b"PREONGEN");
    let digest = Digest::of(&slot[..CHECKED]);
    slot[CHECKED..COUNTED].copy_from_slice(digest.as_bytes());
    assert_eq!(says(&slot), None);
}

#[test]
fn the_highest_number_survives_each_torn_write_and_a_write_of_code_that_does_not_know_it() {
    let noted = |highest| Wanted { highest: Generation(highest), ..wanted(4, 0) };
    let before = bytes_after(&[noted(0), noted(12)]);
    let Next::Slot { offset, slot: new } = next(&before, noted(13)) else { panic!("a slot") };
    for written in 0..=SLOT {
        let mut torn = before.clone();
        let start = offset as usize;
        torn[start..start + written].copy_from_slice(&new[..written]);
        let highest = says(&torn).unwrap().highest.0;
        assert!(highest == 12 && written < USED || highest == 13, "{written} bytes: {highest}");
    }
    let mut older = before.clone();
    let start = offset as usize;
    older[start..start + COUNTED].copy_from_slice(&slot(9, wanted(5, 1))[..COUNTED]);
    older[start + COUNTED..start + USED].fill(0);
    assert_eq!(says(&older), Some(Wanted { highest: Generation(12), ..wanted(5, 1) }));
}

#[test]
fn numbers_are_where_the_table_says() {
    let slot = slot(7, wanted(1, 2));
    let number = |at: usize| u64::from_le_bytes(*slot[at..].first_chunk().unwrap());
    assert_eq!(&slot[..8], b"PREONGN2");
    assert_eq!([8, 16, 24, 32, 40, 48].map(number), [7, 1, 1001, 2001, 3001, 4001]);
    assert_eq!(slot[56..64], [2, 0, 0, 0, 0x8a, 0x13, 0, 0]); // 2 and 5002
    assert_eq!(number(96), 9000);
    assert!(slot[USED..].iter().all(|byte| *byte == 0));
}
