//! What clients may ask for, which is the whole client-server API for one device.
//! <https://spec.matrix.org/v1.19/client-server-api/#scope>

use ruma::{DeviceId, OwnedDeviceId};

use crate::OAuthError;

const API: [&str; 2] = ["urn:matrix:client:api:*", "urn:matrix:org.matrix.msc2967.client:api:*"];
const DEVICE: [&str; 2] = ["urn:matrix:client:device:", "urn:matrix:org.matrix.msc2967.client:device:"];
/// The longest scope, in bytes.
const MAX_BYTES: usize = 1_024;
/// The longest device id, in bytes.
const DEVICE_ID_BYTES: usize = 255;

/// A scope that can be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The device that the tokens will belong to.
    pub device_id: OwnedDeviceId,
    /// The granted scope, with the names by which the client asked for it.
    pub granted: String,
}

impl Scope {
    /// Reads what can be granted of a scope. Tokens that mean nothing here are left out.
    pub fn parse(scope: &str) -> Result<Self, OAuthError> {
        let allowed = |byte: u8| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\';
        if scope.len() > MAX_BYTES || !scope.bytes().all(allowed) {
            return Err(OAuthError::InvalidScope("the scope is too long, or has characters that none has"));
        }
        let api = scope.split(' ').find(|token| API.contains(token));
        let api = api.ok_or(OAuthError::InvalidScope("access to the client-server API is not asked for"))?;
        let mut devices = scope.split(' ').filter_map(|token| {
            DEVICE.iter().find_map(|start| token.strip_prefix(start)).map(|device_id| (token, device_id))
        });
        let (token, device_id) = match (devices.next(), devices.next()) {
            (Some(device), None) => device,
            _ => return Err(OAuthError::InvalidScope("exactly one device must be asked for")),
        };
        if device_id.is_empty() || device_id.len() > DEVICE_ID_BYTES {
            return Err(OAuthError::InvalidScope("a device id has 1 to 255 bytes"));
        }
        Ok(Self { device_id: <&DeviceId>::from(device_id).to_owned(), granted: format!("{api} {token}") })
    }

    /// The scope of a session that goes on with this device.
    pub(crate) fn of_device(device_id: &DeviceId) -> String {
        format!("{} {}{device_id}", API[0], DEVICE[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_device_and_the_api_are_asked_for() {
        let scope =
            Scope::parse("openid urn:matrix:client:api:* urn:matrix:client:device:ABC").expect("good");
        assert_eq!(scope.device_id, "ABC");
        assert_eq!(scope.granted, "urn:matrix:client:api:* urn:matrix:client:device:ABC");
        let unstable =
            "urn:matrix:org.matrix.msc2967.client:api:* urn:matrix:org.matrix.msc2967.client:device:A";
        assert_eq!(Scope::parse(unstable).expect("good").granted, unstable);
        let long = format!("{} {}{}", API[0], DEVICE[0], "x".repeat(256));
        for bad in [
            "",
            "urn:matrix:client:api:*",
            "urn:matrix:client:device:ABC",
            "urn:matrix:client:api:* urn:matrix:client:device:",
            "urn:matrix:client:api:* urn:matrix:client:device:A urn:matrix:client:device:B",
            "urn:matrix:client:api:* urn:matrix:client:device:A\"",
            "urn:matrix:client:api:* urn:matrix:client:device:ä",
            long.as_str(),
        ] {
            assert!(Scope::parse(bad).is_err(), "{bad}");
        }
    }
}
