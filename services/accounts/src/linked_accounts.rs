//! Linked accounts: those of which a person has shown that they are all theirs. How they become linked is in
//! `link.rs`.
//!
//! The accounts of a person know each other without an order: who is linked with one of them is linked with all. Each
//! has a row of its own that names the others, with what its user has chosen about them, so a platform's part can be let
//! go. What one of them ignores, all ignore (`ignored_users.rs`).

use std::{collections::BTreeSet, sync::Arc};

use linkspan_storage::{
    Range, WriteSet,
    catalogue::{AccountLinks, UserKey},
    records::AccountLinksRecord,
};
use ruma::{OwnedServerName, OwnedUserId, UserId};

use crate::{Accounts, AccountsError};

/// The most accounts of a person.
pub const MAX_LINKED: usize = 10;

/// What a user has chosen about the accounts that are linked with the user's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkChoices {
    /// Whether the user's contacts are shown them.
    pub shown: bool,
    /// The one of them at which direct chats with the user arrive, too.
    pub arrive_at: Option<OwnedUserId>,
}

/// Accounts of a person as they are read to be changed, each with its row.
pub(crate) struct Person(pub(crate) Vec<(OwnedUserId, AccountLinksRecord)>);

impl Person {
    pub(crate) fn has(&self, user_id: &UserId) -> bool {
        self.0.iter().any(|(account, _)| account == user_id)
    }

    pub(crate) fn user_ids(&self) -> BTreeSet<OwnedUserId> {
        self.0.iter().map(|(account, _)| account.clone()).collect()
    }

    /// Writes the rows of all, of those who are alone by now none.
    pub(crate) fn put(&self, writes: &mut WriteSet) {
        for (account, record) in &self.0 {
            match record.others.is_empty() {
                true => writes.delete::<AccountLinks>(&key(account)),
                false => writes.put::<AccountLinks>(&key(account), record),
            }
        }
    }

    /// Takes one of the accounts out.
    fn remove(&mut self, gone: &UserId) {
        for (account, record) in &mut self.0 {
            record.others.retain(|(other, _)| account != gone && other != gone);
            record.arrive_at.take_if(|arrive_at| account == gone || arrive_at == gone);
        }
    }
}

impl Accounts {
    /// The accounts that are linked with a user's, with the user's choices; None if there are none.
    pub async fn account_links(
        &self,
        user_id: &OwnedUserId,
    ) -> Result<Option<Arc<AccountLinksRecord>>, AccountsError> {
        Ok(self.shared.links.get(&key(user_id)).await?)
    }

    /// Sets a user's choices about the accounts that are linked with the user's.
    pub async fn set_link_choices(
        &self,
        user_id: &OwnedUserId,
        choices: &LinkChoices,
    ) -> Result<(), AccountsError> {
        self.store
            .update(async || {
                let links = self.store.get::<AccountLinks>(&key(user_id)).await?.ok_or(NOT_LINKED)?;
                let LinkChoices { shown, arrive_at } = choices.clone();
                let is_linked =
                    |account: &OwnedUserId| links.others.iter().any(|(other, _)| other == account);
                if arrive_at.as_ref().is_some_and(|account| !is_linked(account)) {
                    return Err(AccountsError::InvalidParam(
                        "direct chats can arrive at a linked account only",
                    ));
                }
                let mut writes = WriteSet::new();
                writes.expect::<AccountLinks>(&key(user_id), &links);
                writes.put::<AccountLinks>(&key(user_id), &AccountLinksRecord { shown, arrive_at, ..links });
                Ok((writes, ()))
            })
            .await
    }

    /// Forgets that an account is linked with a user's and with the others of the person. It may be the user's own.
    pub async fn unlink(&self, user_id: &OwnedUserId, gone: &UserId) -> Result<(), AccountsError> {
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                let mut person = self.expect_person(&mut writes, user_id).await?;
                if person.0.len() < 2 || !person.has(gone) {
                    return Err(NOT_LINKED);
                }
                person.remove(gone);
                person.put(&mut writes);
                Ok((writes, ()))
            })
            .await
    }

    /// Forgets all that is kept about linking an account that is deactivated.
    pub(crate) async fn forget_links(&self, user_id: &OwnedUserId) -> Result<(), AccountsError> {
        self.decline_link(user_id).await?;
        match self.unlink(user_id, user_id).await {
            Err(AccountsError::NotFound(_)) => Ok(()),
            outcome => outcome,
        }
    }

    /// The accounts of a platform that are linked with others, in the order of their names, those after `after`.
    pub async fn list_account_links(
        &self,
        platform: &OwnedServerName,
        after: Option<&OwnedUserId>,
        limit: usize,
    ) -> Result<Vec<(OwnedUserId, AccountLinksRecord)>, AccountsError> {
        let mut range = Range::<AccountLinks>::prefix_platform((), platform).limit(limit);
        if let Some(after) = after {
            range = range.after(&key(after));
        }
        let rows = self.store.range(range).await?;
        Ok(rows.into_iter().map(|(key, record)| (key.user_id, record)).collect())
    }

    /// All accounts of a person, of whom one is given, each with its row; `writes` are refused if one of these changes
    /// meanwhile.
    pub(crate) async fn expect_person(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
    ) -> Result<Person, AccountsError> {
        let own = self.account_links(user_id).await?;
        writes.expect_read::<AccountLinks>(&key(user_id), own.as_deref());
        let own = own.as_deref().cloned().unwrap_or_else(unlinked);
        let others: Vec<_> = own.others.iter().map(|(other, _)| other.clone()).collect();
        let mut accounts = vec![(user_id.clone(), own)];
        for other in others {
            let links = self.account_links(&other).await?;
            writes.expect_read::<AccountLinks>(&key(&other), links.as_deref());
            accounts.push((other, links.as_deref().cloned().unwrap_or_else(unlinked)));
        }
        Ok(Person(accounts))
    }
}

/// Said of accounts that do not exist, too.
const NOT_LINKED: AccountsError = AccountsError::NotFound("linked account");

fn unlinked() -> AccountLinksRecord {
    AccountLinksRecord { others: Vec::new(), shown: false, arrive_at: None }
}

pub(crate) fn key(user_id: &OwnedUserId) -> UserKey {
    UserKey { user_id: user_id.clone() }
}

#[cfg(test)]
mod tests {
    use linkspan_storage::records::AccountLinksRecord;
    use ruma::{OwnedUserId, user_id};

    use super::Person;

    #[test]
    fn who_is_taken_out_is_forgotten_by_all() {
        let ids: Vec<OwnedUserId> =
            ["@a:one", "@b:two", "@c:three"].map(|id| id.try_into().expect("a user id")).to_vec();
        let links = |own: &OwnedUserId, arrive_at: usize| AccountLinksRecord {
            others: ids.iter().filter(|id| *id != own).map(|id| (id.clone(), 1)).collect(),
            shown: true,
            arrive_at: Some(ids[arrive_at].clone()),
        };
        let person = ids.iter().zip([1, 2, 0]).map(|(id, arrive_at)| (id.clone(), links(id, arrive_at)));
        let mut person = Person(person.collect());
        person.remove(user_id!("@b:two"));
        let left = |at: usize| {
            let (_, links) = &person.0[at];
            let others: Vec<_> = links.others.iter().map(|(other, _)| other.as_str()).collect();
            (others, links.arrive_at.as_ref().map(|id| id.as_str()))
        };
        assert_eq!(left(0), (vec!["@c:three"], None));
        assert_eq!(left(1), (vec![], None));
        assert_eq!(left(2), (vec!["@a:one"], Some("@a:one")));
    }
}
