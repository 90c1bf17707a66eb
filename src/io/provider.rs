//! The cryptography of TLS: ring's, less what no server needs.

use std::sync::Arc;

use futures_rustls::pki_types::PrivateKeyDer;
use futures_rustls::rustls::crypto::ring::{self, DEFAULT_CIPHER_SUITES, DEFAULT_KX_GROUPS};
use futures_rustls::rustls::crypto::{CryptoProvider, KeyProvider, WebPkiSupportedAlgorithms};
use futures_rustls::rustls::sign::SigningKey;
use futures_rustls::rustls::{Error, SupportedCipherSuite};

/// What signs as a server. It verifies no signatures: those of clients are for [`verifying`].
pub(super) fn serving() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: suites().to_vec(),
        kx_groups: DEFAULT_KX_GROUPS.to_vec(),
        signature_verification_algorithms: WebPkiSupportedAlgorithms { all: &[], mapping: &[] },
        secure_random: ring::default_provider().secure_random,
        key_provider: &Keys,
    }
}

/// What looks at the certificates of clients.
pub(super) fn verifying() -> CryptoProvider {
    ring::default_provider()
}

/// The cipher suites that there are.
pub(super) fn suites() -> &'static [SupportedCipherSuite] {
    DEFAULT_CIPHER_SUITES
}

/// Keys of RSA and of ECDSA. No browser takes a certificate with Ed25519, whose code is 40 KB on MIPS.
#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        if let Ok(rsa) = ring::sign::RsaSigningKey::new(&key) {
            return Ok(Arc::new(rsa));
        }
        ring::sign::any_ecdsa_type(&key).map_err(|_| {
            Error::General("not a key of RSA, nor of ECDSA with P-256 or P-384".into())
        })
    }
}
