//! Changing a handle, which changes how the user is found, too. No room tells of it: people stay who they are.

use linkspan_accounts::{AccountsError, Handle};
use linkspan_inbox::point;
use linkspan_storage::{WriteSet, records::InboxPointer};
use ruma::OwnedUserId;

use crate::{Result, Rooms, RoomsError};

impl Rooms {
    /// Gives a user another handle, and returns it. The old one is kept for the user for a while.
    pub async fn change_handle(&self, user_id: &OwnedUserId, handle: &str, now_ts: u64) -> Result<Handle> {
        let accounts = &self.shared.accounts;
        accounts.check_not_suspended(user_id).await?;
        let handle = Handle::parse(handle)?;
        let platform = self.shared.platforms.get(user_id.server_name());
        let platform = platform.ok_or(AccountsError::NotFound("platform"))?;
        self.store()
            .update(async || {
                let mut writes = WriteSet::new();
                accounts.expect_active(&mut writes, user_id).await?;
                if accounts.change_handle(&mut writes, &platform, user_id, &handle, now_ts).await? {
                    self.shared.directory.index_handle(&mut writes, user_id, handle.as_str()).await?;
                    point(&mut writes, user_id, InboxPointer::Profile(user_id.clone()));
                }
                Ok::<_, RoomsError>((writes, ()))
            })
            .await?;
        Ok(handle)
    }
}
