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
        put_words(writes, user_id, self.words_of(user_id, displayname, None));
    }

    /// Replaces the words by which a user is found by those of a new display name. The write-set holds only
    /// while nobody else changes them.
    pub async fn index_user(
        &self,
        writes: &mut WriteSet,
        user_id: &UserId,
        displayname: Option<&str>,
    ) -> Result<(), StorageError> {
        let known = self.take_words(writes, user_id).await?;
        put_words(writes, user_id, self.words_of(user_id, displayname, handle_among(&known)));
        Ok(())
    }

    /// Lets a user be found by another handle, and not by the handle or the localpart of before. The display name is the
    /// present one. The write-set holds as above.
    pub async fn index_handle(
        &self,
        writes: &mut WriteSet,
        user_id: &UserId,
        displayname: Option<&str>,
        handle: &str,
    ) -> Result<(), StorageError> {
        self.take_words(writes, user_id).await?;
        put_words(writes, user_id, self.words_of(user_id, displayname, Some(handle)));
        Ok(())
    }

    /// Removes a user from the directory, because the account was deactivated. The write-set holds as above.
    pub async fn unindex_user(&self, writes: &mut WriteSet, user_id: &UserId) -> Result<(), StorageError> {
        self.take_words(writes, user_id).await?;
        writes.delete::<DirectoryUsers>(&user_key(user_id));
        Ok(())
    }

    /// Removes the words by which a user is found now, and returns them.
    async fn take_words(&self, writes: &mut WriteSet, user_id: &UserId) -> Result<Vec<String>, StorageError> {
        let known = self.store.get::<DirectoryUsers>(&user_key(user_id)).await?;
        writes.expect_read::<DirectoryUsers>(&user_key(user_id), known.as_ref());
        let words = known.map(|known| known.words).unwrap_or_default();
        for word in &words {
            writes.delete::<DirectoryTerms>(&term_key(user_id, word));
        }
        Ok(words)
    }

    /// Searches the people of all hosted platforms. Found are those who have, for each word of `term`, a word
    /// that starts with it, and the user whose whole user id is `term`. First come those whom the whole term
    /// names, then people of the searcher's platform, then the others. Each group is ordered by user id.
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
        let mut limited = false;
        let named = self.named_by(term).await?;
        let mut found = named.clone();
        let query = query_words(term);
        for platform in self.platforms.iter() {
            let (users, more) = self.search_platform(platform.server_name(), &query).await?;
            found.extend(users);
            limited |= more;
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by_cached_key(|user_id| {
            let is_near = user_id.server_name() == searcher.server_name();
            (!named.contains(user_id), !is_near, user_id.clone())
        });
        limited |= found.len() > limit;
        found.truncate(limit);
        Ok((found, limited))
    }

    /// The users whom the term names as a whole: by user id or by handle or, where that is allowed, by localpart.
    async fn named_by(&self, term: &str) -> Result<BTreeSet<OwnedUserId>, StorageError> {
        let mut named = BTreeSet::new();
        if let Ok(user_id) = UserId::parse(term) {
            named
                .extend(self.store.contains::<DirectoryUsers>(&user_key(&user_id)).await?.then_some(user_id));
            return Ok(named);
        }
        let name = term.strip_prefix('@').unwrap_or(term).to_lowercase();
        for platform in self.platforms.iter().filter(|it| it.settings.identity != Identity::Phone) {
            let server_name = platform.server_name();
            let range = Range::<DirectoryTerms>::prefix((server_name, &handle_word(&name))).limit(SCAN_ROWS);
            named.extend(self.store.keys(range).await?.into_iter().map(|key| key.user_id));
            let Ok(user_id) = UserId::parse(format!("@{name}:{server_name}")) else { continue };
            let known = self.store.get::<DirectoryUsers>(&user_key(&user_id)).await?;
            named.extend(known.filter(|known| handle_among(&known.words).is_none()).map(|_| user_id));
        }
        Ok(named)
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

    /// The words by which a user is found: of the name, and of the handle or, if that was never changed, the localpart.
    fn words_of(
        &self,
        user_id: &UserId,
        displayname: Option<&str>,
        handle: Option<&str>,
    ) -> BTreeSet<String> {
        let by_number = self.is_known_by_number(user_id.server_name());
        let mut all = words(displayname.unwrap_or_default());
        if by_number {
            all.retain(|word| !word.chars().all(char::is_numeric));
        } else {
            all.extend(words(handle.unwrap_or(user_id.localpart())));
            all.extend(handle.map(handle_word));
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

/// A whole handle, as it stands among the words: no other word begins with `@`.
fn handle_word(handle: &str) -> String {
    format!("@{handle}")
}

fn handle_among(words: &[String]) -> Option<&str> {
    words.iter().find_map(|word| word.strip_prefix('@'))
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
