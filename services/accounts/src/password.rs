//! Hashing passwords with Argon2id, a few at once, off the threads that serve requests.

use std::{sync::Arc, thread};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use linkspan_storage::records::AccountRecord;
use ruma::OwnedUserId;
use tokio::sync::{OnceCell, Semaphore};

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

/// Hashes and verifies passwords, as many at once as there are cores.
pub(crate) struct Passwords {
    permits: Arc<Semaphore>,
    /// The hash that is verified where there is no account, so that both take the same time.
    decoy: OnceCell<String>,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self { permits: Arc::new(Semaphore::new(cores)), decoy: OnceCell::new() }
    }

    /// The PHC string of a password.
    pub(crate) async fn hash(&self, password: String) -> Result<String, AccountsError> {
        self.run(move || {
            argon2()
                .hash_password(password.as_bytes())
                .map(|hash| hash.to_string())
                .map_err(|e| e.to_string())
        })
        .await?
        .map_err(AccountsError::Hashing)
    }

    /// Whether a password is the one of a PHC string. Without a string, it takes as long and is false.
    pub(crate) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, AccountsError> {
        let known = hash.is_some();
        let hash = match hash {
            Some(hash) => hash,
            None => self.decoy.get_or_try_init(|| self.hash("decoy".to_owned())).await?.clone(),
        };
        if password.len() > MAX_BYTES {
            return Ok(false);
        }
        let right = self.run(move || {
            let hash = PasswordHash::new(&hash).map_err(|error| error.to_string())?;
            Ok(argon2().verify_password(password.as_bytes(), &hash).is_ok())
        });
        Ok(right.await?.map_err(AccountsError::Hashing)? && known)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AccountsError> {
        let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        // The permit goes with the work, so that a request that is given up does not make room for another.
        let work = move || {
            let _permit = permit;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| AccountsError::Hashing(error.to_string()))
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are in range");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}
