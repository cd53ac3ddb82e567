//! Signing an event when it leaves for another server.
//!
//! Rooms that only hosted platforms are in need no signatures; ids do not cover them, so they are added
//! when somebody outside is to believe them.

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, ServerName,
    room_version_rules::RoomVersionRules,
    signatures::{Ed25519KeyPair, required_server_signatures_to_verify_event, sign_event},
};

/// An event could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("an event could not be signed: {0}")]
pub struct DepartureError(String);

/// The PDU that other servers get: the stored JSON, with the signatures that they will ask for.
///
/// `key_of` gives the key of a hosted platform, None for other servers, whose signatures the event has had
/// since it came, and for platforms that are hosted no more: what they have sent is left as it is stored.
/// A restricted join needs two: the sender's and the one of the member who lets the user in.
/// What the store has noted in `unsigned` stays here.
/// <https://spec.matrix.org/v1.19/server-server-api/#signing-events>
pub fn sign_for_departure<'k>(
    json: &str,
    rules: &RoomVersionRules,
    key_of: impl Fn(&ServerName) -> Option<&'k Ed25519KeyPair>,
) -> Result<CanonicalJsonObject, DepartureError> {
    let failed = |error: &dyn std::fmt::Display| DepartureError(error.to_string());
    let mut object: CanonicalJsonObject = serde_json::from_str(json).map_err(|error| failed(&error))?;
    object.remove("unsigned");
    let signatures = CanonicalJsonValue::Object(CanonicalJsonObject::new());
    object.entry("signatures".to_owned()).or_insert(signatures);
    // A member event can name anything as the user who allowed the join. If that is no user id, nobody's
    // signature is asked for.
    let servers = required_server_signatures_to_verify_event(&object, &rules.signatures).unwrap_or_default();
    for server_name in servers {
        let Some(key) = key_of(&server_name) else { continue };
        sign_event(server_name.as_str(), key, &mut object, &rules.redaction)
            .map_err(|error| failed(&error))?;
    }
    Ok(object)
}
