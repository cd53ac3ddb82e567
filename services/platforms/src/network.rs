//! Networks of clients. Whoever has one address of IPv6 has a whole network of them, so networks are what is counted.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// How many bits of an IPv6 address name a network. Each home and each phone has at least one of this size.
const NETWORK_BITS: u8 = 64;
/// How many bits name a wider network. Providers give one of this size to whoever asks for it.
const WIDER_BITS: u8 = 48;
const ADDRESS_BITS: u8 = 128;

/// Clients that count as one: those of an IPv4 address, or of an IPv6 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// Its first address; one of IPv4 as IPv6 maps it.
    first: u128,
    bits: u8,
}

impl Network {
    /// How many times as much as a network the wider one around it may do. An organisation has one wider network for
    /// all its people, and so may somebody alone, who could else act from 65,536 networks.
    pub const WIDER_TIMES: u32 = 16;

    /// The network that an address is counted by: the address alone, or the first 64 bits of an IPv6 address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self { first: address.to_ipv6_mapped().to_bits(), bits: ADDRESS_BITS },
            IpAddr::V6(address) => Self::with_bits(address.to_bits(), NETWORK_BITS),
        }
    }

    /// The wider network around it: the first 48 bits. IPv4 has none, as its addresses are too scarce.
    pub fn wider(self) -> Option<Self> {
        (self.bits > WIDER_BITS && self.bits < ADDRESS_BITS).then(|| Self::with_bits(self.first, WIDER_BITS))
    }

    fn with_bits(address: u128, bits: u8) -> Self {
        let rest = ADDRESS_BITS - bits;
        Self { first: address >> rest << rest, bits }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match IpAddr::V6(Ipv6Addr::from_bits(self.first)).to_canonical() {
            IpAddr::V4(address) if self.bits == ADDRESS_BITS => address.fmt(f),
            _ => write!(f, "{}/{}", Ipv6Addr::from_bits(self.first), self.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> Network {
        Network::of(address.parse().expect("an address"))
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_client() {
        assert_eq!(network("192.0.2.7").to_string(), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7"));
        assert_eq!(network("2001:db8:1:2:3:4:5:6").to_string(), "2001:db8:1:2::/64");
        assert_ne!(network("2001:db8:1:3::1"), network("2001:db8:1:2::1"));
    }

    #[test]
    fn networks_of_ipv6_are_parts_of_wider_ones() {
        let wider = network("2001:db8:1:2::1").wider().expect("there is one");
        assert_eq!(wider.to_string(), "2001:db8:1::/48");
        assert_eq!(network("2001:db8:1:3::1").wider(), Some(wider));
        assert_ne!(network("2001:db8:2:2::1").wider(), Some(wider));
        assert_eq!((wider.wider(), network("192.0.2.7").wider()), (None, None));
    }
}
