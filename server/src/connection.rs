//! One connection: HTTP/1.1 over TCP or TLS, cheap while idle. HTTP/2 is a proxy's work.

use std::{
    convert::Infallible,
    error::Error as _,
    io, iter,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
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
use linkspan_platforms::{Limited, Network, Platforms};
use linkspan_storage::AnswerSent;
use linkspan_wire::{Api, ClientAddress, ListenerPlatform, platform_of, refuse};
use parking_lot::Mutex;
use ruma::OwnedServerName;
use tokio::sync::watch;

use crate::{
    connections::{End, Seat},
    health::Health,
    metrics::{Counted, Requests as Counts},
    sending::{self, Sending},
    throttle::Throttles,
    tls::Stream,
    under_way::{Requests, UnderWay},
    unread_body::{self, WatchedBody},
};

/// How long the head of a request may take to arrive. The same time runs while a connection is idle
/// between two requests, so it must not be shorter than what clients and proxies keep connections for.
const HEAD_TIMEOUT: Duration = Duration::from_secs(65);
/// How long the first head may take. Whoever connects has something to ask, and a slow phone sends it in this time.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The greatest head of a request. An idle connection holds less: buffers start at 8 KiB.
const HEAD_BYTES: usize = 64 << 10;

/// What is served on a listener.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) api: Arc<Api>,
    /// The listener is this platform's alone.
    pub(crate) platform: Option<OwnedServerName>,
    /// Whether connections to it speak TLS.
    pub(crate) with_tls: bool,
    /// Proxies that are trusted besides those on this machine.
    pub(crate) trusted_proxies: Arc<ArcSwap<Vec<IpAddr>>>,
    pub(crate) platforms: Arc<Platforms>,
    /// The requests that are being answered, on all listeners.
    pub(crate) requests: Arc<Requests>,
    pub(crate) health: Health,
    pub(crate) counts: Arc<Counts>,
    /// How fast those are answered who are refused, on all listeners.
    pub(crate) throttles: Arc<Throttles>,
}

impl Server {
    /// Serves a connection until it ends or has to give way to another; after a signal to stop, until the request it is
    /// in is answered.
    pub(crate) async fn connection(
        &self,
        stream: impl Stream,
        peer: SocketAddr,
        seat: Arc<Seat>,
        stopping: watch::Receiver<()>,
    ) {
        let answer = |request| self.answer(peer, request);
        serve(stream, peer, seat, &self.throttles, stopping, answer).await;
    }

    /// The network that an address is counted by, unless it is that of a proxy, which brings the requests of many.
    pub(crate) fn network_of(&self, address: IpAddr) -> Option<Network> {
        let address = address.to_canonical();
        (!is_trusted(address, &self.trusted_proxies.load())).then(|| Network::of(address))
    }

    fn answer(
        &self,
        peer: SocketAddr,
        request: Request<WatchedBody>,
    ) -> impl Future<Output = Answer> + use<> {
        let begun = match self.at_once(&request) {
            Some(answer) => Err(answer),
            None => self.begin(peer, request).map_err(refuse),
        };
        async move {
            match begun {
                Ok((counted, answer, under_way)) => {
                    Answer { response: counted.answered(answer).await, under_way }
                }
                Err(refused) => Answer::from(refused),
            }
        }
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

    fn begin(
        &self,
        peer: SocketAddr,
        request: Request<WatchedBody>,
    ) -> Result<(Counted, impl Future<Output = Response> + use<>, Option<UnderWay>), Limited> {
        let mut request = request.map(Body::new);
        if self.with_tls {
            request.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("https"));
        }
        let address = client_address(peer.ip(), request.headers(), &self.trusted_proxies.load());
        request.extensions_mut().insert(ClientAddress(address));
        let platform = match &self.platform {
            Some(name) => self.platforms.get(name),
            None => platform_of(&self.platforms, &request),
        };
        let under_way = match &platform {
            Some(platform) => {
                let begun = self.requests.begin(platform.number, self.network_of(address));
                Some(begun?)
            }
            None => None,
        };
        platform.and_then(|platform| request.extensions_mut().insert(ListenerPlatform(platform)));
        let method = request.method().clone();
        let asked = self.api.ask(request);
        Ok((self.counts.begin(method, &asked), asked.answer, under_way))
    }
}

/// What a request is answered.
struct Answer {
    response: Response,
    /// The request, until all of the answer is there.
    under_way: Option<UnderWay>,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self { response, under_way: None }
    }
}

async fn serve<F, A>(
    mut stream: impl Stream,
    peer: SocketAddr,
    seat: Arc<Seat>,
    throttles: &Throttles,
    mut stopping: watch::Receiver<()>,
    answer: impl Fn(Request<WatchedBody>) -> F,
) where
    F: Future<Output = A>,
    A: Into<Answer>,
{
    // Otherwise small answers would wait until the client has acknowledged earlier ones.
    if let Err(error) = stream.tcp().set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    sending::keep_little_unsent(stream.tcp());
    let cut_off = AtomicBool::new(false);
    let sending = Arc::<Mutex<Option<AnswerSent>>>::default();
    let service = service_fn(|request| {
        let seat = &seat;
        let stays = seat.begin_request();
        let (request, unread) = unread_body::watch(request);
        let (answer, sending, cut_off) = (stays.then(|| answer(request)), &sending, &cut_off);
        async move {
            let Some(answer) = answer else {
                // The connection gives way to another, and this ends with it.
                return std::future::pending().await;
            };
            let Answer { mut response, mut under_way } = answer.await.into();
            let goes_on = unread.read_rest().await;
            if !goes_on {
                cut_off.store(true, Ordering::Relaxed);
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            if !goes_on || response.status() == StatusCode::TOO_MANY_REQUESTS {
                // While it waits it takes up nobody's place.
                under_way = None;
                throttles.refusals.wait().await;
            }
            *sending.lock() = response.extensions_mut().remove();
            Ok::<_, Infallible>(sending::until_whole(response, seat, under_way))
        }
    });
    let ended = {
        let stream = Sending::new(&mut stream, sending.clone(), seat.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // Answers are mostly small: copying one costs less than telling the system of its pieces.
            .writev(false)
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut first_head = std::pin::pin!(tokio::time::sleep(FIRST_HEAD_TIMEOUT));
        let mut stops = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => break ended,
                () = seat.leaving() => return,
                () = first_head.as_mut(), if !seat.was_asked() => {
                    if !seat.was_asked() {
                        seat.note_end(End::NoRequest);
                        return;
                    }
                }
                _ = stopping.changed(), if !stops => {
                    // hyper would wait for the first request.
                    if !seat.was_asked() {
                        return;
                    }
                    connection.as_mut().graceful_shutdown();
                    stops = true;
                }
            }
        }
    };
    if let Err(error) = ended {
        end_of(&error).into_iter().for_each(|end| seat.note_end(end));
        tracing::debug!(%error, %peer, "a connection broke off");
    }
    if cut_off.load(Ordering::Relaxed) {
        unread_body::linger(&mut stream, &throttles.unread_pieces).await;
    }
}

/// Why the server has ended a connection that broke off so; None: it was not the server.
fn end_of(error: &hyper::Error) -> Option<End> {
    let is_timeout = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    let mut causes = iter::successors(error.source(), |&cause| cause.source());
    if causes.any(|cause| cause.downcast_ref().is_some_and(is_timeout)) {
        return Some(End::NotReading);
    }
    error.is_timeout().then_some(End::Idle)
}

/// Whether an address is that of a proxy that is believed: one that is configured, or one on this machine.
fn is_trusted(address: IpAddr, trusted_proxies: &[IpAddr]) -> bool {
    address.is_loopback() || trusted_proxies.contains(&address)
}

/// Where a request comes from: the peer, or, where proxies that are trusted say so, who is behind them.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &[IpAddr]) -> IpAddr {
    let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let mut hops: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut address = peer.to_canonical();
    // Each proxy appends whom it heard from. What stands to the left of one that is not trusted may be made
    // up.
    while is_trusted(address, trusted_proxies) {
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
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::connections::{Connections, ListenerCounts};

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
        let throttles = Throttles::default();
        let served = serve(stream, peer, Arc::default(), &throttles, stopping, async |_| {
            StatusCode::UNAUTHORIZED.into_response()
        });
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
        serve(stream, peer, Arc::default(), &Throttles::default(), stopping, async |_| {
            StatusCode::UNAUTHORIZED.into_response()
        })
        .await;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("it is over");
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("connection: close"), "{answer}");
    }

    /// How many seconds a connection lasts after its client has sent something, what came back, and what is counted of it.
    async fn lasts(bytes: &[u8]) -> (u64, String, ListenerCounts) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let mut client =
            TcpStream::connect(listener.local_addr().expect("it is bound")).await.expect("a client");
        let (stream, peer) = listener.accept().await.expect("it is accepted");
        client.write_all(bytes).await.expect("it is sent");
        let (_stop, stopping) = watch::channel(());
        let begun = tokio::time::Instant::now();
        let connections = one_connection();
        let admitted = connections.admit(0, None).expect("there is room");
        serve(stream, peer, admitted.seat.clone(), &Throttles::default(), stopping, async |_| {
            Response::default()
        })
        .await;
        drop(admitted);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("it is over");
        let (_, counts) = connections.counts().swap_remove(0);
        (begun.elapsed().as_secs(), answer, counts)
    }

    /// One listener, on which there may be one connection.
    fn one_connection() -> Arc<Connections> {
        let connections = Connections::new(1);
        connections.listener("one");
        Arc::new(connections)
    }

    fn ended(end: End) -> ListenerCounts {
        let mut counts = ListenerCounts { admitted: 1, ..ListenerCounts::default() };
        counts.ended[end as usize] = 1;
        counts
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_client_does_not_read_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let mut client =
            TcpStream::connect(listener.local_addr().expect("it is bound")).await.expect("a client");
        let (stream, peer) = listener.accept().await.expect("it is accepted");
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("it is sent");
        let (_stop, stopping) = watch::channel(());
        let connections = one_connection();
        let admitted = connections.admit(0, None).expect("there is room");
        let answer = async |_| vec![0; 64 << 20].into_response();
        serve(stream, peer, admitted.seat.clone(), &Throttles::default(), stopping, answer).await;
        drop(admitted);
        assert_eq!(connections.counts(), [("one".to_owned(), ended(End::NotReading))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_waits_longer_for_a_further_head_than_for_the_first() {
        assert_eq!(lasts(b"GET / HTTP/1.1\r\nHo").await, (10, String::new(), ended(End::NoRequest)));
        let (seconds, answer, counts) = lasts(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT").await;
        assert_eq!(counts, ended(End::Idle));
        assert_eq!((seconds, answer.matches("HTTP/1.1 200").count()), (65, 1), "{answer}");
    }

    #[tokio::test]
    async fn a_connection_that_gives_way_answers_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let mut client =
            TcpStream::connect(listener.local_addr().expect("it is bound")).await.expect("a client");
        let (stream, peer) = listener.accept().await.expect("it is accepted");
        let connections = one_connection();
        let first = connections.admit(0, None).expect("there is room");
        let _second = connections.admit(0, None).expect("the first gives way");
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("it is sent");
        let (_stop, stopping) = watch::channel(());
        serve(stream, peer, first.seat.clone(), &Throttles::default(), stopping, async |_| {
            Response::default()
        })
        .await;
        let mut answer = Vec::new();
        // It may be told that the connection is reset.
        let _ = client.read_to_end(&mut answer).await;
        assert_eq!(answer, b"");
    }
}
