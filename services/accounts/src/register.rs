//! Registering: a new account, and usually its first device.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3register>

use linkspan_platforms::{Identity, Platform, Registration as Policy};
use linkspan_storage::{
    WriteSet,
    catalogue::{Accounts as AccountsTable, DeviceKey, UserKey},
    records::AccountRecord,
};
use ruma::{
    OwnedServerName, OwnedUserId,
    api::client::uiaa::{AuthData, AuthType},
};

use crate::{
    Accounts, AccountsError, DeviceRemoved, Handle, LoggedIn, NewDevice,
    email_validation::ValidatedEmail,
    interactive::{Purpose, REGISTER},
    log_in::{check_device, new_device_id, put_device},
    password::{PasswordStamp, check_password},
    username::{generate, new_user_id, user_id_of},
};

/// What a platform asks of people who make an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrationSteps {
    /// Whether they choose their name; else one is made up.
    pub name: bool,
    /// Whether they need a registration token.
    pub token: bool,
    /// Whether they give an e-mail address.
    pub email: EmailStep,
}

/// Whether an e-mail address is a part of registering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailStep {
    /// No mails are sent.
    None,
    /// Who wants to gives one.
    Optional,
    /// Everybody confirms one.
    Required,
}

/// What somebody who registers asks for.
#[derive(Clone, Default)]
pub struct Registration {
    /// The wanted localpart; None: any.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The device to log in; None: none.
    pub device: Option<NewDevice>,
    /// The access token of a guest who is to become this user; `username` is then the guest's localpart.
    pub guest_access_token: Option<String>,
}

/// A new account.
#[derive(Clone)]
pub struct Registered {
    /// The user.
    pub user_id: OwnedUserId,
    /// The stamp of the password.
    pub password_stamp: PasswordStamp,
    /// The device, if one was to be logged in.
    pub logged_in: Option<LoggedIn>,
    /// The device that a guest had who has become this user.
    pub removed: Option<DeviceRemoved>,
}

/// An account that may be made: everything was proved.
pub(crate) struct NewAccount {
    /// The user id. Without one, a name is generated.
    pub(crate) user_id: Option<OwnedUserId>,
    /// The password. Without one, nobody logs in by password.
    pub(crate) password: Option<String>,
    pub(crate) admin: bool,
    pub(crate) guest: bool,
    pub(crate) device: Option<NewDevice>,
    pub(crate) registration_token: Option<String>,
    pub(crate) email: Option<ValidatedEmail>,
}

impl Accounts {
    /// Registers on a platform, after the stages that the platform asks for.
    pub async fn register(
        &self,
        platform: &Platform,
        registration: Registration,
        auth: Option<&AuthData>,
        now_ts: u64,
    ) -> Result<Registered, AccountsError> {
        let flows = registration_flows(self.registration_steps(platform)?);
        let guest = match &registration.guest_access_token {
            Some(token) => {
                Some(self.guest_to_upgrade(platform, token, registration.username.as_deref()).await?)
            }
            None => None,
        };
        let user_id = match &guest {
            Some(guest) => Some(guest.user_id.clone()),
            None => self.wanted_name(platform, registration.username, now_ts).await?,
        };
        if let Some(password) = &registration.password {
            check_password(password)?;
        }
        if let Some(device) = &registration.device {
            check_device(device)?;
        }
        // Clients first ask without anything, to learn the stages.
        let password = match (registration.password, auth) {
            (None, Some(_)) => return Err(AccountsError::MissingParam("password")),
            (password, _) => password,
        };
        let purpose = Purpose::of_platform(platform.server_name(), REGISTER);
        let proof = self.authenticate_interactively(&purpose, flows, auth, now_ts).await?;
        let account = NewAccount {
            user_id,
            password: Some(password.ok_or(AccountsError::MissingParam("password"))?),
            admin: false,
            guest: false,
            device: registration.device,
            registration_token: proof.registration_token,
            email: proof.email,
        };
        match guest {
            Some(guest) => self.upgrade_guest(&guest, account, now_ts).await,
            None => self.put_account(platform.server_name(), account, now_ts).await,
        }
    }

    /// What a platform asks of people who make an account; refuses where nobody can.
    pub fn registration_steps(&self, platform: &Platform) -> Result<RegistrationSteps, AccountsError> {
        let must = platform.settings.verify && platform.settings.identity == Identity::Account;
        let email = match (self.sends_mails(platform), must) {
            (false, _) => EmailStep::None,
            (true, false) => EmailStep::Optional,
            (true, true) => EmailStep::Required,
        };
        let token = match platform.settings.registration {
            Policy::Closed => return Err(AccountsError::Forbidden("registration is closed here")),
            Policy::Open => false,
            Policy::Token => true,
        };
        Ok(RegistrationSteps { name: takes_names(platform), token, email })
    }

    /// The user id that somebody wants and can have; None: one is made up.
    pub(crate) async fn wanted_name(
        &self,
        platform: &Platform,
        name: Option<String>,
        now_ts: u64,
    ) -> Result<Option<OwnedUserId>, AccountsError> {
        match name.filter(|name| !name.is_empty() && takes_names(platform)) {
            Some(name) => Ok(Some(self.check_username(platform, &name, now_ts).await?)),
            None => Ok(None),
        }
    }

    /// Refuses a name that a new account of a platform cannot have. Where people have handles, it is a handle.
    pub async fn check_username(
        &self,
        platform: &Platform,
        name: &str,
        now_ts: u64,
    ) -> Result<OwnedUserId, AccountsError> {
        let handle = match self.has_handles(platform.server_name()) {
            true => Some(Handle::parse(name)?),
            false => None,
        };
        let user_id = new_user_id(platform, handle.as_ref().map_or(name, Handle::as_str))?;
        if self.account(&user_id).await?.is_some() {
            return Err(AccountsError::UserInUse);
        }
        if let Some(handle) = handle {
            handle.check_not_reserved(platform)?;
            self.expect_free(&mut WriteSet::new(), &user_id, &handle, now_ts).await?;
        }
        Ok(user_id)
    }

    /// Makes an account without asking anybody: for operators.
    pub async fn create_account(
        &self,
        platform: &OwnedServerName,
        localpart: &str,
        password: String,
        admin: bool,
        now_ts: u64,
    ) -> Result<OwnedUserId, AccountsError> {
        check_password(&password)?;
        let user_id = Some(user_id_of(platform, localpart)?);
        let account = NewAccount {
            user_id,
            password: Some(password),
            admin,
            guest: false,
            device: None,
            registration_token: None,
            email: None,
        };
        Ok(self.put_account(platform, account, now_ts).await?.user_id)
    }

    /// Writes an account with its first device. Of several who want one name, one gets it.
    pub(crate) async fn put_account(
        &self,
        platform: &OwnedServerName,
        account: NewAccount,
        now_ts: u64,
    ) -> Result<Registered, AccountsError> {
        let record = AccountRecord {
            password_hash: self.hash_password(account.password.clone()).await?,
            created_ts: now_ts,
            deactivated: false,
            admin: account.admin,
            suspended: false,
            locked: false,
            guest: account.guest,
        };
        let attempt = async || {
            let user_id = match &account.user_id {
                Some(user_id) => user_id.clone(),
                None => user_id_of(platform, &generate())?,
            };
            let key = UserKey { user_id: user_id.clone() };
            if account.user_id.is_some() && self.account(&user_id).await?.is_some() {
                return Err(AccountsError::UserInUse);
            }
            let mut writes = WriteSet::new();
            writes.expect_absent::<AccountsTable>(&key);
            writes.put::<AccountsTable>(&key, &record);
            if let Some(add) = &self.on_create {
                add(&mut writes, &user_id);
            }
            if !record.guest {
                self.put_first_handle(&mut writes, &user_id, now_ts).await?;
            }
            self.use_proofs(&mut writes, &user_id, &account, now_ts).await?;
            let logged_in = account.device.as_ref().map(|device| {
                let device_id = device.device_id.clone().unwrap_or_else(new_device_id);
                let key = DeviceKey { user_id: user_id.clone(), device_id };
                put_device(&mut writes, &key, None, device, None, now_ts)
            });
            let password_stamp = PasswordStamp::of(&record);
            Ok((writes, Registered { user_id, password_stamp, logged_in, removed: None }))
        };
        self.store.update(attempt).await
    }
}

impl Accounts {
    pub(crate) async fn hash_password(
        &self,
        password: Option<String>,
    ) -> Result<Option<String>, AccountsError> {
        match password {
            Some(password) => Ok(Some(self.shared.passwords.hash(password).await?)),
            None => Ok(None),
        }
    }

    /// Uses up what was proved to register: the registration token, the e-mail address.
    pub(crate) async fn use_proofs(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        account: &NewAccount,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        if let Some(token) = &account.registration_token {
            let platform = user_id.server_name().to_owned();
            self.use_registration_token(writes, &platform, token, now_ts).await?;
        }
        if let Some(email) = &account.email {
            self.add_email(writes, user_id, email, now_ts).await?;
        }
        Ok(())
    }
}

/// The stages of a registration, and what may be left out where mails are sent.
fn registration_flows(steps: RegistrationSteps) -> &'static [&'static [AuthType]] {
    match (steps.token, steps.email) {
        (false, EmailStep::None) => &[&[AuthType::Dummy]],
        (false, EmailStep::Optional) => &[&[AuthType::Dummy], &[AuthType::EmailIdentity]],
        (false, EmailStep::Required) => &[&[AuthType::EmailIdentity]],
        (true, EmailStep::None) => &[&[AuthType::RegistrationToken]],
        (true, EmailStep::Optional) => {
            &[&[AuthType::RegistrationToken], &[AuthType::RegistrationToken, AuthType::EmailIdentity]]
        }
        (true, EmailStep::Required) => &[&[AuthType::RegistrationToken, AuthType::EmailIdentity]],
    }
}

/// Where people are known by phone number and prove it, names are generated.
fn takes_names(platform: &Platform) -> bool {
    platform.settings.identity != Identity::Phone || !platform.settings.verify
}
