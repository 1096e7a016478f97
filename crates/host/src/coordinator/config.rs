//! Where the slots of a fleet are, and how many.

use std::num::NonZero;
use std::path::PathBuf;

use base::Explain;
use serde::{Deserialize, Serialize};

/// `[coordinator]` in `/etc/preon/updates.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The servers of one etcd, asked in this order: `https://etcd1:2379`.
    pub etcd: Vec<String>,
    /// How many hosts restart at once. All hosts of the group must say the same.
    pub slots: NonZero<usize>,
    /// Which hosts share them.
    pub group: String,
    /// Who signs the servers' certificates; those whom all believe, if it is missing.
    pub ca: Option<PathBuf>,
    /// This host's certificate, with those above it.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// A configuration that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum BadConfig {
    /// There is no server.
    #[error("the coordinator names no server")]
    NoServer,
    /// An URI is none.
    #[error("`{0}` is no server")]
    Server(String),
    /// No group can be called so.
    #[error("`{0}` is no name for a group")]
    Group(String),
    /// Half of a pair.
    #[error("only one of a certificate and its key is named")]
    Half,
    /// TLS is configured and not used.
    #[error("{0} is asked without TLS, so nobody would look at the certificates")]
    Plain(String),
}

impl Explain for BadConfig {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoServer => "add one: etcd = [\"https://etcd1:2379\"]".into(),
            Self::Server(_) => "write https://NAME:2379, or http:// for one without TLS".into(),
            Self::Group(_) => "take letters, digits and hyphens".into(),
            Self::Half => "name both: certificate and key".into(),
            Self::Plain(_) => "write https://, or leave ca, certificate and key out".into(),
        })
    }
}

impl Config {
    /// Whether it can work.
    ///
    /// # Errors
    ///
    /// [`BadConfig`].
    pub(crate) fn check(&self) -> Result<(), BadConfig> {
        let has_scheme = |uri: &str| uri.starts_with("http://") || uri.starts_with("https://");
        if self.etcd.is_empty() {
            return Err(BadConfig::NoServer);
        }
        if let Some(uri) = self.etcd.iter().find(|uri| !has_scheme(uri)) {
            return Err(BadConfig::Server(uri.clone()));
        }
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if self.group.is_empty() || !self.group.bytes().all(good) {
            return Err(BadConfig::Group(self.group.clone()));
        }
        if self.certificate.is_some() != self.key.is_some() {
            return Err(BadConfig::Half);
        }
        let plain = self.etcd.iter().find(|uri| uri.starts_with("http://"));
        match plain {
            Some(uri) if self.ca.is_some() || self.key.is_some() => {
                Err(BadConfig::Plain(uri.clone()))
            }
            _ => Ok(()),
        }
    }
}
