//! Guests, who use a platform without registering, and how a guest becomes a user.
//! <https://spec.matrix.org/v1.19/client-server-api/#guest-access>
//!
//! An account of a guest has no password and one device. It never expires. When the device logs out nobody
//! can use the account any more, and an operator can disable it like any other.

use std::net::IpAddr;

use linkspan_platforms::Platform;
use linkspan_storage::{
    WriteSet,
    catalogue::{Accounts as AccountsTable, DeviceKey, Devices, UserKey},
    records::AccountRecord,
};
use ruma::OwnedUserId;

use crate::{
    Accounts, AccountsError, DeviceRemoved, NewDevice, Registered, Session,
    devices::delete_device,
    log_in::{SessionOf, check_active, check_device, new_device_id, put_device},
    password::PasswordStamp,
    register::NewAccount,
};

/// The refusal of a token that is nobody's, and of one that is another user's. Both get the same.
const NOT_THE_GUEST: AccountsError = AccountsError::Forbidden(
    "`guest_access_token` is not the access token of the guest whom `username` names",
);

impl Accounts {
    /// Makes a guest of a platform, with a device, no matter who may register there.
    pub async fn register_guest(
        &self,
        platform: &Platform,
        device_name: Option<String>,
        address: IpAddr,
        now_ts: u64,
    ) -> Result<Registered, AccountsError> {
        if !platform.settings.guests {
            return Err(AccountsError::Guest("there are no guests here"));
        }
        let device = NewDevice {
            device_id: None,
            display_name: device_name,
            refreshable: false,
            address: Some(address),
        };
        check_device(&device)?;
        let account = NewAccount {
            user_id: None,
            display_name: None,
            password: None,
            admin: false,
            guest: true,
            device: Some(device),
            address: Some(address),
            registration_token: None,
            third_party_ids: Vec::new(),
        };
        self.put_account(platform.server_name(), account, now_ts).await
    }

    /// Whether a user is a guest.
    pub async fn is_guest(&self, user_id: &OwnedUserId) -> Result<bool, AccountsError> {
        Ok(self.account(user_id).await?.is_some_and(|account| account.guest))
    }

    /// The session of the guest who wants to become a user.
    pub(crate) async fn guest_to_upgrade(
        &self,
        platform: &Platform,
        token: &str,
        username: Option<&str>,
    ) -> Result<Session, AccountsError> {
        let username = username.ok_or(AccountsError::MissingParam("username"))?;
        match self.session_of_token(platform.server_name(), token).await {
            Ok(session) if session.guest && session.user_id.localpart() == username => Ok(session),
            Ok(_) | Err(AccountsError::UnknownToken { .. }) => Err(NOT_THE_GUEST),
            Err(error) => Err(error),
        }
    }

    /// Makes a guest a user, in the same rooms. The access token that the guest had is gone. So is the device, unless
    /// the new session is to be of the same device: then it keeps its keys.
    pub(crate) async fn upgrade_guest(
        &self,
        guest: &Session,
        account: NewAccount,
        now_ts: u64,
    ) -> Result<Registered, AccountsError> {
        let user_id = &guest.user_id;
        let platform = user_id.server_name();
        let password_hash = self.hash_password(platform, account.address, account.password.clone()).await?;
        let user_key = UserKey { user_id: user_id.clone() };
        let old_key = DeviceKey { user_id: user_id.clone(), device_id: guest.device_id.clone() };
        self.store
            .update(async || {
                let before = check_active(self.store.get::<AccountsTable>(&user_key).await?)?;
                let old_device = self.store.get::<Devices>(&old_key).await?.filter(|_| before.guest);
                let old_device = old_device.ok_or(NOT_THE_GUEST)?;
                let mut writes = WriteSet::new();
                writes.expect::<AccountsTable>(&user_key, &before);
                let record = AccountRecord { password_hash: password_hash.clone(), guest: false, ..before };
                writes.put::<AccountsTable>(&user_key, &record);
                match self.put_first_handle(&mut writes, user_id, now_ts).await {
                    // The name was made up, so the user can choose another handle.
                    Err(AccountsError::UserInUse | AccountsError::LooksLikeAnother) => {}
                    put => put?,
                }
                self.use_proofs(&mut writes, user_id, &account, now_ts).await?;
                let device_id = account.device.as_ref().map(|device| device.device_id.clone());
                let device_id = device_id.map(|device_id| device_id.unwrap_or_else(new_device_id));
                let is_same = device_id.as_ref() == Some(&guest.device_id);
                if !is_same {
                    delete_device(&mut writes, &old_key, &old_device);
                }
                let mut logged_in = None;
                if let Some((device, device_id)) = account.device.as_ref().zip(device_id) {
                    let key = DeviceKey { user_id: user_id.clone(), device_id };
                    let known = is_same.then_some(&old_device);
                    if known.is_none() {
                        self.check_not_departing(&mut writes, &key).await?;
                    }
                    let whose = SessionOf::Person;
                    logged_in = Some(put_device(&mut writes, &key, known, device, whose, now_ts));
                }
                let registered = Registered {
                    user_id: user_id.clone(),
                    password_stamp: PasswordStamp::of(&record),
                    logged_in,
                    removed: (!is_same).then(|| DeviceRemoved {
                        user_id: user_id.clone(),
                        device_id: guest.device_id.clone(),
                    }),
                };
                Ok((writes, registered))
            })
            .await
    }
}
