//! One connection: HTTP/1.1 over TCP, cheap while idle. TLS and HTTP/2 are a proxy's work.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use hyper::{
    Request, StatusCode,
    header::{self, HeaderMap, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use linkspan_platforms::Platform;
use linkspan_storage::AnswerSent;
use linkspan_wire::{Api, ClientAddress, ListenerPlatform};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
};

use crate::{
    health::Health,
    metrics::{Counted, Requests},
    unread_body::{self, WatchedBody},
};

/// How long the head of a request may take to arrive. The same time runs while a connection is idle
/// between two requests, so it must not be shorter than what clients and proxies keep connections for.
const HEAD_TIMEOUT: Duration = Duration::from_secs(65);
/// The greatest head of a request. An idle connection holds less: buffers start at 8 KiB.
const HEAD_BYTES: usize = 64 << 10;

/// What is served on a listener.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) api: Arc<Api>,
    /// The listener is this platform's alone.
    pub(crate) platform: Option<Arc<Platform>>,
    /// Proxies that are trusted besides those on this machine.
    pub(crate) trusted_proxies: Vec<IpAddr>,
    pub(crate) health: Health,
    pub(crate) counts: Arc<Requests>,
}

impl Server {
    /// Serves a connection until it ends; after a signal to stop, until the request it is in is answered.
    pub(crate) async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        stopping: watch::Receiver<()>,
    ) {
        serve(stream, peer, stopping, |request| self.answer(peer, request)).await;
    }

    fn answer(
        &self,
        peer: SocketAddr,
        request: Request<WatchedBody>,
    ) -> impl Future<Output = Response> + use<> {
        let begun = match self.at_once(&request) {
            Some(answer) => Err(answer),
            None => Ok(self.begin(peer, request)),
        };
        async move {
            match begun {
                Ok((counted, answer)) => counted.answered(answer).await,
                Err(answer) => answer,
            }
        }
    }

    fn begin(
        &self,
        peer: SocketAddr,
        request: Request<WatchedBody>,
    ) -> (Counted, impl Future<Output = Response> + use<>) {
        let mut request = request.map(Body::new);
        let address = client_address(peer.ip(), request.headers(), &self.trusted_proxies);
        request.extensions_mut().insert(ClientAddress(address));
        if let Some(platform) = &self.platform {
            request.extensions_mut().insert(ListenerPlatform(platform.clone()));
        }
        let method = request.method().clone();
        let asked = self.api.ask(request);
        (self.counts.begin(method, &asked), asked.answer)
    }

    /// What is answered without looking at what is hosted here.
    fn at_once(&self, request: &Request<WatchedBody>) -> Option<Response> {
        if let Some(answer) = self.health.answer(request.method(), request.uri().path()) {
            return Some(answer);
        }
        // With several `Host` headers a proxy may have chosen another one than this program would: RFC 9112,
        // section 3.2.
        let several_hosts = request.headers().get_all(header::HOST).iter().count() > 1;
        several_hosts.then(|| StatusCode::BAD_REQUEST.into_response())
    }
}

/// A stream that lets go of an answer's [`AnswerSent`] once the answer has been written to it.
struct Sending<S> {
    stream: S,
    /// What the newest answer holds, until that answer is written.
    answer: Arc<Mutex<Option<AnswerSent>>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Sending<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sending<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    /// hyper flushes when it has written all that it has.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = std::task::ready!(Pin::new(&mut self.stream).poll_flush(context));
        drop(self.answer.lock().take());
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

async fn serve<F>(
    mut stream: TcpStream,
    peer: SocketAddr,
    mut stopping: watch::Receiver<()>,
    answer: impl Fn(Request<WatchedBody>) -> F,
) where
    F: Future<Output = Response>,
{
    // Otherwise small answers would wait until the client has acknowledged earlier ones.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let (asked, cut_off) = (AtomicBool::new(false), AtomicBool::new(false));
    let sending = Arc::<Mutex<Option<AnswerSent>>>::default();
    let service = service_fn(|request| {
        asked.store(true, Ordering::Relaxed);
        let (request, unread) = unread_body::watch(request);
        let (answer, sending, cut_off) = (answer(request), &sending, &cut_off);
        async move {
            let mut response = answer.await;
            if !unread.read_rest().await {
                cut_off.store(true, Ordering::Relaxed);
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            *sending.lock() = response.extensions_mut().remove();
            Ok::<_, Infallible>(response)
        }
    });
    let ended = {
        let stream = Sending { stream: &mut stream, answer: sending.clone() };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // Answers are mostly small: copying one costs less than telling the system of its pieces.
            .writev(false)
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => ended,
            _ = stopping.changed() => {
                // hyper would wait for the first request.
                if !asked.load(Ordering::Relaxed) {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a connection broke off");
    }
    if cut_off.load(Ordering::Relaxed) {
        unread_body::linger(&mut stream).await;
    }
}

/// Where a request comes from: the peer, or, where proxies that are trusted say so, who is behind them.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &[IpAddr]) -> IpAddr {
    let trusted = |address: IpAddr| address.is_loopback() || trusted_proxies.contains(&address);
    let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let mut hops: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut address = peer.to_canonical();
    // Each proxy appends whom it heard from. What stands to the left of one that is not trusted may be made
    // up.
    while trusted(address) {
        let Some(before) = hops.pop().and_then(address_of_hop) else { break };
        address = before.to_canonical();
    }
    address
}

/// The address that a proxy names. Some name the port, too, and write IPv6 addresses in brackets.
fn address_of_hop(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    bare.parse().ok().or_else(|| Some(hop.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    fn address(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().expect("a header value"));
        }
        let trusted: Vec<_> = trusted.iter().map(|text| parse(text)).collect();
        client_address(parse(peer), &headers, &trusted).to_string()
    }

    #[test]
    fn a_stranger_cannot_choose_an_address() {
        assert_eq!(address("192.0.2.1", &["198.51.100.7"], &[]), "192.0.2.1");
    }

    #[test]
    fn a_proxy_on_this_machine_is_believed_once() {
        assert_eq!(address("127.0.0.1", &["10.9.9.9, 198.51.100.7"], &[]), "198.51.100.7");
        assert_eq!(address("::ffff:127.0.0.1", &["2001:db8::1"], &[]), "2001:db8::1");
    }

    #[test]
    fn trusted_proxies_are_passed_through() {
        let forwarded = ["198.51.100.7", "10.0.0.2"];
        assert_eq!(address("127.0.0.1", &forwarded, &["10.0.0.2"]), "198.51.100.7");
        assert_eq!(address("127.0.0.1", &forwarded, &[]), "10.0.0.2");
    }

    #[test]
    fn a_port_is_no_part_of_an_address() {
        assert_eq!(address("127.0.0.1", &["198.51.100.7:50123"], &[]), "198.51.100.7");
        assert_eq!(address("127.0.0.1", &["[2001:db8::1]:50123"], &[]), "2001:db8::1");
        assert_eq!(address("127.0.0.1", &["[2001:db8::1]"], &[]), "2001:db8::1");
        assert_eq!(address("127.0.0.1", &["198.51.100.7, 10.0.0.2:443"], &["10.0.0.2"]), "198.51.100.7");
    }

    #[test]
    fn what_is_no_address_is_not_taken_for_one() {
        assert_eq!(address("127.0.0.1", &["unknown"], &[]), "127.0.0.1");
        assert_eq!(address("127.0.0.1", &[], &[]), "127.0.0.1");
    }

    /// What comes back for bytes on a connection on which every request is refused before its body is read.
    async fn refused(bytes: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let mut client =
            TcpStream::connect(listener.local_addr().expect("it is bound")).await.expect("a client");
        let (stream, peer) = listener.accept().await.expect("it is accepted");
        let (_stop, stopping) = watch::channel(());
        let served = serve(stream, peer, stopping, async |_| StatusCode::UNAUTHORIZED.into_response());
        let asked = async {
            client.write_all(bytes).await.expect("it is sent");
            let mut answers = String::new();
            client.read_to_string(&mut answers).await.expect("the connection ends well");
            answers
        };
        tokio::join!(served, asked).1
    }

    fn post(body: &str) -> String {
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn a_connection_outlives_requests_that_are_refused_unread() {
        // More than one read takes.
        let large = post(&"a".repeat(60 << 10));
        let pieces = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answers = refused([&large, pieces, &post(""), &post("{}"), last].concat().as_bytes()).await;
        assert_eq!(answers.matches("HTTP/1.1 401").count(), 5, "{answers}");
        assert_eq!(answers.matches("connection: close").count(), 1, "{answers}");
    }

    #[tokio::test]
    async fn a_connection_that_cannot_go_on_says_so() {
        let too_large = post(&"a".repeat(16 << 20));
        let unasked = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
        for request in [too_large.as_str(), unasked] {
            let answers = refused(request.as_bytes()).await;
            assert!(answers.starts_with("HTTP/1.1 401"), "{answers}");
            assert!(answers.contains("connection: close"), "{answers}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_holds_up_no_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let mut client =
            TcpStream::connect(listener.local_addr().expect("it is bound")).await.expect("a client");
        let (stream, peer) = listener.accept().await.expect("it is accepted");
        let half = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12";
        client.write_all(half.as_bytes()).await.expect("it is sent");
        let (_stop, stopping) = watch::channel(());
        serve(stream, peer, stopping, async |_| StatusCode::UNAUTHORIZED.into_response()).await;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("it is over");
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("connection: close"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_ends_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let mut client =
            TcpStream::connect(listener.local_addr().expect("it is bound")).await.expect("a client");
        let (stream, peer) = listener.accept().await.expect("it is accepted");
        client.write_all(b"GET / HTTP/1.1\r\nHo").await.expect("it is sent");
        let (_stop, stopping) = watch::channel(());
        serve(stream, peer, stopping, async |_| Response::default()).await;
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("it is over");
        assert_eq!(answer, b"");
    }
}
