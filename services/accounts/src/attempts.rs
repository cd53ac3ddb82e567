//! Attempts at passwords: wherever one is checked, that counts as logging in.
//!
//! It counts for the address and for the account. What strangers try counts apart from what those try who are logged in:
//! nobody is kept from the own account by the guesses of others.

use std::net::IpAddr;

use linkspan_platforms::{Limited, Platform, RateClass};
use ruma::{OwnedUserId, api::client::uiaa::AuthData};

/// The longest name that an attempt is counted by, in bytes: no account has a longer one.
const MAX_NAME_BYTES: usize = 255;

/// What somebody who is logged in gives to prove who it is.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// A stage of user-interactive authentication; None: the stages are asked for.
    pub auth: Option<&'a AuthData>,
    /// Where the account is.
    pub platform: &'a Platform,
    /// Where the attempt comes from.
    pub address: IpAddr,
}

impl Attempt<'_> {
    /// Counts a password that a user gives.
    pub(crate) fn count(&self, user_id: &OwnedUserId) -> Result<(), Limited> {
        self.platform.rate_limiter.check(RateClass::Login, &self.address.to_string())?;
        count_of_user(self.platform, user_id)
    }
}

/// Counts a password that is given by a user who is logged in, whose address has been counted.
pub(crate) fn count_of_user(platform: &Platform, user_id: &OwnedUserId) -> Result<(), Limited> {
    platform.rate_limiter.check(RateClass::Login, &format!("user {user_id}"))
}

/// Counts a password that is given by a stranger, whose address has been counted. Names that nobody has count as well:
/// they look like those that somebody has.
pub(crate) fn count_of_stranger(
    platform: &Platform,
    user_id: Option<&OwnedUserId>,
    name: &str,
) -> Result<(), Limited> {
    let name = user_id.map_or(name, |user_id| user_id.as_str());
    if name.len() > MAX_NAME_BYTES {
        return Ok(());
    }
    platform.rate_limiter.check(RateClass::Login, &format!("stranger {}", name.to_ascii_lowercase()))
}
