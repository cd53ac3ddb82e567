//! Beginning a session of the OAuth 2.0 API: a user has allowed it, so a device gets tokens.
//! <https://spec.matrix.org/v1.19/client-server-api/#oauth-20-api>

use std::{collections::HashSet, net::IpAddr};

use linkspan_storage::{
    Range, WriteSet,
    catalogue::{Accounts as AccountsTable, DeviceKey, Devices, UserKey},
};
use ruma::{OwnedDeviceId, OwnedServerName};

use crate::{
    Accounts, AccountsError, LoggedIn, NewDevice, ProvedUser,
    log_in::{SessionOf, check_active, check_device, put_device},
};

/// How many devices are read at a time.
const BATCH: usize = 1_000;

/// The device of a session of the OAuth 2.0 API.
#[derive(Clone, Debug)]
pub struct ClientDevice {
    /// The client.
    pub client_id: String,
    /// The id of the device, which the client chose.
    pub device_id: OwnedDeviceId,
    /// The name of a new device.
    pub display_name: Option<String>,
    /// The address that the client calls from.
    pub address: Option<IpAddr>,
}

impl Accounts {
    /// Gives a device of a client new tokens, which can be refreshed with [`Accounts::refresh_session`] only. Refuses
    /// with [`AccountsError::Forbidden`] if `user` has proved it by a password that was changed since.
    /// What the session comes from is used up in the same write-set: `from` reads and returns that part of it.
    pub async fn begin_session<E, F>(
        &self,
        user: ProvedUser,
        device: ClientDevice,
        now_ts: u64,
        from: impl Fn() -> F,
    ) -> Result<LoggedIn, E>
    where
        E: From<AccountsError> + From<linkspan_storage::StorageError>,
        F: Future<Output = Result<WriteSet, E>>,
    {
        let ProvedUser { user_id, password_stamp } = user;
        let key = DeviceKey { user_id: user_id.clone(), device_id: device.device_id.clone() };
        let client_id = device.client_id;
        let device = NewDevice {
            device_id: Some(device.device_id),
            display_name: device.display_name,
            refreshable: true,
            address: device.address,
        };
        check_device(&device)?;
        let user_key = UserKey { user_id: user_id.clone() };
        self.store
            .update(async || {
                let mut writes = from().await?;
                let account = check_active(self.store.get::<AccountsTable>(&user_key).await?)?;
                password_stamp.check(&account)?;
                let known = self.store.get::<Devices>(&key).await?;
                let gave_way = match known {
                    Some(_) => Vec::new(),
                    None => self.make_way(&mut writes, &key).await?,
                };
                writes.expect::<AccountsTable>(&user_key, &account);
                let whose = SessionOf::Client(&client_id);
                let logged_in = put_device(&mut writes, &key, known.as_ref(), &device, whose, now_ts);
                Ok((writes, LoggedIn { gave_way, ..logged_in }))
            })
            .await
    }

    /// The OAuth clients that have a session on a platform.
    pub async fn clients_in_use(&self, platform: &OwnedServerName) -> Result<HashSet<String>, AccountsError> {
        let mut clients = HashSet::new();
        let mut last: Option<DeviceKey> = None;
        loop {
            let range =
                Range::<Devices>::prefix_platform((), platform).limit(BATCH).after_last(last.as_ref());
            let devices = self.store.range(range).await?;
            let whole = devices.len() < BATCH;
            last = devices.last().map(|(key, _)| key.clone());
            clients.extend(devices.into_iter().filter_map(|(_, device)| device.client_id));
            if whole {
                return Ok(clients);
            }
        }
    }
}
