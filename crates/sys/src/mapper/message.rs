//! What goes to and comes from the device mapper: bytes, no calls.
//!
//! Source: Linux, `include/uapi/linux/dm-ioctl.h`.

use std::io;

use rustix::ioctl::{Opcode, opcode};

/// The length of `struct dm_ioctl`, which starts every message.
const HEAD: usize = 312;
/// The length of `struct dm_target_spec`, which comes before a target's text.
const SPEC: usize = 40;
/// Room for what we send and for a status line.
const LENGTH: usize = 4096;

// Where the fields of `struct dm_ioctl` are.
const VERSION: usize = 0;
const DATA_SIZE: usize = 12;
const DATA_START: usize = 16;
const TARGET_COUNT: usize = 20;
const FLAGS: usize = 28;
const DEVICE: usize = 40;
const NAME: usize = 48;
const NAME_LENGTH: usize = 128;

/// What the device mapper is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Create = 3,
    Remove = 4,
    Suspend = 6,
    LoadTable = 9,
    TableStatus = 12,
}

/// How it is to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags(u32);

impl Flags {
    pub(super) const NONE: Self = Self(0);
    pub(super) const READ_ONLY: Self = Self(1);
    pub(super) const DEFERRED_REMOVE: Self = Self(1 << 17);
}

/// What a device consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The kind: `verity`.
    pub kind: &'static str,
    /// The length of the device, in sectors of 512 bytes.
    pub sectors: u64,
    /// What the kind wants to know.
    pub parameters: String,
}

/// A message to the device mapper.
#[derive(Debug)]
pub(super) struct Message {
    command: Command,
    bytes: Vec<u8>,
    fits: bool,
}

impl Message {
    /// A command about the device `name`.
    pub(super) fn new(command: Command, name: &str, flags: Flags) -> Self {
        let mut message = Self { command, bytes: vec![0; LENGTH], fits: true };
        message.put(VERSION, &4_u32.to_ne_bytes());
        message.put(DATA_SIZE, &(LENGTH as u32).to_ne_bytes());
        message.put(DATA_START, &(HEAD as u32).to_ne_bytes());
        message.put(FLAGS, &flags.0.to_ne_bytes());
        message.fits = name.len() < NAME_LENGTH && !name.contains(['/', '\0']);
        if message.fits {
            message.put(NAME, name.as_bytes());
        }
        message
    }

    /// The same with a table of one line.
    pub(super) fn with(mut self, target: &Target) -> Self {
        const KIND: usize = HEAD + 24;
        self.put(TARGET_COUNT, &1_u32.to_ne_bytes());
        self.put(HEAD + 8, &target.sectors.to_ne_bytes());
        self.put(KIND, target.kind.as_bytes());
        self.fits &= HEAD + SPEC + target.parameters.len() < LENGTH && target.kind.len() < 16;
        if self.fits {
            self.put(HEAD + SPEC, target.parameters.as_bytes());
        }
        self
    }

    /// The number of the `ioctl`.
    pub(super) fn opcode(&self) -> Opcode {
        opcode::from_components(rustix::ioctl::Direction::ReadWrite, 0xfd, self.command as u8, HEAD)
    }

    /// The bytes to send.
    pub(super) fn into_bytes(self) -> io::Result<Vec<u8>> {
        if self.fits { Ok(self.bytes) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// The device mapper's answer to a message.
#[derive(Debug)]
pub(super) struct Answer(Vec<u8>);

impl Answer {
    /// The bytes of a message as the kernel left them.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The minor number of the device that it is about.
    pub(super) fn minor(&self) -> u64 {
        let device = self.0[DEVICE..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        // The kernel's `huge_encode_dev`: the major number is in bits 8 to 19.
        (device & 0xff) | (device >> 12 & !0xff)
    }

    /// The text about the first line of the device's table; empty when there is none.
    pub(super) fn status(&self) -> &str {
        let start =
            self.0[DATA_START..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let text = self.0.get(start as usize + SPEC..).unwrap_or_default();
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(message: Message) -> Vec<u8> {
        message.into_bytes().unwrap()
    }

    #[test]
    fn a_name_or_table_that_does_not_fit_is_refused() {
        let target = |length| Target { kind: "verity", sectors: 8, parameters: "x".repeat(length) };
        let load =
            |length| Message::new(Command::LoadTable, "a", Flags::NONE).with(&target(length));
        assert!(load(3000).into_bytes().is_ok());
        assert!(load(LENGTH - HEAD - SPEC).into_bytes().is_err()); // no room for the NUL
        for name in ["a/b", "a\0", &"n".repeat(NAME_LENGTH)] {
            assert!(
                Message::new(Command::Create, name, Flags::NONE).into_bytes().is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn the_kernels_answer_is_read_where_the_kernel_puts_it() {
        let target = Target { kind: "verity", sectors: 8, parameters: "C".into() };
        let mut bytes = sent(Message::new(Command::TableStatus, "a", Flags::NONE).with(&target));
        bytes[DEVICE..DEVICE + 8].copy_from_slice(&0x0010_fd05_u64.to_ne_bytes()); // 253:261
        let answer = Answer::new(bytes);
        assert_eq!((answer.minor(), answer.status()), (261, "C"));
    }

    #[test]
    fn an_answer_whose_offset_points_outside_has_no_status() {
        let mut bytes = sent(Message::new(Command::TableStatus, "a", Flags::NONE));
        bytes[DATA_START..DATA_START + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(Answer::new(bytes).status(), "");
    }

    #[test]
    fn the_command_numbers_are_those_of_the_header() {
        let opcode = |command| Message::new(command, "a", Flags::NONE).opcode();
        assert_eq!(opcode(Command::Create), 0xc138_fd03); // DM_DEV_CREATE, as strace shows it
        assert_eq!(opcode(Command::TableStatus), 0xc138_fd0c); // DM_TABLE_STATUS
    }
}
