//! Three platforms in this process, over a store in memory, and clients of their users.

use std::{
    marker::PhantomData,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use linkspan_accounts::{Attempt, Courier, Mail, Message, Sending, Sms};
use linkspan_media::{Media, MediaStore};
use linkspan_platforms::{Encryption, Platform, Platforms, Settings};
use linkspan_push::{Clock, Push, PushSettings};
use linkspan_storage::{
    Memory, Range, Store, Table, TableId, WriteSet,
    catalogue::{Meta, MetaKey},
};
use linkspan_web::Web;
use linkspan_wire::{Api, App, ClientAddress, FromControlSocket, Services, now_ts};
use ruma::{ServerName, api::client::uiaa::AuthData};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::web_app::APP;

/// The hosted platforms: their server names.
pub(crate) const INSTAGRAM: &str = "instagram.localhost";
pub(crate) const MESSENGER: &str = "messenger.localhost";
pub(crate) const WHATSAPP: &str = "whatsapp.localhost";

/// What takes longer fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The password of everybody.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// A table with values that are none of it.
struct Damaged<T>(PhantomData<T>);

impl<T: Table> Table for Damaged<T> {
    type Key = T::Key;
    type Value = ();
    const ID: TableId = T::ID;
    const NAME: &'static str = T::NAME;
    const OWNER: &'static str = T::OWNER;
}

/// The whole server.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) app: App,
    pub(crate) mails: Arc<Kept<Mail>>,
    pub(crate) sms: Arc<Kept<Sms>>,
    pub(crate) store: Store,
    pub(crate) api: Arc<Api>,
}

/// Messages that are kept instead of being sent.
pub(crate) struct Kept<M> {
    sent: Mutex<Vec<M>>,
    news: Notify,
}

impl<M> Default for Kept<M> {
    fn default() -> Self {
        Self { sent: Mutex::default(), news: Notify::new() }
    }
}

impl<M: Clone> Kept<M> {
    fn keep(&self, message: M) {
        self.sent.lock().expect("nobody panicked").push(message);
        self.news.notify_one();
    }

    /// The message with this number, from 0, once it was sent.
    pub(crate) async fn nth(&self, number: usize) -> M {
        loop {
            let news = self.news.notified();
            if let Some(message) = self.sent.lock().expect("nobody panicked").get(number) {
                return message.clone();
            }
            tokio::time::timeout(PATIENCE, news).await.expect("a message comes");
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.sent.lock().expect("nobody panicked").len()
    }
}

/// Keeps what the server sends.
#[derive(Clone, Default)]
struct Post {
    mails: Arc<Kept<Mail>>,
    sms: Arc<Kept<Sms>>,
}

impl Courier for Post {
    fn send<'a>(&'a self, _: &'a ServerName, message: Message) -> Sending<'a> {
        match message {
            Message::Mail(mail) => self.mails.keep(mail),
            Message::Sms(sms) => self.sms.keep(sms),
        }
        Box::pin(async { Ok(()) })
    }
}

/// A logged-in client of a user.
#[derive(Clone)]
pub(crate) struct Client {
    network: Network,
    platform: &'static str,
    pub(crate) token: String,
    pub(crate) user_id: String,
    pub(crate) device_id: String,
    transactions: Arc<AtomicUsize>,
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) json: Value,
}

impl Network {
    pub(crate) async fn open() -> Self {
        Self::open_with("").await
    }

    /// `more`: further settings of one platform.
    pub(crate) async fn with_settings_of(platform: &str, more: &str) -> Self {
        let more = |name| if name == platform { more } else { "" };
        Self::over(
            new_store(),
            [INSTAGRAM, MESSENGER, WHATSAPP].map(|name| settings(name, more(name))).to_vec(),
            true,
        )
        .await
    }

    /// `more`: further settings of each platform.
    pub(crate) async fn open_with(more: &str) -> Self {
        Self::over(new_store(), all_settings(more), true).await
    }

    /// Does the same, but the machine's own network is out of reach, as it is on real servers.
    pub(crate) async fn open_closed(more: &str) -> Self {
        Self::over(new_store(), all_settings(more), false).await
    }

    /// Over a store that the test may crash.
    pub(crate) async fn over_memory(memory: &Arc<Memory>) -> Self {
        Self::over_memory_with(memory, "").await
    }

    /// The same with another clock than the machine's for what services read. Requests come at the machine's time.
    pub(crate) async fn over_memory_at(memory: &Arc<Memory>, clock: fn() -> u64) -> Self {
        Self::over_at(Store::in_memory(memory.clone()), all_settings(""), true, clock).await
    }

    /// The same with further settings of each platform.
    pub(crate) async fn over_memory_with(memory: &Arc<Memory>, more: &str) -> Self {
        Self::over(Store::in_memory(memory.clone()), all_settings(more), true).await
    }

    /// With what each platform demands of encryption.
    pub(crate) async fn with_rules(rule: impl Fn(&str) -> Encryption) -> Self {
        Self::changed(|one| one.encryption = rule(one.server_name.as_str())).await
    }

    /// With the settings of each platform changed.
    pub(crate) async fn changed(change: impl Fn(&mut Settings)) -> Self {
        let mut settings = all_settings("");
        settings.iter_mut().for_each(change);
        Self::over(new_store(), settings, true).await
    }

    /// With rate limits on each platform; `limits`: those that differ from what they are by themselves.
    pub(crate) async fn with_limits(limits: &str) -> Self {
        let mut settings = all_settings(&format!("[limits]\n{limits}"));
        settings.iter_mut().for_each(|one| one.rate_limits = true);
        Self::over(new_store(), settings, true).await
    }

    /// A server started anew over the same store, whose platforms demand something else of encryption.
    pub(crate) async fn reopen_with_rules(&self, rule: impl Fn(&str) -> Encryption) -> Self {
        self.reopen_changed(|one| one.encryption = rule(one.server_name.as_str())).await
    }

    /// A server started anew over the same store.
    pub(crate) async fn reopen(&self) -> Self {
        self.reopen_changed(|_| ()).await
    }

    /// A server started anew over the same store, which hosts a platform no more.
    pub(crate) async fn reopen_without(&self, platform: &str) -> Self {
        let hosted = self.app.platforms.iter().filter(|hosted| hosted.server_name() != platform);
        let settings = hosted.map(|platform| platform.settings.clone()).collect();
        Self::over(self.store.clone(), settings, true).await
    }

    /// A server started anew over the same store, with the settings of each platform changed.
    pub(crate) async fn reopen_changed(&self, change: impl Fn(&mut Settings)) -> Self {
        let settings = self.app.platforms.iter().map(|platform| platform.settings.clone());
        let mut settings: Vec<_> = settings.collect();
        settings.iter_mut().for_each(change);
        Self::over(self.store.clone(), settings, true).await
    }

    /// Waits until everything that is queued to be written is on disk.
    pub(crate) async fn flush(&self) {
        self.store.submit(WriteSet::new()).committed().await.expect("it is written");
    }

    /// What somebody of a platform gives to prove who it is.
    pub(crate) fn attempt<'a>(platform: &'a Platform, auth: Option<&'a AuthData>) -> Attempt<'a> {
        Attempt { auth, platform, address: [127, 0, 0, 1].into() }
    }

    /// A platform as it is now.
    pub(crate) fn platform(&self, platform: &str) -> Arc<Platform> {
        let name: &ServerName = platform.try_into().expect("a server name");
        self.app.platforms.get(name).expect("it is hosted")
    }

    /// Puts something in the place of a row that is none of its table.
    pub(crate) async fn damage<T: Table>(&self, key: &T::Key) {
        let mut writes = WriteSet::new();
        writes.put::<Damaged<T>>(key, &());
        self.store.commit(writes).await.expect("it is written");
    }

    /// How many rows a table has, once everything that is queued is on disk.
    pub(crate) async fn rows<T: Table>(&self) -> usize {
        self.flush().await;
        self.store.keys(Range::<T>::all()).await.expect("it is read").len()
    }

    /// The only row of a table.
    pub(crate) async fn only_row<T: Table>(&self) -> (T::Key, T::Value) {
        let mut rows = self.store.range(Range::<T>::all()).await.expect("it is read");
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    }

    /// The number of a commit that is newer than all before.
    pub(crate) async fn newest_commit(&self) -> u64 {
        let mut writes = WriteSet::new();
        // There is no such row.
        writes.delete::<Meta>(&MetaKey { item: u8::MAX });
        self.store.commit(writes).await.expect("it is written").sequence()
    }

    async fn over(store: Store, settings: Vec<Settings>, preview_private: bool) -> Self {
        Self::over_at(store, settings, preview_private, now_ts).await
    }

    async fn over_at(
        store: Store,
        settings: Vec<Settings>,
        preview_private: bool,
        clock: fn() -> u64,
    ) -> Self {
        Self::assemble(store, settings, MediaStore::in_memory(), preview_private, clock, None).await
    }

    /// With media in a place that the test may reach.
    pub(crate) async fn with_media_in(objects: MediaStore) -> Self {
        Self::assemble(new_store(), all_settings(""), objects, true, now_ts, None).await
    }

    /// A server that calls push services of this machine, and has this clock for them.
    pub(crate) async fn pushing(clock: Clock) -> Self {
        let soon = Duration::from_millis(1);
        let settings = PushSettings {
            allow_private_gateways: true,
            first_retry: soon,
            badge_delay: soon,
            ..PushSettings::new(clock)
        };
        let objects = MediaStore::in_memory();
        Self::assemble(new_store(), all_settings(""), objects, true, now_ts, Some(settings)).await
    }

    async fn assemble(
        store: Store,
        settings: Vec<Settings>,
        objects: MediaStore,
        preview_private: bool,
        clock: fn() -> u64,
        push: Option<PushSettings>,
    ) -> Self {
        let platforms = Arc::new(Platforms::open(&store, settings, now_ts()).await.expect("platforms open"));
        let media = Media::new_with(store.clone(), platforms.clone(), objects, preview_private);
        let (post, feed) = (Post::default(), store.follow());
        let services = Services::over(&store, platforms, media, Arc::new(post.clone()), clock);
        let mut services = services.await.expect("the services open");
        if let Some(settings) = push {
            let (platforms, accounts) = (services.platforms.clone(), services.accounts.clone());
            let push = Push::open(store.clone(), platforms, accounts, services.rooms.clone(), settings).await;
            services.push = push.expect("push opens");
            tokio::spawn(services.push.clone().follow(store.follow()));
        }
        tokio::spawn(services.inbox.clone().follow(feed));
        tokio::spawn(services.rooms.clone().send_delayed_events(now_ts));
        tokio::spawn(services.rooms.clone().keep_guests_out(now_ts));
        tokio::spawn(services.rooms.clone().bring_invitations(now_ts));
        tokio::spawn(services.rooms.clone().keep_deleting_rooms(now_ts));
        tokio::spawn(services.rooms.clone().keep_sending_notices(now_ts));
        let app = App::from(services);
        let api = Arc::new(Api::new(
            app.clone(),
            [
                linkspan_client_api::endpoints(),
                linkspan_own_api::endpoints(),
                linkspan_admin_api::endpoints(),
                linkspan_admin_api::synapse_endpoints(),
                linkspan_identity_api::endpoints(),
            ],
            linkspan_pages::router(app.clone(), Web::new(APP)),
        ));
        Self { mails: post.mails, sms: post.sms, api, store, app }
    }

    /// Registers a user.
    pub(crate) async fn register(&self, platform: &'static str, name: &str) -> Client {
        let body = json!({
            "username": name,
            "password": PASSWORD,
            "auth": { "type": "m.login.dummy" },
        });
        let session = self.call(platform, None, Method::POST, "/v3/register", Some(body)).await.ok();
        self.client(platform, &session)
    }

    /// Lets a guest in.
    pub(crate) async fn guest(&self, platform: &'static str) -> Client {
        self.client(platform, &self.try_guest(platform, json!({})).await.ok())
    }

    pub(crate) async fn try_guest(&self, platform: &str, body: Value) -> Answer {
        self.call(platform, None, Method::POST, "/v3/register?kind=guest", Some(body)).await
    }

    /// Makes an administrator, as an operator does, and logs in.
    pub(crate) async fn administrator(&self, platform: &'static str, name: &str) -> Client {
        let server_name = platform.try_into().expect("a server name");
        let made = self.app.accounts.create_account(&server_name, name, PASSWORD.to_owned(), true, now_ts());
        let user_id = made.await.expect("it is made").to_string();
        let client = self.client(platform, &json!({ "user_id": user_id }));
        client.another_device().await
    }

    pub(crate) fn client(&self, platform: &'static str, session: &Value) -> Client {
        Client {
            network: self.clone(),
            platform,
            token: text(&session["access_token"]),
            user_id: text(&session["user_id"]),
            device_id: text(&session["device_id"]),
            transactions: Arc::default(),
        }
    }

    /// Calls a path, which is under `/_matrix/client` unless it is one of the others, as `/_matrix/media`.
    pub(crate) async fn call(
        &self,
        platform: &str,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let body = body.map_or_else(String::new, |body| body.to_string());
        self.call_with(platform, token, method, path, body).await
    }

    /// The same with a body as it is sent.
    pub(crate) async fn call_with(
        &self,
        platform: &str,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: impl Into<Body>,
    ) -> Answer {
        self.answer(request(platform, token, method, path, body), path).await
    }

    /// The same from an address.
    pub(crate) async fn call_from(
        &self,
        address: [u8; 4],
        platform: &str,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Value,
    ) -> Answer {
        let mut request = request(platform, token, method, path, body.to_string());
        request.extensions_mut().insert(ClientAddress(address.into()));
        self.answer(request, path).await
    }

    /// Calls a path as the operator of the whole back-end, who comes by the control socket.
    pub(crate) async fn operate(&self, platform: &str, method: Method, path: &str, body: Value) -> Answer {
        let body = if method == Method::GET { String::new() } else { body.to_string() };
        let mut request = request(platform, None, method, path, body);
        request.extensions_mut().insert(FromControlSocket);
        self.answer(request, path).await
    }

    async fn answer(&self, request: Request<Body>, path: &str) -> Answer {
        let (status, body) = self.send(request).await;
        let json = serde_json::from_slice(&body)
            .unwrap_or_else(|_| panic!("{path} did not answer with JSON: {body:?}"));
        Answer { status, json }
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Bytes) {
        let (head, body) = self.send_whole(request).await;
        (head.status, body)
    }

    pub(crate) async fn send_whole(&self, request: Request<Body>) -> (http::response::Parts, Bytes) {
        let (head, body) = self.api.answer(request).await.into_parts();
        (head, body.collect().await.expect("the body arrives").to_bytes())
    }

    /// Calls a path and gives all that comes back as one text: status, headers and body.
    pub(crate) async fn transcript(
        &self,
        platform: &str,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: String,
    ) -> String {
        let (head, body) = self.send_whole(request(platform, token, method, path, body)).await;
        format!("{} {:?}\n{}", head.status, head.headers, String::from_utf8_lossy(&body))
    }

    /// What a browser is shown at an address.
    pub(crate) async fn browse(&self, method: Method, url: &str) -> (StatusCode, String) {
        let host = url.split('/').nth(2).expect("a host");
        let request = Request::builder().method(method).uri(url).header(header::HOST, host);
        let request = request.body(Body::empty()).expect("the request is well formed");
        let (status, body) = self.send(request).await;
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}

impl Client {
    /// The same client, which talks to another server.
    pub(crate) fn on(&self, network: &Network) -> Client {
        Client { network: network.clone(), ..self.clone() }
    }

    /// Another device of the same user.
    pub(crate) async fn another_device(&self) -> Client {
        self.network.client(self.platform, &self.try_log_in().await.ok())
    }

    /// A device of the same user with a certain id, which is logged in anew.
    pub(crate) async fn device(&self, device_id: &str) -> Client {
        self.network.client(self.platform, &self.try_log_in_as(Some(device_id)).await.ok())
    }

    /// Tries to log the user in on a new device.
    pub(crate) async fn try_log_in(&self) -> Answer {
        self.try_log_in_as(None).await
    }

    /// Tries to log the user in on the device of an id.
    pub(crate) async fn try_log_in_as(&self, device_id: Option<&str>) -> Answer {
        let body = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": self.user_id },
            "password": PASSWORD,
            "device_id": device_id,
        });
        self.network.call(self.platform, None, Method::POST, "/v3/login", Some(body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.network.call(self.platform, Some(&self.token), Method::GET, path, None).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.network.call(self.platform, Some(&self.token), Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.network.call(self.platform, Some(&self.token), Method::POST, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.network.call(self.platform, Some(&self.token), Method::DELETE, path, None).await
    }

    /// Calls a path, and takes nothing of the answer's body yet.
    pub(crate) async fn begin_call(&self, method: Method, path: &str) -> Response {
        self.network.api.answer(request(self.platform, Some(&self.token), method, path, "")).await
    }

    /// Calls a path and gives the answer as it came: its status and its bytes.
    pub(crate) async fn call_raw(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Body>,
    ) -> (StatusCode, Bytes) {
        self.network.send(request(self.platform, Some(&self.token), method, path, body)).await
    }

    /// Creates a room; returns its id.
    pub(crate) async fn create_room(&self, body: Value) -> String {
        text(&self.post("/v3/createRoom", body).await.ok()["room_id"])
    }

    pub(crate) async fn join(&self, room: &str) -> Answer {
        self.post(&format!("/v3/join/{}", encoded(room)), json!({})).await
    }

    pub(crate) async fn invite(&self, room: &str, user: &Client) -> Answer {
        self.post(&format!("/v3/rooms/{room}/invite"), json!({ "user_id": user.user_id })).await
    }

    pub(crate) async fn leave(&self, room: &str) -> Answer {
        self.post(&format!("/v3/rooms/{room}/leave"), json!({})).await
    }

    /// Sends an event; returns its id.
    pub(crate) async fn send(&self, room: &str, event_type: &str, content: Value) -> String {
        text(&self.try_send(room, event_type, content).await.ok()["event_id"])
    }

    pub(crate) async fn try_send(&self, room: &str, event_type: &str, content: Value) -> Answer {
        let txn_id = self.next_transaction();
        self.put(&format!("/v3/rooms/{room}/send/{event_type}/{txn_id}"), content).await
    }

    pub(crate) fn next_transaction(&self) -> usize {
        self.transactions.fetch_add(1, Ordering::Relaxed)
    }

    /// Says something; returns the event's id.
    pub(crate) async fn say(&self, room: &str, words: &str) -> String {
        self.send(room, "m.room.message", json!({ "msgtype": "m.text", "body": words })).await
    }

    pub(crate) async fn set_state(&self, room: &str, event_type: &str, content: Value) -> Answer {
        self.put(&format!("/v3/rooms/{room}/state/{event_type}"), content).await
    }

    /// What was said in a room, newest first, as far as the user may see it.
    pub(crate) async fn heard(&self, room: &str) -> Vec<String> {
        let page = self.get(&format!("/v3/rooms/{room}/messages?dir=b&limit=100")).await.ok();
        bodies(&page["chunk"])
    }
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.json);
        self.json
    }

    /// Asserts that a rule on encryption was broken: which, and what the words name.
    #[track_caller]
    pub(crate) fn breaks(self, rule: &str, named: &[&str]) {
        assert_eq!(text(&self.json["org.linkspan.rule"]), rule, "{}", self.json);
        let words = text(&self.json["error"]);
        for name in named {
            assert!(words.contains(name), "{words:?} does not name {name}");
        }
        self.fails(403, "M_FORBIDDEN");
    }

    /// Asserts a failure: status and code.
    #[track_caller]
    pub(crate) fn fails(self, status: u16, code: &str) {
        let got = (self.status.as_u16(), text(&self.json["errcode"]));
        assert_eq!(got, (status, code.to_owned()), "{}", self.json);
    }
}

/// A request to a platform; the path is under `/_matrix/client` unless it is one of the others.
pub(crate) fn request(
    platform: &str,
    token: Option<&str>,
    method: Method,
    path: &str,
    body: impl Into<Body>,
) -> Request<Body> {
    let is_whole = ["/_matrix/", "/_synapse/", "/_linkspan/", "/.well-known/"]
        .iter()
        .any(|start| path.starts_with(start));
    let below = if is_whole { "" } else { "/_matrix/client" };
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://{platform}{below}{path}"))
        .header(header::HOST, platform);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(body.into()).expect("the request is well formed")
}

/// The bodies of the messages among events.
pub(crate) fn bodies(events: &Value) -> Vec<String> {
    list(events)
        .iter()
        .filter(|event| event["type"] == "m.room.message")
        .map(|event| text(&event["content"]["body"]))
        .collect()
}

/// A field of each entry of a list.
pub(crate) fn each(entries: &Value, field: &str) -> Vec<String> {
    list(entries).iter().map(|entry| text(&entry[field])).collect()
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Percent-encodes a part of a path or of a query.
pub(crate) fn encoded(part: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    part.bytes().map(encode).collect()
}

fn new_store() -> Store {
    Store::in_memory(Memory::new().expect("memory opens"))
}

fn all_settings(more: &str) -> Vec<Settings> {
    [INSTAGRAM, MESSENGER, WHATSAPP].map(|name| settings(name, more)).to_vec()
}

fn settings(server_name: &str, more: &str) -> Settings {
    let name = server_name.trim_end_matches(".localhost");
    let set = |key: &str, value: &str| match more.contains(&format!("{key} =")) {
        true => String::new(),
        false => format!("{key} = {value}\n"),
    };
    let usual = [set("rate_limits", "false"), set("verify", "false")].concat();
    let settings = format!(
        "name = '{name}'\nserver_name = '{server_name}'\nregistration = 'open'\npresence = {}\n{usual}{more}",
        server_name != WHATSAPP
    );
    toml::from_str(&settings).expect("the settings are well formed")
}

impl Client {
    /// Tries to say something where the user may not.
    pub(crate) async fn say_fails(&self, room: &str) {
        let said = self.try_send(room, "m.room.message", json!({ "msgtype": "m.text", "body": "?" })).await;
        said.fails(403, "M_FORBIDDEN");
    }
}
