//! A person who uses matrix-sdk. The program obeys commands on standard input, and tells on standard output
//! what the library sees.
//!
//! The commands and events are those of tests/clients/PROTOCOL.md. If the library has a method for something,
//! that method does it. Standard output is for the protocol alone.

mod commands;
mod decryption;
mod devices;
mod keys;
mod oauth;
mod seen;
mod session;
mod sliding;
mod sliding_events;
mod verification;

use std::{any::Any, io::Write};

use matrix_sdk::{
    Client, HttpError, Room,
    ruma::{
        OwnedDeviceId, OwnedEventId, OwnedMxcUri, OwnedRoomId, OwnedUserId, RoomId, api::error::ErrorKind,
    },
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Why a command was not obeyed.
struct Refused {
    /// The server's `errcode`. It is empty if the server did not refuse it.
    code: String,
    message: String,
}

impl Refused {
    fn new(message: impl Into<String>) -> Self {
        Self { code: String::new(), message: message.into() }
    }

    /// Says that the library has no such thing.
    fn unsupported(message: impl Into<String>) -> Self {
        Self { code: "unsupported".to_owned(), message: message.into() }
    }
}

impl<E: std::error::Error + 'static> From<E> for Refused {
    fn from(error: E) -> Self {
        let any: &dyn Any = &error;
        let kind: Option<&ErrorKind> = if let Some(error) = any.downcast_ref::<matrix_sdk::Error>() {
            error.client_api_error_kind()
        } else {
            any.downcast_ref::<HttpError>().and_then(HttpError::client_api_error_kind)
        };
        let code = kind.map(|kind| kind.errcode().to_string()).unwrap_or_default();
        Self { code, message: error.to_string() }
    }
}

/// A command, with its words.
struct Command(Value);

impl Command {
    fn text(&self, key: &str) -> Result<&str, Refused> {
        self.optional(key).ok_or_else(|| Refused::new(format!("`{key}` is missing")))
    }

    fn optional(&self, key: &str) -> Option<&str> {
        self.0[key].as_str()
    }

    fn owned(&self, key: &str) -> Option<String> {
        self.optional(key).map(ToOwned::to_owned)
    }

    fn yes(&self, key: &str) -> bool {
        self.0[key].as_bool() == Some(true)
    }

    fn number(&self, key: &str) -> u32 {
        self.0[key].as_u64().and_then(|number| number.try_into().ok()).unwrap_or_default()
    }

    fn event(&self, key: &str) -> Result<OwnedEventId, Refused> {
        Ok(self.text(key)?.try_into()?)
    }

    fn optional_event(&self, key: &str) -> Result<Option<OwnedEventId>, Refused> {
        Ok(self.optional(key).map(OwnedEventId::try_from).transpose()?)
    }

    fn user(&self) -> Result<OwnedUserId, Refused> {
        Ok(self.text("user")?.try_into()?)
    }

    fn users(&self, key: &str) -> Result<Vec<OwnedUserId>, Refused> {
        let users = self.0[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok(users.map(OwnedUserId::try_from).collect::<Result<_, _>>()?)
    }

    fn device(&self) -> Result<OwnedDeviceId, Refused> {
        Ok(self.text("device")?.into())
    }

    fn room_id(&self) -> Result<OwnedRoomId, Refused> {
        Ok(self.text("room")?.try_into()?)
    }

    fn mxc(&self) -> Result<OwnedMxcUri, Refused> {
        Ok(self.text("mxc")?.into())
    }

    fn room(&self, client: &Client) -> Result<Room, Refused> {
        let room = self.text("room")?;
        let id = <&RoomId>::try_from(room)?;
        client.get_room(id).ok_or_else(|| Refused::new(format!("the library does not know {room}")))
    }
}

fn write(line: &Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the test reads what is written");
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut person = session::Person::default();
    while let Some(line) = lines.next_line().await? {
        let command = Command(serde_json::from_str(&line)?);
        let id = command.0["id"].clone();
        let reply = match person.obey(&command).await {
            Ok(value) => json!({ "id": id, "ok": value }),
            Err(Refused { code, message }) => {
                json!({ "id": id, "error": { "code": code, "message": message } })
            }
        };
        write(&reply);
    }
    person.stop().await;
    Ok(())
}
