//! Listing the accounts of a platform, for operators.

use linkspan_storage::{
    Range,
    catalogue::{Accounts as AccountsTable, UserHandles, UserKey},
    records::{AccountRecord, UserHandleRecord},
};
use ruma::{OwnedServerName, OwnedUserId};

use crate::{Accounts, AccountsError, DeviceInfo, Identifier};

/// An account, as its operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountInfo {
    /// The user.
    pub user_id: OwnedUserId,
    /// The handle, where people have one.
    pub handle: Option<String>,
    /// When it was made.
    pub created_ts: u64,
    /// Whether it was deactivated.
    pub deactivated: bool,
    /// Whether it administers the platform.
    pub admin: bool,
    /// Whether it is a guest's.
    pub guest: bool,
    /// Whether it may do nothing but log out.
    pub locked: bool,
    /// Whether it may only read, leave, and take back what it said.
    pub suspended: bool,
}

impl AccountInfo {
    fn new(user_id: OwnedUserId, account: &AccountRecord, handle: Option<UserHandleRecord>) -> Self {
        Self {
            user_id,
            handle: handle.map(|own| own.handle),
            created_ts: account.created_ts,
            deactivated: account.deactivated,
            admin: account.admin,
            guest: account.guest,
            locked: account.locked,
            suspended: account.suspended,
        }
    }
}

impl Accounts {
    /// A page of the accounts of a platform in the order of their names, those after `after`.
    pub async fn list_accounts(
        &self,
        platform: &OwnedServerName,
        after: Option<&OwnedUserId>,
        limit: usize,
    ) -> Result<Vec<AccountInfo>, AccountsError> {
        let mut range = Range::<AccountsTable>::prefix_platform((), platform).limit(limit);
        if let Some(after) = after {
            range = range.after(&UserKey { user_id: after.clone() });
        }
        let (keys, accounts): (Vec<_>, Vec<_>) = self.store.range(range).await?.into_iter().unzip();
        let handles = self.store.get_many::<UserHandles>(&keys).await?;
        let rows = keys.into_iter().zip(accounts).zip(handles);
        let infos = rows.map(|((key, account), own)| AccountInfo::new(key.user_id, &account, own));
        Ok(infos.collect())
    }

    /// The devices of an account, for its operator. Refuses if there is no such account.
    pub async fn list_devices(&self, user_id: &OwnedUserId) -> Result<Vec<DeviceInfo>, AccountsError> {
        self.account_info(user_id).await?;
        self.devices(user_id).await
    }

    /// The account of a platform that is meant by a name: a user id, a handle or username, an e-mail address, or a phone
    /// number.
    pub async fn account_named(
        &self,
        platform: &OwnedServerName,
        name: &str,
    ) -> Result<Option<AccountInfo>, AccountsError> {
        let found = self.find_user(platform, &Identifier::Name(name.to_owned())).await?;
        let Some(user_id) = found.filter(|user_id| user_id.server_name() == platform) else {
            return Ok(None);
        };
        match self.account_info(&user_id).await {
            Err(AccountsError::NotFound(_)) => Ok(None),
            info => info.map(Some),
        }
    }

    /// An account, as its operator sees it.
    pub async fn account_info(&self, user_id: &OwnedUserId) -> Result<AccountInfo, AccountsError> {
        let account = self.account(user_id).await?.ok_or(AccountsError::NotFound("account"))?;
        let own = self.store.get::<UserHandles>(&UserKey { user_id: user_id.clone() }).await?;
        Ok(AccountInfo::new(user_id.clone(), &account, own))
    }
}
