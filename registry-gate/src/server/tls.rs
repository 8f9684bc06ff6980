//! A certificate with its key: read at the start, and again on SIGHUP. Connections that are open
//! keep the one they began with.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum_server::tls_rustls::RustlsConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, ServerConfig};
use tokio::signal::unix::{SignalKind, signal};

/// In order of preference.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What listeners prove their name with. Clones change together.
#[derive(Debug, Clone)]
pub struct Tls {
    files: Arc<Files>,
    config: RustlsConfig,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// One of the files.
    #[error("cannot read `{}`", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// The first file is something else.
    #[error("`{}` holds no certificate in PEM form", .0.display())]
    NoCertificate(PathBuf),
    /// The second file is something else.
    #[error("`{}` holds no unencrypted private key in PEM form", .0.display())]
    NoKey(PathBuf),
    /// Each is good, but not together.
    #[error(
        "the key in `{}` does not belong to the first certificate in `{}`\n  \
         hint: the server's own certificate comes before those that vouch for it",
        key.display(),
        certificate.display()
    )]
    Mismatch {
        /// The first file.
        certificate: PathBuf,
        /// The second file.
        key: PathBuf,
    },
    /// The TLS library does not take them.
    #[error("the certificate in `{}` or its key cannot be used", .0.display())]
    Unusable(PathBuf, #[source] rustls::Error),
}

impl Tls {
    /// Reads a certificate chain and its key, both in PEM form.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        let config = RustlsConfig::from_config(Arc::new(files.load()?));
        let files = Arc::new(files);
        Ok(Self { files, config })
    }

    /// Reads the files again whenever the process gets SIGHUP, from now on and for as long as it
    /// lives. Where they are not good, the old certificate stays.
    pub fn reload_on_hangup(&self) -> io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let tls = self.clone();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                match tls.files.load() {
                    Ok(config) => {
                        tls.config.reload_from_config(Arc::new(config));
                        tracing::info!("the certificate was read again");
                    }
                    Err(error) => {
                        let error: &dyn std::error::Error = &error;
                        let source = error.source();
                        tracing::error!(error, source, "the old certificate stays");
                    }
                }
            }
        });
        Ok(())
    }

    pub(super) fn config(&self) -> RustlsConfig {
        self.config.clone()
    }
}

impl Files {
    fn load(&self) -> Result<ServerConfig, TlsError> {
        let no_certificate = || TlsError::NoCertificate(self.certificate.clone());
        let unusable = |error| TlsError::Unusable(self.certificate.clone(), error);
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&read(&self.certificate)?)
            .collect::<Result<_, _>>()
            .map_err(|_| no_certificate())?;
        if certificates.is_empty() {
            return Err(no_certificate());
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|_| TlsError::NoKey(self.key.clone()))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    TlsError::Mismatch {
                        certificate: self.certificate.clone(),
                        key: self.key.clone(),
                    }
                }
                error => unusable(error),
            })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(config)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Read(path.to_owned(), error))
}
