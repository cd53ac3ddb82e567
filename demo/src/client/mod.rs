//! A small Matrix client: plain JSON over HTTP, like any client's, and it obeys the commands of the drivers
//! of client libraries. It encrypts as they do. It knows an address, a name and a password, and nothing of
//! the server behind them.

mod attachment;
mod device;
mod http;
mod recovery;
mod rooms;
mod sealing;
mod secret_storage;

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::Method;
use linkspan_address_book::{Address, Answer, Call, FindError, Found, find_people};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};

use self::{
    device::Device,
    http::{Http, escape, part, text},
    rooms::Rooms,
};
use super::{heard::Heard, person::Refusal};

pub(crate) use self::recovery::Recovery;

/// Somebody's client.
pub(crate) struct BuiltIn {
    http: Http,
    user: String,
    device: Arc<Mutex<Device>>,
    heard: Arc<watch::Sender<Heard>>,
    syncing: Option<JoinHandle<()>>,
    transactions: u64,
}

/// A client that cannot encrypt, with somebody's token. It knows Linkspan's own API, as libraries do not.
pub(crate) struct Plain(Http);

impl Plain {
    pub(crate) fn new(server: &str, token: &str) -> Self {
        let mut http = Http::new(server.to_owned());
        http.token = Some(token.to_owned());
        Self(http)
    }

    /// The user id of the owner of the token, as the platform at the address says it.
    pub(crate) async fn whoami(&self) -> Result<String, Refusal> {
        let answer = self.0.json(Method::GET, "/account/whoami", Value::Null).await?;
        Ok(text(&answer, "user_id"))
    }

    /// Says something in a room, encrypted or not, and returns the event.
    pub(crate) async fn says(&self, room: &str, body: &str) -> Result<String, Refusal> {
        let path = format!("/rooms/{}/send/m.room.message/plain", escape(room));
        let answer = self.0.json(Method::PUT, &path, message(body)).await?;
        Ok(text(&answer, "event_id"))
    }

    /// The rooms of the person's message requests.
    pub(crate) async fn requests(&self) -> Result<Vec<String>, Refusal> {
        let answer = self.0.own(Method::GET, "/requests", Value::Null).await?;
        let requests = answer["requests"].as_array().into_iter().flatten();
        Ok(requests.map(|request| text(request, "room_id")).collect())
    }

    /// The messages of a request, the newest first.
    pub(crate) async fn preview(&self, room: &str) -> Result<Vec<Value>, Refusal> {
        let path = format!("/requests/{}/preview", escape(room));
        let mut events = self.0.own(Method::GET, &path, Value::Null).await?;
        let events = events["chunk"].take();
        let events = events.as_array().into_iter().flatten();
        Ok(events.filter(|event| event["type"] == "m.room.message").cloned().collect())
    }

    /// Deletes a request, and blocks whoever sent it.
    pub(crate) async fn block_request(&self, room: &str) -> Result<(), Refusal> {
        let path = format!("/requests/{}/block", escape(room));
        self.0.own(Method::POST, &path, json!({})).await.map(drop)
    }

    /// Whom the person has blocked.
    pub(crate) async fn blocks(&self) -> Result<Vec<Value>, Refusal> {
        let answer = self.0.own(Method::GET, "/blocks", Value::Null).await?;
        Ok(answer["blocked"].as_array().cloned().unwrap_or_default())
    }

    /// Lets the person be found by everybody who has the person's e-mail address in their book.
    pub(crate) async fn be_found_by_email(&self) -> Result<(), Refusal> {
        self.0.own(Method::PUT, "/discovery", json!({ "email": "everyone" })).await.map(drop)
    }

    /// Finds the people of an address book, which the server is not shown.
    pub(crate) async fn find_people(&self, book: &[Address]) -> Result<Vec<Found>, FindError<Refusal>> {
        let call = async |call: Call| {
            let method = Method::from_bytes(call.method.as_bytes()).map_err(Refusal::own)?;
            let answer = self.0.ask(method, call.path, "application/json", call.body).await?;
            Ok(Answer { status: answer.status().as_u16(), body: answer.into_body().to_vec() })
        };
        find_people(book, call).await
    }

    /// An event as the server has it.
    pub(crate) async fn event(&self, room: &str, event: &str) -> Result<Value, Refusal> {
        let path = format!("/rooms/{}/event/{}", escape(room), escape(event));
        self.0.json(Method::GET, &path, Value::Null).await
    }
}

fn message(body: &str) -> Value {
    json!({ "msgtype": "m.text", "body": body })
}

impl BuiltIn {
    pub(crate) fn new(heard: Arc<watch::Sender<Heard>>) -> Self {
        let (http, user) = (Http::new(String::new()), String::new());
        let device = Arc::new(Mutex::new(Device::new(String::new(), String::new())));
        Self { http, user, device, heard, syncing: None, transactions: 0 }
    }

    /// Does what a command says, and returns the answer.
    pub(crate) async fn command(&mut self, name: &str, words: &Value) -> Result<Value, Refusal> {
        let http = self.http.clone();
        let (room, event, user) = (part(words, "room"), part(words, "event"), part(words, "user"));
        let none = || json!({});
        let body = text(words, "body");
        match name {
            "register" => {
                let auth = json!({ "type": "m.login.dummy" });
                let (username, password) = (&words["username"], &words["password"]);
                let body = json!({ "username": username, "password": password, "auth": auth });
                self.begin(words, "/register", body).await
            }
            "login" if words["token"].is_string() => {
                let body = json!({ "type": "m.login.token", "token": words["token"] });
                self.begin(words, "/login", body).await
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
            "send_text" => self.send(words, "m.room.message", message(&body)).await,
            "send_picture" => self.send_picture(words).await,
            "reply" => {
                let mut content = message(&body);
                content["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": words["event"] } });
                self.send(words, "m.room.message", content).await
            }
            "react" => {
                let key = &words["key"];
                let relation = json!({ "rel_type": "m.annotation", "event_id": words["event"], "key": key });
                self.send(words, "m.reaction", json!({ "m.relates_to": relation })).await
            }
            "edit" => {
                let mut content = message(&format!("* {body}"));
                content["m.new_content"] = message(&body);
                content["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": words["event"] });
                self.send(words, "m.room.message", content).await
            }
            "typing" => {
                let path = format!("/rooms/{room}/typing/{}", escape(&self.user));
                http.json(Method::PUT, &path, json!({ "typing": words["on"], "timeout": 30_000 })).await
            }
            "receipt" => http.post(&format!("/rooms/{room}/receipt/m.read/{event}"), none()).await,
            "room_keys" => Ok(json!({ "keys": self.device.lock().room_keys() })),
            "download" => loaded(http.media(&text(words, "mxc"), "download").await?),
            "download_encrypted" => {
                let (_, data) = http.media(&text(&words["file"], "url"), "download").await?;
                let data = attachment::decrypt(data.into(), &words["file"])?;
                Ok(json!({ "data": STANDARD.encode(data) }))
            }
            "thumbnail" => {
                let (width, height) = (&words["width"], &words["height"]);
                let kind = format!("thumbnail?width={width}&height={height}&method=scale");
                loaded(http.media(&text(words, "mxc"), &kind).await?)
            }
            other => Err(Refusal::own(format!("there is no command {other}"))),
        }
    }

    async fn begin(&mut self, words: &Value, path: &str, mut body: Value) -> Result<Value, Refusal> {
        self.http.server = text(words, "server");
        body["initial_device_display_name"] = words["device_name"].clone();
        let session = self.http.post(path, body).await?;
        self.user = text(&session, "user_id");
        self.http.token = Some(text(&session, "access_token"));
        *self.device.lock() = Device::new(self.user.clone(), text(&session, "device_id"));
        Ok(
            json!({ "user": session["user_id"], "device": session["device_id"], "token": session["access_token"] }),
        )
    }

    fn is_encrypted(&self, room: &str) -> bool {
        self.heard.borrow().rooms.get(room).is_some_and(|state| state["encrypted"] == true)
    }

    /// Sends to the room that a command names. It is encrypted if the room is, except for reactions.
    async fn send(&mut self, words: &Value, kind: &str, content: Value) -> Result<Value, Refusal> {
        let room = text(words, "room");
        let (kind, content) = if self.is_encrypted(&room) && kind != "m.reaction" {
            ("m.room.encrypted", sealing::seal(&self.http, &self.device, &room, (kind, content)).await?)
        } else {
            (kind, content)
        };
        self.transactions += 1;
        let path = format!("/rooms/{}/send/{kind}/{}", escape(&room), self.transactions);
        Ok(self.http.json(Method::PUT, &path, content).await?["event_id"].take())
    }

    async fn send_picture(&mut self, words: &Value) -> Result<Value, Refusal> {
        let data = STANDARD.decode(text(words, "data")).map_err(Refusal::own)?;
        let info = json!({
            "mimetype": words["mimetype"], "size": data.len(), "w": words["width"], "h": words["height"],
        });
        let mut content = json!({ "msgtype": "m.image", "body": words["name"], "info": info });
        if self.is_encrypted(&text(words, "room")) {
            let (data, mut file) = attachment::encrypt(data);
            file["url"] = self.upload("?", "application/octet-stream", data).await?;
            content["file"] = file;
        } else {
            let query = format!("?filename={}", part(words, "name"));
            content["url"] = self.upload(&query, &text(words, "mimetype"), data).await?;
        }
        self.send(words, "m.room.message", content).await
    }

    /// Uploads data, and returns their address.
    async fn upload(&self, query: &str, mimetype: &str, data: Vec<u8>) -> Result<Value, Refusal> {
        let path = format!("/_matrix/media/v3/upload{query}");
        let (_, answer) = self.http.send(Method::POST, &path, mimetype, data).await?;
        let mut answer: Value = serde_json::from_slice(&answer).map_err(Refusal::own)?;
        Ok(answer["content_uri"].take())
    }

    /// Gives the server the device's keys. Then it tells of everything there is already, and from then on of
    /// what is new.
    async fn start(&mut self) -> Result<Value, Refusal> {
        let keys = self.device.lock().upload();
        self.http.post("/keys/upload", keys).await?;
        let mut rooms = Rooms::new(self.user.clone(), self.device.clone());
        let first = self.http.sync(None).await?;
        rooms.take_in(&first, &self.heard);
        let (http, heard) = (self.http.clone(), self.heard.clone());
        let mut since = text(&first, "next_batch");
        self.syncing = Some(tokio::spawn(async move {
            loop {
                match http.sync(Some(&since)).await {
                    Ok(answer) => {
                        rooms.take_in(&answer, &heard);
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

fn loaded((mimetype, data): (String, bytes::Bytes)) -> Result<Value, Refusal> {
    Ok(json!({ "data": STANDARD.encode(data), "mimetype": mimetype }))
}
