//! Accounts that are deactivated, and devices that are gone.
//! <https://spec.matrix.org/v1.19/client-server-api/#account-deactivation>

use std::collections::BTreeSet;

use linkspan_accounts::{DeviceRemoved, PasswordStamp};
use linkspan_storage::using_reserve;
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};

use crate::{Result, Services};

impl Services {
    /// Deactivates an account for good; returns how many devices were logged out. `proved` and `erase` are as in
    /// [`linkspan_accounts::Accounts::begin_deactivation`].
    pub async fn deactivate(
        &self,
        user_id: &OwnedUserId,
        proved: Option<PasswordStamp>,
        erase: bool,
        now_ts: u64,
    ) -> Result<usize> {
        let removed = self.accounts.begin_deactivation(user_id, proved, erase).await?;
        let logged_out = removed.len();
        self.finish_deactivation(user_id, removed, now_ts).await?;
        Ok(logged_out)
    }

    /// Sets a password without asking its user: for operators. With `log_out`, all devices are logged out; returns how
    /// many there were.
    pub async fn reset_password(
        &self,
        user_id: &OwnedUserId,
        password: String,
        log_out: bool,
    ) -> Result<usize> {
        self.accounts.set_password(user_id, password).await?;
        if log_out { self.log_user_out(user_id).await } else { Ok(0) }
    }

    /// The rooms that a user is joined to, for operators. Refuses if there is no such account.
    pub async fn rooms_of_account(&self, user_id: &OwnedUserId) -> Result<Vec<OwnedRoomId>> {
        self.accounts.account_info(user_id).await?;
        Ok(self.rooms.joined_rooms(user_id).await?)
    }

    /// Logs all devices of a user out; returns how many there were.
    pub async fn log_user_out(&self, user_id: &OwnedUserId) -> Result<usize> {
        self.accounts.account_info(user_id).await?;
        self.forget_logged_out(self.accounts.log_out_all(user_id, None).await?).await
    }

    /// Logs a device out; returns how many there were, which is one or none.
    pub async fn log_device_out(&self, user_id: &OwnedUserId, device_id: &OwnedDeviceId) -> Result<usize> {
        self.forget_logged_out(self.accounts.log_out(user_id, device_id).await?).await
    }

    async fn forget_logged_out(&self, removed: Vec<DeviceRemoved>) -> Result<usize> {
        let logged_out = removed.len();
        self.forget_devices(removed).await?;
        Ok(logged_out)
    }

    /// Finishes what a stop interrupted: accounts that are being deactivated leave everything, and what services
    /// keep for devices that are gone is forgotten. What cannot be finished keeps nothing else, and waits for the next
    /// start.
    pub async fn finish_interrupted(&self, now_ts: u64) -> Result<()> {
        let mut waiting = BTreeSet::new();
        for device in self.accounts.departed_devices().await? {
            let user_id = device.user_id.clone();
            if let Err(error) = self.forget_devices(vec![device]).await {
                tracing::error!(%error, %user_id, "a device that is gone is not forgotten before the next start");
                waiting.insert(user_id);
            }
        }
        for user_id in self.accounts.departing_accounts().await? {
            // Forgetting a device writes to its user's inbox, which is to be empty when the account is done with.
            if waiting.contains(&user_id) {
                continue;
            }
            if let Err(error) = self.finish_deactivation(&user_id, Vec::new(), now_ts).await {
                tracing::error!(%error, %user_id, "a deactivated account is not done with before the next start");
            }
        }
        Ok(())
    }

    /// `removed` are devices that are gone already. The account itself comes last, so that whatever a stop leaves
    /// undone is found at the next start.
    async fn finish_deactivation(
        &self,
        user_id: &OwnedUserId,
        mut removed: Vec<DeviceRemoved>,
        now_ts: u64,
    ) -> Result<()> {
        using_reserve(async {
            self.keys.remove_identity(user_id).await?;
            self.keys.remove_backups(user_id).await?;
            self.push.remove_user(user_id).await?;
            self.media.remove_user(user_id).await?;
            self.matching.remove_user(user_id).await?;
            self.rooms.remove_user(user_id, now_ts).await?;
            // Whoever is in no room any more comes to know nobody.
            self.contacts.remove_user(user_id).await?;
            // Who was logging in when it began may have got a device since.
            removed.extend(self.accounts.log_out_all(user_id, None).await?);
            self.forget_devices(removed).await?;
            self.inbox.remove_user(user_id).await?;
            Ok(self.accounts.finish_deactivation(user_id, now_ts).await?)
        })
        .await
    }

    /// Has every service forget what it keeps for devices that are gone.
    pub async fn forget_devices(&self, removed: Vec<DeviceRemoved>) -> Result<()> {
        using_reserve(async {
            for departed in removed {
                let DeviceRemoved { user_id, device_id } = &departed;
                self.keys.remove_device(user_id, device_id).await?;
                self.inbox.empty_queue(user_id, device_id).await?;
                self.sync.remove_connections(user_id, device_id).await?;
                self.push.remove_pushers_of_device(user_id, device_id).await?;
                self.accounts.forget_departed(&departed).await?;
            }
            Ok(())
        })
        .await
    }
}
