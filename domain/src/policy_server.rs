//! Policy servers: a room may name a server whose signature all its events are to have.
//! <https://spec.matrix.org/v1.19/client-server-api/#policy-servers>

use std::collections::BTreeMap;

use ruma::OwnedServerName;
use serde::Deserialize;
use serde_json::Value;

/// The type of the state event that names a room's policy server. Its state key is empty.
pub const POLICY_SERVER_TYPE: &str = "m.room.policy";
/// The algorithm that each policy server has a key for.
const ALGORITHM: &str = "ed25519";

/// The policy server that a room has named. The room uses it only while a user of that server is joined.
/// <https://spec.matrix.org/v1.19/server-server-api/#determining-if-a-policy-server-is-enabled-in-a-room>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyServer {
    /// The server that is asked to sign.
    pub via: OwnedServerName,
    /// The public key of its signatures, which is unpadded base64.
    pub ed25519: String,
}

impl PolicyServer {
    /// The policy server that the content of a state event names. Content without what is required names none: by such an
    /// event a room does without one again.
    pub fn parse(content: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Content {
            via: OwnedServerName,
            public_keys: BTreeMap<String, Value>,
        }
        let Content { via, mut public_keys } = serde_json::from_str(content).ok()?;
        match public_keys.remove(ALGORITHM)? {
            Value::String(ed25519) => Some(Self { via, ed25519 }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::PolicyServer;

    #[test]
    fn only_a_server_with_a_key_is_one() {
        let good =
            json!({ "via": "policy.example", "public_keys": { "ed25519": "key", "other": 1 }, "more": 2 });
        let named = PolicyServer::parse(&good.to_string()).expect("it names one");
        assert_eq!((named.via.as_str(), named.ed25519.as_str()), ("policy.example", "key"));
        for none in [
            json!({}),
            json!({ "via": "policy.example" }),
            json!({ "via": "policy.example", "public_keys": {} }),
            json!({ "via": "policy.example", "public_keys": { "ed25519": 1 } }),
            json!({ "via": "policy.example", "public_keys": ["ed25519"] }),
            json!({ "via": "not a name", "public_keys": { "ed25519": "key" } }),
        ] {
            assert_eq!(PolicyServer::parse(&none.to_string()), None, "{none}");
        }
    }
}
