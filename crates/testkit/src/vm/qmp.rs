//! QEMU's control socket: one JSON value a line.
//!
//! Source: QEMU documentation, "QEMU Machine Protocol Specification".

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long QEMU may take to answer a command.
const ANSWER: Duration = Duration::from_secs(20);

/// A connection to a running QEMU. It accepts one at a time, so keep none open for long.
pub(super) struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects to the socket at `path` and leaves QEMU's negotiation mode.
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let mut qmp = Self { stream: BufReader::new(stream) };
        qmp.read()?; // the greeting
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and gives back its result; events that come before it are dropped.
    pub(super) fn execute(&mut self, command: &str, arguments: &Value) -> io::Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        let mut line = request.to_string();
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes())?;
        let deadline = Instant::now() + ANSWER;
        while Instant::now() < deadline {
            let mut answer = self.read()?;
            if let Some(error) = answer.get("error") {
                return Err(io::Error::other(format!("{command}: {error}")));
            }
            if let Some(result) = answer.get_mut("return") {
                return Ok(result.take());
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Runs a command of QEMU's monitor for people and gives back what it prints.
    pub(super) fn monitor(&mut self, line: &str) -> io::Result<String> {
        let answer = self.execute("human-monitor-command", &json!({ "command-line": line }))?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    /// Blocks until the event `name` arrives.
    pub(super) fn wait_for_event(&mut self, name: &str, timeout: Duration) -> io::Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no event {name}")));
            }
            self.stream.get_ref().set_read_timeout(Some(left))?;
            if self.read()?.get("event").is_some_and(|event| event == name) {
                return Ok(());
            }
        }
    }

    fn read(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

/// The host's port for each forwarded guest port, as `info usernet` lists them.
pub(super) fn forwarded_ports(listing: &str) -> Vec<(u16, u16)> {
    let row = |line: &str| {
        let mut fields = line.trim().strip_prefix("TCP[HOST_FORWARD]")?.split_whitespace();
        let host = fields.nth(2)?.parse().ok()?; // after the file descriptor and the address
        let guest = fields.nth(1)?.parse().ok()?;
        Some((host, guest))
    };
    listing.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_ports_are_read_from_the_listing() {
        let listing = "\
Hub -1 (net):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[HOST_FORWARD]   8       127.0.0.1 32891       10.0.2.15    22     0     0
  TCP[ESTABLISHED]    9       127.0.0.1 32891       10.0.2.15    22     0     0
  TCP[HOST_FORWARD]   3       127.0.0.1 38883       10.0.2.15    80     0     0
";
        assert_eq!(forwarded_ports(listing), [(32891, 22), (38883, 80)]);
    }
}
