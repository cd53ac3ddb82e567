//! Who may find people, as they have chosen it, and the indexes by which they are found. Services above keep the
//! indexes; each follows in the write-set that changes an address or a choice, so that none differs from them.

use std::{future::Future, pin::Pin, sync::Arc};

use linkspan_domain::{Audience, DISCOVERY_TYPE, Discovery, FoundBy, parse_discovery};
use linkspan_storage::{StorageError, WriteSet, catalogue::UserThirdPartyIds};
use ruma::{OwnedUserId, ServerName, thirdparty::Medium};

use crate::{Accounts, AccountsError, ThirdPartyId, third_party_ids::key_of_user};

/// An addition to a write-set that is under way.
pub type Indexing<'a> = Pin<Box<dyn Future<Output = Result<(), StorageError>> + Send + 'a>>;

/// An index of addresses.
pub trait AddressIndex: Send + Sync {
    /// Adds what it takes that just these people find a user by an address.
    fn put_address<'a>(
        &'a self,
        writes: &'a mut WriteSet,
        user_id: &'a OwnedUserId,
        medium: &'a Medium,
        address: &'a str,
        audience: Audience,
    ) -> Indexing<'a>;
}

/// An index of names and handles.
pub trait NameIndex: Send + Sync {
    /// Adds what it takes that a user is found by name and handle as the user has chosen.
    fn put_choice<'a>(
        &'a self,
        writes: &'a mut WriteSet,
        user_id: &'a OwnedUserId,
        own: Discovery,
    ) -> Indexing<'a>;
}

/// What somebody knows who has an address of a medium.
pub fn found_by(medium: &Medium) -> FoundBy {
    if *medium == Medium::Msisdn { FoundBy::Phone } else { FoundBy::Email }
}

impl Accounts {
    /// Has an index follow who has which address. For the wiring, before the accounts are handed out.
    pub fn with_address_index(mut self, index: Arc<dyn AddressIndex>) -> Self {
        self.address_index = Some(index);
        self
    }

    /// Has an index follow who may find people by name and handle. For the wiring, as above.
    pub fn with_name_index(mut self, index: Arc<dyn NameIndex>) -> Self {
        self.name_index = Some(index);
        self
    }

    /// Who may find a user by what. The write-set holds only while the user chooses nothing else.
    pub async fn expect_discovery(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
    ) -> Result<Discovery, AccountsError> {
        let own = self.expect_account_data(writes, user_id, None, DISCOVERY_TYPE).await?;
        Ok(read_choice(own.as_deref()).over(self.usual_discovery(user_id.server_name())))
    }

    fn usual_discovery(&self, platform: &ServerName) -> Discovery {
        let platform = self.platforms.as_ref().and_then(|platforms| platforms.get(platform));
        platform.map(|platform| platform.settings.discovery()).unwrap_or_default()
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
        let discovery = self.expect_discovery(writes, user_id).await?;
        self.index_address(writes, user_id, id, discovery.audience(found_by(id.medium()))).await
    }

    pub(crate) async fn take_from_index(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        id: &ThirdPartyId,
    ) -> Result<(), AccountsError> {
        self.index_address(writes, user_id, id, Audience::Nobody).await
    }

    async fn index_address(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        id: &ThirdPartyId,
        audience: Audience,
    ) -> Result<(), AccountsError> {
        if let Some(index) = &self.address_index {
            index.put_address(writes, user_id, id.medium(), id.address(), audience).await?;
        }
        Ok(())
    }

    /// Has all indexes follow what a user chooses with the same write-set: account data of the type
    /// [`DISCOVERY_TYPE`].
    pub(crate) async fn put_choice_into_indexes(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        content: &str,
    ) -> Result<(), AccountsError> {
        let own = read_choice(Some(content));
        if let Some(index) = &self.name_index {
            index.put_choice(writes, user_id, own).await?;
        }
        let discovery = own.over(self.usual_discovery(user_id.server_name()));
        for id in self.expect_addresses(writes, user_id).await? {
            self.index_address(writes, user_id, &id, discovery.audience(found_by(id.medium()))).await?;
        }
        Ok(())
    }

    /// Has the index of addresses follow what a user has chosen. It comes after the choice, for the addresses that
    /// were added just while it was written.
    pub(crate) async fn index_addresses(&self, user_id: &OwnedUserId) -> Result<(), AccountsError> {
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                let ids = self.expect_addresses(&mut writes, user_id).await?;
                for id in &ids {
                    self.put_into_index(&mut writes, user_id, id).await?;
                }
                Ok((writes, ()))
            })
            .await
    }
}

/// What a user has chosen. Content that is none says nothing.
fn read_choice(content: Option<&str>) -> Discovery {
    content.and_then(|content| parse_discovery(content).ok()).unwrap_or_default()
}
