//! Calling strangers over HTTP: a client that reaches the public network only.
//!
//! Users choose which addresses are called. Whatever name or redirect leads there, nothing is sent to an
//! address of the server's own network: the client connects to the very address that was checked. What is
//! called, and what the answer means, is the callers' business.

mod signature;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};

pub use signature::{SIGNATURE, TIMESTAMP, post_signed, sign};

/// A stranger cannot be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The machine knows no certificate authorities.
    #[error("this machine has no HTTPS client")]
    NoClient,
    /// The address is not of the public network.
    #[error("the address is not public")]
    Private,
    /// The address is not one of `http` or `https`.
    #[error("this is not a web address")]
    NotHttp,
}

/// A client for strangers. It follows no redirects: the caller checks where they lead.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: Option<Client>,
    allow_private: bool,
}

impl Outbound {
    /// Makes a client whose requests take at most `timeout`. With `allow_private` it may reach private and
    /// local addresses too, for servers whose users are trusted with the server's own network.
    pub fn new(timeout: Duration, allow_private: bool) -> Self {
        // Fails if the process has a provider already, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(timeout)
            .redirect(Policy::none())
            // A proxy would resolve names itself.
            .no_proxy()
            .user_agent(concat!("Linkspan/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(PublicResolver { allow_private })
            .build()
            .inspect_err(|error| tracing::error!(%error, "nobody can be called over HTTPS"));
        Self { client: client.ok(), allow_private }
    }

    /// Gives the client for a request to this URL, if it may be called.
    pub fn client_for(&self, url: &Url) -> Result<&Client, OutboundError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(OutboundError::NotHttp);
        }
        // Only names are resolved: an address in the URL is checked here.
        if !self.allow_private && literal_address(url).is_some_and(|address| !is_public(address)) {
            return Err(OutboundError::Private);
        }
        self.client.as_ref().ok_or(OutboundError::NoClient)
    }
}

/// The IP address in a URL that names no host.
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
        // An IPv6 address that maps or translates one of IPv4 is as public as that one.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            is_public_v4(embedded(high, low))
        }
        [0x2002, high, low, ..] => is_public_v4(embedded(high, low)),
        // These are for documentation, Teredo, benchmarks and ORCHID.
        [0x2001, 0xdb8, ..] | [0x2001, 0..=0x1ff, ..] => false,
        // Global unicast is 2000::/3; loopback, local and multicast addresses are all outside.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::{Outbound, OutboundError, is_public};

    #[test]
    fn only_the_web_is_called() {
        let outbound = Outbound::new(std::time::Duration::from_secs(1), false);
        for (url, error) in [
            ("ftp://example.org/", OutboundError::NotHttp),
            ("file:///etc/passwd", OutboundError::NotHttp),
            ("http://127.0.0.1/", OutboundError::Private),
            ("http://[::1]/", OutboundError::Private),
            ("http://0x7f.1/", OutboundError::Private),
            ("http://[::ffff:10.0.0.1]/", OutboundError::Private),
        ] {
            let url = url.parse().expect("a URL");
            assert_eq!(outbound.client_for(&url).map(|_| ()), Err(error), "{url}");
        }
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
