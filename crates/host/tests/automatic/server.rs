//! Debian's etcd on the loopback of a network of its own, and certificates for it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};
use testkit::wait::{self, TimedOut};

/// The port of what passes everything on to the server, but the answers to changes.
pub(crate) fn silent_after_changes() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            pass_on(client.unwrap());
        }
    });
    port
}

/// Each connection has one request.
fn pass_on(mut client: TcpStream) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !is_whole(&request) {
        let count = client.read(&mut buffer).unwrap();
        request.extend(&buffer[..count]);
    }
    let text = String::from_utf8(request).unwrap();
    let once = text.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let mut server = TcpStream::connect("127.0.0.1:2379").unwrap();
    server.write_all(once.as_bytes()).unwrap();
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).unwrap();
    if !text.contains("/v3/kv/txn") {
        client.write_all(&answer).unwrap();
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.unwrap().trim().parse().unwrap()
}

/// A server that ends with the test.
pub(crate) struct Etcd {
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    child: Child,
}

impl Etcd {
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    pub(crate) fn start_with(tls: Option<&Tls>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let uri = format!("{scheme}://127.0.0.1:2379");
        let mut arguments =
            vec![format!("--listen-client-urls={uri}"), format!("--advertise-client-urls={uri}")];
        if let Some(tls) = tls {
            let option = |name: &str, file: &str| format!("--{name}={}", tls.path(file).display());
            arguments.push(option("cert-file", "server.pem"));
            arguments.push(option("key-file", "server.key"));
            arguments.push(option("trusted-ca-file", "ca.pem"));
            arguments.push("--client-cert-auth".into());
        }
        let child = spawn(&folder, &arguments);
        Self { folder, arguments, child }
    }

    /// As a machine that loses its power, and comes back.
    pub(crate) fn kill_and_start_again(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.folder, &self.arguments);
    }

    /// All values that `key` ever had, the oldest first.
    pub(crate) fn history(&self, key: &str) -> Vec<Vec<u8>> {
        let now = self.ask("range", &json!({ "key": encode(key) }));
        let last: u64 = now["kvs"][0]["mod_revision"].as_str().unwrap().parse().unwrap();
        let at = |revision: u64| {
            let answer =
                self.ask("range", &json!({ "key": encode(key), "revision": revision.to_string() }));
            let found = &answer["kvs"][0];
            let is_new = found["mod_revision"].as_str() == Some(revision.to_string().as_str());
            is_new.then(|| Base64::decode_vec(found["value"].as_str().unwrap()).unwrap())
        };
        (1..=last).filter_map(at).collect()
    }

    pub(crate) fn put(&self, key: &str, value: &[u8]) {
        self.ask("put", &json!({ "key": encode(key), "value": Base64::encode_string(value) }));
    }

    fn ask(&self, method: &str, request: &Value) -> Value {
        let uri = format!("http://127.0.0.1:2379/v3/kv/{method}");
        let mut response = ureq::post(uri).send(request.to_string()).unwrap();
        serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn encode(key: &str) -> String {
    Base64::encode_string(key.as_bytes())
}

/// Starts a server, and waits until it listens.
fn spawn(folder: &tempfile::TempDir, arguments: &[String]) -> Child {
    let mut command = Command::new("etcd");
    command.arg("--data-dir").arg(folder.path().join("data")).args(arguments);
    command.args([
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380",
    ]);
    command.args(["--initial-cluster=default=http://127.0.0.1:2380"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = child.expect("etcd, from etcd-server, starts");
    let connected = wait::until("etcd", Duration::from_secs(120), || {
        Ok::<_, TimedOut>(TcpStream::connect("127.0.0.1:2379").ok())
    });
    connected.unwrap();
    child
}

/// Certificates: `ca`, `server`, `client`, and `other`, which signs nothing.
pub(crate) struct Tls(tempfile::TempDir);

impl Tls {
    pub(crate) fn make() -> Self {
        let tls = Self(tempfile::tempdir().unwrap());
        for name in ["ca", "other"] {
            let usage = ["-addext", "keyUsage=critical,keyCertSign"];
            tls.openssl(name, &[&["-x509", "-days", "2"][..], &usage].concat());
        }
        // The server is a client, too: its gateway for JSON asks its gRPC.
        for (name, usage) in [("server", "serverAuth,clientAuth"), ("client", "clientAuth")] {
            let usage = format!("extendedKeyUsage={usage}");
            let ca = [tls.text("ca.pem"), tls.text("ca.key")];
            let signed = ["-x509", "-days", "2", "-CA", &ca[0], "-CAkey", &ca[1]];
            let about = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", &usage];
            let end = ["-addext", "basicConstraints=critical,CA:FALSE"];
            tls.openssl(name, &[&signed[..], &about, &end].concat());
        }
        tls
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn openssl(&self, name: &str, more: &[&str]) {
        let mut command = Command::new("openssl");
        command.args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        command.args([
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &self.text(&format!("{name}.key")),
        ]);
        command.args(["-out", &self.text(&format!("{name}.pem"))]).args(more);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
