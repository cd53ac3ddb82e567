//! A small Matrix client: plain JSON over HTTP, like any client's, and it obeys the commands of the drivers of client
//! libraries. It knows an address, a name and a password, and nothing of the server behind them.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};

use super::{heard::Heard, person::Refusal};

/// The greatest answer that is read, in bytes.
const ANSWER_BYTES: usize = 64 << 20;
/// How long the server may wait with an answer to a sync, in milliseconds.
const SYNC_TIMEOUT_MS: u64 = 30_000;

/// Somebody's client.
pub(crate) struct BuiltIn {
    http: Http,
    user: String,
    heard: Arc<watch::Sender<Heard>>,
    syncing: Option<JoinHandle<()>>,
    transactions: u64,
}

/// Requests to one address, as somebody once there is a token.
#[derive(Clone)]
struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    server: String,
    token: Option<String>,
}

fn text(words: &Value, key: &str) -> String {
    words[key].as_str().unwrap_or_default().to_owned()
}

/// A part of a path, with what has a meaning in paths escaped.
fn part(words: &Value, key: &str) -> String {
    escape(words[key].as_str().unwrap_or_default())
}

fn escape(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    });
    escaped.collect()
}

impl Http {
    fn new(server: String) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), server, token: None }
    }

    /// The content type and body of an answer.
    async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<(String, Bytes), Refusal> {
        let mut request = Request::builder().method(method).uri(format!("{}/_matrix{path}", self.server));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.header(header::CONTENT_TYPE, content_type).body(Full::from(body));
        let answer = self.client.request(request.map_err(Refusal::own)?).await.map_err(Refusal::own)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(Refusal::own)?.to_bytes();
        if head.status.is_success() {
            let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
            return Ok((content_type.unwrap_or_default().to_owned(), body));
        }
        let error: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = format!("{}: {}", head.status, text(&error, "error"));
        Err(Refusal { code: text(&error, "errcode"), message })
    }

    async fn json(&self, method: Method, path: &str, body: Value) -> Result<Value, Refusal> {
        let body = if method == Method::GET { Vec::new() } else { body.to_string().into_bytes() };
        let path = format!("/client/v3{path}");
        let (_, answer) = self.send(method, &path, "application/json", body).await?;
        serde_json::from_slice(&answer).map_err(Refusal::own)
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, Refusal> {
        self.json(Method::POST, path, body).await
    }

    async fn media(&self, path: String) -> Result<Value, Refusal> {
        let (mimetype, data) = self.send(Method::GET, &path, "", Vec::new()).await?;
        Ok(json!({ "data": STANDARD.encode(data), "mimetype": mimetype }))
    }

    async fn sync(&self, since: Option<&str>) -> Result<Value, Refusal> {
        let path = match since {
            None => "/sync?timeout=0".to_owned(),
            Some(since) => format!("/sync?timeout={SYNC_TIMEOUT_MS}&since={}", escape(since)),
        };
        self.json(Method::GET, &path, Value::Null).await
    }
}

/// Whose token this is, as the platform at an address says.
pub(crate) async fn whoami(server: &str, token: &str) -> Result<String, Refusal> {
    let http = Http { token: Some(token.to_owned()), ..Http::new(server.to_owned()) };
    let answer = http.json(Method::GET, "/account/whoami", Value::Null).await?;
    Ok(text(&answer, "user_id"))
}

impl BuiltIn {
    pub(crate) fn new(heard: Arc<watch::Sender<Heard>>) -> Self {
        let http = Http::new(String::new());
        Self { http, user: String::new(), heard, syncing: None, transactions: 0 }
    }

    /// Does what a command says; the answer.
    pub(crate) async fn command(&mut self, name: &str, words: &Value) -> Result<Value, Refusal> {
        let http = self.http.clone();
        let (room, event, user) = (part(words, "room"), part(words, "event"), part(words, "user"));
        let none = || json!({});
        let message = |body: &str| json!({ "msgtype": "m.text", "body": body });
        let body = text(words, "body");
        match name {
            "register" => {
                let auth = json!({ "type": "m.login.dummy" });
                let (username, password) = (&words["username"], &words["password"]);
                let body = json!({ "username": username, "password": password, "auth": auth });
                self.begin(words, "/register", body).await
            }
            "login" => {
                let identifier = json!({ "type": "m.id.user", "user": words["username"] });
                let (kind, password) = ("m.login.password", &words["password"]);
                let body = json!({ "type": kind, "identifier": identifier, "password": password });
                self.begin(words, "/login", body).await
            }
            "start" => self.start().await,
            "logout" => {
                self.syncing.take().inspect(JoinHandle::abort);
                http.post("/logout", none()).await
            }
            "get_profile" => {
                let answer = http.json(Method::GET, &format!("/profile/{user}"), Value::Null).await?;
                Ok(json!({ "name": answer["displayname"], "avatar": answer["avatar_url"] }))
            }
            "set_display_name" => {
                let path = format!("/profile/{}/displayname", escape(&self.user));
                http.json(Method::PUT, &path, json!({ "displayname": words["name"] })).await
            }
            "find_people" => {
                let body = json!({ "search_term": words["term"] });
                let answer = http.post("/user_directory/search", body).await?;
                let found = answer["results"].as_array().into_iter().flatten();
                let found = found.map(|one| json!({ "user": one["user_id"], "name": one["display_name"] }));
                Ok(found.collect())
            }
            "set_account_data" => {
                let path = format!("/user/{}/account_data/{}", escape(&self.user), part(words, "type"));
                http.json(Method::PUT, &path, words["content"].clone()).await
            }
            "create_room" => {
                let mut body = json!({
                    "preset": "private_chat", "invite": words["invite"], "is_direct": words["direct"],
                });
                if !words["name"].is_null() {
                    body["name"] = words["name"].clone();
                }
                Ok(http.post("/createRoom", body).await?["room_id"].take())
            }
            "join" => Ok(http.post(&format!("/join/{room}"), none()).await?["room_id"].take()),
            "send_text" => self.send(&room, "m.room.message", message(&body)).await,
            "send_image" => {
                let info = json!({
                    "mimetype": words["mimetype"], "size": words["size"], "w": words["width"], "h": words["height"],
                });
                let (name, url) = (&words["name"], &words["mxc"]);
                let content = json!({ "msgtype": "m.image", "body": name, "url": url, "info": info });
                self.send(&room, "m.room.message", content).await
            }
            "reply" => {
                let mut content = message(&body);
                content["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": words["event"] } });
                self.send(&room, "m.room.message", content).await
            }
            "react" => {
                let key = &words["key"];
                let relation = json!({ "rel_type": "m.annotation", "event_id": words["event"], "key": key });
                self.send(&room, "m.reaction", json!({ "m.relates_to": relation })).await
            }
            "edit" => {
                let mut content = message(&format!("* {body}"));
                content["m.new_content"] = message(&body);
                content["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": words["event"] });
                self.send(&room, "m.room.message", content).await
            }
            "typing" => {
                let path = format!("/rooms/{room}/typing/{}", escape(&self.user));
                http.json(Method::PUT, &path, json!({ "typing": words["on"], "timeout": 30_000 })).await
            }
            "receipt" => http.post(&format!("/rooms/{room}/receipt/m.read/{event}"), none()).await,
            "upload" => {
                let data = STANDARD.decode(text(words, "data")).map_err(Refusal::own)?;
                let path = format!("/media/v3/upload?filename={}", part(words, "name"));
                let (_, answer) = http.send(Method::POST, &path, &text(words, "mimetype"), data).await?;
                let mut answer: Value = serde_json::from_slice(&answer).map_err(Refusal::own)?;
                Ok(answer["content_uri"].take())
            }
            "download" => http.media(format!("/client/v1/media/download/{}", media(words))).await,
            "thumbnail" => {
                let (width, height) = (&words["width"], &words["height"]);
                let query = format!("width={width}&height={height}&method=scale");
                http.media(format!("/client/v1/media/thumbnail/{}?{query}", media(words))).await
            }
            other => Err(Refusal::own(format!("there is no command {other}"))),
        }
    }

    async fn begin(&mut self, words: &Value, path: &str, body: Value) -> Result<Value, Refusal> {
        self.http.server = text(words, "server");
        let session = self.http.post(path, body).await?;
        self.user = text(&session, "user_id");
        self.http.token = Some(text(&session, "access_token"));
        Ok(
            json!({ "user": session["user_id"], "device": session["device_id"], "token": session["access_token"] }),
        )
    }

    async fn send(&mut self, room: &str, kind: &str, content: Value) -> Result<Value, Refusal> {
        self.transactions += 1;
        let path = format!("/rooms/{room}/send/{kind}/{}", self.transactions);
        Ok(self.http.json(Method::PUT, &path, content).await?["event_id"].take())
    }

    /// Everything there is already, and from then on what is new.
    async fn start(&mut self) -> Result<Value, Refusal> {
        let mut rooms = Rooms::default();
        let first = self.http.sync(None).await?;
        rooms.take_in(&first, &self.user, &self.heard);
        let (http, user, heard) = (self.http.clone(), self.user.clone(), self.heard.clone());
        let mut since = text(&first, "next_batch");
        self.syncing = Some(tokio::spawn(async move {
            loop {
                match http.sync(Some(&since)).await {
                    Ok(answer) => {
                        rooms.take_in(&answer, &user, &heard);
                        since = text(&answer, "next_batch");
                    }
                    Err(refusal) => {
                        let line = json!({ "event": "sync_failed", "message": refusal.message });
                        return heard.send_modify(|heard| heard.hear(line));
                    }
                }
            }
        }));
        Ok(json!({}))
    }
}

impl Drop for BuiltIn {
    fn drop(&mut self) {
        self.syncing.take().inspect(JoinHandle::abort);
    }
}

/// `server/media` of `mxc://server/media`.
fn media(words: &Value) -> String {
    let mxc = text(words, "mxc");
    mxc.strip_prefix("mxc://").unwrap_or_default().split('/').map(escape).collect::<Vec<_>>().join("/")
}

/// The rooms as the syncs describe them.
#[derive(Default)]
struct Rooms(BTreeMap<String, Value>);

fn list<'a>(parent: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    parent[key]["events"].as_array().into_iter().flatten()
}

impl Rooms {
    /// Takes in a sync's answer, and tells of it.
    fn take_in(&mut self, answer: &Value, user: &str, heard: &watch::Sender<Heard>) {
        let mut lines = Vec::new();
        for event in list(answer, "account_data") {
            let (kind, content) = (&event["type"], &event["content"]);
            lines.push(json!({ "event": "account_data", "type": kind, "content": content }));
        }
        for (section, membership) in [("join", "join"), ("invite", "invite"), ("leave", "leave")] {
            for (room, update) in answer["rooms"][section].as_object().into_iter().flatten() {
                let state =
                    self.0.entry(room.clone()).or_insert_with(|| json!({ "members": {}, "typing": [] }));
                state["membership"] = json!(membership);
                let events = list(update, "invite_state").chain(list(update, "state"));
                for event in events.chain(list(update, "timeline")) {
                    take_state(state, event, user);
                }
                for item in list(update, "timeline") {
                    lines.push(json!({ "event": "timeline", "room": room, "item": item }));
                }
                for event in list(update, "ephemeral") {
                    match event["type"].as_str() {
                        Some("m.typing") => state["typing"] = event["content"]["user_ids"].clone(),
                        Some("m.receipt") => lines.extend(receipts(room, &event["content"])),
                        _ => {}
                    }
                }
                lines.push(json!({ "event": "room", "room": room, "state": state }));
            }
        }
        // At once: who sees an event also sees the names that came with it.
        heard.send_modify(|heard| lines.into_iter().for_each(|line| heard.hear(line)));
    }
}

fn take_state(state: &mut Value, event: &Value, user: &str) {
    let content = &event["content"];
    match (event["type"].as_str(), event["state_key"].as_str()) {
        (Some("m.room.name"), Some("")) => state["name"] = content["name"].clone(),
        (Some("m.room.member"), Some(whose)) => {
            let (membership, name) = (&content["membership"], &content["displayname"]);
            state["members"][whose] = json!({ "membership": membership, "name": name });
            if whose == user && *membership == "invite" {
                state["inviter"] = event["sender"].clone();
            }
        }
        _ => {}
    }
}

fn receipts(room: &str, content: &Value) -> Vec<Value> {
    let mut lines = Vec::new();
    for (id, kinds) in content.as_object().into_iter().flatten() {
        for (kind, users) in kinds.as_object().into_iter().flatten() {
            for user in users.as_object().into_iter().flat_map(|users| users.keys()) {
                lines.push(json!({ "event": "receipt", "room": room, "id": id, "user": user, "kind": kind }));
            }
        }
    }
    lines
}
