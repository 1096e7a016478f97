//! A server of HTTPS on the loopback interface, and certificates for it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Somebody who vouches for servers.
pub struct Authority {
    folder: PathBuf,
}

impl Authority {
    /// One whose files are in `folder`.
    pub fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let authority = Self { folder: folder.to_owned() };
        authority.certificate("ca", "basicConstraints=critical,CA:TRUE", &[]);
        authority
    }

    /// The file with its own certificate.
    pub fn pem(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    fn certificate(&self, name: &str, extension: &str, more: &[&str]) {
        let config = format!("[req]\ndistinguished_name=dn\n[dn]\n[extensions]\n{extension}\n");
        fs::write(self.folder.join("config"), config).unwrap();
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        command.args(["-nodes", "-days", "1", "-config", "config", "-extensions", "extensions"]);
        command.args(["-subj", &format!("/CN={name}"), "-out", &format!("{name}.pem")]);
        command.args(["-keyout", &format!("{name}.key")]).args(more).stderr(Stdio::null());
        assert!(command.current_dir(&self.folder).status().unwrap().success(), "{name}");
    }

    /// A server of the files in `root` that says that it is `name`.
    pub fn serve(&self, name: &str, root: &Path) -> TlsServer {
        let extensions = format!("basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:{name}");
        self.certificate(name, &extensions, &["-CA", "ca.pem", "-CAkey", "ca.key"]);
        let chain = CertificateDer::pem_file_iter(self.folder.join(format!("{name}.pem"))).unwrap();
        let chain: Result<Vec<_>, _> = chain.collect();
        let key = PrivateKeyDer::from_pem_file(self.folder.join(format!("{name}.key"))).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.unwrap(), key)
            .unwrap();
        TlsServer::start(Arc::new(config), root.to_owned())
    }
}

/// The server; it stops when dropped.
pub struct TlsServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TlsServer {
    fn start(config: Arc<ServerConfig>, root: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                // A client that does not like our name is no concern of ours.
                let _ = answer(stream, &config, &root);
            }
        });
        Self { address, stop, thread: Some(thread) }
    }

    /// Its URI, by the name `localhost`.
    pub fn uri(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // wakes the thread up
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads one request and answers it; the connection is then closed.
fn answer(stream: TcpStream, config: &Arc<ServerConfig>, root: &Path) -> std::io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let mut first = String::new();
    stream.read_line(&mut first)?;
    let path = first.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            break;
        }
    }
    let (status, bytes) = match fs::read(root.join(path)) {
        Ok(bytes) => (200, bytes),
        Err(_) => (404, Vec::new()),
    };
    let mut stream = stream.into_inner();
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", bytes.len())?;
    stream.write_all(b"Connection: close\r\n\r\n")?;
    stream.write_all(&bytes)?;
    stream.conn.send_close_notify();
    stream.flush()
}
