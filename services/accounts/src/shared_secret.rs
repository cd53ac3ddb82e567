//! The registration API of Synapse's tools: who knows the platform's shared secret makes accounts.
//! <https://element-hq.github.io/synapse/latest/admin_api/register_api.html>

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use linkspan_platforms::{Holder, Platform};
use sha1::Sha1;

use crate::{
    Accounts, AccountsError, NewDevice, Registered, password::check_password, register::NewAccount,
    token::new_token, username::user_id_of,
};

/// How long a nonce lasts, in milliseconds.
const NONCE_MS: u64 = 60_000;

/// An account to make, with the proof that the secret is known.
#[derive(Clone)]
pub struct SharedSecretRegistration {
    /// A nonce that was handed out and not used yet.
    pub nonce: String,
    /// The localpart.
    pub username: String,
    /// The password.
    pub password: String,
    /// Whether the account administers the platform.
    pub admin: bool,
    /// It is a part of what is proved, and has no other meaning here.
    pub user_type: Option<String>,
    /// The HMAC-SHA1 over all the above, in hexadecimal.
    pub mac: String,
    /// The device to log in, if there is to be one.
    pub device: Option<NewDevice>,
}

impl Accounts {
    /// A nonce for one registration, for whoever asks at an address; or None where there is no shared secret.
    pub fn new_registration_nonce(&self, platform: &Platform, from: IpAddr, now_ts: u64) -> Option<String> {
        secret(platform)?;
        let nonce = new_token("");
        let holder = Holder::address(platform.server_name(), from);
        let value = platform.server_name().clone();
        self.shared.nonces.put(holder, nonce.clone(), value, now_ts + NONCE_MS, now_ts);
        Some(nonce)
    }

    /// Makes an account for somebody who knows the shared secret.
    pub async fn register_by_shared_secret(
        &self,
        platform: &Platform,
        registration: SharedSecretRegistration,
        now_ts: u64,
    ) -> Result<Registered, AccountsError> {
        let secret = secret(platform).ok_or(AccountsError::NotFound("shared secret"))?;
        if self.shared.nonces.take(&registration.nonce, now_ts).as_ref() != Some(platform.server_name()) {
            return Err(AccountsError::InvalidParam("unrecognised nonce"));
        }
        check_mac(secret, &registration)?;
        check_password(&registration.password)?;
        let account = NewAccount {
            user_id: Some(user_id_of(platform.server_name(), &registration.username)?),
            display_name: Some(registration.username),
            password: Some(registration.password),
            admin: registration.admin,
            guest: false,
            address: registration.device.as_ref().and_then(|device| device.address),
            device: registration.device,
            registration_token: None,
            third_party_ids: Vec::new(),
        };
        self.put_account(platform.server_name(), account, now_ts).await
    }
}

fn secret(platform: &Platform) -> Option<&str> {
    Some(platform.settings.registration_shared_secret.as_str()).filter(|secret| !secret.is_empty())
}

fn check_mac(secret: &str, registration: &SharedSecretRegistration) -> Result<(), AccountsError> {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    let admin = if registration.admin { "admin" } else { "notadmin" };
    let mut parts = vec![&*registration.nonce, &*registration.username, &*registration.password, admin];
    parts.extend(registration.user_type.as_deref());
    mac.update(parts.join("\0").as_bytes());
    let given = from_hex(&registration.mac).unwrap_or_default();
    mac.verify_slice(&given).map_err(|_| AccountsError::Forbidden("HMAC incorrect"))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}
