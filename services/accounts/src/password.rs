//! Hashing passwords with Argon2id, a few at once, off the threads that serve requests.

use std::{net::IpAddr, thread};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use linkspan_platforms::{Network, Shares, WaitingLimits};
use linkspan_storage::records::AccountRecord;
use ruma::{OwnedUserId, ServerName};

use crate::{
    AccountsError,
    token::{TokenHash, hash_token},
};

/// The least number of characters.
const MIN_CHARS: usize = 8;
/// The greatest number of bytes. The time that hashing takes grows with it.
const MAX_BYTES: usize = 1024;

/// OWASP's parameters of Argon2id: 19 MiB, 2 passes, 1 lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What of a hash follows after the parameters. Nobody knows a password that it is of.
const DECOY: &str = "ZGVjb3kgb2Ygbm9ib2R5IQ$bm8gcGFzc3dvcmQgd2FzIGV2ZXIgaGFzaGVkIGhlcmU";

/// How many passwords wait to be hashed. Each takes about 25 ms, so that who is the last in the line of one network waits for
/// about a second, and who is the last on a platform for some seconds. People who log in from one office at nine o'clock
/// fit in. A waiting one takes a few hundred bytes.
const WAITING: WaitingLimits = WaitingLimits { per_who: 64, per_platform: 256, in_all: 1_024 };

/// The refusal of a wrong password, of one that was right until now, and of a user who does not exist. All
/// get the same.
pub(crate) const WRONG: AccountsError = AccountsError::Forbidden("wrong user name or password");

/// A value that changes with an account's password, so that what the old password has proved counts no
/// longer. It is the SHA-256 hash of the password's hash. None if there is no password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordStamp(pub Option<TokenHash>);

impl PasswordStamp {
    /// The stamp of an account's present password.
    pub fn of(account: &AccountRecord) -> Self {
        Self(account.password_hash.as_deref().map(hash_token))
    }

    /// Refuses what was proved by a password that is not the account's any more.
    pub(crate) fn check(self, account: &AccountRecord) -> Result<(), AccountsError> {
        if self == Self::of(account) { Ok(()) } else { Err(WRONG) }
    }
}

/// A user who has given proof by a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvedUser {
    /// The user.
    pub user_id: OwnedUserId,
    /// The stamp of the password at that time.
    pub password_stamp: PasswordStamp,
}

/// Refuses passwords that are too easy to guess, or no passwords at all.
pub(crate) fn check_password(password: &str) -> Result<(), AccountsError> {
    if password.chars().count() < MIN_CHARS {
        return Err(AccountsError::WeakPassword("a password has at least 8 characters"));
    }
    if password.len() > MAX_BYTES {
        return Err(AccountsError::WeakPassword("a password has at most 1024 bytes"));
    }
    Ok(())
}

/// Hashes and verifies passwords, a few at once: on half of the cores, and at least on one. Hashing is all work
/// and no waiting, so with as many at it as there are cores, a crowd that logs in would leave sends and syncs no core.
///
/// Places go round over platforms, and there over networks (of strangers) and users (who are logged in).
pub(crate) struct Passwords {
    places: Shares,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self { places: Shares::new(cores / 2, WAITING) }
    }

    /// The places at which passwords are hashed.
    pub(crate) fn places(&self) -> &Shares {
        &self.places
    }

    /// The PHC string of a password, which `who` of a platform sets. Refuses with [`AccountsError::Limited`] if too many
    /// wait for their turn.
    pub(crate) async fn hash(
        &self,
        platform: &ServerName,
        who: &str,
        password: String,
    ) -> Result<String, AccountsError> {
        let hash = move || argon2().hash_password(password.as_bytes()).map(|hash| hash.to_string());
        self.run(platform, who, hash).await?.map_err(|error| AccountsError::Hashing(error.to_string()))
    }

    /// Whether a password, which `who` gives to a platform, is the one of a PHC string. Without a string, it takes as long
    /// and is false. Refuses with [`AccountsError::Limited`] if too many wait for their turn.
    pub(crate) async fn verify(
        &self,
        platform: &ServerName,
        who: &str,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, AccountsError> {
        if password.len() > MAX_BYTES {
            return Ok(false);
        }
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(decoy);
        let right = self.run(platform, who, move || {
            let hash = PasswordHash::new(&hash).map_err(|error| error.to_string())?;
            Ok(argon2().verify_password(password.as_bytes(), &hash).is_ok())
        });
        Ok(right.await?.map_err(AccountsError::Hashing)? && known)
    }

    async fn run<T: Send + 'static>(
        &self,
        platform: &ServerName,
        who: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AccountsError> {
        let place = self.places.take(platform, who).await?;
        place.run(work).await.map_err(|error| AccountsError::Hashing(error.to_string()))
    }
}

/// By whom a stranger's place is counted, and where an operator or a test is at work.
pub(crate) fn place_of_stranger(address: Option<IpAddr>) -> String {
    address.map_or_else(String::new, |address| Network::of(address).to_string())
}

/// The hash that is verified where there is no account, so that both take the same time.
fn decoy() -> String {
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${DECOY}")
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are in range");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ruma::server_name;
    use tokio::task::JoinSet;

    use super::*;

    #[test]
    fn the_decoy_costs_what_a_real_hash_costs() {
        let real = argon2().hash_password(b"correct horse").expect("it is hashed").to_string();
        let decoy = decoy();
        let parts = |hash: &str| hash.split('$').map(str::len).collect::<Vec<_>>();
        let parameters = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(parameters(&decoy), parameters(&real));
        assert_eq!(parts(&decoy), parts(&real));
        let hash = PasswordHash::new(&decoy).expect("it can be read");
        assert!(argon2().verify_password(b"decoy", &hash).is_err());
    }

    #[tokio::test]
    async fn a_crowd_that_logs_in_on_one_platform_keeps_nobody_on_another_waiting() {
        let passwords = Arc::new(Passwords { places: Shares::new(1, WAITING) });
        let mut crowd = JoinSet::new();
        for name in 0..2_500 {
            let passwords = passwords.clone();
            crowd.spawn(async move {
                let password = "correct horse".to_owned();
                passwords.verify(server_name!("a.example"), &name.to_string(), password, None).await
            });
        }
        // Those for whom there is no room have their answer at once.
        for _ in 0..2_000 {
            let answer = crowd.join_next().await.expect("one of the crowd").expect("it does not panic");
            if let Err(error) = answer {
                let AccountsError::Limited(limited) = error else { panic!("{error}") };
                assert!(limited.retry_after.as_secs() >= 1);
            }
        }
        let right = passwords.verify(server_name!("b.example"), "ben", "correct horse".into(), None);
        assert!(!right.await.expect("it is verified"));
        let answers = std::iter::from_fn(|| crowd.try_join_next());
        let before = answers.filter(|answer| matches!(answer, Ok(Ok(_)))).count();
        assert!(before <= 3, "{before} came before, where one had the place");
    }
}
