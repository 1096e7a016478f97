//! Which disk holds the store: the one that the boot loader came from.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base::Explain;
use base::file::FileError;
use formats::Guid;
use formats::gpt::{self, EFI_SYSTEM, Partition, Table};
use generations::PARTITION_TYPE as DATA;
use sys::block;
use sys::efi::{self, VariableError};

use crate::command_line::CommandLine;
use crate::log;

/// How long disks may take to appear. Controllers and buses are probed while we run already.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Why the store's partition is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindError {
    #[error(
        "nothing says which disk to boot from: no boot loader left word, and the command line has no preon.store="
    )]
    Unknown,
    #[error("cannot understand `{text}`, the partition that {origin} names")]
    Name { text: String, origin: &'static str },
    #[error(transparent)]
    Loader(#[from] VariableError),
    #[error("no disk with the partition {partition} appeared in {} seconds; there are {}", PATIENCE.as_secs(), disks.join(", "))]
    Missing { partition: Guid, disks: Vec<String> },
    #[error("the partition {partition} is on two disks: {one} and {other}")]
    TwoDisks { partition: Guid, one: String, other: String },
    #[error("the disk {disk} has no partition of Preon's type ({DATA})")]
    NoData { disk: String },
    #[error("the disk {disk} has two partitions of Preon's type ({DATA}): {one} and {other}")]
    TwoData { disk: String, one: u32, other: u32 },
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for FindError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown => Some(
                "start it through systemd-boot, or put preon.store= and the GUID of the store's \
                 partition on the command line"
                    .into(),
            ),
            Self::Missing { .. } => Some(
                "check that the disk is attached, by a controller that the kernel knows".into(),
            ),
            Self::TwoDisks { .. } => Some("detach one: it seems to be a copy of the other".into()),
            Self::NoData { .. } => Some("write the image anew".into()),
            Self::Name { .. } | Self::Loader(_) | Self::TwoData { .. } | Self::File(_) => None,
        }
    }
}

/// A disk, its partition table, and which of its partitions holds the data filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// `sda`
    pub(crate) name: String,
    pub(crate) table: Table,
    /// The data partition's number, from 1.
    pub(crate) number: u32,
    /// The number of the EFI system partition that the boot loader came from, if it came from one.
    pub(crate) esp: Option<u32>,
}

impl Disk {
    /// Its device file.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/dev").join(&self.name)
    }

    /// The device file of a partition, if the kernel sees one with this number.
    pub(crate) fn partition(&self, number: u32) -> Result<Option<PathBuf>, FileError> {
        block::partition_path(block::LIST.as_ref(), &self.name, number)
    }
}

/// The disk that the boot loader came from; without a boot loader, the one that the command line
/// says. Waits for it to appear; a copy of it that appears later is not noticed.
pub(crate) fn find(words: &CommandLine) -> Result<Disk, FindError> {
    let partition = wanted_partition(words)?;
    let deadline = Instant::now() + PATIENCE;
    let mut told = BTreeSet::new();
    loop {
        let names = block::disks(block::LIST.as_ref())?;
        let mut tables = Vec::new();
        for name in &names {
            match table(name) {
                Some(Ok(table)) => tables.push((&**name, table)),
                Some(Err(error)) if told.insert(name.clone()) => {
                    log::info(&format!("{name}: {error}"));
                }
                _ => {}
            }
        }
        if let Some(disk) = pick(&tables, partition)? {
            return Ok(disk);
        }
        if Instant::now() >= deadline {
            return Err(FindError::Missing { partition, disks: names });
        }
        std::thread::sleep(POLL);
    }
}

fn wanted_partition(words: &CommandLine) -> Result<Guid, FindError> {
    let loader = efi::read_text(efi::FOLDER.as_ref(), "LoaderDevicePartUUID", efi::LOADER)?;
    let (text, origin) = match (loader, words.store()) {
        (Some(text), _) => (text, "the boot loader"),
        (None, Some(text)) => (text.to_owned(), "preon.store="),
        (None, None) => return Err(FindError::Unknown),
    };
    text.parse().map_err(|_| FindError::Name { text, origin })
}

/// The partition table of a disk that can be opened, if we understand it.
fn table(name: &str) -> Option<Result<Table, gpt::ReadError>> {
    Some(gpt::read(File::open(Path::new("/dev").join(name)).ok()?))
}

/// The one disk with this partition, and the one data partition on it.
fn pick(disks: &[(&str, Table)], partition: Guid) -> Result<Option<Disk>, FindError> {
    let holds = |table: &Table| table.numbered().any(|(_, other)| other.id == partition);
    let mut candidates = disks.iter().filter(|(_, table)| holds(table));
    let Some((name, table)) = candidates.next() else { return Ok(None) };
    if let Some((other, _)) = candidates.next() {
        let (one, other) = ((*name).to_owned(), (*other).to_owned());
        return Err(FindError::TwoDisks { partition, one, other });
    }
    let disk = (*name).to_owned();
    let numbered = || table.numbered().map(|(number, entry)| (number as u32, entry)); // at most 128
    let is_esp = |entry: &Partition| entry.id == partition && entry.kind == EFI_SYSTEM;
    let esp = numbered().find(|(_, entry)| is_esp(entry)).map(|(number, _)| number);
    let mut data = numbered().filter(|(_, entry)| entry.kind == DATA).map(|(number, _)| number);
    match (data.next(), data.next()) {
        (Some(number), None) => Ok(Some(Disk { name: disk, table: table.clone(), number, esp })),
        (Some(one), Some(other)) => Err(FindError::TwoData { disk, one, other }),
        (None, _) => Err(FindError::NoData { disk }),
    }
}

#[cfg(test)]
mod tests {
    use formats::gpt::Lba;

    use super::*;

    /// A disk whose partitions have these types and names.
    fn disk(partitions: &[(Guid, Guid)]) -> Table {
        let partition = |(at, (kind, id)): (u64, &(Guid, Guid))| {
            let (first, last) = (Lba(2048 * (at + 1)), Lba(2048 * (at + 2) - 1));
            Some(Partition {
                kind: *kind,
                id: *id,
                name: String::new(),
                first,
                last,
                attributes: 0,
            })
        };
        let partitions = (0..).zip(partitions).map(partition).collect();
        Table { disk: guid(99), blocks: 1 << 20, partitions }
    }

    fn guid(number: u8) -> Guid {
        Guid::from_bytes([number; 16])
    }

    #[test]
    fn the_data_partition_is_found_by_any_partition_of_its_disk() {
        let ours = disk(&[(EFI_SYSTEM, guid(1)), (DATA, guid(2))]);
        let other = disk(&[(EFI_SYSTEM, guid(3)), (DATA, guid(4))]);
        let disks = [("sda", other), ("sdb", ours)];
        for partition in [guid(1), guid(2)] {
            let found = pick(&disks, partition).unwrap().unwrap();
            assert_eq!((found.name.as_str(), found.number), ("sdb", 2));
            // Only a boot loader names the partition that it came from.
            assert_eq!(found.esp, (partition == guid(1)).then_some(1));
        }
        assert_eq!(pick(&disks, guid(5)).unwrap(), None);
    }

    #[test]
    fn a_choice_that_is_not_clear_is_refused() {
        let good = || disk(&[(EFI_SYSTEM, guid(1)), (DATA, guid(2))]);
        let two = disk(&[(EFI_SYSTEM, guid(1)), (DATA, guid(2)), (DATA, guid(3))]);
        let none = disk(&[(EFI_SYSTEM, guid(1))]);
        #[rustfmt::skip]
        let cases = [
            (vec![("sda", good()), ("sdb", good())], "is on two disks: sda and sdb"),
            (vec![("sda", two)],                     "has two partitions of Preon's type"),
            (vec![("sda", none)],                    "has no partition of Preon's type"),
        ];
        for (disks, message) in cases {
            let error = pick(&disks, guid(1)).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
