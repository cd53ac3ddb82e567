//! The client of push gateways.
//! <https://spec.matrix.org/v1.19/push-gateway-api/>
//!
//! Users say where gateways are: unless it is allowed, nothing is sent to an address that is not the
//! public network's, whatever name or redirect leads there.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
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
    /// None on a machine that knows no certificate authorities.
    client: Option<reqwest::Client>,
    allow_private: bool,
}

/// A gateway did not take a notification.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    #[error("this machine has no HTTPS client")]
    NoClient,
    #[error("the gateway's address is not public")]
    Private,
    #[error("the gateway answered {0}")]
    Status(u16),
    #[error("the gateway's answer is too long")]
    TooLong,
    #[error("the gateway cannot be reached: {0}")]
    Http(#[from] reqwest::Error),
}

/// What a gateway is told.
#[derive(Debug, Serialize)]
pub(crate) struct Notification<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_id: Option<&'a EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) room_id: Option<&'a RoomId>,
    #[serde(flatten)]
    pub(crate) details: Option<&'a Details>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prio: Option<&'static str>,
    pub(crate) counts: Counts,
    pub(crate) devices: [Device<'a>; 1],
}

/// What gateways are told of an event, except those that want its id only.
#[derive(Debug, Serialize)]
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

/// Zero is sent too: gateways take it as an order to clear the badge, and take silence for no change.
#[derive(Debug, Serialize)]
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

/// A pusher's data as gateways see it: without the URL.
pub(crate) fn device_data(data: &HttpPusherData) -> Map<String, Value> {
    let mut shown: Map<String, Value> = data.data.clone().into_iter().collect();
    if let Some(format) = &data.format {
        shown.insert("format".to_owned(), format.as_str().into());
    }
    shown
}

impl Gateway {
    pub(crate) fn new(settings: &PushSettings) -> Self {
        // Fails if the process has a provider already, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let allow_private = settings.allow_private_gateways;
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            // A proxy would resolve names itself.
            .no_proxy()
            .user_agent(concat!("Linkspan/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(PublicResolver { allow_private })
            .build()
            .inspect_err(|error| tracing::error!(%error, "nothing will be sent to push gateways"));
        Self { client: client.ok(), allow_private }
    }

    /// Sends a notification; gives the pushkeys that the gateway will never accept again.
    pub(crate) async fn notify(
        &self,
        url: &Url,
        notification: &Notification<'_>,
    ) -> Result<Vec<String>, GatewayError> {
        if !self.allow_private && literal_address(url).is_some_and(|address| !is_public(address)) {
            return Err(GatewayError::Private);
        }
        let client = self.client.as_ref().ok_or(GatewayError::NoClient)?;
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
        Ok(serde_json::from_slice::<Answer>(&body).map(|answer| answer.rejected).unwrap_or_default())
    }
}

/// The address in a URL that needs no resolving.
fn literal_address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

/// Resolves names to public addresses only.
struct PublicResolver {
    allow_private: bool,
}

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|address| allow_private || is_public(address.ip())).collect();
            if allowed.is_empty() {
                return Err("the name has no public address".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address belongs to the public network.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b)))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        // Mapped and translated IPv4 addresses are as public as what they embed.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            is_public_v4(embedded(high, low))
        }
        [0x2002, high, low, ..] => is_public_v4(embedded(high, low)),
        // Documentation, Teredo, benchmarks, ORCHID.
        [0x2001, 0xdb8, ..] | [0x2001, 0..=0x1ff, ..] => false,
        // Global unicast is 2000::/3; loopback, local and multicast addresses are all outside.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Counts, Device, Gateway, GatewayError, Notification, is_public};
    use crate::PushSettings;

    #[tokio::test]
    async fn the_servers_own_network_is_out_of_reach() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let port = listener.local_addr().expect("address").port();
        let gateway = Gateway::new(&PushSettings::new(Arc::new(|| 1)));
        let notification = Notification {
            event_id: None,
            room_id: None,
            details: None,
            prio: None,
            counts: Counts { unread: 0 },
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
                // A name is refused where it is resolved.
                "localhost" => assert!(matches!(refused, Err(GatewayError::Http(_))), "{host}: {refused:?}"),
                _ => assert!(matches!(refused, Err(GatewayError::Private)), "{host}: {refused:?}"),
            }
        }
        let called = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
        assert!(called.is_err(), "nobody has called");
    }

    #[test]
    fn special_addresses_are_not_public() {
        let special = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2002:7f00:1::",
            "2001:db8::1",
        ];
        for address in special {
            assert!(!is_public(address.parse().expect("an address")), "{address}");
        }
        for address in ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(is_public(address.parse().expect("an address")), "{address}");
        }
    }
}
