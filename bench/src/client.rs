//! The HTTP client: one keep-alive connection per [`Client`], no pool, no retries of a request that was sent.
//!
//! It owns connecting, timeouts and the limit on a response's size. It knows nothing of the Matrix API but
//! the form of its errors.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::{net::TcpSocket, time::timeout};

/// The most bytes that a response's body may have.
const MAX_BODY_BYTES: usize = 256 * 1024 * 1024;
/// Connecting takes no longer than this.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long most calls may take.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(30);
/// How many kinds of errors [`ErrorCount`] tells apart. All others are counted as one.
const MAX_ERROR_KINDS: usize = 40;

/// Why a call brought no usable answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// There is no connection.
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    /// The connection broke, or spoke no HTTP.
    #[error("the connection failed: {0}")]
    Http(#[from] hyper::Error),
    /// Our own request could not be formed, for instance with a path that the server gave us.
    #[error("bad request: {0}")]
    Request(#[from] http::Error),
    /// There was no answer in time.
    #[error("timed out")]
    Timeout,
    /// The body is larger than we accept.
    #[error("the response is too large")]
    TooLarge,
    /// The status is not a success. The Matrix error code comes with it, if there was one.
    #[error("status {status} {errcode}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The `errcode` of the body, or an empty text.
        errcode: String,
        /// The `retry_after_ms` of the body, if it is there.
        retry_after_ms: Option<u64>,
    },
    /// The body is not what the specification says.
    #[error("unexpected body: {0}")]
    Body(#[from] serde_json::Error),
    /// A stream of XMPP ended, or the server refused something on it.
    #[error("the stream failed: {0}")]
    Stream(String),
    /// The keys that the server gave us are of no use.
    #[error("cannot encrypt: {0}")]
    Encrypt(#[from] vodozemac::olm::EncryptionError),
}

/// One Matrix server name and the address it is reached at.
#[derive(Debug, Clone)]
pub(crate) struct Platform {
    /// The Matrix server name, which is also in the `Host` header of every request.
    pub(crate) server_name: String,
    /// The address to connect to.
    pub(crate) address: SocketAddr,
    host: HeaderValue,
}

impl Platform {
    /// A platform at a known address. The error says that the name cannot stand in a header.
    pub(crate) fn new(server_name: &str, address: SocketAddr) -> Result<Self, String> {
        let host =
            HeaderValue::from_str(server_name).map_err(|_| format!("bad server name {server_name:?}"))?;
        Ok(Self { server_name: server_name.to_owned(), address, host })
    }

    /// Reads `name=http://host:port`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, base) = text.split_once('=').ok_or("expected NAME=http://HOST:PORT")?;
        let uri: http::Uri = base.parse().map_err(|error| format!("{base}: {error}"))?;
        if uri.scheme_str() != Some("http") {
            return Err(format!("{base}: only http:// is spoken"));
        }
        let host = uri.host().ok_or_else(|| format!("{base}: no host"))?;
        let address = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80))
            .to_socket_addrs()
            .map_err(|error| format!("{base}: {error}"))?
            .next()
            .ok_or_else(|| format!("{base}: no address"))?;
        Self::new(name, address)
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The whole body.
    pub(crate) body: Bytes,
}

impl Reply {
    /// The body of a successful answer. Any other status is an error.
    pub(crate) fn success(self) -> Result<Bytes, CallError> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        #[derive(Deserialize, Default)]
        struct MatrixError {
            #[serde(default)]
            errcode: String,
            retry_after_ms: Option<u64>,
        }
        let error: MatrixError = serde_json::from_slice(&self.body).unwrap_or_default();
        Err(CallError::Status {
            status: self.status.as_u16(),
            errcode: error.errcode,
            retry_after_ms: error.retry_after_ms,
        })
    }
}

/// A caller with at most one connection. It is opened at the first call, and again when the server has closed
/// it.
pub(crate) struct Client {
    platform: Arc<Platform>,
    authorization: Option<HeaderValue>,
    source: Option<IpAddr>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// A caller without an access token.
    pub(crate) fn anonymous(platform: &Arc<Platform>) -> Self {
        Self { platform: platform.clone(), authorization: None, source: None, connection: None }
    }

    /// A caller with an access token. A token that cannot stand in a header is left out, and the server will
    /// say so.
    pub(crate) fn with_token(platform: &Arc<Platform>, token: &str) -> Self {
        let authorization = HeaderValue::from_str(&format!("Bearer {token}")).ok();
        Self { platform: platform.clone(), authorization, source: None, connection: None }
    }

    /// Connects from this local address from now on, because there are only so many ports per address.
    pub(crate) fn bound_to(mut self, source: Option<IpAddr>) -> Self {
        self.source = source;
        self
    }

    /// Opens the connection if there is none that works.
    pub(crate) async fn connect(&mut self) -> Result<(), CallError> {
        if let Some(connection) = &mut self.connection
            && connection.ready().await.is_ok()
        {
            return Ok(());
        }
        self.connection = None;
        let address = self.platform.address;
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream =
            timeout(CONNECT_LIMIT, socket.connect(address)).await.map_err(|_| CallError::Timeout)??;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::Builder::new().handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // A connection that breaks is an error of the call that waits on it.
            let _ = connection.await;
        });
        self.connection = Some(sender);
        Ok(())
    }

    /// Makes one request, and gives its answer, whatever its status. `path` has its query. An empty body is
    /// sent as none.
    pub(crate) async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<Reply, CallError> {
        let answer = timeout(limit, self.exchange(method, path, body)).await;
        if !matches!(answer, Ok(Ok(_))) {
            // What is left of a broken exchange must not be read as the answer to the next one.
            self.connection = None;
        }
        answer.map_err(|_| CallError::Timeout)?
    }

    async fn exchange(&mut self, method: Method, path: &str, body: Bytes) -> Result<Reply, CallError> {
        self.connect().await?;
        let mut request =
            Request::builder().method(method).uri(path).header(header::HOST, self.platform.host.clone());
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let request = request.body(Full::new(body))?;
        let connection = self.connection.as_mut().expect("connect() succeeded");
        let (head, mut incoming) = connection.send_request(request).await?.into_parts();
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(frame) = incoming.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if first.len() + rest.len() + data.len() > MAX_BODY_BYTES {
                return Err(CallError::TooLarge);
            }
            // Most answers are one piece, which is not copied then.
            if first.is_empty() {
                first = data;
            } else {
                if rest.is_empty() {
                    rest.extend_from_slice(&first);
                }
                rest.extend_from_slice(&data);
            }
        }
        let body = if rest.is_empty() { first } else { rest.freeze() };
        Ok(Reply { status: head.status, body })
    }

    /// Makes a GET that must succeed.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Bytes, CallError> {
        self.call(Method::GET, path, Bytes::new(), CALL_LIMIT).await?.success()
    }

    /// Makes a POST of JSON that must succeed.
    pub(crate) async fn post(&mut self, path: &str, body: String) -> Result<Bytes, CallError> {
        self.call(Method::POST, path, body.into(), CALL_LIMIT).await?.success()
    }

    /// Makes a PUT of JSON that must succeed.
    pub(crate) async fn put(&mut self, path: &str, body: String) -> Result<Bytes, CallError> {
        self.call(Method::PUT, path, body.into(), CALL_LIMIT).await?.success()
    }
}

/// How often each kind of error came.
#[derive(Debug, Default)]
pub(crate) struct ErrorCount(Mutex<BTreeMap<String, u64>>);

impl ErrorCount {
    /// Counts one error of the call named `what`.
    pub(crate) fn note(&self, what: &str, error: &CallError) {
        let key = format!("{what}: {error}");
        let mut kinds = self.0.lock();
        let full = kinds.len() >= MAX_ERROR_KINDS && !kinds.contains_key(&key);
        *kinds.entry(if full { "other".to_owned() } else { key }).or_default() += 1;
    }

    /// The errors that were counted since the last call.
    pub(crate) fn take(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut *self.0.lock()).into_iter().collect()
    }
}

/// Percent-encodes one path segment or query value.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
