//! Logging in: a password gives a device an access token.
//! <https://spec.matrix.org/v1.19/client-server-api/#login>

use std::net::IpAddr;

use linkspan_platforms::Platform;
use linkspan_storage::{
    WriteSet,
    catalogue::{
        AccessTokens, Accounts as AccountsTable, DeviceKey, Devices, PlatformHashKey, RefreshTokens, UserKey,
    },
    records::{AccessTokenRecord, AccountRecord, DeviceRecord, RefreshTokenRecord},
};
use ruma::{
    OwnedDeviceId, OwnedServerName, OwnedUserId, ServerName, api::client::uiaa::UserIdentifier,
    thirdparty::Medium,
};

use crate::{
    Accounts, AccountsError, DeviceRemoved, ThirdPartyId,
    attempts::count_of_user,
    password::{PasswordStamp, ProvedUser, WRONG, place_of_stranger},
    token::{TokenHash, hash_token, new_token, random_text},
};

/// How long an access token lasts that can be refreshed, in milliseconds.
pub(crate) const ACCESS_TOKEN_MS: u64 = 3_600_000;
/// How long an access token of an OAuth session lasts, in milliseconds. Other servers have tokens as short as this.
pub(crate) const OAUTH_ACCESS_TOKEN_MS: u64 = 5 * 60_000;
/// The greatest number of devices of a user. Everybody who writes to the user encrypts for each of them. Clients that log
/// in anew each time that they run pile them up, so the one that was not used for the longest time gives way.
pub(crate) const MAX_DEVICES: usize = 200;
/// The greatest length of a device's id, and of its name, in bytes.
const DEVICE_ID_BYTES: usize = 255;
const DEVICE_NAME_BYTES: usize = 1_024;

/// Whom somebody says they are.
#[derive(Clone, Debug)]
pub enum Identifier {
    /// What people type: a handle or a localpart, a whole user id, an e-mail address, or an international phone
    /// number.
    Name(String),
    /// A third-party identifier, and nothing else.
    ThirdParty {
        /// Its medium.
        medium: Medium,
        /// Its address.
        address: String,
    },
    /// A phone number as it is dialled in a country.
    Phone {
        /// The code of the country, two letters.
        country: String,
        /// The number.
        number: String,
    },
}

impl Identifier {
    /// Reads what a client says. None if it is of a kind that nobody is known by.
    /// <https://spec.matrix.org/v1.19/client-server-api/#identifier-types>
    pub fn from_wire(identifier: &UserIdentifier) -> Option<Self> {
        match identifier {
            UserIdentifier::Matrix(id) => Some(Self::Name(id.user.clone())),
            UserIdentifier::PhoneNumber(id) => {
                Some(Self::Phone { country: id.country.clone(), number: id.phone.clone() })
            }
            _ => {
                let (medium, address) = identifier.as_third_party_id()?;
                Some(Self::ThirdParty { medium: medium.clone(), address: address.to_owned() })
            }
        }
    }

    /// What was typed.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Name(text) | Self::ThirdParty { address: text, .. } | Self::Phone { number: text, .. } => {
                text
            }
        }
    }
}

/// What proves who logs in.
#[derive(Clone)]
pub struct Credentials {
    /// Who it is.
    pub identifier: Identifier,
    /// The password.
    pub password: String,
}

/// The device that logs in.
#[derive(Clone, Debug, Default)]
pub struct NewDevice {
    /// A device that is known keeps its name and gets new tokens; None: a new one.
    pub device_id: Option<OwnedDeviceId>,
    /// The name of a new device.
    pub display_name: Option<String>,
    /// Whether it gets an access token that expires, and a refresh token.
    pub refreshable: bool,
    /// Where it is.
    pub address: Option<IpAddr>,
}

/// A device that has logged in.
#[derive(Clone)]
pub struct LoggedIn {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device.
    pub device_id: OwnedDeviceId,
    /// The access token.
    pub access_token: String,
    /// The refresh token, if one was asked for.
    pub refresh_token: Option<String>,
    /// How long the access token lasts, in milliseconds; None: until the device logs out.
    pub expires_in_ms: Option<u64>,
    /// Devices of the user that had to give way, because there were too many.
    pub gave_way: Vec<DeviceRemoved>,
}

impl Accounts {
    /// Logs a user of `platform` in. A wrong password and an unknown user look the same.
    pub async fn log_in(
        &self,
        platform: &Platform,
        credentials: Credentials,
        device: NewDevice,
        now_ts: u64,
    ) -> Result<LoggedIn, AccountsError> {
        let user = self.check_log_in(platform, credentials, device.address).await?;
        self.start_session(user, device, now_ts).await
    }

    /// The user whose password it is, without logging anything in. A wrong password and an unknown user look
    /// the same. How often it may be tried for an account is limited, apart for the networks in which its user is logged
    /// in; the caller has counted the address, which is `from`.
    pub async fn check_log_in(
        &self,
        platform: &Platform,
        credentials: Credentials,
        from: Option<IpAddr>,
    ) -> Result<ProvedUser, AccountsError> {
        let user_id = self.find_user(platform.server_name(), &credentials.identifier).await?;
        let typed = credentials.identifier.as_str();
        let counted = self.count_log_in(platform, user_id.as_ref(), typed, from).await?;
        let proof = async {
            let who = place_of_stranger(from);
            let name = platform.server_name();
            let user = self.check_credentials(name, &who, user_id, credentials.password).await?;
            // There the password is a second step: it opens nothing without the number.
            let needs_number =
                self.knows_by_number(platform) && self.has_id(&user.user_id, &Medium::Msisdn).await?;
            if needs_number { Err(WRONG) } else { Ok(user) }
        };
        counted.give_back_if_right(proof).await
    }

    /// Refuses unless it is the password of a user who is logged in in a browser; its stamp. Limited as above.
    pub async fn check_own_password(
        &self,
        platform: &Platform,
        user_id: &OwnedUserId,
        password: String,
    ) -> Result<PasswordStamp, AccountsError> {
        let proof = self.check_user_password(user_id, password);
        Ok(count_of_user(platform, user_id)?.give_back_if_right(proof).await?.password_stamp)
    }

    /// Whether an account has a password.
    pub(crate) async fn has_password(&self, user_id: &OwnedUserId) -> Result<bool, AccountsError> {
        Ok(self.shared_account(user_id).await?.is_some_and(|account| account.password_hash.is_some()))
    }

    /// The user of a platform who is meant.
    pub(crate) async fn find_user(
        &self,
        platform: &OwnedServerName,
        identifier: &Identifier,
    ) -> Result<Option<OwnedUserId>, AccountsError> {
        let id = match identifier {
            Identifier::Name(name) => {
                let owner = match typed_id(name) {
                    Some(id) => self.owner_of(platform, &id).await?,
                    None => None,
                };
                return match owner {
                    Some(owner) => Ok(Some(owner)),
                    None => self.user_of_name(platform, name).await,
                };
            }
            Identifier::ThirdParty { medium, address } => ThirdPartyId::new(medium, address),
            Identifier::Phone { country, number } => ThirdPartyId::phone(country, number),
        };
        match id {
            Ok(id) => self.owner_of(platform, &id).await,
            Err(_) => Ok(None),
        }
    }

    /// Refuses unless it is the password of a user who has given some other proof before.
    pub(crate) async fn check_user_password(
        &self,
        user_id: &OwnedUserId,
        password: String,
    ) -> Result<ProvedUser, AccountsError> {
        let platform = user_id.server_name();
        self.check_credentials(platform, user_id.as_str(), Some(user_id.clone()), password).await
    }

    /// The user of a platform, if the password is right that `who` gives, a user or a network. A wrong one tells the
    /// same of accounts that are there, locked, deactivated or were never there, and takes as long. The right one tells
    /// that an account is locked. That of a deactivated account was forgotten with it.
    pub(crate) async fn check_credentials(
        &self,
        platform: &ServerName,
        who: &str,
        user_id: Option<OwnedUserId>,
        password: String,
    ) -> Result<ProvedUser, AccountsError> {
        let account = match &user_id {
            Some(user_id) => self.account(user_id).await?,
            None => None,
        };
        let locked = account.as_ref().is_some_and(|account| account.locked);
        let password_stamp = account.as_ref().map(PasswordStamp::of);
        let hash = account.filter(|account| !account.deactivated).and_then(|account| account.password_hash);
        let right = self.shared.passwords.verify(platform, who, password, hash).await?;
        match user_id.zip(password_stamp) {
            Some(_) if right && locked => Err(AccountsError::Locked),
            Some((user_id, password_stamp)) if right => Ok(ProvedUser { user_id, password_stamp }),
            _ => Err(WRONG),
        }
    }

    /// Gives a device of an account new tokens; those it had are gone. Refuses who has proved to be the user by a
    /// password that was changed since.
    pub(crate) async fn start_session(
        &self,
        user: ProvedUser,
        device: NewDevice,
        now_ts: u64,
    ) -> Result<LoggedIn, AccountsError> {
        self.start_session_of(user, device, SessionOf::Person, now_ts).await
    }

    pub(crate) async fn start_session_of(
        &self,
        user: ProvedUser,
        device: NewDevice,
        whose: SessionOf<'_>,
        now_ts: u64,
    ) -> Result<LoggedIn, AccountsError> {
        check_device(&device)?;
        let ProvedUser { user_id, password_stamp } = user;
        let user_key = UserKey { user_id: user_id.clone() };
        let device_id = device.device_id.clone().unwrap_or_else(new_device_id);
        let key = DeviceKey { user_id: user_id.clone(), device_id };
        self.store
            .update(async || {
                let account = self.store.get::<AccountsTable>(&user_key).await?;
                let account = check_active(account)?;
                password_stamp.check(&account)?;
                let known = self.store.get::<Devices>(&key).await?;
                let mut writes = WriteSet::new();
                writes.expect::<AccountsTable>(&user_key, &account);
                let gave_way = match known {
                    Some(_) => Vec::new(),
                    None => self.make_way(&mut writes, &key).await?,
                };
                let logged_in = put_device(&mut writes, &key, known.as_ref(), &device, whose, now_ts);
                Ok((writes, LoggedIn { gave_way, ..logged_in }))
            })
            .await
    }
}

/// The address or number that somebody has typed, if it reads as one. No localpart has an `@`, and every user id begins
/// with one.
fn typed_id(name: &str) -> Option<ThirdPartyId> {
    if name.starts_with('+') {
        return ThirdPartyId::new(&Medium::Msisdn, name).ok();
    }
    let has_at = name.contains('@') && !name.starts_with('@');
    has_at.then(|| ThirdPartyId::email(name).ok()).flatten()
}

pub(crate) fn check_active(account: Option<AccountRecord>) -> Result<AccountRecord, AccountsError> {
    let account = account.ok_or(AccountsError::NotFound("account"))?;
    match account {
        AccountRecord { deactivated: true, .. } => Err(AccountsError::Deactivated),
        AccountRecord { locked: true, .. } => Err(AccountsError::Locked),
        account => Ok(account),
    }
}

pub(crate) fn check_device(device: &NewDevice) -> Result<(), AccountsError> {
    let id = device.device_id.as_ref().map(|id| id.as_str());
    if id.is_some_and(|id| id.is_empty() || id.len() > DEVICE_ID_BYTES) {
        return Err(AccountsError::InvalidParam("a device id has 1 to 255 bytes"));
    }
    check_device_name(device.display_name.as_deref())
}

pub(crate) fn check_device_name(name: Option<&str>) -> Result<(), AccountsError> {
    match name {
        Some(name) if name.len() > DEVICE_NAME_BYTES => Err(AccountsError::TooLarge("the device's name")),
        _ => Ok(()),
    }
}

pub(crate) fn new_device_id() -> OwnedDeviceId {
    random_text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 10).into()
}

/// Whose session it is.
#[derive(Clone, Copy)]
pub(crate) enum SessionOf<'a> {
    /// Somebody's who has logged in directly.
    Person,
    /// The OAuth client's that has this id.
    Client(&'a str),
    /// A visitor's who uses a demo account.
    Visitor,
}

/// Writes a device with new tokens in the place of `known`.
pub(crate) fn put_device(
    writes: &mut WriteSet,
    key: &DeviceKey,
    known: Option<&DeviceRecord>,
    device: &NewDevice,
    whose: SessionOf<'_>,
    now_ts: u64,
) -> LoggedIn {
    let client_id = match whose {
        SessionOf::Client(client_id) => Some(client_id),
        SessionOf::Person | SessionOf::Visitor => None,
    };
    match known {
        Some(known) => {
            writes.expect::<Devices>(key, known);
            delete_tokens(writes, &key.user_id, tokens_of(known), refresh_tokens_of(known));
        }
        None => writes.expect_absent::<Devices>(key),
    }
    let expires_in_ms = device.refreshable.then(|| access_token_ms(client_id));
    let (access_token, access_hash) = put_access_token(writes, key, expires_in_ms, now_ts);
    let family = client_id.filter(|_| device.refreshable).map(|_| new_token(""));
    let refresh = device.refreshable.then(|| put_refresh_token(writes, key, family.as_deref()));
    let refresh_family = family.map(|family| put_refresh_family(writes, key, &family));
    let record = DeviceRecord {
        display_name: known.map_or(device.display_name.clone(), |known| known.display_name.clone()),
        created_ts: known.map_or(now_ts, |known| known.created_ts),
        last_seen_ts: now_ts,
        last_seen_ip: device.address.map(|address| address.to_string()),
        access_token: access_hash,
        refresh_token: refresh.as_ref().map(|(_, hash)| *hash),
        previous_access_token: None,
        previous_refresh_token: None,
        client_id: client_id.map(str::to_owned),
        refresh_family,
        dehydrated: false,
        shows: None,
        is_visitors: matches!(whose, SessionOf::Visitor),
    };
    writes.put::<Devices>(key, &record);
    LoggedIn {
        user_id: key.user_id.clone(),
        device_id: key.device_id.clone(),
        access_token,
        refresh_token: refresh.map(|(token, _)| token),
        expires_in_ms,
        gave_way: Vec::new(),
    }
}

/// Writes a new access token of a device.
pub(crate) fn put_access_token(
    writes: &mut WriteSet,
    device: &DeviceKey,
    expires_in_ms: Option<u64>,
    now_ts: u64,
) -> (String, TokenHash) {
    let token = new_token("lst_");
    let hash = hash_token(&token);
    let record = AccessTokenRecord {
        user_id: device.user_id.clone(),
        device_id: device.device_id.clone(),
        expires_ts: expires_in_ms.map(|expires_in_ms| now_ts + expires_in_ms),
    };
    writes.put::<AccessTokens>(&token_key(&device.user_id, hash), &record);
    (token, hash)
}

/// How long an access token of a client lasts that can be refreshed, in milliseconds.
pub(crate) fn access_token_ms(client_id: Option<&str>) -> u64 {
    if client_id.is_some() { OAUTH_ACCESS_TOKEN_MS } else { ACCESS_TOKEN_MS }
}

/// Writes a new refresh token of a device; one of an OAuth session carries its family.
pub(crate) fn put_refresh_token(
    writes: &mut WriteSet,
    device: &DeviceKey,
    family: Option<&str>,
) -> (String, TokenHash) {
    let token = match family {
        Some(family) => new_token(&format!("lsr_{family}.")),
        None => new_token("lsr_"),
    };
    let hash = hash_token(&token);
    let record = RefreshTokenRecord {
        user_id: device.user_id.clone(),
        device_id: device.device_id.clone(),
        used: false,
    };
    writes.put::<RefreshTokens>(&token_key(&device.user_id, hash), &record);
    (token, hash)
}

/// Writes the row by which a spent refresh token of a family is known.
fn put_refresh_family(writes: &mut WriteSet, device: &DeviceKey, family: &str) -> TokenHash {
    let hash = hash_token(family);
    let record = RefreshTokenRecord {
        user_id: device.user_id.clone(),
        device_id: device.device_id.clone(),
        used: true,
    };
    writes.put::<RefreshTokens>(&token_key(&device.user_id, hash), &record);
    hash
}

/// Removes tokens of a user.
pub(crate) fn delete_tokens(
    writes: &mut WriteSet,
    user_id: &OwnedUserId,
    access: impl IntoIterator<Item = TokenHash>,
    refresh: impl IntoIterator<Item = TokenHash>,
) {
    for hash in access {
        writes.delete::<AccessTokens>(&token_key(user_id, hash));
    }
    for hash in refresh {
        writes.delete::<RefreshTokens>(&token_key(user_id, hash));
    }
}

/// All access tokens of a device.
pub(crate) fn tokens_of(device: &DeviceRecord) -> Vec<TokenHash> {
    [Some(device.access_token), device.previous_access_token].into_iter().flatten().collect()
}

/// All refresh tokens of a device, and what they have in common.
pub(crate) fn refresh_tokens_of(device: &DeviceRecord) -> Vec<TokenHash> {
    [device.refresh_token, device.previous_refresh_token, device.refresh_family]
        .into_iter()
        .flatten()
        .collect()
}

pub(crate) fn token_key(user_id: &OwnedUserId, hash: TokenHash) -> PlatformHashKey {
    PlatformHashKey { platform: user_id.server_name().to_owned(), hash }
}

#[cfg(test)]
mod tests {
    use linkspan_storage::{Memory, Store};
    use ruma::owned_server_name;

    use super::MAX_DEVICES;
    use crate::{Accounts, AccountsError, NewDevice, Restriction};

    const NOW: u64 = 1_700_000_000_000;
    const OLD: &str = "correct horse";
    const NEW: &str = "another horse";

    #[tokio::test]
    async fn a_password_that_is_changed_meanwhile_proves_nothing() {
        let accounts = Accounts::new(Store::in_memory(Memory::new().expect("an engine")));
        let here = owned_server_name!("instagram.localhost");
        let anna = accounts.create_account(&here, "anna", OLD.into(), false, NOW).await.expect("an account");
        let prove = async |password: &str| {
            accounts.check_user_password(&anna, password.into()).await.expect("it is right")
        };
        let (first, second) = (prove(OLD).await, prove(OLD).await);
        accounts.put_password(&anna, NEW.into(), Some(first.password_stamp)).await.expect("changed");

        let again = accounts.put_password(&anna, "a third horse".into(), Some(second.password_stamp)).await;
        assert!(matches!(again, Err(AccountsError::Forbidden(_))));
        let gone = accounts.begin_deactivation(&anna, Some(second.password_stamp), true).await;
        assert!(matches!(gone, Err(AccountsError::Forbidden(_))));
        let late = accounts.start_session(second, NewDevice::default(), NOW).await;
        assert!(matches!(late, Err(AccountsError::Forbidden(_))));
        assert!(accounts.devices(&anna).await.expect("listed").is_empty());

        // Whatever else changes of the account changes nothing of what the password has proved.
        let admin = accounts.create_account(&here, "admin", OLD.into(), true, NOW).await.expect("an account");
        let third = prove(NEW).await;
        accounts.set_restricted(Some(&admin), &anna, Restriction::Suspended, true).await.expect("suspended");
        accounts.start_session(third, NewDevice::default(), NOW).await.expect("logged in");
    }

    #[tokio::test]
    async fn the_device_that_was_not_used_for_the_longest_time_gives_way() {
        let accounts = Accounts::new(Store::in_memory(Memory::new().expect("an engine")));
        let here = owned_server_name!("instagram.localhost");
        let anna = accounts.create_account(&here, "anna", OLD.into(), false, NOW).await.expect("an account");
        let user = accounts.check_user_password(&anna, OLD.into()).await.expect("it is right");
        let log_in = async |number: u64| {
            let device_id = Some(format!("D{number}").into());
            let device = NewDevice { device_id, ..NewDevice::default() };
            accounts.start_session(user.clone(), device, NOW + number).await.expect("logged in")
        };
        for number in 0..MAX_DEVICES as u64 {
            assert!(log_in(number).await.gave_way.is_empty(), "{number}");
        }
        let newest = log_in(1_000).await;
        let gone: Vec<_> = newest.gave_way.into_iter().map(|gone| gone.device_id).collect();
        assert_eq!(gone, ["D0"]);
        let devices = accounts.devices(&anna).await.expect("listed");
        assert_eq!(devices.len(), MAX_DEVICES);
        assert!(devices.iter().all(|device| device.device_id != gone[0]));
        assert!(devices.iter().any(|device| device.device_id == "D1000"));
        // What others keep for it is forgotten even if the server stops now.
        let departed = accounts.departed_devices().await.expect("listed");
        assert_eq!(departed.into_iter().map(|gone| gone.device_id).collect::<Vec<_>>(), gone);
        // Who is known needs no room.
        assert!(log_in(1).await.gave_way.is_empty());
    }
}
