//! Commands and files, in and out, over one SSH connection.
//!
//! Under emulation a handshake costs seconds, so one connection is opened once and every command
//! goes through it.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How to reach the guest: its key and the host's port.
#[derive(Debug)]
pub(super) struct Guest {
    folder: PathBuf,
    port: u16,
    connection: Option<Child>,
}

/// A command in the guest failed, or took too long.
#[derive(Clone, Debug, thiserror::Error)]
#[error("in the guest, `{command}` {outcome}\n{output}")]
pub struct CommandError {
    /// The command.
    pub command: String,
    /// How it ended.
    pub outcome: String,
    /// What it printed: standard output, then standard error.
    pub output: String,
}

impl Guest {
    /// Nothing is connected yet.
    pub(super) fn new(folder: &Path, port: u16) -> Self {
        Self { folder: folder.to_owned(), port, connection: None }
    }

    /// The connection is open. If it is not, this begins to open one; ask again.
    pub(super) fn is_connected(&mut self) -> io::Result<bool> {
        if let Some(connection) = &mut self.connection
            && connection.try_wait()?.is_none()
        {
            let mut check = self.ssh();
            let check = check.args(["-O", "check", "guest"]).stderr(Stdio::null());
            return Ok(check.stdin(Stdio::null()).status()?.success());
        }
        self.disconnect();
        let mut master = self.ssh();
        master.args(["-M", "-N", "-o", "ConnectTimeout=20", "guest"]);
        master.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.connection = Some(master.spawn()?);
        Ok(false)
    }

    /// Was connected when last asked.
    pub(super) fn has_connection(&self) -> bool {
        self.connection.is_some()
    }

    pub(super) fn disconnect(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            // It may have ended by itself; there is nothing more to do about it.
            let _ = connection.kill();
            let _ = connection.wait();
        }
        let _ = fs::remove_file(self.folder.join("ssh"));
    }

    /// Runs `command` by the guest's root shell; standard input comes from `input`.
    pub(super) fn run(
        &self,
        command: &str,
        input: Stdio,
        timeout: Duration,
    ) -> Result<Vec<u8>, CommandError> {
        let failed = |outcome: String, output: String| CommandError {
            command: command.to_owned(),
            outcome,
            output,
        };
        let ssh = self.ssh();
        let mut bounded = Command::new("timeout");
        bounded.arg("--kill-after=5").arg(timeout.as_secs().max(1).to_string());
        bounded.arg(ssh.get_program()).args(ssh.get_args()).args(["guest", command]);
        // Files, not pipes: the connection's process holds them too, and keeps them after the time is up.
        let (status, stdout, stderr) = run_into_files(bounded.stdin(input))
            .map_err(|error| failed(format!("was not sent: {error}"), String::new()))?;
        if status.success() {
            return Ok(stdout);
        }
        let output = [&stdout[..], &stderr[..]].map(String::from_utf8_lossy).concat();
        let outcome = match status.code() {
            Some(124) => format!("took longer than {} s", timeout.as_secs()),
            Some(255) => "was cut off, or the guest cannot be reached".to_owned(),
            _ => format!("failed with {status}"),
        };
        Err(failed(outcome, output))
    }

    pub(super) fn key(&self) -> PathBuf {
        self.folder.join("key")
    }

    /// `ssh`, with everything but what to do and the name `guest`.
    fn ssh(&self) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(self.folder.join("ssh_config"));
        ssh
    }

    /// Writes the key pair, a copy of `known` if there is one; returns the public key.
    pub(super) fn prepare(folder: &Path, known: Option<&Path>) -> io::Result<Vec<u8>> {
        let key = folder.join("key");
        if let Some(known) = known {
            fs::copy(known, &key)?; // with its mode
            return fs::read(known.with_extension("pub"));
        }
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "testkit", "-f"])
            .arg(&key)
            .stdin(Stdio::null())
            .status()?;
        if !made.success() {
            return Err(io::Error::other("ssh-keygen failed"));
        }
        fs::read(key.with_extension("pub"))
    }

    /// Writes the client's configuration.
    pub(super) fn configure(&self) -> io::Result<()> {
        let folder = self.folder.display();
        let port = self.port;
        let text = format!(
            "Host guest\n HostName 127.0.0.1\n Port {port}\n User root\n IdentityFile {folder}/key\n \
             IdentitiesOnly yes\n BatchMode yes\n StrictHostKeyChecking no\n \
             UserKnownHostsFile /dev/null\n LogLevel ERROR\n ControlPath {folder}/ssh\n \
             ServerAliveInterval 30\n ServerAliveCountMax 4\n"
        );
        fs::write(self.folder.join("ssh_config"), text)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.disconnect();
    }
}

/// Runs a command to its own end, whoever else may still hold its output; what was printed by then.
fn run_into_files(command: &mut Command) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let mut files = [tempfile::tempfile()?, tempfile::tempfile()?];
    command.stdout(files[0].try_clone()?).stderr(files[1].try_clone()?);
    let status = command.status()?;
    let mut printed = [Vec::new(), Vec::new()];
    for (file, bytes) in files.iter_mut().zip(&mut printed) {
        file.rewind()?;
        file.read_to_end(bytes)?;
    }
    let [stdout, stderr] = printed;
    Ok((status, stdout, stderr))
}

/// The input of a command that copies `file` into the guest.
pub(super) fn input_from(file: &Path) -> io::Result<Stdio> {
    Ok(File::open(file)?.into())
}

/// `path` as one word of the guest's shell.
pub(super) fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn output_that_another_process_still_holds_is_not_waited_for() {
        let start = Instant::now();
        let mut command = Command::new("sh");
        command.args(["-c", "echo told; echo warned >&2; sleep 30 & exit 3"]);
        let (status, stdout, stderr) = run_into_files(&mut command).unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!((&stdout[..], &stderr[..]), (&b"told\n"[..], &b"warned\n"[..]));
        assert!(start.elapsed() < Duration::from_secs(20), "it waited");
    }
}
