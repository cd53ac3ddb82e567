//! TLS for those who connect: which certificate a platform shows, and keeping certificates as their files are.
//!
//! A certificate is chosen by the name that the client asks for (SNI, RFC 6066, section 3), or by the listener if it is one
//! platform's alone. What is said over the connection afterwards is `connection.rs`'s business.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use linkspan_platforms::{Platforms, TlsFiles};
use parking_lot::RwLock;
use ruma::OwnedServerName;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use webpki::{EndEntityCert, Error as CertificateError, KeyUsage};

use crate::{
    Failure,
    config::Config,
    connections::{End, Seat},
};

/// How long agreeing on TLS may take. It is two messages of each side, and a slow phone sends them in this time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is kept in encrypted form until the client takes it, in bytes. It is the size of a record.
const KEPT_BYTES: usize = 16 << 10;
/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// The greatest file. A certificate with all that lead to an authority has some KiB.
const FILE_BYTES: u64 = 1 << 20;
/// How long before its end a certificate is complained about. Whoever renews by a program does so weeks before.
const ENDS_SOON: Duration = Duration::from_secs(7 * 86_400);

/// A connection's bytes: over TCP as they are, or through TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {
    /// The connection below.
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// What is wrong with a certificate or its key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{file} cannot be read: {error}")]
    Unreadable { file: String, error: io::Error },
    #[error("{0} has more than 1 MiB")]
    TooLarge(String),
    #[error("{0} has no certificate in PEM format")]
    NoCertificate(String),
    #[error("{0} has no private key in PEM format that is not encrypted")]
    NoKey(String),
    #[error("the certificate in {certificate} and the key in {key} cannot be used: {error}")]
    Unusable { certificate: String, key: String, error: String },
}

/// A certificate with its key, as the files have them.
#[derive(Clone)]
pub(crate) struct Loaded {
    key: Arc<CertifiedKey>,
    /// What both files have, in short.
    digest: [u8; 32],
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    let file = path.display().to_string();
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 > FILE_BYTES => Err(Fault::TooLarge(file)),
        Ok(_) => Ok(bytes),
        Err(error) => Err(Fault::Unreadable { file, error }),
    }
}

impl Loaded {
    /// Reads the files.
    pub(crate) fn read(files: &TlsFiles) -> Result<Self, Fault> {
        let (chain, private) = (read(&files.certificate)?, read(&files.key)?);
        let digest = Sha256::new().chain_update(&chain).chain_update(&private).finalize().into();
        let (certificate, key) = (files.certificate.display().to_string(), files.key.display().to_string());
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
        let Some(chain) = chain.ok().filter(|chain| !chain.is_empty()) else {
            return Err(Fault::NoCertificate(certificate));
        };
        let Ok(private) = PrivateKeyDer::from_pem_slice(&private) else { return Err(Fault::NoKey(key)) };
        match CertifiedKey::from_der(chain, private, &ring::default_provider()) {
            Ok(loaded) => Ok(Self { key: Arc::new(loaded), digest }),
            Err(error) => Err(Fault::Unusable { certificate, key, error: error.to_string() }),
        }
    }

    /// What clients may not like about the certificate, for a platform with these names.
    pub(crate) fn doubts<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
        now: SystemTime,
    ) -> Vec<String> {
        let first = self.key.cert.first().map(EndEntityCert::try_from);
        let Some(Ok(certificate)) = first else { return vec!["the certificate cannot be read".to_owned()] };
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut doubts = Vec::new();
        // Before it is asked who has signed it, it is asked whether its time has come, and is not over.
        let at = |time: Duration| {
            let time = UnixTime::since_unix_epoch(time);
            let usage = KeyUsage::server_auth();
            certificate.verify_for_usage(&[], &[], &[], time, usage, None, None).err()
        };
        match (at(now), at(now + ENDS_SOON)) {
            (Some(CertificateError::CertExpired { .. }), _) => {
                doubts.push("the certificate has expired".to_owned());
            }
            (Some(CertificateError::CertNotValidYet { .. }), _) => {
                doubts.push("the certificate is not valid yet".to_owned());
            }
            (_, Some(CertificateError::CertExpired { .. })) => {
                doubts.push("the certificate expires within a week".to_owned());
            }
            _ => {}
        }
        for name in names {
            let is_named = ServerName::try_from(name)
                .is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok());
            if !is_named {
                doubts.push(format!("the certificate is not for {name}"));
            }
        }
        doubts
    }
}

/// The certificates of all platforms, and how they are shown.
pub(crate) struct Certificates {
    shown: RwLock<Shown>,
    platforms: Arc<Platforms>,
}

/// What is shown at a time.
#[derive(Default)]
struct Shown {
    by_files: BTreeMap<TlsFiles, Loaded>,
    /// What is shown by platforms that have none of their own, and to clients that ask for no name.
    fallback: Option<TlsFiles>,
}

impl Shown {
    /// Shows what the files have. Says whether they were shown before with something else.
    fn put(&mut self, files: TlsFiles, loaded: Loaded) -> bool {
        let digest = loaded.digest;
        self.by_files.insert(files, loaded).is_some_and(|before| before.digest != digest)
    }
}

/// The certificates of a configuration, read from their files.
pub(crate) struct ReadFiles(Shown);

impl ReadFiles {
    /// Reads them all. Nothing is shown yet.
    pub(crate) fn of(config: &Config) -> Result<Self, Fault> {
        let fallback = config.tls.clone();
        let own = config.platforms.iter().filter_map(|platform| platform.tls.clone());
        let mut read = Shown { fallback: fallback.clone(), ..Shown::default() };
        for files in own.chain(fallback).collect::<BTreeSet<_>>() {
            let loaded = Loaded::read(&files)?;
            read.by_files.insert(files, loaded);
        }
        Ok(Self(read))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

impl Certificates {
    /// Shows what was read.
    pub(crate) fn new(platforms: Arc<Platforms>, ReadFiles(shown): ReadFiles) -> Arc<Self> {
        Arc::new(Self { shown: RwLock::new(shown), platforms })
    }

    /// Has what was read at hand, besides what is shown, for platforms whose settings are about to name it. Says which
    /// certificates were renewed.
    pub(crate) fn prepare(&self, ReadFiles(read): &ReadFiles) -> Vec<String> {
        let mut shown = self.shown.write();
        let mut renewed = Vec::new();
        for (files, loaded) in &read.by_files {
            if shown.put(files.clone(), loaded.clone()) {
                renewed.push(format!("a certificate was renewed: {}", files.certificate.display()));
            }
        }
        renewed
    }

    /// Shows what was read and nothing else, but for platforms that the configuration does not name any more and that are
    /// served until the process ends.
    pub(crate) fn replace(&self, ReadFiles(read): ReadFiles) {
        let mut shown = self.shown.write();
        let mut before = std::mem::replace(&mut *shown, read);
        for files in self.platforms.iter().filter_map(|platform| platform.settings.tls.clone()) {
            if let Some(loaded) = before.by_files.remove(&files) {
                shown.by_files.entry(files).or_insert(loaded);
            }
        }
    }

    /// What agrees on TLS on a listener. `platform`: the listener is this one's alone.
    pub(crate) fn acceptor(self: &Arc<Self>, platform: Option<OwnedServerName>) -> Result<Acceptor, Failure> {
        let chosen = Chosen { certificates: self.clone(), platform };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(chosen));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Clients come back with a ticket, which they keep themselves.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new()?;
        Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
    }

    /// Reads the files now and then, and shows what they have from then on.
    pub(crate) async fn keep_current(self: Arc<Self>) {
        loop {
            sleep(LOOK_INTERVAL).await;
            let certificates = self.clone();
            let looked = tokio::task::spawn_blocking(move || certificates.look()).await;
            if let Err(error) = looked {
                tracing::error!(%error, "certificates could not be looked at");
            }
        }
    }

    /// Shows what the files have now, unless the configuration was read again meanwhile and does not name them any more.
    fn renew(&self, files: TlsFiles, loaded: Loaded) -> bool {
        let mut shown = self.shown.write();
        shown.by_files.contains_key(&files) && shown.put(files, loaded)
    }

    fn look(&self) {
        let known: Vec<_> = {
            let shown = self.shown.read();
            shown.by_files.iter().map(|(files, loaded)| (files.clone(), loaded.digest)).collect()
        };
        for (files, before) in known {
            let certificate = files.certificate.display().to_string();
            match Loaded::read(&files) {
                Ok(loaded) if loaded.digest == before => {}
                Ok(loaded) => {
                    if self.renew(files, loaded) {
                        tracing::info!(%certificate, "a certificate was renewed");
                    }
                }
                // While the files are being written they may not fit each other.
                Err(fault) => tracing::warn!(%fault, "a certificate is shown as it was before"),
            }
        }
    }
}

/// Chooses the certificate of a connection.
#[derive(Debug)]
struct Chosen {
    certificates: Arc<Certificates>,
    platform: Option<OwnedServerName>,
}

impl ResolvesServerCert for Chosen {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Certificates { shown, platforms } = &*self.certificates;
        let platform = match (&self.platform, hello.server_name()) {
            (Some(platform), _) => platforms.get(platform),
            // Whoever asks for a name that nobody has here is shown nothing.
            (None, Some(name)) => Some(platforms.by_host(name)?),
            (None, None) => None,
        };
        let own = platform.as_ref().and_then(|platform| platform.settings.tls.as_ref());
        let shown = shown.read();
        let files = own.or(shown.fallback.as_ref());
        Some(shown.by_files.get(files?)?.key.clone())
    }
}

/// Agrees on TLS with those who connect to a listener.
#[derive(Clone)]
pub(crate) struct Acceptor(TlsAcceptor);

impl Acceptor {
    /// Agrees on TLS. None if that takes too long or fails, or if the connection has to go before.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        seat: &Seat,
        mut stopping: watch::Receiver<()>,
    ) -> Option<TlsStream<TcpStream>> {
        // Otherwise the pieces of a certificate would wait for each other.
        let _ = stream.set_nodelay(true);
        tokio::select! {
            agreed = timeout(HANDSHAKE_TIMEOUT, self.0.accept(stream)) => match agreed {
                Ok(Ok(mut stream)) => {
                    stream.get_mut().1.set_buffer_limit(Some(KEPT_BYTES));
                    Some(stream)
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, "TLS was not agreed on");
                    None
                }
                Err(_) => {
                    seat.note_end(End::NoRequest);
                    None
                }
            },
            () = seat.leaving() => None,
            _ = stopping.changed() => None,
        }
    }
}
