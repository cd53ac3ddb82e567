//! Locking and suspending accounts: by administrators of the platform, and to be taken back.
//! <https://spec.matrix.org/v1.19/client-server-api/#account-moderation>

use linkspan_storage::{
    WriteSet,
    catalogue::{Accounts as AccountsTable, UserKey},
    records::AccountRecord,
};
use ruma::OwnedUserId;

use crate::{Accounts, AccountsError};

/// What is taken from an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restriction {
    /// It may do nothing but log out.
    Locked,
    /// It may only read, leave, and take back what it said.
    Suspended,
}

impl Restriction {
    fn holds(self, account: &AccountRecord) -> bool {
        match self {
            Self::Locked => account.locked,
            Self::Suspended => account.suspended,
        }
    }
}

impl Accounts {
    /// Whether an account of the administrator's platform is restricted. The operator of the whole back-end is no user.
    pub async fn is_restricted(
        &self,
        administrator: Option<&OwnedUserId>,
        user_id: &OwnedUserId,
        restriction: Restriction,
    ) -> Result<bool, AccountsError> {
        self.check_administrator(administrator, user_id).await?;
        Ok(restriction.holds(&present(self.account(user_id).await?)?))
    }

    /// Restricts an account of the administrator's platform, or takes the restriction back.
    pub async fn set_restricted(
        &self,
        administrator: Option<&OwnedUserId>,
        user_id: &OwnedUserId,
        restriction: Restriction,
        restricted: bool,
    ) -> Result<(), AccountsError> {
        self.check_administrator(administrator, user_id).await?;
        if administrator == Some(user_id) {
            return Err(AccountsError::Forbidden("administrators cannot restrict themselves"));
        }
        let key = UserKey { user_id: user_id.clone() };
        self.store
            .update(async || {
                let account = present(self.store.get::<AccountsTable>(&key).await?)?;
                if account.admin {
                    return Err(AccountsError::Forbidden("administrators cannot be restricted"));
                }
                let mut writes = WriteSet::new();
                writes.use_reserve();
                writes.expect::<AccountsTable>(&key, &account);
                let mut changed = account;
                match restriction {
                    Restriction::Locked => changed.locked = restricted,
                    Restriction::Suspended => changed.suspended = restricted,
                }
                writes.put::<AccountsTable>(&key, &changed);
                Ok((writes, ()))
            })
            .await
    }

    /// Makes a user an administrator of the platform, or a user like others.
    pub async fn set_admin(&self, user_id: &OwnedUserId, admin: bool) -> Result<(), AccountsError> {
        let key = UserKey { user_id: user_id.clone() };
        self.store
            .update(async || {
                let account = present(self.store.get::<AccountsTable>(&key).await?)?;
                if account.guest {
                    return Err(AccountsError::Forbidden("a guest cannot be an administrator"));
                }
                let mut writes = WriteSet::new();
                writes.expect::<AccountsTable>(&key, &account);
                writes.put::<AccountsTable>(&key, &AccountRecord { admin, ..account });
                Ok((writes, ()))
            })
            .await
    }

    /// Refuses if the account is suspended, for what a suspended account cannot do.
    pub async fn check_not_suspended(&self, user_id: &OwnedUserId) -> Result<(), AccountsError> {
        match self.account(user_id).await? {
            Some(AccountRecord { suspended: true, .. }) => Err(AccountsError::Suspended),
            _ => Ok(()),
        }
    }

    /// Whether an account can be used at all: it is there, and neither deactivated nor locked.
    pub async fn may_act(&self, user_id: &OwnedUserId) -> Result<bool, AccountsError> {
        Ok(self.account(user_id).await?.is_some_and(|account| !account.deactivated && !account.locked))
    }

    /// Who may ask is checked before whether there is such an account: nobody else learns that.
    async fn check_administrator(
        &self,
        administrator: Option<&OwnedUserId>,
        user_id: &OwnedUserId,
    ) -> Result<(), AccountsError> {
        let Some(administrator) = administrator else { return Ok(()) };
        if !self.account(administrator).await?.is_some_and(|account| account.admin) {
            Err(AccountsError::Forbidden("only administrators may do this"))
        } else if user_id.server_name() != administrator.server_name() {
            Err(AccountsError::InvalidParam("this is not a user of your platform"))
        } else {
            Ok(())
        }
    }
}

fn present(account: Option<AccountRecord>) -> Result<AccountRecord, AccountsError> {
    account.filter(|account| !account.deactivated).ok_or(AccountsError::NotFound("account"))
}
