//! The account that a platform's notices come from.
//!
//! It is made when the first notice is sent. It has no password, so nobody logs in as it.

use linkspan_storage::{
    WriteSet,
    catalogue::{NoticesAccounts, PlatformKey},
    records::NoticesAccountRecord,
};
use ruma::{OwnedServerName, OwnedUserId, ServerName};

use crate::{Accounts, AccountsError, register::NewAccount, token::random_text, username::user_id_of};

/// What the name of every such account begins with.
const NAME: &str = "server-notices";
/// How often a name is tried; somebody may have registered with some of them.
const TRIES: usize = 5;

impl Accounts {
    /// The account of a platform's notices, which is made unless there is one.
    pub async fn open_notices_account(
        &self,
        platform: &OwnedServerName,
        display_name: &str,
        now_ts: u64,
    ) -> Result<OwnedUserId, AccountsError> {
        let key = notices_key(platform);
        for attempt in 0..TRIES {
            if let Some(found) = self.store.get::<NoticesAccounts>(&key).await? {
                return Ok(found.user_id);
            }
            let name = match attempt {
                0 => NAME.to_owned(),
                _ => format!("{NAME}-{}", random_text(b"0123456789", 6)),
            };
            let account = NewAccount {
                user_id: Some(user_id_of(platform, &name)?),
                display_name: Some(display_name.to_owned()),
                password: None,
                admin: false,
                guest: false,
                device: None,
                address: None,
                registration_token: None,
                third_party_ids: Vec::new(),
            };
            let user_id = match self.put_account(platform, account, now_ts).await {
                Ok(made) => made.user_id,
                Err(AccountsError::UserInUse | AccountsError::LooksLikeAnother) => continue,
                Err(error) => return Err(error),
            };
            let mut writes = WriteSet::new();
            writes.expect_absent::<NoticesAccounts>(&key);
            writes.put::<NoticesAccounts>(&key, &NoticesAccountRecord { user_id });
            match self.store.commit(writes).await {
                // Somebody else was faster, or it is there now.
                Ok(_) | Err(linkspan_storage::CommitError::Conflict(_)) => {}
                Err(error) => return Err(linkspan_storage::StorageError::from(error).into()),
            }
        }
        let found = self.store.get::<NoticesAccounts>(&key).await?;
        Ok(found.ok_or(AccountsError::UserInUse)?.user_id)
    }

    /// Whether notices come from an account.
    pub async fn is_notices_account(&self, user_id: &OwnedUserId) -> Result<bool, AccountsError> {
        if !user_id.localpart().starts_with(NAME) {
            return Ok(false);
        }
        let found = self.store.get::<NoticesAccounts>(&notices_key(user_id.server_name())).await?;
        Ok(found.is_some_and(|found| found.user_id == *user_id))
    }
}

fn notices_key(platform: &ServerName) -> PlatformKey {
    PlatformKey { platform: platform.to_owned(), name: NAME.to_owned() }
}
