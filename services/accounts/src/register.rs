//! Registering: a new account, and usually its first device.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3register>

use linkspan_platforms::{Identity, Platform, Registration as Policy};
use linkspan_storage::{
    CommitError, StorageError, WriteSet,
    catalogue::{Accounts as AccountsTable, DeviceKey, UserKey},
    records::AccountRecord,
};
use ruma::{
    OwnedServerName, OwnedUserId,
    api::client::uiaa::{AuthData, AuthType},
};

use crate::{
    Accounts, AccountsError, LoggedIn, NewDevice,
    email_validation::ValidatedEmail,
    interactive::{Purpose, REGISTER},
    log_in::{check_device, new_device_id, put_device},
    password::{PasswordStamp, check_password},
    username::{generate, new_user_id, user_id_of},
};

/// How often a commit is tried that collides with others: of generated names, or on a registration token.
const TRIES: usize = 16;

/// What somebody who registers asks for.
#[derive(Clone, Default)]
pub struct Registration {
    /// The wanted localpart; None: any.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The device to log in; None: none.
    pub device: Option<NewDevice>,
}

/// A new account.
#[derive(Clone)]
pub struct Registered {
    /// The user.
    pub user_id: OwnedUserId,
    /// Of the password.
    pub password_stamp: PasswordStamp,
    /// The device, if one was to be logged in.
    pub logged_in: Option<LoggedIn>,
}

/// An account that may be made: everything was proved.
pub(crate) struct NewAccount {
    /// None: a name is generated.
    pub(crate) user_id: Option<OwnedUserId>,
    pub(crate) password: String,
    pub(crate) admin: bool,
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
        let flows = self.registration_flows(platform)?;
        let user_id = match registration.username.filter(|name| !name.is_empty() && takes_names(platform)) {
            Some(name) => Some(self.check_username(platform, &name).await?),
            None => None,
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
        let password = password.ok_or(AccountsError::MissingParam("password"))?;
        let registration_token = proof.registration_token;
        let device = registration.device;
        let email = proof.email;
        let account = NewAccount { user_id, password, admin: false, device, registration_token, email };
        self.put_account(platform.server_name(), account, now_ts).await
    }

    /// Refuses a name that a new account of a platform cannot have.
    pub async fn check_username(
        &self,
        platform: &Platform,
        name: &str,
    ) -> Result<OwnedUserId, AccountsError> {
        let user_id = new_user_id(platform, name)?;
        match self.account(&user_id).await? {
            Some(_) => Err(AccountsError::UserInUse),
            None => Ok(user_id),
        }
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
        let account =
            NewAccount { user_id, password, admin, device: None, registration_token: None, email: None };
        Ok(self.put_account(platform, account, now_ts).await?.user_id)
    }

    /// Writes an account with its first device. Of several who want one name, one gets it.
    pub(crate) async fn put_account(
        &self,
        platform: &OwnedServerName,
        account: NewAccount,
        now_ts: u64,
    ) -> Result<Registered, AccountsError> {
        let password_hash = Some(self.shared.passwords.hash(account.password).await?);
        let record = AccountRecord {
            password_hash,
            created_ts: now_ts,
            deactivated: false,
            admin: account.admin,
            suspended: false,
            locked: false,
        };
        for _ in 0..TRIES {
            let user_id = match &account.user_id {
                Some(user_id) => user_id.clone(),
                None => user_id_of(platform, &generate())?,
            };
            let key = UserKey { user_id: user_id.clone() };
            let mut writes = WriteSet::new();
            writes.expect_absent::<AccountsTable>(&key);
            writes.put::<AccountsTable>(&key, &record);
            if let Some(add) = &self.on_create {
                add(&mut writes, &user_id);
            }
            if let Some(token) = &account.registration_token {
                self.use_registration_token(&mut writes, platform, token, now_ts).await?;
            }
            if let Some(email) = &account.email {
                self.add_email(&mut writes, &user_id, email, now_ts).await?;
            }
            let logged_in = account.device.as_ref().map(|device| {
                let device_id = device.device_id.clone().unwrap_or_else(new_device_id);
                let key = DeviceKey { user_id: user_id.clone(), device_id };
                put_device(&mut writes, &key, None, device, None, now_ts)
            });
            match self.store.commit(writes).await {
                Ok(_) => {
                    let password_stamp = PasswordStamp::of(&record);
                    return Ok(Registered { user_id, password_stamp, logged_in });
                }
                Err(CommitError::Conflict) => {
                    if account.user_id.is_some() && self.account(&user_id).await?.is_some() {
                        return Err(AccountsError::UserInUse);
                    }
                }
                Err(error) => return Err(StorageError::from(error).into()),
            }
        }
        Err(StorageError::from(CommitError::Conflict).into())
    }
}

/// What has to be proved, and what may be, where mails are sent.
impl Accounts {
    /// Whether everybody who registers on a platform confirms an e-mail address.
    pub fn registration_needs_email(&self, platform: &Platform) -> bool {
        self.sends_mails(platform) && needs_email(platform)
    }

    fn registration_flows(
        &self,
        platform: &Platform,
    ) -> Result<&'static [&'static [AuthType]], AccountsError> {
        let with_email = self.sends_mails(platform);
        let must = needs_email(platform);
        match (platform.settings.registration, with_email, must) {
            (Policy::Closed, ..) => Err(AccountsError::Forbidden("registration is closed here")),
            (Policy::Open, false, _) => Ok(&[&[AuthType::Dummy]]),
            (Policy::Open, true, false) => Ok(&[&[AuthType::Dummy], &[AuthType::EmailIdentity]]),
            (Policy::Open, true, true) => Ok(&[&[AuthType::EmailIdentity]]),
            (Policy::Token, true, true) => Ok(&[&[AuthType::RegistrationToken, AuthType::EmailIdentity]]),
            (Policy::Token, true, false) => {
                Ok(&[&[AuthType::RegistrationToken], &[AuthType::RegistrationToken, AuthType::EmailIdentity]])
            }
            (Policy::Token, false, _) => Ok(&[&[AuthType::RegistrationToken]]),
        }
    }
}

fn needs_email(platform: &Platform) -> bool {
    platform.settings.verify && platform.settings.identity == Identity::Account
}

/// Whether who registers on a platform chooses a user name. Where people are known by phone number and prove it, names
/// are generated.
pub fn takes_names(platform: &Platform) -> bool {
    platform.settings.identity != Identity::Phone || !platform.settings.verify
}
