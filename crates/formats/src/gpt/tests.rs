use base::child::{Program, run};
use std::fs;
use std::io::Cursor;

use super::*;

const MIB: u64 = (1 << 20) / BLOCK;

fn table() -> Table {
    let partition = |kind: Guid, name: &str, first, last| {
        let id = Guid::from_digest(&base::Digest::of(name.as_bytes()));
        let name = name.to_owned();
        Some(Partition { kind, id, name, first: Lba(first), last: Lba(last), attributes: 0 })
    };
    let data = "9c3ad1a8-70f3-4fa1-8ef4-0a5e7f6d2c11".parse().unwrap();
    Table {
        disk: Guid::from_digest(&base::Digest::of(b"disk")),
        blocks: 16 * MIB,
        partitions: vec![
            partition(EFI_SYSTEM, "esp", MIB, 4 * MIB - 1),
            partition(data, "prëon", 4 * MIB, 15 * MIB - 1),
        ],
    }
}

fn disk(table: &Table) -> Vec<u8> {
    let mut disk = vec![0; usize::try_from(table.blocks * BLOCK).unwrap()];
    write(table, &mut disk);
    disk
}

fn write(table: &Table, disk: &mut [u8]) {
    let encoded = table.encode().unwrap();
    let end = usize::try_from(encoded.end_at.bytes()).unwrap();
    disk[..encoded.start.len()].copy_from_slice(&encoded.start);
    disk[end..].copy_from_slice(&encoded.end);
}

/// What sfdisk finds wrong or notes, and what it reads.
fn sfdisk(disk: &[u8]) -> (String, serde_json::Value) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    fs::write(&path, disk).unwrap();
    let output = |option: &str| {
        let output = run(Program::new("sfdisk").command().arg(option).arg(&path)).unwrap();
        String::from_utf8(output).unwrap()
    };
    (output("--verify"), serde_json::from_str(&output("-J")).unwrap())
}

#[test]
fn sfdisk_reads_the_table_as_it_was_meant() {
    let table = table();
    let (verdict, json) = sfdisk(&disk(&table));
    assert!(verdict.contains("No errors detected."), "{verdict}");
    let read = &json["partitiontable"];
    assert_eq!(read["label"], "gpt");
    assert_eq!(read["id"], table.disk.to_string().to_uppercase());
    assert_eq!(read["firstlba"], table.first_usable().0);
    assert_eq!(read["lastlba"], table.last_usable().0);
    for (number, partition) in table.numbered() {
        let read = &read["partitions"][number - 1];
        assert_eq!(read["start"], partition.first.0);
        assert_eq!(read["size"], partition.last.0 - partition.first.0 + 1);
        assert_eq!(read["type"], partition.kind.to_string().to_uppercase());
        assert_eq!(read["uuid"], partition.id.to_string().to_uppercase());
        assert_eq!(read["name"], partition.name);
    }
}

#[test]
fn a_table_grows_with_its_disk() {
    let old = table();
    let mut disk = disk(&old);
    let length = 40 * MIB + 7;
    disk.resize(usize::try_from(length * BLOCK).unwrap(), 0);
    let found = read(Cursor::new(&disk)).unwrap();
    assert_eq!(found, old);
    let new = found.grown(length, 2).unwrap();
    assert_eq!(new.partitions[0], old.partitions[0]);
    assert_eq!(new.partitions[1].as_ref().unwrap().last, Lba(length - 34));
    write(&new, &mut disk);
    assert_eq!(read(Cursor::new(&disk)).unwrap(), new);
    assert_eq!(new.grown(length, 2).unwrap(), new);
    let (verdict, _) = sfdisk(&disk);
    assert!(verdict.contains("No errors detected."), "{verdict}");
    assert!(matches!(new.grown(20 * MIB, 2), Err(TableError::Outside { number: 2, .. })));
}

#[test]
fn either_copy_is_enough() {
    let table = table();
    let whole = disk(&table);
    let end = whole.len();
    #[rustfmt::skip]
    let cases = [
        (&[][..],                    None),
        (&[600][..],                 None),
        (&[1024 + 3][..],            None),
        (&[end - 1, end - 512][..],  None),
        (&[600, end - 500][..],      Some("no good GUID partition table: at the start the header's checksum is wrong, at the end the header's checksum is wrong")),
        (&[1024 + 3, end - 512][..], Some("no good GUID partition table: at the start the checksum of the entries is wrong, at the end there is no header")),
    ];
    for (damaged, error) in cases {
        let mut disk = whole.clone();
        damaged.iter().for_each(|at| disk[*at] ^= 1);
        let result = read(Cursor::new(&disk));
        assert_eq!(result.as_ref().map_err(ToString::to_string).err().as_deref(), error);
        assert!(error.is_some() || result.unwrap() == table, "{damaged:?}");
    }
}

#[test]
fn a_disk_without_a_table_is_refused() {
    for length in [0, 1, 511, 512, 513, 4096] {
        let error = read(Cursor::new(vec![0; length])).unwrap_err();
        assert!(matches!(error, ReadError::NoTable { .. }), "{length}: {error}");
    }
}

#[test]
fn a_table_that_makes_no_sense_is_not_written() {
    type Change = fn(&mut Table, &mut Partition);
    let extra = Partition { first: Lba(15 * MIB), ..table().partitions[1].clone().unwrap() };
    let extra = Partition { last: Lba(15 * MIB + 1), ..extra };
    #[rustfmt::skip]
    let cases: [(Change, &str); 8] = [
        (|_, it| it.kind = Guid::NIL,            "partition 3 has no type"),
        (|_, it| it.name = "x".repeat(37),       "the name `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx` of partition 3 is longer than 36 UTF-16 units"),
        (|_, it| it.first = Lba(33),             "partition 3 (33 to 30721) is not within 34 to 32734"),
        (|_, it| it.last = Lba(32735),           "partition 3 (30720 to 32735) is not within 34 to 32734"),
        (|_, it| it.last = Lba(30719),           "partition 3 (30720 to 30719) is not within 34 to 32734"),
        (|_, it| it.first = Lba(15 * MIB - 1),   "partitions 2 and 3 overlap"),
        (|table, _| table.blocks = 67,           "a disk of 67 blocks is too small for a partition table"),
        (|table, _| table.partitions.resize(128, None), "129 partitions are more than 128"),
    ];
    for (change, message) in cases {
        let (mut table, mut partition) = (table(), extra.clone());
        change(&mut table, &mut partition);
        table.partitions.push(Some(partition));
        assert_eq!(table.encode().unwrap_err().to_string(), message);
    }
    let empty = Table { partitions: vec![None], ..table() };
    assert_eq!(empty.grown(20 * MIB, 1), Err(TableError::NothingToGrow));
}

#[test]
fn a_partition_with_another_behind_it_does_not_grow_and_neither_does_the_other() {
    let table = table();
    assert_eq!(table.grown(40 * MIB, 1).unwrap(), Table { blocks: 40 * MIB, ..table.clone() });
    for absent in [0, 3, u32::MAX] {
        assert_eq!(table.grown(40 * MIB, absent), Err(TableError::NothingToGrow), "{absent}");
    }
}

#[test]
fn unused_numbers_stay_unused() {
    let mut table = table();
    table.partitions.insert(1, None);
    assert_eq!(read(Cursor::new(disk(&table))).unwrap(), table);
}
