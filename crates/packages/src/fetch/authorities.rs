//! Who vouches for servers of HTTPS.

use std::sync::Arc;

use base::Explain;
use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsConfigBuilder, parse_pem};

/// Certificates of those who vouch for servers: one at least.
#[derive(Clone, Debug)]
pub struct Authorities(RootCerts);

/// A text holds no certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no list of certificates as PEM")]
pub struct NoAuthorities;

impl Explain for NoAuthorities {
    fn hint(&self) -> Option<String> {
        Some(
            "take the certificate that signed the server's, as PEM: `-----BEGIN CERTIFICATE-----`"
                .into(),
        )
    }
}

impl Authorities {
    /// The certificates in a text of PEM; what else is in it, as keys, is not looked at.
    ///
    /// # Errors
    ///
    /// [`NoAuthorities`] if there is none, or one is damaged.
    pub fn from_pem(pem: &[u8]) -> Result<Self, NoAuthorities> {
        let items: Result<Vec<_>, _> = parse_pem(pem).collect();
        let certificate = |item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        };
        let all: Vec<_> =
            items.map_err(|_| NoAuthorities)?.into_iter().filter_map(certificate).collect();
        if all.is_empty() { Err(NoAuthorities) } else { Ok(Self(all.into())) }
    }

    pub(super) fn roots(&self) -> RootCerts {
        self.0.clone()
    }
}

/// How to speak HTTPS, if nothing else is said: Mozilla's list vouches for servers.
pub fn tls() -> TlsConfigBuilder {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    TlsConfig::builder().unversioned_rustls_crypto_provider(Arc::new(provider))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_a_whole_certificate_vouches_for_nobody() {
        let cut = "-----BEGIN CERTIFICATE-----\nMIIB\n";
        for text in ["", "<html>", cut] {
            assert_eq!(
                Authorities::from_pem(text.as_bytes()).unwrap_err(),
                NoAuthorities,
                "{text}"
            );
        }
    }
}
