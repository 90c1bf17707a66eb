//! TLS: certificates in, sessions out.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use futures_rustls::TlsAcceptor;
use futures_rustls::pki_types::pem::PemObject;
use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer};
use futures_rustls::rustls::crypto::{CryptoProvider, ring::Ticketer};
use futures_rustls::rustls::server::danger::ClientCertVerifier;
use futures_rustls::rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use futures_rustls::rustls::sign::CertifiedKey;
use futures_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedCipherSuite};

use super::provider;
use super::socket::Socket;
use super::stream::Stream;
use crate::failure::failure;

/// Certificates and keys for HTTPS (TLS 1.2 and 1.3).
///
/// Files are PEM or DER, whatever they are called: one certificate or a chain, and a private key
/// of PKCS #8, PKCS #1 or SEC 1, for RSA or for ECDSA with P-256 or P-384. They are read once, here;
/// a renewed certificate is a new `Tls` for [`Handle::set_tls`](crate::Handle::set_tls).
///
/// ```no_run
/// use ecohttpd::{Options, Server, Tls};
///
/// let tls = Tls::load("router.crt", "router.key")?.and_for("guest.lan", "guest.crt", "guest.key")?;
/// let server = Server::new(Options::default()).bind_tls("[::]:443".parse()?, tls)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Tls {
    certificates: Certificates,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

/// The certificate for each name, and for all others.
#[derive(Clone, Debug)]
struct Certificates {
    default: Arc<CertifiedKey>,
    named: Vec<(String, Arc<CertifiedKey>)>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let wanted = hello.server_name().unwrap_or("");
        let named = self.named.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        Some(named.map_or(&self.default, |(_, key)| key).clone())
    }
}

impl Tls {
    /// Reads the certificate, and its key, that clients get whatever name they ask for.
    ///
    /// # Errors
    ///
    /// Says which file cannot be read or understood, or that the two do not belong together.
    pub fn load(cert: impl AsRef<Path>, key: impl AsRef<Path>) -> io::Result<Tls> {
        let provider = Arc::new(provider::serving());
        let default = Arc::new(certified(cert.as_ref(), key.as_ref(), &provider)?);
        let certificates = Certificates { default, named: Vec::new() };
        Ok(Tls { certificates, clients: None, provider })
    }

    /// Adds another certificate for clients that ask for `name` (Server Name Indication).
    ///
    /// # Errors
    ///
    /// Like [`load`](Tls::load).
    pub fn and_for(
        mut self,
        name: &str,
        cert: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> io::Result<Tls> {
        let key = Arc::new(certified(cert.as_ref(), key.as_ref(), &self.provider)?);
        self.certificates.named.push((name.to_owned(), key));
        Ok(self)
    }

    /// Asks clients for a certificate that one of those in the file `ca` signed.
    ///
    /// With `insecure` a client may come without one; a certificate it does present still has to
    /// be good.
    ///
    /// # Errors
    ///
    /// Says that the file cannot be read, or holds no certificate of an authority.
    pub fn with_client_ca(mut self, ca: impl AsRef<Path>, insecure: bool) -> io::Result<Tls> {
        let path = ca.as_ref();
        let mut roots = RootCertStore::empty();
        for cert in certificates(path)? {
            roots.add(cert).map_err(|e| bad(path, e))?;
        }
        let provider = Arc::new(provider::verifying());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = if insecure { builder.allow_unauthenticated() } else { builder };
        self.clients = Some(builder.build().map_err(|e| bad(path, e))?);
        Ok(self)
    }

    /// Leaves only the cipher suites that `list` names, between colons, by their names of IANA
    /// (`TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256`) or OpenSSL (`ECDHE-ECDSA-AES128-GCM-SHA256`).
    /// A list without a suite of TLS 1.3 leaves those as they are, as OpenSSL's does.
    ///
    /// All that there are are sound, so that there is seldom a reason to.
    ///
    /// # Errors
    ///
    /// Says which name is not one of a suite that there is.
    pub fn with_ciphers(mut self, list: &str) -> io::Result<Tls> {
        let cipher_suites = suites(&self.provider.cipher_suites, list)?;
        self.provider = Arc::new(CryptoProvider { cipher_suites, ..(*self.provider).clone() });
        Ok(self)
    }

    /// Looks at a list for [`with_ciphers`](Tls::with_ciphers) before there is a certificate.
    ///
    /// # Errors
    ///
    /// Like [`with_ciphers`](Tls::with_ciphers).
    pub fn check_ciphers(list: &str) -> io::Result<()> {
        suites(provider::suites(), list).map(drop)
    }

    pub(crate) fn acceptor(&self) -> io::Result<Acceptor> {
        let wrong = |e| io::Error::new(io::ErrorKind::InvalidInput, e);
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(wrong)?;
        let builder = match &self.clients {
            Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(self.certificates.clone()));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // The client keeps the session, encrypted for us; we keep nothing per session.
        config.ticketer = Ticketer::new().map_err(wrong)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Acceptor(Arc::new(config).into()))
    }
}

/// What makes TLS sessions of sockets.
#[derive(Clone)]
pub(crate) struct Acceptor(TlsAcceptor);

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Acceptor {
    /// The handshake.
    pub(crate) async fn accept(&self, socket: Socket) -> io::Result<Stream> {
        // What a slow client does not take yet: no more than one record of it.
        let bounded = |session: &mut ServerConnection| session.set_buffer_limit(Some(1 << 14));
        let session = Box::pin(self.0.accept_with(socket, bounded)).await?;
        Ok(Stream::Tls(Box::new(session)))
    }
}

/// Those of the suites `known` that `list` names.
fn suites(known: &[SupportedCipherSuite], list: &str) -> io::Result<Vec<SupportedCipherSuite>> {
    let wrong = |why: String| failure(io::ErrorKind::InvalidInput, why);
    let mut chosen = Vec::new();
    for name in list.split(':').filter(|name| !name.is_empty()) {
        let found = known.iter().find(|suite| {
            let iana = format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
            iana.eq_ignore_ascii_case(name) || openssl_name(&iana).eq_ignore_ascii_case(name)
        });
        chosen.push(*found.ok_or_else(|| wrong(format!("{name}: no cipher suite that there is")))?);
    }
    if chosen.is_empty() {
        return Err(wrong("no cipher suite is named".into()));
    }
    if chosen.iter().all(|suite| suite.tls13().is_none()) {
        chosen.extend(known.iter().filter(|suite| suite.tls13().is_some()));
    }
    Ok(chosen)
}

/// OpenSSL's name of a suite of TLS 1.2; those of 1.3 have one name only.
fn openssl_name(iana: &str) -> String {
    let name = iana.strip_prefix("TLS_").unwrap_or(iana);
    let name = name.replace("_WITH_", "-").replace("AES_", "AES").replace('_', "-");
    name.replace("CHACHA20-POLY1305-SHA256", "CHACHA20-POLY1305")
}

fn bad(path: &Path, why: impl fmt::Display) -> io::Error {
    failure(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|e| failure(e.kind(), format!("{}: {e}", path.display())))
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|window| window == b"-----BEGIN ")
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let bytes = read(path)?;
    if !is_pem(&bytes) {
        return match bytes.first() {
            Some(0x30) => Ok(vec![bytes.into()]),
            _ => Err(bad(path, "no certificate in it, neither PEM nor DER")),
        };
    }
    let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certs = certs.map_err(|e| bad(path, e))?;
    if certs.is_empty() { Err(bad(path, "no certificate in it")) } else { Ok(certs) }
}

fn private_key(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    let bytes = read(path)?;
    if is_pem(&bytes) {
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| bad(path, "no private key in it"))
    } else {
        PrivateKeyDer::try_from(bytes)
            .map_err(|_| bad(path, "no private key in it, neither PEM nor DER"))
    }
}

fn certified(cert: &Path, key: &Path, provider: &CryptoProvider) -> io::Result<CertifiedKey> {
    let chain = certificates(cert)?;
    let private = private_key(key)?;
    let signer = provider.key_provider.load_private_key(private).map_err(|e| bad(key, e))?;
    let certified = CertifiedKey::new(chain, signer);
    use futures_rustls::rustls::{Error, InconsistentKeys};
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => {
            Err(bad(key, format_args!("not the key of the certificate {}", cert.display())))
        }
        Err(e) => Err(bad(cert, e)),
    }
}
