//! The people whom users have accepted or written to.

use linkspan_storage::{
    Range, StorageError, WriteSet,
    catalogue::{ContactKey, ContactOf, Contacts as ContactsTable},
    records::ContactRecord,
};
use ruma::OwnedUserId;

use crate::{Contacts, Result};

/// The most contacts of a user. Whoever is accepted after that may be talked to, and is no contact.
pub const MAX_CONTACTS: usize = 10_000;

/// The contacts that are removed with one commit when an account goes.
const REMOVED_AT_ONCE: usize = 1_000;

/// How somebody became a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The user accepted their invitation to a direct chat.
    Accepted,
    /// The user began a direct chat with them.
    WroteFirst,
}

impl How {
    fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::WroteFirst => "wrote_first",
        }
    }
}

/// Somebody whom a user knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Who.
    pub user_id: OwnedUserId,
    /// The time since when, in milliseconds since the Unix epoch.
    pub since_ts: u64,
    /// How they became a contact: `accepted` or `wrote_first`.
    pub how: String,
}

impl Contacts {
    /// Whether somebody is a contact of a hosted user. One can write to somebody who has no account: whoever takes the
    /// name later is not who was meant.
    pub async fn is_contact(&self, user_id: &OwnedUserId, other: &OwnedUserId) -> Result<bool> {
        let Some(contact) = self.shared.contacts.get(&key(user_id, other)).await? else { return Ok(false) };
        if !self.shared.platforms.hosts(other.server_name()) {
            return Ok(true);
        }
        let account = self.shared.accounts.account(other).await?;
        Ok(account.is_some_and(|account| account.created_ts <= contact.since_ts))
    }

    /// Makes somebody a contact of a hosted user in `writes`, unless they are one, or the user has too many.
    pub async fn add_contact(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        other: &OwnedUserId,
        how: How,
        now_ts: u64,
    ) -> Result<()> {
        if user_id == other || self.is_contact(user_id, other).await? {
            return Ok(());
        }
        let all = Range::prefix((user_id,)).limit(MAX_CONTACTS);
        if self.shared.store.keys::<ContactsTable>(all).await?.len() < MAX_CONTACTS {
            let record = ContactRecord { since_ts: now_ts, how: how.as_str().to_owned() };
            writes.put::<ContactsTable>(&key(user_id, other), &record);
            writes.put::<ContactOf>(&key(other, user_id), &());
        }
        Ok(())
    }

    /// The contacts of a user in the order of their ids, after `after`.
    pub async fn list_contacts(
        &self,
        user_id: &OwnedUserId,
        after: Option<&OwnedUserId>,
        limit: usize,
    ) -> Result<Vec<Contact>> {
        let mut range = Range::prefix((user_id,)).limit(limit);
        if let Some(after) = after {
            range = range.after(&key(user_id, after));
        }
        let rows = self.shared.store.range::<ContactsTable>(range).await?;
        let contact = |(key, record): (ContactKey, ContactRecord)| Contact {
            user_id: key.other,
            since_ts: record.since_ts,
            how: record.how,
        };
        Ok(rows.into_iter().map(contact).collect())
    }

    /// The people who have a user as a contact, at most so many.
    pub async fn contact_of(&self, user_id: &OwnedUserId, limit: usize) -> Result<Vec<OwnedUserId>> {
        let range = Range::<ContactOf>::prefix((user_id,)).limit(limit);
        let mut people = Vec::new();
        for key in self.shared.store.keys(range).await? {
            if self.is_contact(&key.other, user_id).await? {
                people.push(key.other);
            }
        }
        Ok(people)
    }

    /// Makes somebody a stranger again, if they were a contact.
    pub async fn remove_contact(&self, user_id: &OwnedUserId, other: &OwnedUserId) -> Result<()> {
        let mut writes = WriteSet::new();
        writes.delete::<ContactsTable>(&key(user_id, other));
        writes.delete::<ContactOf>(&key(other, user_id));
        self.shared.store.commit(writes).await.map_err(StorageError::from)?;
        Ok(())
    }

    /// Removes what is kept for a user whose account is gone. Others may have the user as a contact still.
    pub async fn remove_user(&self, user_id: &OwnedUserId) -> Result<()> {
        let store = &self.shared.store;
        loop {
            let contacts = self.list_contacts(user_id, None, REMOVED_AT_ONCE).await?;
            if contacts.is_empty() {
                break;
            }
            let mut writes = WriteSet::new();
            for contact in contacts {
                writes.delete::<ContactsTable>(&key(user_id, &contact.user_id));
                writes.delete::<ContactOf>(&key(&contact.user_id, user_id));
            }
            store.commit(writes).await.map_err(StorageError::from)?;
        }
        Ok(store.delete_range::<ContactOf>(Range::prefix((user_id,))).await?)
    }
}

fn key(user_id: &OwnedUserId, other: &OwnedUserId) -> ContactKey {
    ContactKey { user_id: user_id.clone(), other: other.clone() }
}
