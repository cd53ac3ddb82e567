//! What the operators of platforms do, written down so that others who answer for a platform can read it; and what they
//! see of how their platform is used.
//!
//! An action is written down before it is done, and how it ended is added afterwards: what a stop interrupted is there as
//! something that was begun. What an action does is other services' work.

mod watched;

use linkspan_storage::{
    Position, Range, StorageError, Store, WriteSet,
    catalogue::{OperatorActionKey, OperatorActions},
    records::OperatorActionRecord,
};
use ruma::{OwnedServerName, OwnedUserId};

pub use watched::{Condition, Latency, SAMPLED_EVERY, Sample, Watched};

/// How many actions are read at a time to be forgotten.
const SWEEP: usize = 1_000;

/// The actions of the operators of all platforms. Clones are the same.
#[derive(Clone, Debug)]
pub struct Operators {
    store: Store,
    watched: Watched,
}

/// An action that was written down.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// By this number it is known on its platform.
    pub number: u64,
    /// What was done, by whom, and how it ended.
    pub record: OperatorActionRecord,
}

/// An action that is under way.
#[derive(Debug)]
pub struct Begun {
    key: OperatorActionKey,
    record: OperatorActionRecord,
}

impl Operators {
    /// The actions in a store.
    pub fn new(store: Store) -> Self {
        Self { store, watched: Watched::default() }
    }

    /// What the server has measured of itself.
    pub fn watched(&self) -> &Watched {
        &self.watched
    }

    /// Writes down that an action begins. `operator` is None for the operator of the whole back-end.
    pub async fn begin_action(
        &self,
        platform: &OwnedServerName,
        operator: Option<OwnedUserId>,
        action: &str,
        subjects: Vec<String>,
        now_ts: u64,
    ) -> Result<Begun, StorageError> {
        let record =
            OperatorActionRecord { ts: now_ts, operator, action: action.to_owned(), subjects, status: None };
        let mut key = OperatorActionKey { platform: platform.clone(), position: Position::PENDING };
        let mut writes = WriteSet::new();
        writes.use_reserve();
        writes.put::<OperatorActions>(&key, &record);
        key.position = self.store.commit(writes).await?;
        Ok(Begun { key, record })
    }

    /// Writes down how an action ended: the HTTP status of the answer.
    pub async fn end_action(&self, begun: Begun, status: u16) -> Result<(), StorageError> {
        let Begun { key, mut record } = begun;
        record.status = Some(status);
        let mut writes = WriteSet::new();
        writes.use_reserve();
        writes.put::<OperatorActions>(&key, &record);
        self.store.commit(writes).await?;
        Ok(())
    }

    /// A page of the actions on a platform, newest first, those before the one with the number `before`.
    pub async fn list_actions(
        &self,
        platform: &OwnedServerName,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Action>, StorageError> {
        let mut range = Range::<OperatorActions>::prefix((platform,)).reverse().limit(limit);
        if let Some(before) = before {
            let position = Position::from_u64(before);
            range = range.before(&OperatorActionKey { platform: platform.clone(), position });
        }
        let rows = self.store.range(range).await?;
        Ok(rows.into_iter().map(|(key, record)| Action { number: key.position.get(), record }).collect())
    }

    /// Forgets the actions on a platform that were begun before a time, in portions.
    pub async fn forget_actions(
        &self,
        platform: &OwnedServerName,
        before_ts: u64,
    ) -> Result<(), StorageError> {
        loop {
            let range = Range::<OperatorActions>::prefix((platform,)).limit(SWEEP);
            let rows = self.store.range(range).await?;
            let may_be_more = rows.len() == SWEEP;
            let mut writes = WriteSet::new();
            let old = rows.iter().take_while(|(_, record)| record.ts < before_ts);
            let forgotten = old.map(|(key, _)| writes.delete::<OperatorActions>(key)).count();
            self.store.commit(writes).await?;
            if !may_be_more || forgotten < SWEEP {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use linkspan_storage::Memory;
    use ruma::{owned_server_name, owned_user_id};

    use super::*;

    #[tokio::test]
    async fn actions_are_listed_by_platform_newest_first_and_forgotten_when_old() {
        let operators = Operators::new(Store::in_memory(Memory::new().expect("an engine")));
        let (one, two) = (owned_server_name!("one.example"), owned_server_name!("two.example"));
        let anna = owned_user_id!("@anna:one.example");
        let begin = async |platform, operator, action, now_ts| {
            let subjects = vec!["@ben:one.example".to_owned()];
            operators.begin_action(platform, operator, action, subjects, now_ts).await.expect("it is written")
        };
        let first = begin(&one, Some(anna.clone()), "lock_user", 1_000).await;
        operators.end_action(first, 200).await.expect("it is written");
        begin(&one, None, "delete_room", 2_000).await;
        begin(&two, None, "lock_user", 1_500).await;

        let listed = operators.list_actions(&one, None, 10).await.expect("they are read");
        let shown: Vec<_> =
            listed.iter().map(|action| (action.record.action.as_str(), action.record.status)).collect();
        assert_eq!(shown, [("delete_room", None), ("lock_user", Some(200))]);
        assert_eq!(listed[1].record.operator, Some(anna));
        let before = operators.list_actions(&one, Some(listed[0].number), 10).await.expect("they are read");
        assert_eq!(before, listed[1..]);

        operators.forget_actions(&one, 2_000).await.expect("they are forgotten");
        let left = operators.list_actions(&one, None, 10).await.expect("they are read");
        assert_eq!(left, listed[..1]);
        assert_eq!(operators.list_actions(&two, None, 10).await.expect("they are read").len(), 1);
    }
}
