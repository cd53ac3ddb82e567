//! One-time and fallback keys: uploaded by a device, handed out to whoever begins a session with it.
//! <https://spec.matrix.org/v1.19/client-server-api/#one-time-and-fallback-keys>

use std::collections::BTreeMap;

use ruma::{OwnedDeviceId, OwnedUserId};

use crate::{Keys, Result};

/// What a device has left for others to begin sessions with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// One-time keys that nobody was given yet, by algorithm; `signed_curve25519` is always named.
    pub one_time: BTreeMap<String, u64>,
    /// The algorithms whose fallback key nobody was given yet.
    pub unused_fallback: Vec<String>,
}

impl Keys {
    /// What a device has left.
    pub async fn remaining(&self, _user_id: &OwnedUserId, _device_id: &OwnedDeviceId) -> Result<Remaining> {
        Ok(Remaining::default())
    }
}
