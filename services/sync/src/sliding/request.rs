//! What a client asks for on a sliding-sync connection. It does not depend on the form on the wire.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    ops::Deref,
    sync::Arc,
    time::Duration,
};

use linkspan_accounts::TokenHash;
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};

use super::Pos;

/// A request on a connection.
#[derive(Clone, Debug)]
pub struct SlidingRequest {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device.
    pub device_id: OwnedDeviceId,
    /// The hash of the access token: the request is good for as long as its session is.
    pub token_hash: TokenHash,
    /// The name of the connection, which may be empty.
    pub conn_id: String,
    /// The token of the last answer. Without it, the connection begins.
    pub pos: Option<Pos>,
    /// How long the client waits for news.
    pub timeout: Duration,
    /// Windows on the user's rooms, by name.
    pub lists: BTreeMap<String, List>,
    /// Rooms that are wanted whether or not a list has them.
    pub subscriptions: BTreeMap<OwnedRoomId, RoomConfig>,
    /// What is wanted beside rooms.
    pub extensions: Extensions,
}

/// A window on the user's rooms.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// The first and the last place, counted from 0. Without ranges the window is all rooms.
    pub ranges: Option<Vec<(u64, u64)>>,
    /// Which rooms are in the list.
    pub filters: Filters,
    /// What is wanted of each room.
    pub config: RoomConfig,
}

/// What is wanted of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomConfig {
    /// The most events of the timeline.
    pub timeline_limit: usize,
    /// The wanted state. Where several lists have the room, there is one entry for each.
    pub required_state: Vec<RequiredState>,
}

/// Which state is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequiredState {
    /// The types and state keys that are wanted. None stands for any.
    pub include: Vec<(Option<String>, Option<String>)>,
    /// The types and state keys that are not wanted all the same.
    pub exclude: Vec<(Option<String>, Option<String>)>,
    /// Whether members are sent when they are needed to show the timeline.
    pub lazy_members: bool,
}

/// Which rooms are in a list. A filter that is None or empty lets all rooms through.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Filters {
    pub is_dm: Option<bool>,
    pub is_encrypted: Option<bool>,
    pub is_cross_platform: Option<bool>,
    pub is_invited: Option<bool>,
    /// The types of rooms. None stands for rooms without a type.
    pub room_types: Option<Vec<Option<String>>>,
    pub not_room_types: Vec<Option<String>>,
    pub spaces: Option<Vec<OwnedRoomId>>,
    pub tags: Option<Vec<String>>,
    pub not_tags: Vec<String>,
}

/// What is wanted beside rooms.
#[derive(Clone, Debug, Default)]
pub struct Extensions {
    /// Whether messages to the device are wanted, and the token of the last ones if there were any.
    pub to_device: Option<Option<u64>>,
    /// Whether device lists and counts of keys are wanted.
    pub e2ee: bool,
    /// Whether account data is wanted, and for which rooms.
    pub account_data: Option<Scope>,
    /// Whether receipts are wanted, and for which rooms.
    pub receipts: Option<Scope>,
    /// Whether typing is wanted, and for which rooms.
    pub typing: Option<Scope>,
    /// How many changes of subscriptions to threads are wanted at once.
    pub thread_subscriptions: Option<usize>,
}

/// The rooms for which an extension is wanted.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The rooms in these lists. None stands for all lists.
    pub lists: Option<Vec<String>>,
    /// These rooms of the subscriptions. None stands for all of them.
    pub rooms: Option<Vec<OwnedRoomId>>,
}

impl SlidingRequest {
    /// What is told of a room that the user has left and that is in no window.
    pub(super) fn config_of_end(&self) -> RoomConfig {
        let configs = self.lists.values().map(|list| &list.config).chain(self.subscriptions.values());
        let own = (Some("m.room.member".to_owned()), Some(self.user_id.to_string()));
        let include = match configs.into_iter().any(|config| config.wants_own_membership(&self.user_id)) {
            true => vec![own],
            false => Vec::new(),
        };
        let required_state = vec![RequiredState { include, ..RequiredState::default() }];
        RoomConfig { timeline_limit: 1, required_state }
    }
}

impl RequiredState {
    /// Whether an entry of the state is wanted.
    pub(crate) fn matches(&self, event_type: &str, state_key: &str) -> bool {
        let is = |pattern: &(Option<String>, Option<String>)| {
            pattern.0.as_deref().is_none_or(|wanted| wanted == event_type)
                && pattern.1.as_deref().is_none_or(|wanted| wanted == state_key)
        };
        let is_included = |pattern: &&(Option<String>, Option<String>)| {
            is(pattern) && !(self.lazy_members && event_type == "m.room.member" && pattern.0.is_none())
        };
        self.include.iter().any(|pattern| is_included(&pattern)) && !self.exclude.iter().any(is)
    }
}

impl RoomConfig {
    /// Adds what another configuration wants.
    fn merge(&mut self, other: &Self) {
        self.timeline_limit = self.timeline_limit.max(other.timeline_limit);
        for state in &other.required_state {
            if !self.required_state.contains(state) {
                self.required_state.push(state.clone());
            }
        }
        self.required_state.sort();
    }

    /// Whether an entry of the state is wanted.
    pub(crate) fn wants(&self, event_type: &str, state_key: &str) -> bool {
        self.required_state.iter().any(|state| state.matches(event_type, state_key))
    }

    /// Whether the user's own membership is wanted when it ends, either by name or because lazy loading would
    /// send it.
    pub(crate) fn wants_own_membership(&self, user_id: &OwnedUserId) -> bool {
        self.wants_lazy_members() || self.wants("m.room.member", user_id.as_str())
    }

    pub(crate) fn wants_lazy_members(&self) -> bool {
        self.required_state.iter().any(|state| state.lazy_members)
    }

    /// The types and keys that any part of it includes.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &(Option<String>, Option<String>)> {
        self.required_state.iter().flat_map(|state| &state.include)
    }

    /// A hash that tells sets of state apart, and is the same after a restart.
    fn state_hash(&self) -> u64 {
        // This hasher has fixed keys.
        let mut hasher = DefaultHasher::new();
        self.required_state.hash(&mut hasher);
        hasher.finish()
    }
}

/// A configuration that all rooms of a list share, because there may be a thousand of them in every answer.
#[derive(Clone, Debug)]
pub(crate) struct SharedConfig(Arc<(RoomConfig, u64)>);

impl SharedConfig {
    /// The same as [`RoomConfig::state_hash`], computed once.
    pub(crate) fn state_hash(&self) -> u64 {
        self.0.1
    }

    /// Adds what another configuration wants.
    pub(crate) fn merge(&mut self, other: &Self) {
        *self = Self::both(self, other);
    }

    fn both(one: &RoomConfig, other: &RoomConfig) -> Self {
        let mut config = one.clone();
        config.merge(other);
        let state_hash = config.state_hash();
        Self(Arc::new((config, state_hash)))
    }
}

impl From<&RoomConfig> for SharedConfig {
    fn from(config: &RoomConfig) -> Self {
        Self::both(&RoomConfig::default(), config)
    }
}

impl Deref for SharedConfig {
    type Target = RoomConfig;

    fn deref(&self) -> &RoomConfig {
        &self.0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(event_type: &str, timeline_limit: usize) -> RoomConfig {
        let include = vec![(Some(event_type.to_owned()), None)];
        let state = RequiredState { include, ..RequiredState::default() };
        RoomConfig { timeline_limit, required_state: vec![state.clone(), state] }
    }

    #[test]
    fn a_room_of_two_lists_is_wanted_as_both_want_it_whichever_comes_first() {
        let (one, other) = (config("m.room.name", 1), config("m.room.topic", 5));
        let (mut first, mut second) = (SharedConfig::from(&one), SharedConfig::from(&other));
        let alone = first.state_hash();
        first.merge(&SharedConfig::from(&other));
        second.merge(&SharedConfig::from(&one));
        assert_eq!((first.timeline_limit, first.required_state.len()), (5, 2));
        assert!(first.wants("m.room.name", "") && first.wants("m.room.topic", ""));
        assert_eq!((&*first, first.state_hash()), (&*second, second.state_hash()));
        assert_ne!(first.state_hash(), alone, "the state of both is more than that of one");
        first.merge(&second);
        assert_eq!(first.state_hash(), second.state_hash(), "nothing was added");
    }
}
