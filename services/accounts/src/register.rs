//! Registering: a new account, and usually its first device.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3register>

use std::net::IpAddr;

use linkspan_platforms::{Identity, Platform, Registration as Policy};
use linkspan_storage::{
    WriteSet,
    catalogue::{Accounts as AccountsTable, DeviceKey, UserKey},
    records::AccountRecord,
};
use ruma::{
    OwnedServerName, OwnedUserId, ServerName,
    api::client::uiaa::{AuthData, AuthType},
    thirdparty::Medium,
};

use crate::{
    Accounts, AccountsError, DeviceRemoved, Handle, LoggedIn, NewDevice,
    interactive::{Purpose, REGISTER},
    log_in::{SessionOf, check_device, new_device_id, put_device},
    password::{PasswordStamp, check_password, place_of_stranger},
    profile::put_display_name,
    username::{generate, looks_like_phone_number, new_user_id, user_id_of},
    validation::Validated,
};

/// What a platform asks of people who make an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrationSteps {
    /// Whether they choose their name; else one is made up.
    pub name: bool,
    /// Whether they need a registration token.
    pub token: bool,
    /// Whether they give an e-mail address.
    pub email: ProofStep,
    /// Whether they give a phone number.
    pub phone: ProofStep,
}

impl RegistrationSteps {
    /// Whether they need a password. Where they prove an address or a number, that is how they log in.
    pub fn password(self) -> bool {
        self.email != ProofStep::Required && self.phone != ProofStep::Required
    }

    /// The stages of a registration: what is needed, and the same with one thing more that may be given.
    fn flows(self) -> Vec<Vec<AuthType>> {
        let proofs = [(self.email, AuthType::EmailIdentity), (self.phone, AuthType::Msisdn)];
        let with =
            |wanted| proofs.iter().filter(move |(step, _)| *step == wanted).map(|(_, stage)| stage.clone());
        let token = self.token.then_some(AuthType::RegistrationToken);
        let needed: Vec<_> = token.into_iter().chain(with(ProofStep::Required)).collect();
        let least = if needed.is_empty() { vec![AuthType::Dummy] } else { needed.clone() };
        let with_more = with(ProofStep::Optional).map(|stage| [needed.clone(), vec![stage]].concat());
        [least].into_iter().chain(with_more).collect()
    }
}

/// Whether an address or a number is a part of registering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofStep {
    /// Nothing could be sent to it.
    None,
    /// Who wants to gives one.
    Optional,
    /// Everybody confirms one.
    Required,
}

impl ProofStep {
    fn new(is_sent: bool, is_needed: bool) -> Self {
        match (is_sent, is_needed) {
            (false, _) => Self::None,
            (true, false) => Self::Optional,
            (true, true) => Self::Required,
        }
    }
}

/// What somebody who registers asks for.
#[derive(Clone, Default)]
pub struct Registration {
    /// The wanted localpart; None: any. It is the display name to begin with.
    pub username: Option<String>,
    /// The password. Where people prove an address or a number, they may leave it out.
    pub password: Option<String>,
    /// The device to log in; None: none.
    pub device: Option<NewDevice>,
    /// The access token of a guest who is to become this user; `username` is then the guest's localpart.
    pub guest_access_token: Option<String>,
    /// Where it is asked from.
    pub address: Option<IpAddr>,
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
    /// The name that people see.
    pub(crate) display_name: Option<String>,
    /// The password. Without one, nobody logs in by password.
    pub(crate) password: Option<String>,
    pub(crate) admin: bool,
    pub(crate) guest: bool,
    pub(crate) device: Option<NewDevice>,
    /// Where it is asked from. None: an operator makes it.
    pub(crate) address: Option<IpAddr>,
    pub(crate) registration_token: Option<String>,
    pub(crate) third_party_ids: Vec<Validated>,
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
        let steps = self.registration_steps(platform)?;
        let guest = match &registration.guest_access_token {
            Some(token) => {
                Some(self.guest_to_upgrade(platform, token, registration.username.as_deref()).await?)
            }
            None => None,
        };
        let user_id = match &guest {
            Some(guest) => Some(guest.user_id.clone()),
            None => self.wanted_name(platform, registration.username.clone(), now_ts).await?,
        };
        if let Some(password) = &registration.password {
            check_password(password)?;
        }
        if let Some(device) = &registration.device {
            check_device(device)?;
        }
        // Clients first ask without anything, to learn the stages.
        let password = match (registration.password, auth) {
            (None, Some(_)) if steps.password() => return Err(AccountsError::MissingParam("password")),
            (password, _) => password,
        };
        let purpose = Purpose::of_platform(platform.server_name(), REGISTER);
        let proof = self
            .authenticate_interactively(&purpose, &steps.flows(), auth, registration.address, now_ts)
            .await?;
        if password.is_none() && steps.password() {
            return Err(AccountsError::MissingParam("password"));
        }
        let account = NewAccount {
            user_id,
            display_name: registration.username.filter(|name| may_be_shown(platform, name)),
            password,
            admin: false,
            guest: false,
            device: registration.device,
            address: registration.address,
            registration_token: proof.registration_token,
            third_party_ids: proof.ids,
        };
        match guest {
            Some(guest) => self.upgrade_guest(&guest, account, now_ts).await,
            None => self.put_account(platform.server_name(), account, now_ts).await,
        }
    }

    /// What a platform asks of people who make an account; refuses where nobody can.
    pub fn registration_steps(&self, platform: &Platform) -> Result<RegistrationSteps, AccountsError> {
        let known_by = self.known_by(platform);
        let email = ProofStep::new(self.sends_mails(platform), known_by == Some(Medium::Email));
        let phone = ProofStep::new(self.sends_sms(platform), known_by == Some(Medium::Msisdn));
        let token = match platform.settings.registration {
            Policy::Closed => return Err(AccountsError::Forbidden("registration is closed here")),
            Policy::Open => false,
            Policy::Token => true,
        };
        Ok(RegistrationSteps { name: takes_names(platform), token, email, phone })
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
            display_name: Some(localpart.to_owned()),
            password: Some(password),
            admin,
            guest: false,
            device: None,
            address: None,
            registration_token: None,
            third_party_ids: Vec::new(),
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
            password_hash: self.hash_password(platform, account.address, account.password.clone()).await?,
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
            if let Some(name) = &account.display_name {
                put_display_name(&mut writes, &user_id, name)?;
            }
            if let Some(add) = &self.on_create {
                add(&mut writes, &user_id, account.display_name.as_deref());
            }
            if !record.guest {
                self.put_first_handle(&mut writes, &user_id, now_ts).await?;
            }
            self.use_proofs(&mut writes, &user_id, &account, now_ts).await?;
            let logged_in = account.device.as_ref().map(|device| {
                let device_id = device.device_id.clone().unwrap_or_else(new_device_id);
                let key = DeviceKey { user_id: user_id.clone(), device_id };
                put_device(&mut writes, &key, None, device, SessionOf::Person, now_ts)
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
        platform: &ServerName,
        address: Option<IpAddr>,
        password: Option<String>,
    ) -> Result<Option<String>, AccountsError> {
        let Some(password) = password else { return Ok(None) };
        let who = place_of_stranger(address);
        Ok(Some(self.shared.passwords.hash(platform, &who, password).await?))
    }

    /// Uses up what was proved to register: the registration token, the address, the number.
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
        for validated in &account.third_party_ids {
            self.put_id(writes, user_id, validated, now_ts).await?;
        }
        Ok(())
    }
}

/// Where people are known by phone number and prove it, names are generated.
fn takes_names(platform: &Platform) -> bool {
    platform.settings.identity != Identity::Phone || !platform.settings.verify
}

/// Whether a name may be shown to others from the start. Where people are known by a number, it is not to be one.
pub(crate) fn may_be_shown(platform: &Platform, name: &str) -> bool {
    let is_hidden = platform.settings.identity == Identity::Phone && looks_like_phone_number(name);
    !name.is_empty() && !is_hidden
}

#[cfg(test)]
mod tests {
    use ruma::api::client::uiaa::AuthType::{self, Dummy, EmailIdentity, Msisdn, RegistrationToken};

    use super::{
        ProofStep::{self, None, Optional, Required},
        RegistrationSteps,
    };

    #[test]
    fn stages_are_what_is_needed_or_one_more() {
        let flows = |token: bool, email: ProofStep, phone: ProofStep| -> Vec<Vec<AuthType>> {
            RegistrationSteps { name: true, token, email, phone }.flows()
        };
        assert_eq!(flows(false, None, None), [[Dummy]]);
        assert_eq!(flows(false, Optional, Optional), [[Dummy], [EmailIdentity], [Msisdn]]);
        assert_eq!(flows(false, Required, None), [[EmailIdentity]]);
        assert_eq!(flows(false, Optional, Required), [vec![Msisdn], vec![Msisdn, EmailIdentity]]);
        assert_eq!(flows(true, None, None), [[RegistrationToken]]);
        assert_eq!(flows(true, None, Required), [[RegistrationToken, Msisdn]]);
        assert_eq!(
            flows(true, Optional, None),
            [vec![RegistrationToken], vec![RegistrationToken, EmailIdentity]]
        );
    }
}
