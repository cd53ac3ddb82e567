//! What a service above does with people's addresses: it keeps an index by which people are found by them.

use std::{future::Future, pin::Pin, sync::Arc};

use linkspan_storage::{StorageError, WriteSet, catalogue::UserThirdPartyIds};
use ruma::{OwnedUserId, thirdparty::Medium};

use crate::{Accounts, AccountsError, ThirdPartyId, third_party_ids::key_of_user};

/// An addition to a write-set that is under way.
pub type Indexing<'a> = Pin<Box<dyn Future<Output = Result<(), StorageError>> + Send + 'a>>;

/// An index of addresses. It adds to the write-sets that give and take addresses, so that it never differs
/// from them.
pub trait AddressIndex: Send + Sync {
    /// Adds what it takes to find a user by an address, if the user wants to be found.
    fn put_address<'a>(
        &'a self,
        writes: &'a mut WriteSet,
        user_id: &'a OwnedUserId,
        medium: &'a Medium,
        address: &'a str,
    ) -> Indexing<'a>;

    /// Adds what it takes that a user is not found by an address any more.
    fn take_address<'a>(
        &'a self,
        writes: &'a mut WriteSet,
        user_id: &'a OwnedUserId,
        medium: &'a Medium,
        address: &'a str,
    ) -> Indexing<'a>;
}

impl Accounts {
    /// Has an index follow who has which address. For the wiring, before the accounts are handed out.
    pub fn with_address_index(mut self, index: Arc<dyn AddressIndex>) -> Self {
        self.address_index = Some(index);
        self
    }

    /// The addresses of a user. The write-set holds only while the user has all of them.
    pub async fn expect_addresses(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
    ) -> Result<Vec<ThirdPartyId>, AccountsError> {
        let ids: Vec<_> = self.third_party_ids(user_id).await?.into_iter().map(|added| added.id).collect();
        for id in &ids {
            writes.expect::<UserThirdPartyIds>(&key_of_user(user_id, id), &());
        }
        Ok(ids)
    }

    pub(crate) async fn put_into_index(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        id: &ThirdPartyId,
    ) -> Result<(), AccountsError> {
        if let Some(index) = &self.address_index {
            index.put_address(writes, user_id, id.medium(), id.address()).await?;
        }
        Ok(())
    }

    pub(crate) async fn take_from_index(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        id: &ThirdPartyId,
    ) -> Result<(), AccountsError> {
        if let Some(index) = &self.address_index {
            index.take_address(writes, user_id, id.medium(), id.address()).await?;
        }
        Ok(())
    }
}
