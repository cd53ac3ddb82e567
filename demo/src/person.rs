//! Somebody with an account on one platform, and the client through which they do and see everything.

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::watch::{self, Ref};

use super::{
    browser::{Browser, NewAccount},
    client::BuiltIn,
    heard::{Heard, Vain, is_readable, wait},
    library::{Driver, Libraries, Library},
    outbox::Outbox,
};
use crate::Failure;

/// How long anything may take to arrive.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// The password of everybody who has one: these accounts are for trying out, on this machine only.
pub(crate) const PASSWORD: &str = "open-the-linkspan";

/// Why a command was not done.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The `errcode` of the server's answer. It is empty if the client itself gave up.
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refusal {
    /// A refusal that comes from the client and not from the server.
    pub(crate) fn own(why: impl fmt::Display) -> Self {
        Self { code: String::new(), message: why.to_string() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.message)
    }
}

/// Whom the demo is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Role {
    /// What they are called in headings.
    pub(crate) name: &'static str,
    /// What they call themselves.
    pub(crate) display_name: &'static str,
    /// What their platform knows them by.
    pub(crate) known_by: KnownBy,
    /// Their platform, as a place in the list of platforms.
    pub(crate) platform: usize,
    /// The library that they use if it is installed.
    pub(crate) library: Library,
}

/// What a platform knows somebody by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KnownBy {
    /// A handle, without `@`.
    Handle(&'static str),
    /// An e-mail address, and a user name.
    Email(&'static str, &'static str),
    /// A phone number in E.164. The user id says nothing about anybody.
    Number(&'static str),
}

impl KnownBy {
    /// As people say it.
    pub(crate) fn said(self) -> String {
        match self {
            Self::Handle(handle) => format!("@{handle}"),
            Self::Email(address, _) => address.to_owned(),
            Self::Number(number) => number.to_owned(),
        }
    }
}

impl KnownBy {
    /// As somebody types it who logs in.
    pub(crate) fn typed(self) -> &'static str {
        match self {
            Self::Handle(text) | Self::Email(text, _) | Self::Number(text) => text,
        }
    }
}

impl Role {
    /// What is kept for them is named so.
    pub(crate) fn file_name(&self) -> String {
        self.name.to_lowercase()
    }
}

enum Client {
    Library(Driver),
    BuiltIn(Box<BuiltIn>),
}

/// A person with a client that listens.
pub(crate) struct Person {
    pub(crate) role: Role,
    pub(crate) library: Library,
    /// The user id.
    pub(crate) id: String,
    /// The access token.
    pub(crate) token: String,
    /// The id of the device.
    device: String,
    client: Client,
    heard: Arc<watch::Sender<Heard>>,
    /// The folder in which a library keeps the keys of the device. It is removed after the library has ended.
    store: Option<Store>,
}

/// A folder for the keys of a device, which is there for as long as the session is.
struct Store(PathBuf);

impl Person {
    /// Logs in, or registers if there is no such account, and listens. It is a new device each time: sessions
    /// end with the conversation, and the keys of their devices with them.
    pub(crate) async fn arrive(
        role: Role,
        server: String,
        libraries: &Libraries,
        outbox: &Outbox,
        folder: &Path,
    ) -> Result<Self, Failure> {
        if role.library != Library::BuiltIn {
            let path = folder.join(format!("{}.log", role.file_name()));
            let log = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let heard = Arc::new(watch::Sender::default());
            if let Some(driver) = libraries.start(role.library, log, heard.clone()) {
                let store = Some(Store::new(folder.join("devices").join(role.file_name()))?);
                let client = Client::Library(driver);
                let person = Self::begin((role, role.library), client, heard, (&server, outbox), store).await;
                match person {
                    // The library does not work here; what it said of that is in its log.
                    Err(Beginning::Dead) => {}
                    Err(Beginning::Failed(failure)) => return Err(failure),
                    Ok(person) => return Ok(person),
                }
            }
        }
        let heard = Arc::new(watch::Sender::default());
        let client = Client::BuiltIn(Box::new(BuiltIn::new(heard.clone())));
        match Self::begin((role, Library::BuiltIn), client, heard, (&server, outbox), None).await {
            Ok(person) => Ok(person),
            Err(Beginning::Dead) => Err(format!("{}'s client has ended", role.name).into()),
            Err(Beginning::Failed(failure)) => Err(failure),
        }
    }

    async fn begin(
        (role, library): (Role, Library),
        client: Client,
        heard: Arc<watch::Sender<Heard>>,
        (server, outbox): (&str, &Outbox),
        store: Option<Store>,
    ) -> Result<Self, Beginning> {
        let (id, token, device) = Default::default();
        let mut person = Self { role, library, id, token, device, client, heard, store };
        let session = person.sign_in(server, outbox).await?;
        let text = |key: &str| session[key].as_str().unwrap_or_default().to_owned();
        (person.id, person.token, person.device) = (text("user"), text("token"), text("device"));
        // Who has no name has no profile either, for some clients.
        let profile = person.command("get_profile", &json!({ "user": person.id })).await;
        if !profile.is_ok_and(|profile| profile["name"] == role.display_name) {
            person.does("set_display_name", json!({ "name": role.display_name })).await?;
        }
        person.does("start", json!({})).await?;
        Ok(person)
    }

    async fn sign_in(&mut self, server: &str, outbox: &Outbox) -> Result<Value, Beginning> {
        let mut words = json!({
            "server": server, "encrypted": true, "store": self.store.as_ref().map(|store| &store.0),
            "device_name": "The demo's",
        });
        let mut how = "login";
        match self.role.known_by {
            KnownBy::Handle(handle) => {
                how = "register";
                words["username"] = json!(handle);
                words["password"] = json!(PASSWORD);
            }
            KnownBy::Email(email, username) => {
                let new = NewAccount { email, username, name: self.role.display_name, password: PASSWORD };
                words["token"] = Browser::new(server)?.log_in_by_email(&new, outbox).await?.into();
            }
            KnownBy::Number(number) => {
                let name = self.role.display_name;
                words["token"] = Browser::new(server)?.log_in_by_number(number, name, outbox).await?.into();
            }
        }
        let mut session = self.command(how, &words).await;
        if session.as_ref().is_err_and(|refusal| refusal.code == "M_USER_IN_USE") {
            how = "login";
            session = self.command(how, &words).await;
        }
        session.map_err(|refusal| {
            let failure = self.could_not(how, &refusal);
            if refusal.code.is_empty() && self.library != Library::BuiltIn {
                tracing::warn!("{failure}");
                return Beginning::Dead;
            }
            Beginning::Failed(failure)
        })
    }

    async fn command(&mut self, name: &str, words: &Value) -> Result<Value, Refusal> {
        match &mut self.client {
            Client::Library(driver) => driver.command(name, words).await,
            Client::BuiltIn(client) => client.command(name, words).await,
        }
    }

    /// Does something that has to work.
    pub(crate) async fn does(&mut self, name: &str, words: Value) -> Result<Value, Failure> {
        self.command(name, &words).await.map_err(|refusal| self.could_not(name, &refusal))
    }

    /// Does something whose answer is an id.
    pub(crate) async fn gets(&mut self, name: &str, words: Value) -> Result<String, Failure> {
        let answer = self.does(name, words).await?;
        let id = answer.as_str().map(ToOwned::to_owned);
        id.ok_or_else(|| self.could_not(name, &Refusal::own(format!("the answer was {answer}"))))
    }

    fn could_not(&self, name: &str, refusal: &Refusal) -> Failure {
        format!("{} ({}) could not {name}: {refusal}", self.role.name, self.library.name()).into()
    }

    /// What their client has told until now.
    pub(crate) fn heard(&self) -> Ref<'_, Heard> {
        self.heard.borrow()
    }

    /// What is told by their client from now on, and what was.
    pub(crate) fn listening(&self) -> &watch::Sender<Heard> {
        &self.heard
    }

    /// The time at which the client told of `sign`, the first `from` things that it told left out; None if it
    /// does not within [`PATIENCE`].
    pub(crate) async fn sees(&self, from: usize, sign: &Sign) -> Option<Instant> {
        let find = |heard: &Heard| {
            let new = heard.said.get(from..).unwrap_or_default();
            new.iter().find(|said| sign.is_in(&said.line)).map(|said| said.at)
        };
        match wait(&self.heard, PATIENCE, find).await {
            Ok(at) => Some(at),
            Err(Vain::Late) => None,
            Err(Vain::Over(why)) => {
                tracing::warn!("{}'s client has ended: {why}", self.role.name);
                None
            }
        }
    }

    /// Waits until the client would encrypt for somebody's device, too, and returns whether it does. A client
    /// that does not follow their devices yet asks for them when it has something to encrypt.
    pub(crate) async fn knows_device(&self, of: &Self) -> bool {
        let knows = |heard: &Heard| match heard.devices(&of.id) {
            Some(devices) => devices.contains(&json!(of.device)).then_some(()),
            None => Some(()),
        };
        wait(&self.heard, PATIENCE, knows).await.is_ok()
    }

    /// Waits until everything is decrypted that came encrypted after the first `from` things that the client
    /// told. If that takes too long, it returns an event that is not.
    pub(crate) async fn stays_closed(&self, from: usize) -> Option<String> {
        let opened = |heard: &Heard| heard.closed(from).is_none().then_some(());
        let _ = wait(&self.heard, PATIENCE, opened).await;
        self.heard.borrow().closed(from)
    }

    /// Logs out, and forgets the keys of the device: the server has forgotten it, too.
    pub(crate) async fn leave(mut self) {
        if let Err(refusal) = self.command("logout", &json!({})).await {
            tracing::debug!(%refusal, "{} could not log out", self.role.name);
        }
    }
}

impl Store {
    /// Makes the folder, and empties it: what a demo that was killed has left there is of no use any more.
    fn new(path: PathBuf) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error).into()),
            _ => std::fs::create_dir_all(&path).map_err(failed)?,
        }
        Ok(Self(path))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Why somebody did not arrive.
enum Beginning {
    /// The library ended before it did anything.
    Dead,
    Failed(Failure),
}

impl From<Failure> for Beginning {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Something that a client tells of.
#[derive(Clone, Debug)]
pub(crate) enum Sign {
    /// An invitation to a room.
    Invitation { room: String },
    /// All of these people have joined the room.
    Members { room: String, users: Vec<String> },
    /// An event that can be read.
    Event { room: String, id: String },
    /// Somebody types in the room.
    Typing { room: String, user: String },
    /// Somebody has read as far as an event.
    Receipt { room: String, id: String, user: String },
}

impl Sign {
    fn room(&self) -> &str {
        match self {
            Self::Invitation { room }
            | Self::Members { room, .. }
            | Self::Event { room, .. }
            | Self::Typing { room, .. }
            | Self::Receipt { room, .. } => room,
        }
    }

    /// Whether a client tells of it in this line.
    fn is_in(&self, line: &Value) -> bool {
        if line["room"] != self.room() {
            return false;
        }
        let state = &line["state"];
        match self {
            Self::Invitation { .. } => state["membership"] == "invite",
            Self::Members { users, .. } => {
                users.iter().all(|user| state["members"][user]["membership"] == "join")
            }
            Self::Event { id, .. } => line["item"]["event_id"] == *id && is_readable(line),
            Self::Typing { user, .. } => {
                state["typing"].as_array().is_some_and(|all| all.contains(&json!(user)))
            }
            Self::Receipt { id, user, .. } => {
                line["event"] == "receipt" && line["id"] == *id && line["user"] == *user
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_recognised_in_what_clients_tell() {
        let (room, user, id) = ("!a".to_owned(), "@b:c".to_owned(), "$d".to_owned());
        let receipt = Sign::Receipt { room: room.clone(), id, user: user.clone() };
        let line = json!({ "event": "receipt", "room": "!a", "id": "$d", "user": "@b:c", "kind": "m.read" });
        assert!(receipt.is_in(&line));
        let members = Sign::Members { room: room.clone(), users: vec![user.clone()] };
        let state = |membership| json!({ "members": { "@b:c": { "membership": membership } }, "typing": [] });
        let told = |room, state: Value| json!({ "event": "room", "room": room, "state": state });
        assert!(members.is_in(&told("!a", state("join"))));
        assert!(!members.is_in(&told("!a", state("invite"))));
        assert!(!members.is_in(&told("!other", state("join"))));
        let event = Sign::Event { room: room.clone(), id: "$d".to_owned() };
        let mut line = json!({ "event": "timeline", "room": "!a", "item": { "event_id": "$d" } });
        assert!(event.is_in(&line));
        line["encryption"] = json!({ "session": "s", "undecryptable": "no session" });
        assert!(!event.is_in(&line), "nobody can read it");
        assert!(!Sign::Typing { room, user }.is_in(&told("!a", state("join"))));
    }
}
