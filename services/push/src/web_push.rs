//! The client of push services: Web Push, RFC 8030.
//! <https://github.com/matrix-org/matrix-spec-proposals/pull/4174>
//!
//! Apps choose the push service. It learns when somebody is told something, and how urgent that is. What is said is
//! encrypted for the app.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use linkspan_outbound::Outbound;
use linkspan_platforms::Platform;
use reqwest::Url;
use ring::hmac;
use ruma::{OwnedRoomId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    gateway::{Details, GatewayError, Message, Reception},
    message_encryption::{AUTH_BYTES, KEY_BYTES, MAX_TEXT_BYTES, Subscription},
};

/// How long a push service keeps a message for a device that is off, in seconds, unless it disappears before.
const KEEP_SECONDS: u64 = 24 * 60 * 60;
/// The most bytes of a topic, before they are written in base64: RFC 8030, section 5.4.
const TOPIC_BYTES: usize = 24;

/// The data of a pusher of the kind `webpush`.
#[derive(Debug, Deserialize)]
pub(crate) struct WebPushData {
    pub(crate) url: String,
    auth: String,
    pub(crate) format: Option<String>,
}

impl WebPushData {
    /// What messages are encrypted with. None if there is something wrong with it.
    pub(crate) fn subscription(&self, pushkey: &str) -> Option<Subscription> {
        let key: [u8; KEY_BYTES] = URL_SAFE_NO_PAD.decode(pushkey).ok()?.try_into().ok()?;
        let auth: [u8; AUTH_BYTES] = URL_SAFE_NO_PAD.decode(&self.auth).ok()?.try_into().ok()?;
        Some(Subscription { key, auth })
    }
}

/// Where messages of a pusher go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) subscription: Subscription,
}

/// How urgent a message is: RFC 8030, section 5.3.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Urgency {
    Normal,
    High,
}

/// What an app is told.
pub(crate) struct Told<'a> {
    pub(crate) text: Vec<u8>,
    pub(crate) urgency: Urgency,
    /// The user whom it is told, and the room that it is about, or nothing if it is about all of the user's rooms. It takes
    /// the place of what is about the same and was not delivered yet. An app may have one subscription for several users.
    pub(crate) about: Option<(&'a UserId, &'a str)>,
    pub(crate) keep_seconds: u64,
}

#[derive(Serialize)]
struct Activation<'a> {
    app_id: &'a str,
    ack_token: &'a str,
}

/// What an app is told of events and of what is unread. What the specification has no name for has one of ours.
#[derive(Serialize)]
struct News<'a> {
    #[serde(flatten)]
    message: Message<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tweaks: Option<&'a Map<String, Value>>,
    #[serde(rename = "org.linkspan.user_id")]
    user_id: &'a UserId,
    #[serde(rename = "org.linkspan.unread_rooms", skip_serializing_if = "Option::is_none")]
    unread_rooms: Option<&'a [OwnedRoomId]>,
}

impl<'a> Told<'a> {
    /// The token by which an app shows that messages reach it.
    pub(crate) fn activation(app_id: &str, ack_token: &str, keep_seconds: u64) -> Self {
        let text = json(&Activation { app_id, ack_token });
        Self { text, urgency: Urgency::High, about: None, keep_seconds }
    }

    /// News for a user. What does not fit is left out: first what the event says, then all but ids. So is what an
    /// encrypted event says, which the app cannot read before it has fetched the keys.
    pub(crate) fn news(
        user_id: &'a UserId,
        message: &'a Message<'a>,
        tweaks: Option<&Map<String, Value>>,
        unread_rooms: Option<&[OwnedRoomId]>,
    ) -> Self {
        let text = |details, tweaks, unread_rooms| {
            json(&News { message: Message { details, ..*message }, tweaks, user_id, unread_rooms })
        };
        let silent = message.details.map(|details| Details { content: None, ..details.clone() });
        let readable = message.details.filter(|details| details.event_type != "m.room.encrypted");
        let all = text(readable.or(silent.as_ref()), tweaks, unread_rooms);
        let fitting = |text: &Vec<u8>| text.len() <= MAX_TEXT_BYTES;
        let text = Some(all)
            .filter(fitting)
            .or_else(|| Some(text(silent.as_ref(), tweaks, unread_rooms)).filter(fitting))
            .unwrap_or_else(|| text(None, None, None));
        let is_urgent = message.prio == Some("high");
        Self {
            text,
            urgency: if is_urgent { Urgency::High } else { Urgency::Normal },
            about: Some((user_id, message.room_id.map_or("", |room_id| room_id.as_str()))),
            keep_seconds: KEEP_SECONDS,
        }
    }

    /// The same for what disappears at a time: a push service keeps it for no longer.
    pub(crate) fn until(self, disappears_ts: Option<u64>, now_ts: u64) -> Self {
        let lasts_seconds = disappears_ts.map_or(u64::MAX, |ts| ts.saturating_sub(now_ts) / 1_000);
        Self { keep_seconds: self.keep_seconds.min(lasts_seconds), ..self }
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("it is JSON")
}

/// Sends a message to a push service.
pub(crate) async fn send(
    outbound: &Outbound,
    platform: &Platform,
    target: &Target,
    told: Told<'_>,
    now_ts: u64,
) -> Result<Reception, GatewayError> {
    let Target { url, subscription, .. } = target;
    let Ok(body) = subscription.encrypt(&told.text) else { return Ok(Reception::Gone) };
    let urgency = match told.urgency {
        Urgency::Normal => "normal",
        Urgency::High => "high",
    };
    let origin = url.origin().ascii_serialization();
    let authorization = platform.vapid_key.authorization(&origin, &contact(platform), now_ts);
    let mut request = outbound
        .client_for(url)?
        .post(url.clone())
        .header("ttl", told.keep_seconds)
        .header("urgency", urgency)
        .header("content-encoding", "aes128gcm")
        .header("content-type", "application/octet-stream")
        .header("authorization", authorization)
        .body(body);
    if let Some(about) = told.about {
        request = request.header("topic", topic(subscription, about));
    }
    match request.send().await?.status().as_u16() {
        200..300 => Ok(Reception::Taken),
        // The subscription has ended. That we are refused (403) may be because of our clock, and passes.
        404 | 410 => Ok(Reception::Gone),
        // The same message would be refused again.
        400 | 413 => Ok(Reception::Refused),
        status => Err(GatewayError::Status(status)),
    }
}

/// A name for what a message is about that says nothing of it to others.
fn topic(subscription: &Subscription, (user_id, room): (&UserId, &str)) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &subscription.auth);
    let about = format!("{user_id}\0{room}");
    URL_SAFE_NO_PAD.encode(&hmac::sign(&key, about.as_bytes()).as_ref()[..TOPIC_BYTES])
}

/// Whom the operators of a push service can write to.
fn contact(platform: &Platform) -> String {
    let contacts = &platform.settings.support.contacts;
    match contacts.iter().find_map(|contact| contact.email_address.as_ref()) {
        Some(address) => format!("mailto:{address}"),
        None => format!("https://{}", platform.server_name()),
    }
}
