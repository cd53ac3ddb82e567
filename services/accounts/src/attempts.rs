//! Attempts at passwords, and at the codes that link accounts. Wherever a password is checked, that counts as logging
//! in, for the account and for the address.
//!
//! Only what is wrong counts; what a right one took is given back. Guesses by somebody who is logged in limit strangers,
//! too. Guesses by strangers do not limit those who are logged in, nor those who log in from a network in which they are
//! logged in already, because otherwise anybody could keep others from changing their password, removing a device or
//! logging in. All are limited in a day, too, because guesses that come slowly would still be many. This file decides
//! about no password; it only counts.

use std::net::IpAddr;

use linkspan_platforms::{Limited, Network, Platform, RateClass, RateLimiter};
use ruma::{OwnedUserId, api::client::uiaa::AuthData};

use crate::{Accounts, AccountsError};

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
        counted.take(Taken::Address(self.address))?;
        counted.take_apart(format!("sessions of {user_id}"), user_id)?;
        Ok(counted)
    }
}

/// Counts a password that is given by a user who is logged in, and whose address was counted before.
pub(crate) fn count_of_user<'a>(
    platform: &'a Platform,
    user_id: &OwnedUserId,
) -> Result<Counted<'a>, Limited> {
    let mut counted = Counted::nothing(platform);
    counted.take_apart(format!("sessions of {user_id}"), user_id)?;
    Ok(counted)
}

/// Whom a password is given for that somebody logs in with.
pub(crate) enum Aim {
    /// A user who is logged in already in the network that the password comes from.
    Neighbour(OwnedUserId, Network),
    /// A user for whom the network is a strange one.
    Stranger(OwnedUserId),
    /// Nobody has the name. It counts as well, so that it looks like a name that somebody has.
    Nobody(String),
}

impl Accounts {
    /// Counts a password with which somebody at `from` logs in, and whose address was counted before. `user_id` is the
    /// user whom the name means.
    pub(crate) async fn count_log_in<'a>(
        &self,
        platform: &'a Platform,
        user_id: Option<&OwnedUserId>,
        name: &str,
        from: Option<IpAddr>,
    ) -> Result<Counted<'a>, AccountsError> {
        let aim = match user_id {
            Some(user_id) => match self.known_network(user_id, from).await? {
                Some(network) => Aim::Neighbour(user_id.clone(), network),
                None => Aim::Stranger(user_id.clone()),
            },
            None => Aim::Nobody(name.to_lowercase()),
        };
        Ok(count_aim(platform, &aim)?)
    }

    /// The network of an address, if one of the user's devices was last seen in it.
    async fn known_network(
        &self,
        user_id: &OwnedUserId,
        address: Option<IpAddr>,
    ) -> Result<Option<Network>, AccountsError> {
        let Some(network) = address.map(Network::of) else { return Ok(None) };
        let devices = self.devices(user_id).await?;
        let mut seen = devices.iter().filter_map(|device| device.last_seen_ip.as_ref()?.parse().ok());
        Ok(seen.any(|address| Network::of(address) == network).then_some(network))
    }
}

fn count_aim<'a>(platform: &'a Platform, aim: &Aim) -> Result<Counted<'a>, Limited> {
    let mut counted = Counted::nothing(platform);
    match aim {
        Aim::Neighbour(user_id, network) => {
            counted.take_apart(format!("neighbours of {user_id} in {network}"), user_id)?;
        }
        Aim::Stranger(user_id) => counted.take_guess(of_account(user_id))?,
        Aim::Nobody(name) if name.len() <= MAX_NAME_BYTES => {
            counted.take_guess(format!("name {name}"))?;
        }
        Aim::Nobody(_) => {}
    }
    Ok(counted)
}

/// Counts a code that a user enters to link accounts.
pub(crate) fn count_of_link_code<'a>(
    platform: &'a Platform,
    user_id: &OwnedUserId,
) -> Result<Counted<'a>, Limited> {
    let mut counted = Counted::nothing(platform);
    counted.take(Taken::Name(RateClass::Login, format!("link codes of {user_id}")))?;
    Ok(counted)
}

fn of_account(user_id: &OwnedUserId) -> String {
    format!("account {user_id}")
}

/// What an attempt has taken of one limit.
enum Taken {
    Name(RateClass, String),
    Address(IpAddr),
}

/// What an attempt has taken of the limits.
pub(crate) struct Counted<'a> {
    limiter: &'a RateLimiter,
    taken: Vec<Taken>,
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
    fn take(&mut self, taken: Taken) -> Result<(), Limited> {
        let checked = match &taken {
            Taken::Name(class, who) => self.limiter.check(*class, who),
            Taken::Address(address) => self.limiter.check_address(RateClass::Login, *address),
        };
        checked.inspect_err(|_| self.give_back())?;
        self.taken.push(taken);
        Ok(())
    }

    /// Counts for one whose guesses are limited at a time and in a day.
    fn take_guess(&mut self, who: String) -> Result<(), Limited> {
        self.take(Taken::Name(RateClass::Guess, who.clone()))?;
        self.take(Taken::Name(RateClass::Login, who))
    }

    /// Counts for a user who is not limited by strangers, but limits them.
    fn take_apart(&mut self, who: String, user_id: &OwnedUserId) -> Result<(), Limited> {
        self.take_guess(who)?;
        for class in [RateClass::Guess, RateClass::Login] {
            let account = of_account(user_id);
            if self.limiter.check(class, &account).is_ok() {
                self.taken.push(Taken::Name(class, account));
            }
        }
        Ok(())
    }

    fn give_back(&mut self) {
        for taken in self.taken.drain(..) {
            match taken {
                Taken::Name(class, who) => self.limiter.give_back(class, &who),
                Taken::Address(address) => self.limiter.give_back_address(RateClass::Login, address),
            }
        }
    }
}
