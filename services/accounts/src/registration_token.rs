//! Registration tokens. With one, people may register on a platform where registration is by token.
//! <https://spec.matrix.org/v1.19/client-server-api/#token-authenticated-registration>

use linkspan_storage::{
    Range, WriteSet,
    catalogue::{PlatformKey, RegistrationTokens},
    records::RegistrationTokenRecord,
};
use ruma::OwnedServerName;

use crate::{Accounts, AccountsError, token::random_text};

/// The greatest length of a token.
const TOKEN_BYTES: usize = 64;
const ALPHABET: &[u8] = b"ABCDEFGHJKMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789";

/// A registration token and its uses.
#[derive(Clone, Debug, PartialEq)]
pub struct RegistrationTokenInfo {
    /// The token.
    pub token: String,
    /// How often it can be used. None if there is no limit.
    pub uses_allowed: Option<u64>,
    /// How often it was used.
    pub completed: u64,
    /// The time until which it can be used. None if there is no end.
    pub expires_ts: Option<u64>,
}

impl RegistrationTokenInfo {
    /// Whether somebody could register with it now.
    pub fn is_valid(&self, now_ts: u64) -> bool {
        self.uses_allowed.is_none_or(|allowed| self.completed < allowed)
            && self.expires_ts.is_none_or(|expires_ts| now_ts < expires_ts)
    }
}

impl Accounts {
    /// Makes a registration token, which is random without `token`. One that exists already is refused.
    pub async fn create_registration_token(
        &self,
        platform: &OwnedServerName,
        token: Option<String>,
        uses_allowed: Option<u64>,
        expires_ts: Option<u64>,
    ) -> Result<RegistrationTokenInfo, AccountsError> {
        let token = token.unwrap_or_else(|| random_text(ALPHABET, 16));
        if !is_token(&token) {
            return Err(AccountsError::InvalidParam(
                "a registration token has 1 to 64 of A-Z a-z 0-9 . _ ~ -",
            ));
        }
        let key = PlatformKey { platform: platform.clone(), name: token.clone() };
        let record = RegistrationTokenRecord { uses_allowed, completed: 0, expires_ts };
        self.store
            .update(async || {
                if self.store.contains::<RegistrationTokens>(&key).await? {
                    return Err(AccountsError::InvalidParam("this registration token exists"));
                }
                let mut writes = WriteSet::new();
                writes.expect_absent::<RegistrationTokens>(&key);
                writes.put::<RegistrationTokens>(&key, &record);
                Ok((writes, ()))
            })
            .await?;
        Ok(info(token, record))
    }

    /// A page of the registration tokens of a platform, those after `after` in the order of their texts.
    pub async fn list_registration_tokens(
        &self,
        platform: &OwnedServerName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RegistrationTokenInfo>, AccountsError> {
        let mut range = Range::<RegistrationTokens>::prefix((platform,)).limit(limit);
        if let Some(after) = after {
            range = range.after(&PlatformKey { platform: platform.clone(), name: after.to_owned() });
        }
        let rows = self.store.range(range).await?;
        Ok(rows.into_iter().map(|(key, record)| info(key.name, record)).collect())
    }

    /// Removes a registration token. Returns whether there was one.
    pub async fn delete_registration_token(
        &self,
        platform: &OwnedServerName,
        token: &str,
    ) -> Result<bool, AccountsError> {
        if !is_token(token) {
            return Ok(false);
        }
        let key = PlatformKey { platform: platform.clone(), name: token.to_owned() };
        self.store
            .update(async || {
                let known = self.store.contains::<RegistrationTokens>(&key).await?;
                let mut writes = WriteSet::new();
                writes.delete::<RegistrationTokens>(&key);
                Ok((writes, known))
            })
            .await
    }

    /// Whether somebody could register with a token now.
    pub async fn registration_token_is_valid(
        &self,
        platform: &OwnedServerName,
        token: &str,
        now_ts: u64,
    ) -> Result<bool, AccountsError> {
        if !is_token(token) {
            return Ok(false);
        }
        let key = PlatformKey { platform: platform.clone(), name: token.to_owned() };
        let record = self.store.get::<RegistrationTokens>(&key).await?;
        Ok(record.is_some_and(|record| info(token.to_owned(), record).is_valid(now_ts)))
    }

    /// Counts a use of a token in `writes`, or refuses.
    pub(crate) async fn use_registration_token(
        &self,
        writes: &mut WriteSet,
        platform: &OwnedServerName,
        token: &str,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let key = PlatformKey { platform: platform.clone(), name: token.to_owned() };
        let record = self.store.get::<RegistrationTokens>(&key).await?;
        let is_valid =
            |record: &RegistrationTokenRecord| info(token.to_owned(), record.clone()).is_valid(now_ts);
        let Some(record) = record.filter(is_valid) else {
            return Err(AccountsError::Forbidden("this registration token is not valid any more"));
        };
        writes.expect::<RegistrationTokens>(&key, &record);
        let used = RegistrationTokenRecord { completed: record.completed + 1, ..record };
        writes.put::<RegistrationTokens>(&key, &used);
        Ok(())
    }
}

fn is_token(token: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    (1..=TOKEN_BYTES).contains(&token.len()) && token.bytes().all(allowed)
}

fn info(token: String, record: RegistrationTokenRecord) -> RegistrationTokenInfo {
    let RegistrationTokenRecord { uses_allowed, completed, expires_ts } = record;
    RegistrationTokenInfo { token, uses_allowed, completed, expires_ts }
}
