//! etcd's JSON gateway: reading a key and changing it if nobody else did.
//!
//! Source: etcd v3.4 and v3.5, "Why gRPC gateway" and `api/etcdserverpb/rpc.proto`: bytes are Base64, 64-bit numbers are
//! text, and what is zero or empty is left out.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::Explain;
use base::file::{self, FileError};
use base::output::plain;
use base64ct::{Base64, Encoding};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use super::Config;
use crate::Root;

/// How long a server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an answer may take at most.
const LIMIT: u64 = 1 << 20;

/// What etcd has at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    /// The revision at which the key was changed last; 0 if it is not there.
    pub(super) revision: u64,
    /// Its value, if it is there.
    pub(super) value: Option<Vec<u8>>,
}

/// etcd does not answer, or not with what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// No server was reached.
    #[error("etcd cannot be reached at {uri}")]
    Unreachable {
        /// The last one that was asked.
        uri: String,
        /// Why.
        source: io::Error,
    },
    /// A server cannot do what was asked.
    #[error("etcd at {uri} answers with status {status}: {message}")]
    Refused {
        /// The server.
        uri: String,
        /// The HTTP status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// A server says something else.
    #[error("what answers at {uri} is not etcd")]
    Malformed {
        /// The server.
        uri: String,
    },
    /// A certificate or key cannot be used.
    #[error("{} is no {what} in PEM", path.display())]
    Pem {
        /// What it should be.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A certificate or key cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for EtcdError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => {
                Some("nothing restarts until it answers: look at the network and at etcd".into())
            }
            Self::Refused { .. } => Some("ask etcd itself: `etcdctl endpoint health`".into()),
            Self::Malformed { .. } => Some("check `etcd` in /etc/preon/updates.toml".into()),
            Self::Pem { .. } => {
                Some("check `ca`, `certificate` and `key` in /etc/preon/updates.toml".into())
            }
            Self::File(error) => error.hint(),
        }
    }
}

/// The servers of one etcd.
#[derive(Debug)]
pub(super) struct Etcd {
    agent: Agent,
    servers: Vec<String>,
}

#[derive(Deserialize)]
struct Range {
    #[serde(rename = "header")]
    _header: IgnoredAny, // each answer of etcd has one
    #[serde(default)]
    kvs: Vec<KeyValue>,
}

#[derive(Deserialize)]
struct KeyValue {
    mod_revision: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct Transaction {
    #[serde(rename = "header")]
    _header: IgnoredAny,
    #[serde(default)]
    succeeded: bool,
}

impl Etcd {
    pub(super) fn new(root: &Root, config: &Config) -> Result<Self, EtcdError> {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .user_agent(concat!("preon/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls(root, config)?)
            .build();
        let servers = config.etcd.iter().map(|uri| uri.trim_end_matches('/').to_owned());
        Ok(Self { agent: agent.into(), servers: servers.collect() })
    }

    /// What is at `key`, by what most servers know.
    pub(super) fn read(&self, key: &str) -> Result<Read, EtcdError> {
        self.ask("range", &json!({ "key": encode(key.as_bytes()) }), |answer: Range| {
            let Some(found) = answer.kvs.first() else {
                return Some(Read { revision: 0, value: None });
            };
            let value = Base64::decode_vec(&found.value).ok()?;
            Some(Read { revision: found.mod_revision.parse().ok()?, value: Some(value) })
        })
    }

    /// Writes a value, if the key was not changed since it had this revision; says whether it did.
    pub(super) fn swap(&self, key: &str, new: &Read) -> Result<bool, EtcdError> {
        let key = encode(key.as_bytes());
        let value = encode(new.value.as_deref().unwrap_or_default());
        let request = json!({
            "compare": [{ "key": key, "target": "MOD", "result": "EQUAL", "mod_revision": new.revision.to_string() }],
            "success": [{ "request_put": { "key": key, "value": value } }],
        });
        self.ask("txn", &request, |answer: Transaction| Some(answer.succeeded))
    }

    /// Asks one server after the other until one answers.
    fn ask<A: for<'a> Deserialize<'a>, T>(
        &self,
        method: &str,
        request: &Value,
        understand: impl Fn(A) -> Option<T>,
    ) -> Result<T, EtcdError> {
        let mut last = None;
        for server in &self.servers {
            match self.ask_one(&format!("{server}/v3/kv/{method}"), request) {
                Ok(text) => {
                    let answer = serde_json::from_slice(&text).ok().and_then(&understand);
                    return answer.ok_or_else(|| EtcdError::Malformed { uri: server.clone() });
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| EtcdError::Malformed { uri: "nowhere".into() }))
    }

    fn ask_one(&self, uri: &str, request: &Value) -> Result<Vec<u8>, EtcdError> {
        let unreachable = |error: ureq::Error| EtcdError::Unreachable {
            uri: uri.to_owned(),
            source: error.into_io(),
        };
        let body = request.to_string();
        let request = self.agent.post(uri).header("content-type", "application/json");
        let mut response = request.send(body).map_err(unreachable)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(LIMIT).read_to_vec();
        let body = body.map_err(unreachable)?;
        if status == 200 {
            return Ok(body);
        }
        Err(EtcdError::Refused { uri: uri.to_owned(), status, message: message(&body) })
    }
}

fn encode(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

/// What a server says of an error: a field of its JSON, else the beginning of its text.
fn message(body: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let told = json.as_ref().and_then(|json| json["message"].as_str().or(json["error"].as_str()));
    // Whatever answers there may be anybody.
    told.map_or_else(|| plain(String::from_utf8_lossy(body).trim()), plain)
}

fn tls(root: &Root, config: &Config) -> Result<TlsConfig, EtcdError> {
    let mut builder = packages::fetch::tls();
    if let Some(path) = &config.ca {
        let roots = certificates(&on_host(root, path))?;
        builder = builder.root_certs(RootCerts::Specific(Arc::new(roots)));
    }
    if let (Some(certificate), Some(key)) = (&config.certificate, &config.key) {
        let chain = certificates(&on_host(root, certificate))?;
        let path = on_host(root, key);
        let key = PrivateKey::from_pem(&file::read(&path)?);
        let key = key.map_err(|_| EtcdError::Pem { what: "private key", path })?;
        builder = builder.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
    }
    Ok(builder.build())
}

fn on_host(root: &Root, path: &Path) -> PathBuf {
    root.0.join(path.strip_prefix("/").unwrap_or(path))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, EtcdError> {
    let bytes = file::read(path)?;
    let items = parse_pem(&bytes).map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let found: Option<Vec<_>> = items.collect();
    let bad = || EtcdError::Pem { what: "certificate", path: path.to_owned() };
    found.filter(|all| !all.is_empty()).ok_or_else(bad)
}
