//! The user directory: people of all hosted platforms, found by words of their names and handles, as far as each
//! lets them be found.
//!
//! On a platform whose people are known by phone number, nobody is found by a number: neither the
//! localpart nor a word of digits is kept.

use std::collections::BTreeSet;

use linkspan_domain::{Discovery, Finder, FoundBy};
use linkspan_platforms::{Identity, Platform};
use linkspan_storage::{
    Range, StorageError, WriteSet,
    catalogue::{DirectoryTermKey, DirectoryTerms, DirectoryUsers, UserKey},
    records::DirectoryUserRecord,
};
use ruma::{OwnedUserId, ServerName, UserId};

use crate::{
    Directory,
    lists::{SEARCHED, list_of, lists_for, numbers_of, searcher_on, words_for},
    words::words,
};

/// The most rows of a list that one search reads.
const SCAN_ROWS: usize = 500;
/// The most words of a search that are looked at.
const QUERY_WORDS: usize = 8;

/// What somebody searches for.
struct Query {
    /// The words that each who is found has.
    words: Vec<String>,
    /// The whole term, as the name of somebody.
    name: String,
}

/// Whom a search has found.
#[derive(Default)]
struct Hits {
    /// Those whom the whole term names.
    named: BTreeSet<OwnedUserId>,
    /// Those who have all words.
    worded: BTreeSet<OwnedUserId>,
    /// There may be more.
    more: bool,
}

impl Directory {
    /// Lets a user who has just registered be found.
    pub fn index_new_user(&self, writes: &mut WriteSet, user_id: &UserId, displayname: Option<&str>) {
        put_record(writes, user_id, &self.new_record(user_id, displayname));
    }

    /// Replaces the words by which a user is found by those of a new display name. The write-set holds only
    /// while nobody else changes them.
    pub async fn index_user(
        &self,
        writes: &mut WriteSet,
        user_id: &UserId,
        displayname: Option<&str>,
    ) -> Result<(), StorageError> {
        let mut record =
            self.take_record(writes, user_id).await?.unwrap_or_else(|| self.new_record(user_id, None));
        record.name_words = self.name_words(user_id, displayname);
        put_record(writes, user_id, &record);
        Ok(())
    }

    /// Lets a user be found by another handle, and not by the handle or the localpart of before. The write-set holds
    /// as above.
    pub async fn index_handle(
        &self,
        writes: &mut WriteSet,
        user_id: &UserId,
        handle: &str,
    ) -> Result<(), StorageError> {
        let mut record =
            self.take_record(writes, user_id).await?.unwrap_or_else(|| self.new_record(user_id, None));
        let handle_words: BTreeSet<_> = words(handle).into_iter().chain([handle_word(handle)]).collect();
        record.handle_words = handle_words.into_iter().collect();
        put_record(writes, user_id, &record);
        Ok(())
    }

    /// Lets a user be found as the user has chosen. The write-set holds as above.
    pub async fn index_choice(
        &self,
        writes: &mut WriteSet,
        user_id: &UserId,
        own: Discovery,
    ) -> Result<(), StorageError> {
        if let Some(mut record) = self.take_record(writes, user_id).await? {
            (record.name_said, record.handle_said) = numbers_of(own);
            put_record(writes, user_id, &record);
        }
        Ok(())
    }

    /// Removes a user from the directory, because the account was deactivated. The write-set holds as above.
    pub async fn unindex_user(&self, writes: &mut WriteSet, user_id: &UserId) -> Result<(), StorageError> {
        self.take_record(writes, user_id).await?;
        writes.delete::<DirectoryUsers>(&user_key(user_id));
        Ok(())
    }

    /// Takes the words by which a user is found now from all lists.
    async fn take_record(
        &self,
        writes: &mut WriteSet,
        user_id: &UserId,
    ) -> Result<Option<DirectoryUserRecord>, StorageError> {
        let known = self.store.get::<DirectoryUsers>(&user_key(user_id)).await?;
        writes.expect_read::<DirectoryUsers>(&user_key(user_id), known.as_ref());
        if let Some(record) = &known {
            terms(user_id, record).for_each(|key| writes.delete::<DirectoryTerms>(&key));
        }
        Ok(known)
    }

    /// Searches the people of all hosted platforms for those whom the searcher may find. Found are those who have,
    /// for each word of `term`, a word that starts with it, and those whose handle or localpart is `term`. These come
    /// first, then people of the searcher's platform, then the others. Each group is ordered by user id. `contact_of`
    /// are the people whose contact the searcher is.
    ///
    /// Returns all who are found, and whether there may be more. The caller leaves out who ignores the searcher.
    pub async fn search_users(
        &self,
        searcher: &UserId,
        contact_of: &[OwnedUserId],
        term: &str,
    ) -> Result<(Vec<OwnedUserId>, bool), StorageError> {
        let query = Query::new(term);
        let mut hits = Hits::default();
        for platform in self.platforms.iter() {
            self.search_lists(&platform, searcher, &query, &mut hits).await?;
        }
        let contact = Finder { is_contact: true, is_on_platform: false, is_blocked: false };
        self.look_at(contact_of, contact, &query, &mut hits).await?;
        let Hits { named, mut worded, more } = hits;
        worded.extend(named.iter().cloned());
        let mut found: Vec<_> = worded.into_iter().collect();
        found.sort_by_cached_key(|user_id| {
            let is_near = user_id.server_name() == searcher.server_name();
            (!named.contains(user_id), !is_near, user_id.clone())
        });
        Ok((found, more))
    }

    /// Searches the lists of a platform that are open to the searcher.
    async fn search_lists(
        &self,
        platform: &Platform,
        searcher: &UserId,
        query: &Query,
        hits: &mut Hits,
    ) -> Result<(), StorageError> {
        let server_name = platform.server_name();
        // The longest word is probably the rarest. The other words are looked for among its users only.
        let rarest = query.words.iter().max_by_key(|word| word.len());
        let mut candidates = BTreeSet::new();
        for by in SEARCHED {
            for list in lists_for(platform, searcher, by) {
                if let Some(rarest) = rarest {
                    let range = Range::<DirectoryTerms>::prefix_text((server_name, &list), rarest);
                    let keys = self.store.keys(range.limit(SCAN_ROWS)).await?;
                    hits.more |= keys.len() == SCAN_ROWS;
                    candidates.extend(keys.into_iter().map(|key| key.user_id));
                }
                let range = Range::<DirectoryTerms>::prefix((server_name, &list, &handle_word(&query.name)));
                let keys = self.store.keys(range.limit(SCAN_ROWS)).await?;
                hits.named.extend(keys.into_iter().map(|key| key.user_id));
            }
        }
        if query.words.len() == 1 {
            hits.worded.append(&mut candidates);
        }
        candidates.extend(UserId::parse(format!("@{}:{server_name}", query.name)).ok());
        let candidates: Vec<_> = candidates.into_iter().collect();
        self.look_at(&candidates, searcher_on(platform, searcher), query, hits).await
    }

    /// Looks at single people, all of whom the searcher stands to in this way.
    async fn look_at(
        &self,
        people: &[OwnedUserId],
        finder: Finder,
        query: &Query,
        hits: &mut Hits,
    ) -> Result<(), StorageError> {
        let keys: Vec<_> = people.iter().map(|user_id| user_key(user_id)).collect();
        let records = self.store.get_many::<DirectoryUsers>(&keys).await?;
        for (user_id, record) in people.iter().zip(records) {
            let (Some(record), Some(platform)) = (record, self.platforms.get(user_id.server_name())) else {
                continue;
            };
            let [names, handles] = SEARCHED.map(|by| words_for(&platform, &record, finder, by));
            if query.is_met_by(&[names, handles].concat()) {
                hits.worded.insert(user_id.clone());
            }
            if query.names(user_id, handles) {
                hits.named.insert(user_id.clone());
            }
        }
        Ok(())
    }

    fn new_record(&self, user_id: &UserId, displayname: Option<&str>) -> DirectoryUserRecord {
        let by_number = self.is_known_by_number(user_id.server_name());
        let handle_words = if by_number { BTreeSet::new() } else { words(user_id.localpart()) };
        let (name_said, handle_said) = numbers_of(Discovery::default());
        DirectoryUserRecord {
            name_words: self.name_words(user_id, displayname),
            handle_words: handle_words.into_iter().collect(),
            name_said,
            handle_said,
        }
    }

    fn name_words(&self, user_id: &UserId, displayname: Option<&str>) -> Vec<String> {
        let mut words = words(displayname.unwrap_or_default());
        if self.is_known_by_number(user_id.server_name()) {
            words.retain(|word| !word.chars().all(char::is_numeric));
        }
        words.into_iter().collect()
    }

    fn is_known_by_number(&self, platform: &ServerName) -> bool {
        self.platforms.get(platform).is_some_and(|platform| platform.settings.identity == Identity::Phone)
    }
}

impl Query {
    fn new(term: &str) -> Self {
        let term = term.trim();
        let name = term.strip_prefix('@').unwrap_or(term).to_lowercase();
        Self { words: words(term).into_iter().take(QUERY_WORDS).collect(), name }
    }

    fn is_met_by(&self, words: &[String]) -> bool {
        let has = |wanted: &String| words.iter().any(|word| word.starts_with(wanted.as_str()));
        !self.words.is_empty() && self.words.iter().all(has)
    }

    /// Whether it is the whole handle of a user or, if that was never changed, the localpart.
    fn names(&self, user_id: &UserId, handle_words: &[String]) -> bool {
        let handle = handle_words.iter().find_map(|word| word.strip_prefix('@'));
        !handle_words.is_empty() && handle.unwrap_or(user_id.localpart()) == self.name
    }
}

/// Writes the words by which a user is found.
fn put_record(writes: &mut WriteSet, user_id: &UserId, record: &DirectoryUserRecord) {
    terms(user_id, record).for_each(|key| writes.put::<DirectoryTerms>(&key, &()));
    writes.put::<DirectoryUsers>(&user_key(user_id), record);
}

/// The rows of the lists that a user's words are in.
fn terms<'a>(
    user_id: &'a UserId,
    record: &'a DirectoryUserRecord,
) -> impl Iterator<Item = DirectoryTermKey> + 'a {
    let names = list_of(FoundBy::Name, record.name_said).map(|list| (list, &record.name_words));
    let handles = list_of(FoundBy::Handle, record.handle_said).map(|list| (list, &record.handle_words));
    let words = names.into_iter().chain(handles);
    let words = words.flat_map(|(list, words)| words.iter().map(move |word| (list, word)));
    words.map(move |(list, word)| DirectoryTermKey {
        platform: user_id.server_name().to_owned(),
        list,
        term: word.clone(),
        user_id: user_id.to_owned(),
    })
}

/// A whole handle, as it stands among the words: no other word begins with `@`.
fn handle_word(handle: &str) -> String {
    format!("@{handle}")
}

fn user_key(user_id: &UserId) -> UserKey {
    UserKey { user_id: user_id.to_owned() }
}
