//! What somebody does who wants to use up what all share: one attack, made by a process of its own, so that it can be told
//! what it takes of the machine itself, and what it does not take of whoever measures.
//!
//! Nothing here measures. How much is asked is bounded, and only of the address that is given.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use clap::ValueEnum;
use futures_util::future::join_all;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::client::{CALL_LIMIT, Client, Platform, encode};

/// How many connections repeat a request as fast as they are answered.
const LOOPS: usize = 10;
/// How many connections ask for much and take nothing.
const UNREAD: usize = 70;
/// How many connections never finish a head.
const HALF_OPEN: usize = 3_000;
/// How many log-ins are under way at the same time.
const LOG_INS: usize = 2_500;
/// How many bodies are under way that never end.
const BODIES: usize = 700;
/// Somebody who is refused asks again at once, but not as fast as a processor can turn.
const REFUSED_PAUSE: Duration = Duration::from_millis(5);

/// A way of using up what all share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attack {
    /// 70 connections ask for pages of long messages and take nothing.
    UnreadPages,
    /// The same with a large state.
    UnreadState,
    /// Messages to all of one's own devices.
    ToDevice,
    /// 3,000 connections from many addresses that never finish their head.
    HalfOpen,
    /// 2,500 log-ins at a time from as many addresses.
    LogIns,
    /// 10 connections that sync everything again and again.
    FullState,
    /// 10 connections that read a room's history again and again.
    Pages,
    /// 10 connections that search again and again.
    Searches,
    /// OAuth clients that are registered one after the other.
    Registrations,
    /// 700 bodies of 2 MB without a token, which never end.
    Bodies,
    /// 10 connections that say again and again that somebody types.
    Typing,
    /// Messages from many accounts at ten times what one may send.
    Sends,
    /// Account data that is written again and again.
    AccountData,
    /// Large pictures of which thumbnails are asked for.
    Pictures,
    /// Cheap requests without a token.
    Cheap,
}

/// Who attacks what.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Target {
    /// The platform's server name.
    pub(crate) server_name: String,
    /// Where it is reached.
    pub(crate) address: SocketAddr,
    /// The accounts that the attacker has: user ids and access tokens.
    pub(crate) accounts: Vec<(String, String)>,
    /// A room of theirs with long messages.
    pub(crate) room: String,
    /// A room of theirs with a large state.
    pub(crate) large_state: String,
    /// How long the attack lasts, in milliseconds.
    pub(crate) length_ms: u64,
}

/// What came of an attack.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Result {
    /// Requests that were answered.
    pub(crate) answered: u64,
    /// Those among them that were refused for being too much.
    pub(crate) refused: u64,
    /// Those among them that were errors of another kind, such as a wrong guess.
    pub(crate) failed: u64,
}

struct Attacker {
    target: Target,
    platform: Arc<Platform>,
    until: Instant,
    answered: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// Makes an attack until its time is over.
pub(crate) async fn run(attack: Attack, target: Target) -> std::result::Result<Result, String> {
    let platform = Arc::new(Platform::new(&target.server_name, target.address)?);
    let until = Instant::now() + Duration::from_millis(target.length_ms);
    let [answered, refused, failed] = Default::default();
    let attacker = Attacker { target, platform, until, answered, refused, failed };
    attacker.make(attack).await;
    let Attacker { answered, refused, failed, .. } = attacker;
    let [answered, refused, failed] = [answered, refused, failed].map(AtomicU64::into_inner);
    Ok(Result { answered, refused, failed })
}

impl Attacker {
    async fn make(&self, attack: Attack) {
        let room = encode(&self.target.room);
        let state = encode(&self.target.large_state);
        let client = "/_matrix/client";
        match attack {
            Attack::UnreadPages => {
                self.ask_and_take_nothing(&format!("{client}/v3/rooms/{room}/messages?dir=b&limit=1000"))
                    .await;
            }
            Attack::UnreadState => {
                self.ask_and_take_nothing(&format!("{client}/v3/rooms/{state}/state")).await;
            }
            Attack::ToDevice => {
                let (user_id, _) = &self.target.accounts[0];
                let text = "x".repeat(20_000);
                let body = json!({ "messages": { user_id: { "*": { "text": text } } } }).to_string();
                self.repeat(Method::PUT, body.into(), |number| {
                    format!("{client}/v3/sendToDevice/org.example.flood/{number}")
                })
                .await;
            }
            Attack::HalfOpen => self.open_halves().await,
            Attack::LogIns => self.log_in_everywhere().await,
            Attack::FullState => {
                let path = format!("{client}/v3/sync?full_state=true");
                self.repeat(Method::GET, Bytes::new(), |_| path.clone()).await;
            }
            Attack::Pages => {
                let path = format!("{client}/v3/rooms/{room}/messages?dir=b&limit=1000");
                self.repeat(Method::GET, Bytes::new(), |_| path.clone()).await;
            }
            Attack::Searches => {
                let criteria = json!({ "search_term": "words that are nowhere", "order_by": "recent" });
                let body = json!({ "search_categories": { "room_events": criteria } }).to_string();
                self.repeat(Method::POST, body.into(), |_| format!("{client}/v3/search")).await;
            }
            Attack::Registrations => {
                let body = json!({
                    "client_name": "flood", "client_uri": "https://example.org/",
                    "redirect_uris": ["https://example.org/back"], "grant_types": ["authorization_code"],
                    "response_types": ["code"], "token_endpoint_auth_method": "none",
                });
                let path = "/_linkspan/oauth2/registration".to_owned();
                self.repeat(Method::POST, body.to_string().into(), |_| path.clone()).await;
            }
            Attack::Bodies => self.begin_bodies().await,
            Attack::Typing => {
                let body = json!({ "typing": true, "timeout": 120_000 }).to_string();
                let (user_id, _) = &self.target.accounts[0];
                let path = format!("{client}/v3/rooms/{room}/typing/{}", encode(user_id));
                self.repeat(Method::PUT, body.into(), |_| path.clone()).await;
            }
            Attack::Sends => {
                let body = json!({ "msgtype": "m.text", "body": "flood ".repeat(100) }).to_string();
                self.repeat_by_all(Method::PUT, body.into(), |number| {
                    format!("{client}/v3/rooms/{room}/send/m.room.message/{number}")
                })
                .await;
            }
            Attack::AccountData => {
                let body = json!({ "text": "x".repeat(40_000) }).to_string();
                let (user_id, _) = &self.target.accounts[0];
                let user = encode(user_id);
                self.repeat(Method::PUT, body.into(), |number| {
                    format!("{client}/v3/user/{user}/account_data/org.example.{number}")
                })
                .await;
            }
            Attack::Pictures => self.upload_pictures().await,
            Attack::Cheap => {
                let path = format!("{client}/versions");
                self.repeat_as(None, Method::GET, Bytes::new(), &|_| path.clone()).await;
            }
        }
    }

    /// Repeats a request of the first account on some connections.
    async fn repeat(&self, method: Method, body: Bytes, path: impl Fn(u64) -> String) {
        let (_, token) = &self.target.accounts[0];
        self.repeat_as(Some(token), method, body, &path).await;
    }

    /// Repeats a request of every account, each on some connections.
    async fn repeat_by_all(&self, method: Method, body: Bytes, path: impl Fn(u64) -> String) {
        let accounts = self.target.accounts.iter();
        let all = accounts.map(|(_, token)| self.repeat_as(Some(token), method.clone(), body.clone(), &path));
        join_all(all).await;
    }

    async fn repeat_as(
        &self,
        token: Option<&String>,
        method: Method,
        body: Bytes,
        path: &impl Fn(u64) -> String,
    ) {
        // Transaction ids differ between processes, too.
        let number = AtomicU64::new(u64::from(std::process::id()) << 32);
        let lane = async |_| {
            let mut client = match token {
                Some(token) => Client::with_token(&self.platform, token),
                None => Client::anonymous(&self.platform),
            };
            while Instant::now() < self.until {
                let path = path(number.fetch_add(1, Relaxed));
                let call = client.call(method.clone(), &path, body.clone(), CALL_LIMIT);
                let Ok(reply) = timeout_at(self.until, call).await else { return };
                self.note(reply.ok().map(|reply| reply.status.as_u16())).await;
            }
        };
        join_all((0..LOOPS).map(lane)).await;
    }

    /// Counts an answer; without one there was none.
    async fn note(&self, status: Option<u16>) {
        match status {
            Some(status) => {
                self.answered.fetch_add(1, Relaxed);
                if status == 429 || status == 503 {
                    self.refused.fetch_add(1, Relaxed);
                    sleep(REFUSED_PAUSE).await;
                } else if status >= 400 {
                    self.failed.fetch_add(1, Relaxed);
                }
            }
            None => sleep(REFUSED_PAUSE).await,
        }
    }

    async fn connect(&self, number: usize) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(address(number), 0))?;
        socket.connect(self.platform.address).await
    }

    fn head(&self, method: &str, path: &str, token: Option<&str>, body_bytes: usize) -> String {
        let host = &self.platform.server_name;
        let authorization = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}Content-Type: application/json\r\n\
             Content-Length: {body_bytes}\r\n\r\n"
        )
    }

    /// Asks on many connections, and asks anew where the server has ended one.
    async fn ask_and_take_nothing(&self, path: &str) {
        let (_, token) = &self.target.accounts[0];
        let request = self.head("GET", path, Some(token), 0);
        let lane = async |_| {
            while Instant::now() < self.until {
                let Ok(mut stream) = self.connect(0).await else {
                    sleep(REFUSED_PAUSE).await;
                    continue;
                };
                if stream.write_all(request.as_bytes()).await.is_err() {
                    continue;
                }
                // The status alone is read. Who is refused asks again.
                let mut status = [0; 12];
                match timeout_at(self.until, stream.read_exact(&mut status)).await {
                    Ok(Ok(_)) => {
                        let status =
                            std::str::from_utf8(&status[9..]).ok().and_then(|status| status.parse().ok());
                        self.note(status).await;
                        let refused = matches!(status, Some(429 | 503));
                        if !refused {
                            sleep_until(self.until).await;
                        }
                    }
                    Ok(Err(_)) => sleep(REFUSED_PAUSE).await,
                    Err(_) => return,
                }
            }
        };
        join_all((0..UNREAD).map(lane)).await;
    }

    async fn open_halves(&self) {
        let lane = async |number| {
            while Instant::now() < self.until {
                let Ok(mut stream) = self.connect(number).await else {
                    sleep(REFUSED_PAUSE).await;
                    continue;
                };
                let _ = stream.write_all(b"GET /_matrix/client/versions HTTP/1.1\r\nHo").await;
                self.answered.fetch_add(1, Relaxed);
                // It begins anew when the server has ended the connection.
                let _ = timeout_at(self.until, stream.read(&mut [0; 64])).await;
            }
        };
        join_all((0..HALF_OPEN).map(lane)).await;
    }

    async fn log_in_everywhere(&self) {
        let lane = async |number: usize| {
            let mut client = Client::anonymous(&self.platform).bound_to(Some(address(number)));
            let mut tries = 0;
            while Instant::now() < self.until {
                let body = json!({
                    "type": "m.login.password", "password": "a wrong guess",
                    "identifier": { "type": "m.id.user", "user": format!("somebody{number}n{tries}") },
                });
                tries += 1;
                let path = "/_matrix/client/v3/login";
                let call = client.call(Method::POST, path, body.to_string().into(), CALL_LIMIT);
                let Ok(reply) = timeout_at(self.until, call).await else { return };
                self.note(reply.ok().map(|reply| reply.status.as_u16())).await;
            }
        };
        join_all((0..LOG_INS).map(lane)).await;
    }

    async fn begin_bodies(&self) {
        let head = self.head("POST", "/_matrix/client/v3/refresh", None, 2_000_000);
        let half = "{\"refresh_token\":\"".to_owned() + &"x".repeat(1_990_000);
        let lane = async |number| {
            while Instant::now() < self.until {
                let Ok(mut stream) = self.connect(number).await else {
                    sleep(REFUSED_PAUSE).await;
                    continue;
                };
                let sent = async {
                    stream.write_all(head.as_bytes()).await?;
                    stream.write_all(half.as_bytes()).await
                };
                if let Ok(Err(_)) | Err(_) = timeout_at(self.until, sent).await {
                    sleep(REFUSED_PAUSE).await;
                    continue;
                }
                let mut status = [0; 12];
                if let Ok(Ok(_)) = timeout_at(self.until, stream.read_exact(&mut status)).await {
                    self.note(Some(if status.ends_with(b"400") { 200 } else { 429 })).await;
                }
            }
        };
        join_all((0..BODIES).map(lane)).await;
    }

    /// Uploads a picture of 8,000 by 8,000 dots again and again, and asks for a thumbnail of each.
    async fn upload_pictures(&self) {
        #[derive(Deserialize)]
        struct Uploaded {
            content_uri: String,
        }
        let picture = Bytes::from(gray_picture(8_000));
        let (_, token) = &self.target.accounts[0];
        let lane = async |_| {
            let mut client = Client::with_token(&self.platform, token);
            while Instant::now() < self.until {
                let call = client.call(Method::POST, "/_matrix/media/v3/upload", picture.clone(), CALL_LIMIT);
                let Ok(Ok(reply)) = timeout_at(self.until, call).await else { return };
                self.note(Some(reply.status.as_u16())).await;
                let Ok(Uploaded { content_uri }) = serde_json::from_slice(&reply.body) else { continue };
                let id = content_uri.trim_start_matches("mxc://");
                let path = format!("/_matrix/client/v1/media/thumbnail/{id}?width=320&height=240");
                let call = client.call(Method::GET, &path, Bytes::new(), CALL_LIMIT);
                let Ok(Ok(reply)) = timeout_at(self.until, call).await else { return };
                self.note(Some(reply.status.as_u16())).await;
            }
        };
        join_all((0..LOOPS).map(lane)).await;
    }
}

/// The address of this machine from which a lane connects.
fn address(number: usize) -> IpAddr {
    let number = u32::try_from(number).unwrap_or(u32::MAX) % (1 << 16);
    let [_, _, high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 1, high, low.saturating_add(1)).into()
}

/// A PNG of `side` dots in each direction, which is small on the wire and large in memory.
fn gray_picture(side: u32) -> Vec<u8> {
    let mut png = io::Cursor::new(Vec::new());
    let picture = image::GrayImage::new(side, side);
    picture.write_to(&mut png, image::ImageFormat::Png).expect("a gray picture is a PNG");
    png.into_inner()
}
