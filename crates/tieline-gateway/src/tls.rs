//! TLS by configuration: certificates of the public listener, and what to trust of channels. rustls with aws-lc-rs.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::config::{ClientAuth, TlsFiles};

pub(crate) fn client_config(ca: Option<&Path>) -> Result<ClientConfig, String> {
    let roots = match ca {
        None => RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        },
        Some(path) => authorities(path)?,
    };
    Ok(
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

pub(crate) fn server_config(files: &TlsFiles) -> Result<ServerConfig, String> {
    let certs = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| format!("cannot read the private key {}: {error}", files.key.display()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = match &files.client {
        None => config.with_no_client_auth(),
        Some(client) => config.with_client_cert_verifier(verifier(client)?),
    };
    let mut config = config.with_single_cert(certs, key).map_err(|error| {
        format!(
            "{} and {} do not fit: {error}",
            files.cert.display(),
            files.key.display()
        )
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Who may connect: those whom the authorities signed for, and others only where none is required.
fn verifier(client: &ClientAuth) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let roots = Arc::new(authorities(&client.ca)?);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
    let builder = if client.is_required {
        builder
    } else {
        builder.allow_unauthenticated()
    };
    (builder.build()).map_err(|error| format!("cannot trust {}: {error}", client.ca.display()))
}

fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for cert in certificates(path)? {
        roots
            .add(cert)
            .map_err(|error| format!("cannot trust {}: {error}", path.display()))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = |error| format!("cannot read the certificates {}: {error}", path.display());
    let certs: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(read)?
        .collect::<Result<_, _>>()
        .map_err(read)?;
    if certs.is_empty() {
        Err(format!("{} holds no certificate in PEM form", path.display()))
    } else {
        Ok(certs)
    }
}
