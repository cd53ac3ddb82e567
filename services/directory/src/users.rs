//! The user directory: people of all hosted platforms, found by words of their names.
//!
//! On a platform whose people are known by phone number, nobody is found by a number: neither the
//! localpart nor a word of digits is kept.

use std::collections::BTreeSet;

use linkspan_platforms::Identity;
use linkspan_storage::{
    Range, StorageError, WriteSet,
    catalogue::{DirectoryTermKey, DirectoryTerms, DirectoryUsers, UserKey},
    records::DirectoryUserRecord,
};
use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId};

use crate::{Directory, words::words};

/// The most rows of a platform that one search reads.
const SCAN_ROWS: usize = 500;
/// The most results of a search.
const RESULTS: usize = 100;
/// The most words of a search that are looked at.
const QUERY_WORDS: usize = 8;

impl Directory {
    /// Lets a user who has just registered be found.
    pub fn index_new_user(&self, writes: &mut WriteSet, user_id: &UserId, displayname: Option<&str>) {
        put_words(writes, user_id, self.words_of(user_id, displayname));
    }

    /// Replaces the words by which a user is found by those of a new display name. The write-set holds only
    /// while nobody else changes them.
    pub async fn index_user(
        &self,
        writes: &mut WriteSet,
        user_id: &UserId,
        displayname: Option<&str>,
    ) -> Result<(), StorageError> {
        self.take_words(writes, user_id).await?;
        put_words(writes, user_id, self.words_of(user_id, displayname));
        Ok(())
    }

    /// Removes a user from the directory, because the account was deactivated. The write-set holds as above.
    pub async fn unindex_user(&self, writes: &mut WriteSet, user_id: &UserId) -> Result<(), StorageError> {
        self.take_words(writes, user_id).await?;
        writes.delete::<DirectoryUsers>(&user_key(user_id));
        Ok(())
    }

    /// Removes the words by which a user is found now.
    async fn take_words(&self, writes: &mut WriteSet, user_id: &UserId) -> Result<(), StorageError> {
        let known = self.store.get::<DirectoryUsers>(&user_key(user_id)).await?;
        writes.expect_read::<DirectoryUsers>(&user_key(user_id), known.as_ref());
        for word in known.into_iter().flat_map(|known| known.words) {
            writes.delete::<DirectoryTerms>(&term_key(user_id, &word));
        }
        Ok(())
    }

    /// Searches the people of all hosted platforms. Found are those who have, for each word of `term`, a word
    /// that starts with it, and the user whose whole user id is `term`. First comes the user whose localpart
    /// is the term, then people of the searcher's platform, then the others. Each group is ordered by user
    /// id.
    ///
    /// Returns at most `limit` (and at most 100) users, and whether there may be more.
    pub async fn search_users(
        &self,
        searcher: &UserId,
        term: &str,
        limit: usize,
    ) -> Result<(Vec<OwnedUserId>, bool), StorageError> {
        let limit = limit.min(RESULTS);
        let term = term.trim();
        let mut found = BTreeSet::new();
        let mut limited = false;
        for user_id in self.named_by(term) {
            if self.store.contains::<DirectoryUsers>(&UserKey { user_id: user_id.clone() }).await? {
                found.insert(user_id);
            }
        }
        let query = query_words(term);
        for platform in self.platforms.iter() {
            let (users, more) = self.search_platform(platform.server_name(), &query).await?;
            found.extend(users);
            limited |= more;
        }
        let localpart = term.strip_prefix('@').unwrap_or(term).to_lowercase();
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by_cached_key(|user_id| {
            let is_named = user_id.localpart() == localpart || user_id.as_str() == term;
            let is_near = user_id.server_name() == searcher.server_name();
            (!is_named, !is_near, user_id.clone())
        });
        limited |= found.len() > limit;
        found.truncate(limit);
        Ok((found, limited))
    }

    /// The users whom the term names as a whole, by user id or, where that is allowed, by localpart.
    fn named_by(&self, term: &str) -> Vec<OwnedUserId> {
        if let Ok(user_id) = UserId::parse(term) {
            return vec![user_id];
        }
        let localpart = term.strip_prefix('@').unwrap_or(term).to_lowercase();
        self.platforms
            .iter()
            .filter(|platform| platform.settings.identity != Identity::Phone)
            .filter_map(|platform| UserId::parse(format!("@{localpart}:{}", platform.server_name())).ok())
            .collect()
    }

    /// The users of a platform who have all words, and whether there may be more.
    async fn search_platform(
        &self,
        platform: &OwnedServerName,
        query: &[String],
    ) -> Result<(Vec<OwnedUserId>, bool), StorageError> {
        // The longest word is probably the rarest. The other words are looked for among its users only.
        let Some(rarest) = query.iter().max_by_key(|word| word.len()) else { return Ok((Vec::new(), false)) };
        let range = Range::<DirectoryTerms>::prefix_text((platform,), rarest).limit(SCAN_ROWS);
        let keys = self.store.keys(range).await?;
        let more = keys.len() == SCAN_ROWS;
        let candidates: BTreeSet<_> = keys.into_iter().map(|key| key.user_id).collect();
        if query.len() == 1 {
            return Ok((candidates.into_iter().collect(), more));
        }
        let keys: Vec<_> = candidates.into_iter().map(|user_id| UserKey { user_id }).collect();
        let records = self.store.get_many::<DirectoryUsers>(&keys).await?;
        let found = keys.into_iter().zip(records);
        let has_all = |record: DirectoryUserRecord| has_all(&record.words, query);
        let found = found.filter_map(|(key, record)| record.is_some_and(has_all).then_some(key.user_id));
        Ok((found.collect(), more))
    }

    fn words_of(&self, user_id: &UserId, displayname: Option<&str>) -> BTreeSet<String> {
        let by_number = self.is_known_by_number(user_id.server_name());
        let mut all = words(displayname.unwrap_or_default());
        if by_number {
            all.retain(|word| !word.chars().all(char::is_numeric));
        } else {
            all.extend(words(user_id.localpart()));
        }
        all
    }

    fn is_known_by_number(&self, platform: &ServerName) -> bool {
        self.platforms.get(platform).is_some_and(|platform| platform.settings.identity == Identity::Phone)
    }
}

/// Writes the words by which a user is found, and removes those of before.
fn put_words(writes: &mut WriteSet, user_id: &UserId, words: BTreeSet<String>) {
    for word in &words {
        writes.put::<DirectoryTerms>(&term_key(user_id, word), &());
    }
    let record = DirectoryUserRecord { words: words.into_iter().collect() };
    writes.put::<DirectoryUsers>(&user_key(user_id), &record);
}

fn user_key(user_id: &UserId) -> UserKey {
    UserKey { user_id: user_id.to_owned() }
}

fn query_words(term: &str) -> Vec<String> {
    words(term).into_iter().take(QUERY_WORDS).collect()
}

fn has_all(words: &[String], query: &[String]) -> bool {
    query.iter().all(|wanted| words.iter().any(|word| word.starts_with(wanted.as_str())))
}

fn term_key(user_id: &UserId, word: &str) -> DirectoryTermKey {
    DirectoryTermKey {
        platform: user_id.server_name().to_owned(),
        term: word.to_owned(),
        user_id: user_id.to_owned(),
    }
}
