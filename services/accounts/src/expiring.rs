//! Bounded maps in memory whose entries expire.

use std::{collections::VecDeque, convert::Infallible, sync::Arc};

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use ruma::OwnedUserId;

/// Values by name, each with a time after which it is gone. When it is full, older entries make room.
pub(crate) struct Expiring<V> {
    entries: Cache<String, (u64, V)>,
}

impl<V: Clone> Expiring<V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: Cache::new(capacity) }
    }

    pub(crate) fn put(&self, name: String, value: V, expires_ts: u64) {
        self.entries.insert(name, (expires_ts, value));
    }

    pub(crate) fn get(&self, name: &str, now_ts: u64) -> Option<V> {
        let (expires_ts, value) = self.entries.get(name)?;
        (now_ts < expires_ts).then_some(value)
    }

    /// Removes an entry. If several take one, one gets it.
    pub(crate) fn take(&self, name: &str, now_ts: u64) -> Option<V> {
        let (_, (expires_ts, value)) = self.entries.remove(name)?;
        (now_ts < expires_ts).then_some(value)
    }
}

/// The tokens that one user may have at a time. Few clients ask for more than one before it is used.
const TOKENS_OF_USER: usize = 20;

/// Tokens of users. Those of one user make room for each other, so that nobody who asks for very many takes others' away.
pub(crate) struct UserTokens<V> {
    tokens: Expiring<V>,
    /// The newest of each user, the newest last.
    of_users: Cache<OwnedUserId, Arc<Mutex<VecDeque<String>>>>,
}

impl<V: Clone> UserTokens<V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { tokens: Expiring::new(capacity), of_users: Cache::new(capacity) }
    }

    pub(crate) fn put(&self, user_id: &OwnedUserId, token: String, value: V, expires_ts: u64) {
        let made = || Ok::<_, Infallible>(Arc::default());
        let Ok(own) = self.of_users.get_or_insert_with(user_id, made);
        let mut own = own.lock();
        if own.len() >= TOKENS_OF_USER
            && let Some(oldest) = own.pop_front()
        {
            self.tokens.entries.remove(&oldest);
        }
        own.push_back(token.clone());
        self.tokens.put(token, value, expires_ts);
    }

    pub(crate) fn get(&self, token: &str, now_ts: u64) -> Option<V> {
        self.tokens.get(token, now_ts)
    }

    /// Removes a token. If several take one, one gets it.
    pub(crate) fn take(&self, token: &str, now_ts: u64) -> Option<V> {
        self.tokens.take(token, now_ts)
    }
}

#[cfg(test)]
mod tests {
    use ruma::{OwnedUserId, owned_user_id};

    use super::{TOKENS_OF_USER, UserTokens};

    #[test]
    fn tokens_of_one_user_make_room_for_each_other_and_take_nobody_elses_away() {
        let (anna, ben): (OwnedUserId, OwnedUserId) = (owned_user_id!("@anna:a"), owned_user_id!("@ben:b"));
        let tokens = UserTokens::new(100);
        tokens.put(&ben, "ben".into(), 1, 10);
        for number in 0..1_000 {
            tokens.put(&anna, format!("anna{number}"), 0, 10);
        }
        assert_eq!(tokens.get("ben", 9), Some(1));
        let kept = (0..1_000).filter(|number| tokens.get(&format!("anna{number}"), 9).is_some());
        assert_eq!(kept.collect::<Vec<_>>(), (1_000 - TOKENS_OF_USER..1_000).collect::<Vec<_>>());
        assert_eq!((tokens.take("ben", 9), tokens.take("ben", 9)), (Some(1), None));
    }
}
