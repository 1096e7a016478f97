//! `forge repo serve`: a repository over HTTP, for development.
//!
//! Files, ranges and nothing else, a thread a connection: less than any server crate of this size brings along, and those
//! have no ranges. Requests are parsed by `httparse`.

mod connection;
mod request;

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use base::file::FileError;
use base::{Explain, Failure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Folder, SUITE};
use crate::context::Context;

/// How many connections are served at once; those that come on top are closed.
const CONNECTIONS: usize = 64;

/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serve a repository over HTTP, or HTTPS with a certificate, for development
///
/// It ends with Ctrl-C. For hosts that matter let a web server of your choice show the folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    folder: Folder,
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Certificate chain in PEM, for HTTPS
    #[arg(long, value_name = "FILE", requires = "certificate_key")]
    certificate: Option<PathBuf>,
    /// The certificate's secret key in PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    certificate_key: Option<PathBuf>,
}

/// Nothing can be served.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("nothing was published to {}", .0.display())]
    Empty(PathBuf),
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot use the certificate in {}", path.display())]
    Certificate { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
}

impl Explain for ServeError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Empty(_) => Some("run `forge repo publish`, or give another: --folder".into()),
            Self::Listen { .. } => Some("give another: --listen 127.0.0.1:0".into()),
            Self::Certificate { .. } => None,
        }
    }
}

impl Serve {
    /// Serves for ever; prints the address first.
    ///
    /// # Errors
    ///
    /// If nothing was published, the address is taken or the certificate is none.
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        let folder = self.folder.path(context);
        let root = folder.canonicalize().map_err(|_| ServeError::Empty(folder.clone()))?;
        if !root.join("dists").is_dir() {
            return Err(ServeError::Empty(folder).into());
        }
        let tls = match (&self.certificate, &self.certificate_key) {
            (Some(certificate), Some(key)) => Some(tls(certificate, key)?),
            _ => None,
        };
        let address = self.listen;
        let listen = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let uri = format!("{}://{address}", if tls.is_some() { "https" } else { "http" });
        let keyring = root.join("preon-archive-keyring.gpg");
        writeln!(
            out,
            "serving {} at {uri}\ndeb [signed-by={}] {uri} {SUITE} main",
            root.display(),
            keyring.display()
        )
        .and_then(|()| out.flush())
        .map_err(FileError::at("write to", "standard output"))?;
        serve(&listener, &root, tls.as_ref());
        Ok(())
    }
}

fn tls(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, ServeError> {
    let bad = |path: &Path, source: Box<dyn std::error::Error + Send + Sync>| {
        ServeError::Certificate { path: path.to_owned(), source }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| bad(certificate, error.into()))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, error.into()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
        .map_err(|error| bad(certificate, error.into()))?;
    Ok(Arc::new(config))
}

/// Answers whoever comes, for ever.
fn serve(listener: &TcpListener, root: &Path, tls: Option<&Arc<ServerConfig>>) {
    let busy = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming().flatten() {
        if busy.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS {
            busy.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (root, tls, busy) = (root.to_owned(), tls.cloned(), Arc::clone(&busy));
        thread::spawn(move || {
            // A client that went away or talks nonsense is no concern of the server's.
            let _ = converse(stream, &root, tls);
            busy.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn converse(stream: TcpStream, root: &Path, tls: Option<Arc<ServerConfig>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    match tls {
        None => connection::answer_all(stream, root),
        Some(config) => {
            let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
            connection::answer_all(StreamOwned::new(connection, stream), root)
        }
    }
}

#[cfg(test)]
mod tests;
