//! The client of push gateways.
//! <https://spec.matrix.org/v1.19/push-gateway-api/>
//!
//! Users choose where gateways are. Unless the settings allow it, nothing is sent to an address outside the
//! public network, whatever name or redirect leads there.

use std::time::Duration;

use linkspan_outbound::{Outbound, OutboundError};
use reqwest::Url;
use ruma::{EventId, OwnedUserId, RoomId, push::HttpPusherData};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use crate::PushSettings;

/// How long a gateway may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of a gateway's answer.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Sends to push gateways.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) outbound: Outbound,
}

/// What becomes of a message that somebody has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reception {
    /// It is taken.
    Taken,
    /// It will never be taken; others may be.
    Refused,
    /// Nothing for this pusher will ever be taken again.
    Gone,
}

/// A gateway or a push service did not take a message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("the gateway or push service answered {0}")]
    Status(u16),
    #[error("the gateway's answer is too long")]
    TooLong,
    #[error("the gateway or push service cannot be reached: {0}")]
    Http(#[from] reqwest::Error),
}

/// What a gateway is told.
#[derive(Debug, Serialize)]
pub(crate) struct Notification<'a> {
    #[serde(flatten)]
    pub(crate) message: Message<'a>,
    pub(crate) devices: [Device<'a>; 1],
}

/// What gateways and apps are told alike.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_id: Option<&'a EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) room_id: Option<&'a RoomId>,
    #[serde(flatten)]
    pub(crate) details: Option<&'a Details>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prio: Option<&'static str>,
    pub(crate) counts: Counts,
    /// The time at which the event disappears, in milliseconds since the Unix epoch: it is shown until then.
    #[serde(rename = "org.linkspan.disappears_ts", skip_serializing_if = "Option::is_none")]
    pub(crate) disappears_ts: Option<u64>,
}

/// What gateways are told about an event, unless they want only its id.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Details {
    #[serde(rename = "type")]
    pub(crate) event_type: String,
    pub(crate) sender: OwnedUserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sender_display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) room_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) room_alias: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) user_is_target: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<Box<RawValue>>,
}

/// Counts for a gateway. Zero is sent as well: gateways clear the badge then, and leave it as it is if they
/// are told nothing.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Counts {
    pub(crate) unread: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Device<'a> {
    pub(crate) app_id: &'a str,
    pub(crate) pushkey: &'a str,
    pub(crate) data: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) tweaks: Map<String, Value>,
}

#[derive(Serialize)]
struct Body<'a> {
    notification: &'a Notification<'a>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    rejected: Vec<String>,
}

/// The data of a pusher as gateways see it, without the URL.
pub(crate) fn device_data(data: &HttpPusherData) -> Map<String, Value> {
    let mut shown: Map<String, Value> = data.data.clone().into_iter().collect();
    if let Some(format) = &data.format {
        shown.insert("format".to_owned(), format.as_str().into());
    }
    shown
}

impl Gateway {
    pub(crate) fn new(settings: &PushSettings) -> Self {
        Self { outbound: Outbound::new(TIMEOUT, settings.allow_private_gateways) }
    }

    /// Sends a notification to the one device that it names.
    pub(crate) async fn notify(
        &self,
        url: &Url,
        notification: &Notification<'_>,
    ) -> Result<Reception, GatewayError> {
        let client = self.outbound.client_for(url)?;
        let mut response = client.post(url.clone()).json(&Body { notification }).send().await?;
        if !response.status().is_success() {
            return Err(GatewayError::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(GatewayError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        // Some gateways answer with nothing where the specification has an empty list.
        let rejected = serde_json::from_slice::<Answer>(&body).map(|answer| answer.rejected);
        let [device] = &notification.devices;
        let is_rejected = rejected.unwrap_or_default().iter().any(|pushkey| pushkey == device.pushkey);
        Ok(if is_rejected { Reception::Gone } else { Reception::Taken })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use linkspan_outbound::OutboundError;

    use super::{Counts, Device, Gateway, GatewayError, Message, Notification};
    use crate::PushSettings;

    #[tokio::test]
    async fn the_servers_own_network_is_out_of_reach() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let port = listener.local_addr().expect("address").port();
        let gateway = Gateway::new(&PushSettings::new(Arc::new(|| 1)));
        let counts = Counts { unread: 0 };
        let notification = Notification {
            message: Message {
                event_id: None,
                room_id: None,
                details: None,
                prio: None,
                counts,
                disappears_ts: None,
            },
            devices: [Device {
                app_id: "a",
                pushkey: "k",
                data: Default::default(),
                tweaks: Default::default(),
            }],
        };
        for host in ["127.0.0.1", "[::1]", "2130706433", "localhost"] {
            let url = format!("http://{host}:{port}/_matrix/push/v1/notify").parse().expect("URL");
            let refused = gateway.notify(&url, &notification).await;
            match host {
                // An address given by name is checked when the name is resolved.
                "localhost" => assert!(matches!(refused, Err(GatewayError::Http(_))), "{host}: {refused:?}"),
                _ => assert!(
                    matches!(refused, Err(GatewayError::Outbound(OutboundError::Private))),
                    "{host}: {refused:?}"
                ),
            }
        }
        let called = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
        assert!(called.is_err(), "nobody has called");
    }
}
