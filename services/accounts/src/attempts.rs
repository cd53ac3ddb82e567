//! Attempts at passwords, and at the codes that link accounts. Wherever a password is checked, that counts as logging in, for the account and for
//! the address.
//!
//! Only what is wrong counts; what a right one took is given back. Guesses by somebody who is logged in
//! limit strangers, too. Guesses by strangers do not limit those who are logged in, because otherwise anybody
//! could keep others from changing their password or removing a device. This file decides about no password;
//! it only counts.

use std::net::IpAddr;

use linkspan_platforms::{Limited, Platform, RateClass, RateLimiter, network_of};
use ruma::{OwnedUserId, api::client::uiaa::AuthData};

use crate::AccountsError;

/// The longest name that attempts are counted by, in bytes. No account has a longer one.
const MAX_NAME_BYTES: usize = 255;

/// What a user who is logged in gives as proof.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// A stage of user-interactive authentication. Without one, the client asks which stages there are.
    pub auth: Option<&'a AuthData>,
    /// The platform that the account is on.
    pub platform: &'a Platform,
    /// The address that the attempt comes from.
    pub address: IpAddr,
}

impl<'a> Attempt<'a> {
    /// Counts a password that a user gives.
    pub(crate) fn count(&self, user_id: &OwnedUserId) -> Result<Counted<'a>, Limited> {
        let mut counted = Counted::nothing(self.platform);
        counted.take(network_of(self.address))?;
        counted.take_for_user(user_id)?;
        Ok(counted)
    }
}

/// Counts a password that is given by a user who is logged in, and whose address was counted before.
pub(crate) fn count_of_user<'a>(
    platform: &'a Platform,
    user_id: &OwnedUserId,
) -> Result<Counted<'a>, Limited> {
    let mut counted = Counted::nothing(platform);
    counted.take_for_user(user_id)?;
    Ok(counted)
}

/// Counts a password that is given by a stranger, whose address was counted before. `user_id` is the user
/// whom the name means. Names that nobody has count as well, so that they look like names that somebody has.
pub(crate) fn count_of_stranger<'a>(
    platform: &'a Platform,
    user_id: Option<&OwnedUserId>,
    name: &str,
) -> Result<Counted<'a>, Limited> {
    let mut counted = Counted::nothing(platform);
    match user_id {
        Some(user_id) => counted.take(of_account(user_id))?,
        None if name.len() <= MAX_NAME_BYTES => counted.take(format!("name {}", name.to_lowercase()))?,
        None => {}
    }
    Ok(counted)
}

/// Counts a code that a user enters to link accounts.
pub(crate) fn count_of_link_code<'a>(
    platform: &'a Platform,
    user_id: &OwnedUserId,
) -> Result<Counted<'a>, Limited> {
    let mut counted = Counted::nothing(platform);
    counted.take(format!("link codes of {user_id}"))?;
    Ok(counted)
}

fn of_account(user_id: &OwnedUserId) -> String {
    format!("account {user_id}")
}

/// What an attempt has taken of the limits.
pub(crate) struct Counted<'a> {
    limiter: &'a RateLimiter,
    taken: Vec<String>,
}

impl<'a> Counted<'a> {
    fn nothing(platform: &'a Platform) -> Self {
        Self { limiter: &platform.rate_limiter, taken: Vec::new() }
    }

    /// Runs `proof`. The attempt is not counted if it succeeds, or if there was no room to look at the password.
    pub(crate) async fn give_back_if_right<T>(
        mut self,
        proof: impl Future<Output = Result<T, AccountsError>>,
    ) -> Result<T, AccountsError> {
        let proved = proof.await;
        if matches!(proved, Ok(_) | Err(AccountsError::Limited(_))) {
            self.give_back();
        }
        proved
    }

    /// Counts for one who is limited. An attempt that is refused has taken nothing from anybody.
    fn take(&mut self, who: String) -> Result<(), Limited> {
        self.limiter.check(RateClass::Login, &who).inspect_err(|_| self.give_back())?;
        self.taken.push(who);
        Ok(())
    }

    /// Counts for a user who is logged in. Strangers are limited by it too, but the user is not limited by strangers.
    fn take_for_user(&mut self, user_id: &OwnedUserId) -> Result<(), Limited> {
        self.take(format!("sessions of {user_id}"))?;
        let account = of_account(user_id);
        if self.limiter.check(RateClass::Login, &account).is_ok() {
            self.taken.push(account);
        }
        Ok(())
    }

    fn give_back(&mut self) {
        self.taken.drain(..).for_each(|who| self.limiter.give_back(RateClass::Login, &who));
    }
}
