//! Filling the index of a new key with everybody who is to be found.

use linkspan_accounts::{AccountInfo, AddressIndex, found_by};
use linkspan_domain::Audience;
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{MatchingEntries, MatchingHashes},
    records::MatchingKeyRecord,
};

use crate::{Matching, Result};

/// The accounts whose entries are written with one commit.
const PAGE: usize = 256;

impl Matching {
    /// Writes down what platforms say of who is found, when one has come since the start.
    pub async fn note_platforms(&self, now_ts: u64) -> Result<()> {
        Ok(self.index.note_platforms(now_ts).await?)
    }

    /// Fills the index if its key is new; for the start, before anybody is served. A stop in between has it
    /// begun anew at the next start. It takes about a minute and a half for each million people, on one core.
    pub async fn fill_index(&self) -> Result<()> {
        if !self.index.key().await?.is_filled {
            self.store.delete_range::<MatchingEntries>(Range::all()).await?;
            self.store.delete_range::<MatchingHashes>(Range::all()).await?;
            for platform in self.index.platforms.iter() {
                let mut after = None;
                loop {
                    let accounts = &self.accounts;
                    let page = accounts.list_accounts(platform.server_name(), after.as_ref(), PAGE).await?;
                    self.put_page(&page).await?;
                    match page.last() {
                        Some(last) if page.len() == PAGE => after = Some(last.user_id.clone()),
                        _ => break,
                    }
                }
            }
            let filled = |key| Some(MatchingKeyRecord { is_filled: true, ..key? });
            self.index.change_key(filled).await?;
        }
        Ok(self.index.fit_buckets().await?)
    }

    async fn put_page(&self, page: &[AccountInfo]) -> Result<()> {
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                for account in page.iter().filter(|account| !account.deactivated) {
                    self.put_account(&mut writes, account).await?;
                }
                Ok((writes, ()))
            })
            .await
    }

    async fn put_account(&self, writes: &mut WriteSet, account: &AccountInfo) -> Result<()> {
        let user_id = &account.user_id;
        let discovery = self.accounts.expect_discovery(writes, user_id).await?;
        for id in self.accounts.expect_addresses(writes, user_id).await? {
            let audience = discovery.audience(found_by(id.medium()));
            if audience != Audience::Nobody {
                self.index.put_address(writes, user_id, id.medium(), id.address(), audience).await?;
            }
        }
        Ok(())
    }
}
