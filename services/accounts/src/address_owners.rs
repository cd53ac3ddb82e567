//! Who has an address, for a service above that waits for its owner.

use std::sync::Arc;

use linkspan_storage::{WriteSet, catalogue::ThirdPartyIds};
use ruma::{OwnedServerName, OwnedUserId};

use crate::{Accounts, AccountsError, Indexing, ThirdPartyId, third_party_ids::id_key};

/// Hears of addresses that change hands. It adds to the write-sets that give and take them.
pub trait AddressOwners: Send + Sync {
    /// A user has an address from now on.
    fn gain(&self, writes: &mut WriteSet, user_id: &OwnedUserId, id: &ThirdPartyId);

    /// A user has an address no more.
    fn lose<'a>(
        &'a self,
        writes: &'a mut WriteSet,
        user_id: &'a OwnedUserId,
        id: &'a ThirdPartyId,
    ) -> Indexing<'a>;
}

impl Accounts {
    /// Has a service hear of who has which address. For the wiring, before the accounts are handed out.
    pub fn with_address_owners(mut self, owners: Arc<dyn AddressOwners>) -> Self {
        self.address_owners = Some(owners);
        self
    }

    /// The user of a platform whose address it is. The write-set holds only while nobody else has it.
    pub async fn expect_owner(
        &self,
        writes: &mut WriteSet,
        platform: &OwnedServerName,
        id: &ThirdPartyId,
    ) -> Result<Option<OwnedUserId>, AccountsError> {
        let key = id_key(platform, id);
        let record = self.store.get::<ThirdPartyIds>(&key).await?;
        writes.expect_read::<ThirdPartyIds>(&key, record.as_ref());
        Ok(record.map(|record| record.user_id))
    }

    pub(crate) fn gain_address(&self, writes: &mut WriteSet, user_id: &OwnedUserId, id: &ThirdPartyId) {
        if let Some(owners) = &self.address_owners {
            owners.gain(writes, user_id, id);
        }
    }

    pub(crate) async fn lose_address(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        id: &ThirdPartyId,
    ) -> Result<(), AccountsError> {
        if let Some(owners) = &self.address_owners {
            owners.lose(writes, user_id, id).await?;
        }
        Ok(())
    }
}
