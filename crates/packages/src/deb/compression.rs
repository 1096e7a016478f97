//! Compressed members: which format by the name's ending, and a bound on what comes out.

use std::io::{self, Read};

use liblzma::read::XzDecoder;
use liblzma::stream::Stream;

use base::ByteSize;

/// How much memory an xz stream may ask for: `xz -9` needs 65 MiB to unpack.
const XZ_MEMORY: u64 = 256 << 20;

/// A reader of what `bytes` hold when unpacked, after the ending of `name`: `.tar`, `.tar.gz`,
/// `.tar.xz` or `.tar.zst`. `None` for any other ending.
///
/// Source: deb(5), "FORMAT".
pub(super) fn reader<'a>(name: &str, bytes: &'a [u8]) -> io::Result<Option<Box<dyn Read + 'a>>> {
    Ok(match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("tar") => Some(Box::new(bytes)),
        Some("gz") => Some(Box::new(flate2::read::MultiGzDecoder::new(bytes))),
        Some("xz") => Some(Box::new(unpack_xz(bytes)?)),
        Some("zst") => Some(Box::new(zstd::Decoder::with_buffer(bytes)?)),
        _ => None,
    })
}

/// A reader of what the xz streams that `packed` yields hold when unpacked.
pub(crate) fn unpack_xz<R: Read>(packed: R) -> io::Result<XzDecoder<R>> {
    /// `LZMA_CONCATENATED`: streams may follow each other, as `xz` itself accepts.
    const CONCATENATED: u32 = 0x08;
    let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
    Ok(XzDecoder::new_stream(packed, stream))
}

/// Passes on at most `left` bytes and fails where more follow, so that a small file that unpacks
/// to a huge one stops early.
pub(super) struct Bounded<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R> Bounded<R> {
    pub(super) fn new(inner: R, limit: u64) -> Self {
        Self { inner, left: limit, limit }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => {
                let limit = ByteSize(self.limit);
                return Err(io::Error::other(format!("it unpacks to more than {limit}")));
            }
        }
        Ok(count)
    }
}
