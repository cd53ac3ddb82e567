//! What the apps of a user can show. Each says it for its own device, and it goes with the device.

use std::collections::BTreeSet;

use linkspan_domain::ContentKind;
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{DeviceKey, Devices},
    records::DeviceRecord,
};
use ruma::{OwnedDeviceId, OwnedUserId};

use crate::{Accounts, AccountsError};

/// The most devices of a user that are looked at: it is done for all people of a chat at once.
const LOOKED_AT: usize = 20;

impl Accounts {
    /// Notes which kinds of content the app of a device shows.
    pub async fn set_shown_kinds(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        kinds: &BTreeSet<ContentKind>,
    ) -> Result<(), AccountsError> {
        let key = DeviceKey { user_id: user_id.clone(), device_id: device_id.clone() };
        let shows = Some(kinds.iter().map(|kind| kind.name().to_owned()).collect());
        self.store
            .update(async || {
                let device = self.store.get::<Devices>(&key).await?;
                let device = device.ok_or(AccountsError::UnknownToken { soft_logout: false })?;
                let mut writes = WriteSet::new();
                if device.shows != shows {
                    writes.expect::<Devices>(&key, &device);
                    writes.put::<Devices>(&key, &DeviceRecord { shows: shows.clone(), ..device });
                }
                Ok((writes, ()))
            })
            .await
    }

    /// The kinds of content that none of a user's apps shows. Of a user who is logged in nowhere nothing is known, nor of
    /// one with more devices than are looked at.
    pub async fn kinds_without_app(
        &self,
        user_id: &OwnedUserId,
    ) -> Result<BTreeSet<ContentKind>, AccountsError> {
        let devices = self.store.range::<Devices>(Range::prefix((user_id,)).limit(LOOKED_AT + 1)).await?;
        if devices.len() > LOOKED_AT {
            return Ok(BTreeSet::new());
        }
        let apps: Vec<_> = devices.iter().map(|(_, device)| device).filter(|it| !it.dehydrated).collect();
        let is_missing = |kind: &ContentKind| !apps.is_empty() && !apps.iter().any(|app| shows(app, *kind));
        Ok(ContentKind::ALL.into_iter().filter(is_missing).collect())
    }
}

/// Whether the app of a device shows a kind of content. One that has not said it is taken to show what the
/// specification has.
fn shows(device: &DeviceRecord, kind: ContentKind) -> bool {
    match &device.shows {
        Some(shows) => shows.iter().any(|name| name == kind.name()),
        None => kind.is_specified(),
    }
}
