//! One attempt to read a file, from a server or a folder, from where the last one stopped.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use base::ByteSize;
use base::digest::Hasher;
use base::file::{FileError, Staged};
use base::progress::Task;
use ureq::Agent;
use ureq::http::{Response, header};
use ureq::tls::TlsConfig;

use super::{FetchError, FetchOptions, Wanted, tls};

/// A file on its way into the cache.
pub(super) struct Part<'a> {
    staged: Staged,
    wanted: &'a Wanted,
    task: &'a dyn Task,
    hasher: Hasher,
    received: u64,
    furthest: u64,
    /// Some of it is from an earlier attempt.
    resumed: bool,
}

impl<'a> Part<'a> {
    /// One that becomes the file at `path`, with what an earlier one has left of it.
    pub(super) fn begin(
        path: &Path,
        wanted: &'a Wanted,
        task: &'a dyn Task,
    ) -> Result<Self, FileError> {
        let left = Staged::go_on(path)?;
        let is_left = left.is_some();
        let staged = match left {
            Some(staged) => staged,
            None => Staged::create(path)?, // somebody else fetches it, too, and may be slower
        };
        let hasher = Hasher::default();
        let mut part =
            Self { staged, wanted, task, hasher, received: 0, furthest: 0, resumed: false };
        if is_left {
            part.take_over()?;
        }
        Ok(part)
    }

    /// Reads what is there already.
    fn take_over(&mut self) -> Result<(), FileError> {
        let path = self.staged.path().to_owned();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.staged.file().read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.hasher.update(&buffer[..count]);
                    self.received += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FileError::at("read", path)(error)),
            }
        }
        if self.received >= self.wanted.size {
            return self.restart(); // it would be in its place
        }
        self.furthest = self.received;
        self.task.advance(self.received);
        Ok(())
    }

    /// Leaves what has arrived to a later attempt, if that is anything.
    pub(super) fn keep(self) {
        if self.received > 0 {
            self.staged.keep();
        }
    }

    /// The most bytes that were ever there.
    pub(super) fn furthest(&self) -> u64 {
        self.furthest
    }

    /// Puts it into the cache. The disk is not waited for: whoever takes it from there looks at its digest, and what a
    /// power cut has damaged is fetched again.
    pub(super) fn place(self) -> Result<(), FileError> {
        self.staged.place()
    }

    /// Starts again at the first byte.
    fn restart(&mut self) -> Result<(), FileError> {
        let path = self.staged.path().to_owned();
        let file = self.staged.file();
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .map_err(FileError::at("write", path))?;
        self.hasher = Hasher::default();
        self.received = 0;
        self.resumed = false;
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        let received = self.received + bytes.len() as u64;
        if received > self.wanted.size {
            let size = ByteSize(self.wanted.size);
            return Err(FetchError::TooLong { uri: self.wanted.uri.clone(), size });
        }
        let path = self.staged.path().to_owned();
        self.staged.write_all(bytes).map_err(FileError::at("write", path))?;
        self.hasher.update(bytes);
        self.received = received;
        self.task.advance(received.saturating_sub(self.furthest));
        self.furthest = self.furthest.max(received);
        Ok(())
    }

    /// Judges what has arrived when the sender says that this was all.
    fn check(&self) -> Result<(), FetchError> {
        let Wanted { uri, size, digest } = self.wanted;
        if self.received < *size {
            let (received, size) = (ByteSize(self.received), ByteSize(*size));
            return Err(FetchError::Truncated { uri: uri.clone(), received, size });
        }
        let found = self.hasher.clone().finish();
        if found != *digest {
            return Err(FetchError::Tampered { uri: uri.clone(), expected: *digest, found });
        }
        Ok(())
    }
}

/// Opens what an URI names.
#[derive(Debug)]
pub(super) struct Transport {
    /// For folders whose servers have authorities of their own.
    own: Vec<(String, Agent)>,
    /// For all others.
    agent: Agent,
    stall: Duration,
    slowest: u64,
}

impl Transport {
    pub(super) fn new(options: &FetchOptions) -> Result<Self, FetchError> {
        let proxy = match &options.proxy {
            Some(uri) => Some(ureq::Proxy::new(uri).map_err(|_| FetchError::BadUri(uri.clone()))?),
            None => None,
        };
        let agent = |tls: TlsConfig| {
            let config = Agent::config_builder()
                .tls_config(tls)
                .http_status_as_error(false)
                .proxy(proxy.clone())
                .timeout_connect(Some(options.connect))
                .timeout_resolve(Some(options.connect))
                .timeout_recv_response(Some(options.stall))
                .timeout_per_read(Some(options.stall))
                .timeout_per_write(Some(options.stall))
                .user_agent(concat!("preon/", env!("CARGO_PKG_VERSION")));
            Agent::from(config.build())
        };
        let own = options.authorities.iter().map(|(folder, authorities)| {
            (folder.clone(), agent(tls().root_certs(authorities.roots()).build()))
        });
        Ok(Self {
            own: own.collect(),
            agent: agent(tls().build()),
            stall: options.stall,
            slowest: options.slowest,
        })
    }

    /// Who asks for `uri`: of several whose folder it is in, the one with the longest.
    fn agent(&self, uri: &str) -> &Agent {
        let own = self.own.iter().filter(|(folder, _)| is_below(uri, folder));
        own.max_by_key(|(folder, _)| folder.len()).map_or(&self.agent, |(_, agent)| agent)
    }

    /// Reads a whole file of at most `limit` bytes.
    pub(super) fn read_whole(
        &self,
        uri: &str,
        limit: u64,
        into: &mut Vec<u8>,
    ) -> Result<(), FetchError> {
        let (_, reader) = self.open(uri, 0)?;
        let read = reader.take(limit + 1).read_to_end(into);
        read.map_err(|error| self.broken(uri, error))?;
        if into.len() as u64 > limit {
            return Err(FetchError::TooLong { uri: uri.to_owned(), size: ByteSize(limit) });
        }
        Ok(())
    }

    /// Goes on with `part` where it stopped, and verifies it when it is complete. What was resumed
    /// and then turned out wrong is fetched once more from its start: perhaps the earlier part was
    /// at fault.
    pub(super) fn attempt(&self, wanted: &Wanted, part: &mut Part<'_>) -> Result<(), FetchError> {
        match self.go_on(wanted, part) {
            Err(FetchError::Tampered { .. } | FetchError::TooLong { .. }) if part.resumed => {
                part.restart()?;
                self.go_on(wanted, part)
            }
            result => result,
        }
    }

    fn go_on(&self, wanted: &Wanted, part: &mut Part<'_>) -> Result<(), FetchError> {
        let (start, mut reader) = self.open(&wanted.uri, part.received)?;
        if start == part.received {
            part.resumed = start > 0;
        } else {
            part.restart()?;
        }
        let mut buffer = vec![0; 64 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => part.add(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(self.broken(&wanted.uri, error)),
            }
        }
        part.check()
    }

    /// Opens `uri` at the byte `start`; a server that cannot do that gives the whole. Returns where
    /// the reader really starts.
    fn open(&self, uri: &str, start: u64) -> Result<(u64, Box<dyn Read>), FetchError> {
        match uri.strip_prefix("file://") {
            Some(path) => open_file(uri, path, start),
            None if uri.starts_with("http://") || uri.starts_with("https://") => {
                self.open_http(uri, start)
            }
            None => Err(FetchError::BadUri(uri.to_owned())),
        }
    }

    fn open_http(&self, uri: &str, start: u64) -> Result<(u64, Box<dyn Read>), FetchError> {
        let mut request = self.agent(uri).get(uri);
        if start > 0 {
            request = request.header(header::RANGE, format!("bytes={start}-"));
        }
        let response = request.call().map_err(|error| self.broken(uri, error.into_io()))?;
        let status = response.status().as_u16();
        let first = match status {
            200 => 0,
            206 if starts_at(&response) == Some(start) => start,
            // The server has less than we, or sent another range: from the start, then.
            206 | 416 if start > 0 => return self.open_http(uri, 0),
            404 | 410 => return Err(FetchError::NotFound { uri: uri.to_owned() }),
            _ => return Err(FetchError::Status { uri: uri.to_owned(), status }),
        };
        let reader = response.into_body().into_reader();
        Ok((first, Box::new(Paced::new(reader, self.stall, self.slowest))))
    }

    fn broken(&self, uri: &str, source: io::Error) -> FetchError {
        use ureq::{Error, Timeout};
        let uri = uri.to_owned();
        if source.get_ref().and_then(|inner| inner.downcast_ref::<TooSlow>()).is_some() {
            return FetchError::Stalled { uri, silence: self.stall };
        }
        match source.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(Error::Timeout(Timeout::PerRead | Timeout::PerWrite | Timeout::RecvResponse)) => {
                FetchError::Stalled { uri, silence: self.stall }
            }
            _ => FetchError::Connection { uri, source },
        }
    }
}

/// Whether `uri` is in the folder at `folder`, or is that.
fn is_below(uri: &str, folder: &str) -> bool {
    let rest = uri.strip_prefix(folder.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A server that brings next to nothing.
#[derive(Debug, thiserror::Error)]
#[error("too slow")]
struct TooSlow;

/// A reader that gives up on a server that brings next to nothing.
struct Paced<R> {
    reader: R,
    window: Duration,
    /// How many bytes each window has to bring.
    least: u128,
    since: Instant,
    bytes: u128,
}

impl<R: Read> Paced<R> {
    fn new(reader: R, window: Duration, slowest: u64) -> Self {
        let least = u128::from(slowest) * window.as_millis() / 1000;
        Self { reader, window, least, since: Instant::now(), bytes: 0 }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.bytes += count as u128;
        if count > 0 && self.since.elapsed() >= self.window {
            if self.bytes < self.least {
                return Err(io::Error::other(TooSlow));
            }
            (self.since, self.bytes) = (Instant::now(), 0);
        }
        Ok(count)
    }
}

fn open_file(uri: &str, path: &str, start: u64) -> Result<(u64, Box<dyn Read>), FetchError> {
    let opened = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(start))?;
        Ok(file)
    });
    match opened {
        Ok(file) => Ok((start, Box::new(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(FetchError::NotFound { uri: uri.to_owned() })
        }
        Err(error) => Err(FileError::at("read", path)(error).into()),
    }
}

/// The first byte of a partial answer, from `Content-Range: bytes 100-199/200`.
fn starts_at<B>(response: &Response<B>) -> Option<u64> {
    let value = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    value.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_folder_of_a_server_is_told_from_what_only_begins_so() {
        #[rustfmt::skip]
        let cases = [
            ("https://a/x/dists", "https://a/x",  true),
            ("https://a/x/dists", "https://a/x/", true),
            ("https://a/x",       "https://a/x",  true),
            ("https://a/xy",      "https://a/x",  false),
            ("https://a.evil/x",  "https://a",    false),
        ];
        for (uri, folder, expected) in cases {
            assert_eq!(is_below(uri, folder), expected, "{uri} in {folder}");
        }
    }
}
