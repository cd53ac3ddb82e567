//! A small Matrix server in memory that can be told to lose or double one thing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

use crate::keys::KeyStore;

/// What the server does wrong, once, with the message or key of number [`VICTIM`].
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    /// One member never gets the message.
    Lose,
    /// The message comes a second time later.
    Double,
    /// The message is stored as two events.
    StoreTwice,
    /// The key is handed out to two users.
    HandOutTwice,
    /// The key is handed out to nobody.
    LoseKey,
    /// The content of the message is not what was sent.
    Garble,
}

pub(crate) const VICTIM: u64 = 40;

#[derive(Default)]
struct Room {
    members: BTreeSet<String>,
    events: Vec<Entry>,
}

struct Entry {
    position: u64,
    event: Value,
    hidden_from: Option<String>,
}

#[derive(Default)]
struct State {
    users: HashMap<String, String>,
    rooms: BTreeMap<String, Room>,
    sent: u64,
    position: u64,
    keys: KeyStore,
    /// The messages to devices, by user. Each has its position.
    to_device: HashMap<String, Vec<(u64, Value)>>,
}

pub(crate) struct World {
    state: Mutex<State>,
    news: watch::Sender<u64>,
    fault: Fault,
    /// The longest timeline, whatever the filter asks for.
    longest_timeline: usize,
}

pub(crate) type Answer = (StatusCode, Value);

impl World {
    pub(crate) fn new(fault: Fault, longest_timeline: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), news: watch::Sender::new(0), fault, longest_timeline })
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let server_name = text_header(&request, header::HOST);
        let token = text_header(&request, header::AUTHORIZATION).replace("Bearer ", "");
        let query: HashMap<String, String> = request
            .uri()
            .query()
            .unwrap_or("")
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), decode(value)))
            .collect();
        let segments: Vec<String> = request.uri().path().split('/').skip(3).map(decode).collect();
        let method = request.method().clone();
        let body = request.into_body().collect().await.expect("the generator sends whole bodies").to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["versions"] => (StatusCode::OK, json!({"versions": ["v1.12"]})),
            ["v3", "register"] => self.register(&server_name, &body),
            rest => match self.caller(&token) {
                Some(user) => self.answer_user(&user, &method, rest, &query, &body).await,
                None => (StatusCode::UNAUTHORIZED, json!({"errcode": "M_UNKNOWN_TOKEN", "error": "no"})),
            },
        }
    }

    async fn answer_user(
        &self,
        user: &str,
        method: &Method,
        segments: &[&str],
        query: &HashMap<String, String>,
        body: &Value,
    ) -> Answer {
        match (method.as_str(), segments) {
            ("POST", ["v3", "createRoom"]) => self.create_room(user),
            ("POST", ["v3", "join", room_id]) => {
                let mut state = self.state.lock().expect("not poisoned");
                state.rooms.entry((*room_id).to_owned()).or_default().members.insert(user.to_owned());
                (StatusCode::OK, json!({"room_id": room_id}))
            }
            ("PUT", ["v3", "rooms", room_id, "send", kind, _]) => self.send(user, room_id, kind, body),
            ("PUT", ["v3", "sendToDevice", kind, _]) => self.send_to_device(user, kind, body),
            ("GET", ["v3", "rooms", room_id, "messages"]) => self.messages(user, room_id, &query["from"]),
            ("GET", ["v3", "sync"]) => self.sync(user, query).await,
            ("POST", ["v3", "keys", action]) => {
                let mut state = self.state.lock().expect("not poisoned");
                (StatusCode::OK, state.keys.answer(user, action, body, self.fault))
            }
            _ => (StatusCode::NOT_FOUND, json!({"errcode": "M_UNRECOGNIZED", "error": "no"})),
        }
    }

    fn caller(&self, token: &str) -> Option<String> {
        self.state.lock().expect("not poisoned").users.get(token).cloned()
    }

    fn register(&self, server_name: &str, body: &Value) -> Answer {
        if body["auth"]["session"] != "round two" {
            let challenge =
                json!({"session": "round two", "flows": [{"stages": ["m.login.dummy"]}], "params": {}});
            return (StatusCode::UNAUTHORIZED, challenge);
        }
        let name = body["username"].as_str().unwrap_or("nobody");
        let (token, user) = (format!("token-{name}"), format!("@{name}:{server_name}"));
        self.state.lock().expect("not poisoned").users.insert(token.clone(), user.clone());
        (StatusCode::OK, json!({"user_id": user, "access_token": token, "device_id": "D"}))
    }

    fn create_room(&self, user: &str) -> Answer {
        let mut state = self.state.lock().expect("not poisoned");
        let room_id = format!("!room{}", state.rooms.len());
        let members = BTreeSet::from([user.to_owned()]);
        state.rooms.insert(room_id.clone(), Room { members, events: Vec::new() });
        (StatusCode::OK, json!({"room_id": room_id}))
    }

    fn send(&self, user: &str, room_id: &str, kind: &str, content: &Value) -> Answer {
        let mut state = self.state.lock().expect("not poisoned");
        state.sent += 1;
        let victim = state.sent == VICTIM;
        let event_id = format!("$event{}", state.sent);
        let mut event = json!({"type": kind, "sender": user, "event_id": event_id, "content": content});
        if victim && self.fault == Fault::Garble {
            event["content"]["ciphertext"] = json!("AwgAEnACg");
        }
        let mut copies = vec![event.clone()];
        if victim && self.fault == Fault::Double {
            copies.push(event.clone());
        }
        if victim && self.fault == Fault::StoreTwice {
            copies.push(event);
            copies[1]["event_id"] = json!("$another");
        }
        for event in copies {
            state.position += 1;
            let position = state.position;
            let room = state.rooms.get_mut(room_id).expect("the generator knows its rooms");
            let other = room.members.iter().find(|member| *member != user).cloned();
            let hidden_from = other.filter(|_| victim && self.fault == Fault::Lose);
            room.events.push(Entry { position, event, hidden_from });
        }
        self.news.send_replace(state.position);
        (StatusCode::OK, json!({"event_id": event_id}))
    }

    fn send_to_device(&self, user: &str, kind: &str, body: &Value) -> Answer {
        let mut state = self.state.lock().expect("not poisoned");
        state.position += 1;
        let position = state.position;
        for (recipient, devices) in body["messages"].as_object().into_iter().flatten() {
            let contents = devices.as_object().into_iter().flat_map(serde_json::Map::values);
            let events = contents.map(|content| json!({"type": kind, "sender": user, "content": content}));
            let events: Vec<_> = events.map(|event| (position, event)).collect();
            state.to_device.entry(recipient.clone()).or_default().extend(events);
        }
        self.news.send_replace(position);
        (StatusCode::OK, json!({}))
    }

    /// What came to the user's device between two positions. What came before is forgotten.
    fn new_to_device(&self, user: &str, since: Option<u64>, until: u64) -> Vec<Value> {
        let mut state = self.state.lock().expect("not poisoned");
        let messages = state.to_device.entry(user.to_owned()).or_default();
        messages.retain(|(position, _)| *position > since.unwrap_or(0));
        let until_now = messages.iter().filter(|(position, _)| *position <= until);
        until_now.map(|(_, event)| event.clone()).collect()
    }

    /// Answers with five events at a time, so that closing a gap takes several pages.
    fn messages(&self, user: &str, room_id: &str, from: &str) -> Answer {
        let before: u64 = from.trim_start_matches('p').parse().expect("a token of ours");
        let state = self.state.lock().expect("not poisoned");
        let events = visible(&state.rooms[room_id], user).rev().filter(|entry| entry.position < before);
        let page: Vec<&Entry> = events.take(5).collect();
        let mut answer =
            json!({"start": from, "chunk": page.iter().map(|entry| &entry.event).collect::<Vec<_>>()});
        if let Some(last) = page.last() {
            answer["end"] = json!(format!("p{}", last.position));
        }
        (StatusCode::OK, answer)
    }

    async fn sync(&self, user: &str, query: &HashMap<String, String>) -> Answer {
        let since = query.get("since").map(|token| token[1..].parse().expect("a token of ours"));
        let timeout = query.get("timeout").and_then(|text| text.parse().ok()).unwrap_or(0);
        let deadline = tokio::time::Instant::now() + Duration::from_millis(timeout);
        let mut news = self.news.subscribe();
        loop {
            news.borrow_and_update();
            let (join, position) = self.new_timelines(user, since);
            let to_device = self.new_to_device(user, since, position);
            let waits = since.is_some() && join.is_empty() && to_device.is_empty();
            if !waits || tokio::time::timeout_at(deadline, news.changed()).await.is_err() {
                return (
                    StatusCode::OK,
                    json!({
                        "next_batch": format!("s{position}"), "rooms": {"join": join},
                        "to_device": {"events": to_device},
                    }),
                );
            }
        }
    }

    fn new_timelines(&self, user: &str, since: Option<u64>) -> (serde_json::Map<String, Value>, u64) {
        let state = self.state.lock().expect("not poisoned");
        let mut join = serde_json::Map::new();
        for (room_id, room) in state.rooms.iter().filter(|(_, room)| room.members.contains(user)) {
            let new: Vec<&Entry> =
                visible(room, user).filter(|entry| entry.position > since.unwrap_or(0)).collect();
            let shown = &new[new.len().saturating_sub(self.longest_timeline)..];
            if shown.is_empty() && since.is_some() {
                continue;
            }
            let timeline = json!({
                "events": shown.iter().map(|entry| &entry.event).collect::<Vec<_>>(),
                "limited": shown.len() < new.len(),
                "prev_batch": format!("p{}", shown.first().map_or(0, |entry| entry.position)),
            });
            join.insert(room_id.clone(), json!({"timeline": timeline}));
        }
        (join, state.position)
    }
}

fn visible<'a>(room: &'a Room, user: &'a str) -> impl DoubleEndedIterator<Item = &'a Entry> {
    room.events.iter().filter(move |entry| entry.hidden_from.as_deref() != Some(user))
}

fn text_header(request: &Request<Incoming>, name: header::HeaderName) -> String {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next(), rest.next()].map(|digit| char::from(digit.expect("two digits")));
            bytes.push(u8::from_str_radix(&digits.iter().collect::<String>(), 16).expect("hexadecimal"));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).expect("the generator writes UTF-8")
}

pub(crate) async fn listen(world: Arc<World>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let world = world.clone();
            let service = service_fn(move |request| {
                let world = world.clone();
                async move {
                    let (status, body) = world.answer(request).await;
                    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
                    *response.status_mut() = status;
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}
