//! Hears who has shown that an address is theirs, with the write-set that gives it, and notes it until the invitations
//! to the address were looked at. When an address is taken from somebody, what was meant for them ends: whoever has it
//! next is somebody else.

use std::sync::Arc;

use linkspan_accounts::{AddressOwners, Indexing, ThirdPartyId};
use linkspan_platforms::Platforms;
use linkspan_storage::{
    StorageError, Store, WriteSet,
    catalogue::{AddressInvitations, ProvedAddresses, UserThirdPartyIdKey, WaitingInvitations},
};
use ruma::OwnedUserId;

use super::waiting::{address_key, forget_address, key_of};

/// What the rooms are told of addresses.
#[derive(Clone, Debug)]
pub struct ProvedIndex {
    store: Store,
    platforms: Arc<Platforms>,
}

impl ProvedIndex {
    /// The index of a store.
    pub fn new(store: Store, platforms: Arc<Platforms>) -> Self {
        Self { store, platforms }
    }

    async fn end_all(&self, writes: &mut WriteSet, id: &ThirdPartyId) -> Result<(), StorageError> {
        for platform in self.platforms.iter() {
            let key = address_key(platform.server_name(), id.medium().as_str(), id.address());
            let stored = self.store.get::<AddressInvitations>(&key).await?;
            writes.expect_read::<AddressInvitations>(&key, stored.as_ref());
            let tokens = stored.into_iter().flat_map(|stored| stored.tokens);
            let keys: Vec<_> = tokens.map(|token| key_of(platform.server_name(), &token)).collect();
            let records = self.store.get_many::<WaitingInvitations>(&keys).await?;
            for (key, record) in keys.iter().zip(records) {
                if let Some(record) = record {
                    forget_address(writes, key, record);
                }
            }
            writes.delete::<AddressInvitations>(&key);
        }
        Ok(())
    }
}

fn proved_key(user_id: &OwnedUserId, id: &ThirdPartyId) -> UserThirdPartyIdKey {
    UserThirdPartyIdKey {
        user_id: user_id.clone(),
        medium: id.medium().to_string(),
        address: id.address().to_owned(),
    }
}

impl AddressOwners for ProvedIndex {
    fn gain(&self, writes: &mut WriteSet, user_id: &OwnedUserId, id: &ThirdPartyId) {
        writes.put::<ProvedAddresses>(&proved_key(user_id, id), &());
    }

    fn lose<'a>(
        &'a self,
        writes: &'a mut WriteSet,
        user_id: &'a OwnedUserId,
        id: &'a ThirdPartyId,
    ) -> Indexing<'a> {
        writes.delete::<ProvedAddresses>(&proved_key(user_id, id));
        Box::pin(self.end_all(writes, id))
    }
}
