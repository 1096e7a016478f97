//! A web server on the loopback interface that misbehaves on demand.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

/// How a file is served wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Sends this many bytes of the whole and closes the connection, once.
    CutOnce(usize),
    /// Sends this many bytes at each request and closes the connection.
    Cut(usize),
    /// As [`Fault::CutOnce`], and knows no ranges.
    CutOnceWithoutRanges(usize),
    /// Sends this many bytes and then nothing, for as long as the client stays.
    Stall(usize),
    /// Sends a byte every now and then, for as long as the client stays.
    Drip,
    /// Changes the last byte.
    Tamper,
    /// Sends one more byte.
    TooLong,
    /// Answers with this status.
    Status(u16),
    /// Answers with this status, once.
    StatusOnce(u16),
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    faults: BTreeMap<String, Fault>,
    /// Path and first byte of each request.
    requests: Vec<(String, usize)>,
    /// How many requests have come to their [`Fault::Stall`].
    stalled: usize,
    stop: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The server; it stops when dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let theirs = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if theirs.state.lock().unwrap().stop {
                    break;
                }
                let shared = Arc::clone(&theirs);
                thread::spawn(move || {
                    // A client that went away is no concern of the server's.
                    let _ = answer(&stream, &shared);
                });
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// The URI of the server's root.
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.shared.state.lock().unwrap().files.insert(path.to_owned(), bytes.into());
    }

    pub fn remove(&self, path: &str) {
        self.shared.state.lock().unwrap().files.remove(path);
    }

    pub fn fault(&self, path: &str, fault: Fault) {
        self.shared.state.lock().unwrap().faults.insert(path.to_owned(), fault);
    }

    /// Serves the file as it is from now on.
    pub fn heal(&self, path: &str) {
        self.shared.state.lock().unwrap().faults.remove(path);
    }

    /// Waits until a client waits for a server that stalls.
    pub fn wait_for_stall(&self) {
        let Shared { state, changed } = &*self.shared;
        let waits = |state: &mut State| state.stalled == 0;
        drop(changed.wait_while(state.lock().unwrap(), waits).unwrap());
    }

    /// The requests since the last call: path and first byte.
    pub fn requests(&self) -> Vec<(String, usize)> {
        std::mem::take(&mut self.shared.state.lock().unwrap().requests)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap().stop = true;
        let _ = TcpStream::connect(self.address); // wakes the thread up
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads one request and answers it; the connection is then closed.
fn answer(mut stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
    let (mut start, mut conditional) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim().to_ascii_lowercase();
        if let Some(range) = header.strip_prefix("range: bytes=") {
            start = range.trim_end_matches('-').parse().unwrap();
        }
        conditional |= header.starts_with("if-range:");
        if header.is_empty() {
            break;
        }
    }
    if conditional {
        start = 0; // nothing here has a date: all of it, then
    }
    let (content, fault) = {
        let mut state = shared.state.lock().unwrap();
        state.requests.push((path.clone(), start));
        let fault = state.faults.get(&path).copied();
        if matches!(
            fault,
            Some(Fault::CutOnce(_) | Fault::CutOnceWithoutRanges(_) | Fault::StatusOnce(_))
        ) {
            state.faults.remove(&path);
        }
        (state.files.get(&path).cloned(), fault)
    };
    if let Some(Fault::Status(status) | Fault::StatusOnce(status)) = fault {
        return head(stream, status, 0, "");
    }
    let Some(mut content) = content else { return head(stream, 404, 0, "") };
    match fault {
        Some(Fault::Tamper) => *content.last_mut().unwrap() ^= 1,
        Some(Fault::TooLong) => content.push(0),
        _ => {}
    }
    let whole = content.len();
    if matches!(fault, Some(Fault::CutOnceWithoutRanges(_))) {
        start = 0;
    }
    if start > 0 {
        let range = format!("Content-Range: bytes {start}-{}/{whole}\r\n", whole - 1);
        head(stream, 206, whole - start, &range)?;
    } else {
        head(stream, 200, whole, "")?;
    }
    let rest = &content[start..];
    match fault {
        Some(Fault::Drip) => return drip(stream, rest),
        Some(
            Fault::Cut(count)
            | Fault::CutOnce(count)
            | Fault::CutOnceWithoutRanges(count)
            | Fault::Stall(count),
        ) => stream.write_all(&rest[..count.min(rest.len())])?,
        _ => stream.write_all(rest)?,
    }
    if matches!(fault, Some(Fault::Stall(_))) {
        shared.state.lock().unwrap().stalled += 1;
        shared.changed.notify_all();
        stream.read_to_end(&mut Vec::new())?; // until the client closes the connection
    }
    Ok(())
}

/// Sends a byte whenever the client has said nothing for a moment, until it closes the connection.
fn drip(mut stream: &TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(std::time::Duration::from_millis(20)))?;
    for byte in bytes {
        stream.write_all(&[*byte])?;
        if matches!(stream.read(&mut [0]), Ok(0)) {
            break;
        }
    }
    Ok(())
}

fn head(mut stream: &TcpStream, status: u16, length: usize, more: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{more}")?;
    write!(stream, "Connection: close\r\n\r\n")
}
