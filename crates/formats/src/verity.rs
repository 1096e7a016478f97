//! dm-verity: a tree of digests beside a read-only file, so that each block is checked when it
//! is read.
//!
//! Only what our layers have: SHA-256, blocks of 4096 bytes, a salt of 32 bytes, format 1, and
//! the tree in a file of its own, behind a superblock.
//!
//! Source: <https://gitlab.com/cryptsetup/cryptsetup/-/wikis/DMVerity>; the kernel's
//! Documentation/admin-guide/device-mapper/verity.rst.

use std::io::{self, Read, Write};

use base::{ByteSize, Digest, Explain, parallel};
use sha2::{Digest as _, Sha256};

use crate::Guid;
use crate::bytes::{array, put, u16_at, u32_at, u64_at};

/// The bytes of a block, of data and of the tree.
pub const BLOCK: usize = 4096;

/// How many blocks are read at once, and how many of them one thread hashes.
const READ: u64 = 1024;
const PIECE: usize = 128;

const DIGEST: usize = 32;
const DIGESTS_PER_BLOCK: u64 = (BLOCK / DIGEST) as u64;
const SIGNATURE: &[u8; 8] = b"verity\0\0";
const ALGORITHM: &[u8; 8] = b"sha256\0\0";

/// What stands at the start of the file with the tree, and is needed to use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Names the tree.
    pub uuid: Guid,
    /// How many blocks of data there are.
    pub data_blocks: u64,
    /// What is hashed before each block.
    pub salt: Digest,
}

/// What the kernel needs, beside the superblock, to make a device of a tree and its data.
#[derive(Clone, Copy, Debug)]
pub struct Devices<'a> {
    /// The device with the data, as `/dev/loop0` or `7:0`.
    pub data: &'a str,
    /// The device with the tree.
    pub tree: &'a str,
    /// The digest of the topmost block.
    pub root_hash: Digest,
    /// Such as `panic_on_corruption`; see the kernel's documentation.
    pub options: &'a [&'a str],
}

/// Why a tree cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum VerityError {
    /// The data does not fill whole blocks, or there is none.
    #[error("{size} of data are not one or more blocks of {BLOCK} bytes")]
    Size {
        /// How much there is.
        size: ByteSize,
    },
    /// The data ends too early or cannot be read.
    #[error("cannot read the data of a verity tree")]
    Read(#[source] io::Error),
    /// The tree cannot be written.
    #[error("cannot write a verity tree")]
    Write(#[source] io::Error),
}

impl Explain for VerityError {}

/// A superblock cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSuperblock {
    /// It is none.
    #[error("not a verity superblock")]
    Signature,
    /// It describes a tree of another kind than ours.
    #[error("the verity tree has another {0} than ours")]
    Unsupported(&'static str),
}

impl Explain for BadSuperblock {}

impl Superblock {
    /// The superblock of a tree over `size` bytes of data.
    ///
    /// # Errors
    ///
    /// [`VerityError::Size`] unless `size` is a positive multiple of [`BLOCK`].
    pub fn new(size: u64, salt: Digest, uuid: Guid) -> Result<Self, VerityError> {
        if size == 0 || !size.is_multiple_of(BLOCK as u64) {
            return Err(VerityError::Size { size: ByteSize(size) });
        }
        Ok(Self { uuid, data_blocks: size / BLOCK as u64, salt })
    }

    /// Reads the first 512 bytes of a file with a tree; what follows them does not matter.
    ///
    /// # Errors
    ///
    /// [`BadSuperblock`], also if it is cut short.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadSuperblock> {
        use BadSuperblock::{Signature, Unsupported};
        let bytes: [u8; 512] = array(bytes, 0).ok_or(Signature)?;
        if &bytes[..8] != SIGNATURE {
            return Err(Signature);
        }
        let block = u32::try_from(BLOCK).ok();
        #[rustfmt::skip]
        let checks = [
            ("version",           u32_at(&bytes, 8) == Some(1)),
            ("hash type",         u32_at(&bytes, 12) == Some(1)),
            ("algorithm",         &bytes[32..40] == ALGORITHM),
            ("data block size",   u32_at(&bytes, 64) == block),
            ("hash block size",   u32_at(&bytes, 68) == block),
            ("salt length",       u16_at(&bytes, 80) == Some(32)),
        ];
        if let Some((what, _)) = checks.iter().find(|(_, good)| !good) {
            return Err(Unsupported(what));
        }
        let data_blocks = u64_at(&bytes, 72).unwrap_or_default();
        if !(1..=u64::MAX / BLOCK as u64).contains(&data_blocks) {
            return Err(Unsupported("number of blocks"));
        }
        let uuid = Guid::from_bytes(array(&bytes, 16).ok_or(Signature)?);
        let salt = Digest::from_bytes(array(&bytes, 88).ok_or(Signature)?);
        Ok(Self { uuid, data_blocks, salt })
    }

    /// The block that a file with a tree starts with.
    fn to_block(self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        put(&mut block, 0, SIGNATURE);
        put(&mut block, 8, &1_u32.to_le_bytes()); // version
        put(&mut block, 12, &1_u32.to_le_bytes()); // hash type: the salt comes first
        put(&mut block, 16, self.uuid.as_bytes());
        put(&mut block, 32, ALGORITHM);
        put(&mut block, 64, &(BLOCK as u32).to_le_bytes()); // data
        put(&mut block, 68, &(BLOCK as u32).to_le_bytes()); // tree
        put(&mut block, 72, &self.data_blocks.to_le_bytes());
        put(&mut block, 80, &(DIGEST as u16).to_le_bytes()); // salt length
        put(&mut block, 88, self.salt.as_bytes());
        block
    }

    /// The length of the data in sectors of 512 bytes, as the device mapper counts.
    pub fn sectors(&self) -> u64 {
        self.data_blocks * (BLOCK as u64 / 512)
    }

    /// The length of the file with the tree, superblock included.
    pub fn file_bytes(&self) -> u64 {
        let mut blocks = 1;
        let mut level = self.data_blocks;
        while level > 1 {
            level = level.div_ceil(DIGESTS_PER_BLOCK);
            blocks += level;
        }
        blocks * BLOCK as u64
    }

    /// The parameters of the kernel's `verity` target.
    pub fn table(&self, devices: &Devices<'_>) -> String {
        let Devices { data, tree, root_hash, options } = devices;
        let Self { data_blocks, salt, .. } = self;
        let mut line =
            format!("1 {data} {tree} {BLOCK} {BLOCK} {data_blocks} 1 sha256 {root_hash} {salt}");
        if !options.is_empty() {
            line += &format!(" {} {}", options.len(), options.join(" "));
        }
        line
    }

    /// Reads the data and writes the file with its tree, as `veritysetup format` makes it; gives
    /// the root hash. The digests, 1/128 of the data, and 4 MiB of the data are in memory meanwhile.
    ///
    /// # Errors
    ///
    /// [`VerityError::Read`], also if the data is shorter than it should be (if it is longer, the
    /// rest is not read), and [`VerityError::Write`].
    pub fn write_tree(
        &self,
        mut data: impl Read,
        mut tree: impl Write,
    ) -> Result<Digest, VerityError> {
        let salted = Sha256::new_with_prefix(self.salt.as_bytes());
        let digest = |block: &[u8]| salted.clone().chain_update(block).finalize();

        let mut level = Vec::new();
        let mut left = self.data_blocks;
        let mut buffer = Vec::new();
        while left > 0 {
            let blocks = left.min(READ);
            left -= blocks;
            buffer.resize(blocks as usize * BLOCK, 0);
            data.read_exact(&mut buffer).map_err(VerityError::Read)?;
            let pieces: Vec<_> = buffer.chunks(PIECE * BLOCK).collect();
            let digests = parallel::each(&pieces, parallel::processors(), |piece| {
                piece.chunks(BLOCK).flat_map(digest).collect::<Vec<u8>>()
            });
            level.extend(digests.into_iter().flatten());
        }
        let mut levels = Vec::new();
        while level.len() > DIGEST {
            level.resize(level.len().next_multiple_of(BLOCK), 0);
            let above = level.chunks(BLOCK).flat_map(digest).collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        tree.write_all(&self.to_block()).map_err(VerityError::Write)?;
        for level in levels.iter().rev() {
            tree.write_all(level).map_err(VerityError::Write)?;
        }
        tree.flush().map_err(VerityError::Write)?;
        let root = level.try_into().unwrap_or_default(); // one digest is left: there is data
        Ok(Digest::from_bytes(root))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use base::child::{Program, run};

    use super::*;

    fn data(blocks: usize) -> Vec<u8> {
        let byte = |at: usize| (at / 3 + at / BLOCK) as u8;
        (0..blocks * BLOCK).map(byte).collect()
    }

    fn tree(data: &[u8]) -> (Superblock, Vec<u8>, Digest) {
        let salt = Digest::of(data);
        let superblock =
            Superblock::new(data.len() as u64, salt, Guid::from_digest(&salt)).unwrap();
        let mut tree = Vec::new();
        let root = superblock.write_tree(data, &mut tree).unwrap();
        (superblock, tree, root)
    }

    #[test]
    fn the_tree_is_the_one_that_veritysetup_makes() {
        for blocks in [1, 2, 127, 128, 129, 128 * 128, 128 * 128 + 1] {
            let data = data(blocks);
            let (superblock, ours, root) = tree(&data);
            let dir = tempfile::tempdir().unwrap();
            let (data_path, tree_path) = (dir.path().join("data"), dir.path().join("tree"));
            fs::write(&data_path, &data).unwrap();
            let mut format = Program::new("veritysetup").command();
            format
                .args(["format", "--hash=sha256", "--data-block-size=4096"])
                .arg("--hash-block-size=4096")
                .arg(format!("--salt={}", superblock.salt))
                .arg(format!("--uuid={}", superblock.uuid))
                .args([&data_path, &tree_path]);
            let printed = String::from_utf8(run(&mut format).unwrap()).unwrap();
            assert!(printed.contains(&root.to_string()), "{blocks}: {root}\n{printed}");
            let theirs = fs::read(&tree_path).unwrap();
            assert_eq!(ours.len() as u64, superblock.file_bytes(), "{blocks}");
            // They do not write the last bytes of a superblock that nothing follows.
            assert!(theirs == ours[..theirs.len()], "{blocks}");
            assert!(theirs.len() == ours.len() || blocks == 1, "{blocks}");
            assert_eq!(Superblock::parse(&theirs), Ok(superblock));
        }
    }

    #[test]
    fn veritysetup_accepts_the_tree_and_refuses_changed_data() {
        let mut data = data(300);
        let (_, tree, root) = tree(&data);
        let dir = tempfile::tempdir().unwrap();
        let (data_path, tree_path) = (dir.path().join("data"), dir.path().join("tree"));
        fs::write(&tree_path, tree).unwrap();
        let verify = |data: &[u8]| {
            fs::write(&data_path, data).unwrap();
            let mut command = Program::new("veritysetup").command();
            run(command.arg("verify").args([&data_path, &tree_path]).arg(root.to_string())).is_ok()
        };
        assert!(verify(&data));
        data[BLOCK * 299] ^= 1;
        assert!(!verify(&data));
    }

    #[test]
    fn data_that_is_no_whole_blocks_is_refused() {
        for size in [0, 1, 4095, 4097] {
            let error = Superblock::new(size, Digest::of(b""), Guid::NIL).unwrap_err();
            assert!(matches!(error, VerityError::Size { .. }), "{size}");
        }
        let (superblock, ..) = tree(&data(2));
        let error = superblock.write_tree(&data(1)[..], io::sink()).unwrap_err();
        assert!(matches!(error, VerityError::Read(_)));
    }

    #[test]
    fn a_superblock_of_another_kind_is_refused() {
        let (_, tree, _) = tree(&data(2));
        #[rustfmt::skip]
        let cases = [
            (0,  "not a verity superblock"),
            (8,  "the verity tree has another version than ours"),
            (12, "the verity tree has another hash type than ours"),
            (35, "the verity tree has another algorithm than ours"),
            (65, "the verity tree has another data block size than ours"),
            (69, "the verity tree has another hash block size than ours"),
            (79, "the verity tree has another number of blocks than ours"),
            (80, "the verity tree has another salt length than ours"),
        ];
        for (at, message) in cases {
            let mut changed = tree.clone();
            changed[at] = 0xff;
            assert_eq!(Superblock::parse(&changed).unwrap_err().to_string(), message);
        }
        assert_eq!(Superblock::parse(&tree[..511]), Err(BadSuperblock::Signature));
    }

    #[test]
    fn the_kernels_table_names_everything_in_its_order() {
        let superblock = Superblock { uuid: Guid::NIL, data_blocks: 3, salt: Digest::of(b"") };
        let root_hash = Digest::of(b"root");
        let devices =
            Devices { data: "7:0", tree: "7:1", root_hash, options: &["panic_on_corruption"] };
        let salt = superblock.salt;
        assert_eq!(
            superblock.table(&devices),
            format!("1 7:0 7:1 4096 4096 3 1 sha256 {root_hash} {salt} 1 panic_on_corruption")
        );
        assert_eq!(superblock.sectors(), 24);
    }
}
