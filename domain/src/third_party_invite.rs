//! Invitations to an address that nobody is known by yet: the state event that stands for one, and the proof that makes
//! a real invitation of it.
//! <https://spec.matrix.org/v1.19/client-server-api/#third-party-invites>
//!
//! Each has a key of its own. Its public part is in the room, and is the token too; whoever has the secret part can
//! say who the invitee is.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD},
};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, ServerName, UserId,
    signatures::{Ed25519KeyPair, sign_json},
};
use serde::Deserialize;

use crate::{Malformed, Pdu};

/// The version of every such key: there is never another one of the same invitation.
const KEY_VERSION: &str = "0";

/// How many of the last digits of a phone number are shown.
const DIGITS_SHOWN: usize = 2;

/// The key of one invitation.
#[derive(Debug)]
pub struct InvitationKey(Ed25519KeyPair);

impl InvitationKey {
    /// Reads a key, a PKCS#8 document in DER.
    pub fn from_der(der: &[u8]) -> Result<Self, Malformed> {
        let key = Ed25519KeyPair::from_der(der, KEY_VERSION.to_owned());
        key.map(Self).map_err(|error| Malformed(error.to_string()))
    }

    /// The token of the invitation, which is the state key of its event: the public key in URL-safe base64.
    pub fn token(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.public_key())
    }

    /// The content of the state event. `shown` stands for the invitee, and must not be the address.
    /// `validity_url` says whether the key is still good.
    pub fn content(&self, shown: &str, validity_url: &str) -> CanonicalJsonObject {
        let public_key = STANDARD_NO_PAD.encode(self.0.public_key());
        let key = object([("public_key", text(&public_key)), ("key_validity_url", text(validity_url))]);
        object([
            ("display_name", text(shown)),
            ("key_validity_url", text(validity_url)),
            ("public_key", text(&public_key)),
            ("public_keys", CanonicalJsonValue::Array(vec![CanonicalJsonValue::Object(key)])),
        ])
    }

    /// What the member event of the invitee has as `third_party_invite`. `server` is where the key is kept.
    pub fn proof(
        &self,
        shown: &str,
        user_id: &UserId,
        server: &ServerName,
    ) -> Result<CanonicalJsonValue, Malformed> {
        let mut signed = object([("mxid", text(user_id.as_str())), ("token", text(&self.token()))]);
        sign_json(server.as_str(), &self.0, &mut signed).map_err(|error| Malformed(error.to_string()))?;
        let proof = object([("display_name", text(shown)), ("signed", CanonicalJsonValue::Object(signed))]);
        Ok(CanonicalJsonValue::Object(proof))
    }
}

/// The token of the invitation whose public key this is, in either kind of base64. None if it is no key.
pub fn token_of_public_key(public_key: &str) -> Option<String> {
    let key = STANDARD_NO_PAD.decode(public_key).or_else(|_| URL_SAFE_NO_PAD.decode(public_key)).ok()?;
    (key.len() == 32).then(|| URL_SAFE_NO_PAD.encode(key))
}

/// What the state event says of the invitee.
pub fn shown_name(event: &Pdu) -> Option<String> {
    #[derive(Deserialize)]
    struct Content {
        display_name: String,
    }
    Some(event.content_as::<Content>()?.display_name)
}

/// What a room is shown instead of an address: enough for whoever has typed it, and for nobody else.
pub fn masked_address(address: &str) -> String {
    let first = |part: &str| part.chars().take(1).collect::<String>();
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{}…@{}…", first(local), first(domain)),
        None => {
            let hidden = address.chars().count().saturating_sub(DIGITS_SHOWN);
            format!("…{}", address.chars().skip(hidden).collect::<String>())
        }
    }
}

fn object<const N: usize>(entries: [(&str, CanonicalJsonValue); N]) -> CanonicalJsonObject {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn text(value: &str) -> CanonicalJsonValue {
    CanonicalJsonValue::String(value.to_owned())
}

#[cfg(test)]
mod tests {
    use ruma::signatures::Ed25519KeyPair;

    use super::{InvitationKey, masked_address, token_of_public_key};

    #[test]
    fn of_an_address_little_is_shown() {
        for (address, shown) in [
            ("anna.berg@example.org", "a…@e…"),
            ("a@b.c", "a…@b…"),
            ("491701234567", "…67"),
            ("7", "…7"),
            ("", "…"),
        ] {
            assert_eq!(masked_address(address), shown);
        }
    }

    #[test]
    fn a_key_is_found_by_its_public_part() {
        let key = InvitationKey::from_der(&Ed25519KeyPair::generate()).expect("a key");
        let content = key.content("a…@e…", "http://localhost");
        let public_key = content["public_key"].as_str().expect("a text");
        assert_eq!(token_of_public_key(public_key), Some(key.token()));
        assert_eq!(token_of_public_key(&key.token()), Some(key.token()));
        for wrong in ["", "AAAA", "?", &format!("{public_key}AAAA")] {
            assert_eq!(token_of_public_key(wrong), None, "{wrong}");
        }
        assert!(InvitationKey::from_der(b"no key").is_err());
    }
}
