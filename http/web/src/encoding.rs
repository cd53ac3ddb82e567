//! Which encoding of a file a client gets. RFC 9110, section 12.5.3.

use http::{HeaderMap, header};

/// An encoding of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Brotli,
    Gzip,
    /// The content as it is.
    Identity,
}

impl Encoding {
    /// The name in `Content-Encoding`, which does not name what is not encoded.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
            Self::Identity => None,
        }
    }

    fn is_called(self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.name().unwrap_or("identity"))
            || (self == Self::Gzip && name.eq_ignore_ascii_case("x-gzip"))
    }
}

/// Chooses among the encodings that there are, of which the better ones come first. None if the client takes none.
pub(crate) fn choose(headers: &HeaderMap, there: &[Encoding]) -> Option<Encoding> {
    let wishes = wishes(headers);
    let rated = there.iter().rev().map(|encoding| (weight(&wishes, *encoding), *encoding));
    // Of those with the same weight the last one is taken, which is the best.
    rated.filter(|(weight, _)| *weight > 0).max_by_key(|(weight, _)| *weight).map(|(_, encoding)| encoding)
}

/// What a client names, each with its weight in thousandths.
fn wishes(headers: &HeaderMap) -> Vec<(String, u16)> {
    let lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let wishes = lists.flat_map(|list| list.split(',')).map(|wish| {
        let mut parts = wish.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_owned();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        (name, weight.map_or(1_000, thousandths))
    });
    wishes.filter(|(name, _)| !name.is_empty()).collect()
}

/// A weight such as `0.5`. What is no weight counts as none, so that nobody gets what they may not want.
fn thousandths(weight: &str) -> u16 {
    weight
        .parse()
        .ok()
        .filter(|weight| (0.0..=1.0).contains(weight))
        .map_or(0, |weight: f64| (weight * 1_000.0) as u16)
}

/// How much a client wants an encoding. What is not encoded is taken by whoever does not refuse it, but those are
/// preferred that are named.
fn weight(wishes: &[(String, u16)], encoding: Encoding) -> u16 {
    let named =
        |is: &dyn Fn(&str) -> bool| wishes.iter().find(|(name, _)| is(name)).map(|(_, weight)| *weight);
    let unnamed = if encoding == Encoding::Identity { 1 } else { 0 };
    named(&|name| encoding.is_called(name)).or_else(|| named(&|name| name == "*")).unwrap_or(unnamed)
}

#[cfg(test)]
mod tests {
    use super::{Encoding::*, *};

    fn chosen(accepted: Option<&'static str>) -> Option<Encoding> {
        let mut headers = HeaderMap::new();
        if let Some(accepted) = accepted {
            headers.insert(header::ACCEPT_ENCODING, http::HeaderValue::from_static(accepted));
        }
        choose(&headers, &[Brotli, Gzip, Identity])
    }

    #[test]
    fn a_client_gets_what_it_wants_most() {
        for (accepted, expected) in [
            ("gzip, deflate, br, zstd", Some(Brotli)),
            ("gzip, deflate", Some(Gzip)),
            ("GZIP;q=1.0, br;q=0.5", Some(Gzip)),
            ("br;q=0, *", Some(Gzip)),
            ("*", Some(Brotli)),
            ("*;q=0, identity;q=0.2, gzip;q=0.1", Some(Identity)),
            ("identity, br;q=0.5", Some(Identity)),
            ("deflate", Some(Identity)),
            ("br;q=high", Some(Identity)),
            ("", Some(Identity)),
            ("identity;q=0", None),
            ("*;q=0", None),
            ("identity;q=0, gzip;q=0.001", Some(Gzip)),
        ] {
            assert_eq!(chosen(Some(accepted)), expected, "{accepted:?}");
        }
        assert_eq!(chosen(None), Some(Identity));
    }
}
