//! What a connection asks for, which changes at random, in both shapes on the wire.

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

/// The shape of requests and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Stable,
    Unstable,
}

/// What is wanted of a room.
#[derive(Clone, Debug, Default)]
pub(super) struct Config {
    pub(super) timeline_limit: u64,
    /// The types and state keys. None stands for any.
    pub(super) include: Vec<(Option<&'static str>, Option<String>)>,
    pub(super) lazy: bool,
}

#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) last: u64,
    pub(super) filters: BTreeMap<&'static str, Value>,
    pub(super) config: Config,
}

/// The body of a request, except for the place of the connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Wants {
    pub(super) lists: BTreeMap<&'static str, List>,
    pub(super) subscriptions: BTreeMap<String, Config>,
}

impl Config {
    pub(super) fn random(rng: &mut StdRng, me: &str, lazy: bool) -> Self {
        let own = ("m.room.member", Some(me.to_owned()));
        let key = || Some(String::new());
        let choices: [Vec<(&'static str, Option<String>)>; 5] = [
            vec![],
            vec![("m.room.name", key()), own.clone()],
            vec![("m.room.topic", key()), ("m.room.create", key())],
            vec![("m.room.member", None)],
            vec![("m.space.child", None), ("m.room.topic", key()), own],
        ];
        let chosen = choices.choose(rng).expect("there are some").clone();
        let include = match rng.random_range(0..6) {
            0 => vec![(None, None)],
            1 => vec![(None, key())],
            _ => chosen.into_iter().map(|(kind, key)| (Some(kind), key)).collect(),
        };
        let timeline_limit = *[0, 1, 2, 5, 20].choose(rng).expect("there are some");
        Self { timeline_limit, include, lazy }
    }

    /// Whether an entry of the state is wanted. A pattern of any type leaves members out if they are loaded
    /// lazily.
    pub(super) fn wants(&self, event_type: &str, state_key: &str) -> bool {
        self.include.iter().any(|(kind, key)| {
            let by_type = match kind {
                Some(kind) => *kind == event_type,
                None => !(self.lazy && event_type == "m.room.member"),
            };
            by_type && key.as_deref().is_none_or(|key| key == state_key)
        })
    }

    fn on_wire(&self, shape: Shape, me: &str) -> Value {
        let include = self.include.iter();
        let required_state = match shape {
            Shape::Stable => {
                let pattern = |(kind, key): &(Option<&str>, Option<String>)| {
                    let mut pattern = json!({});
                    kind.iter().for_each(|kind| pattern["type"] = json!(kind));
                    key.iter().for_each(|key| pattern["state_key"] = json!(key));
                    pattern
                };
                json!({ "include": include.map(pattern).collect::<Vec<_>>(), "lazy_members": self.lazy })
            }
            Shape::Unstable => {
                let any = |text: Option<&str>| text.unwrap_or("*").to_owned();
                let key = |key: &Option<String>| match key.as_deref() {
                    Some(key) if key == me => "$ME".to_owned(),
                    key => any(key),
                };
                let mut pairs: Vec<_> = include.map(|(kind, state)| (any(*kind), key(state))).collect();
                if self.lazy {
                    pairs.push(("m.room.member".to_owned(), "$LAZY".to_owned()));
                }
                json!(pairs)
            }
        };
        json!({ "timeline_limit": self.timeline_limit, "required_state": required_state })
    }
}

impl Wants {
    /// Changes something, or perhaps nothing.
    pub(super) fn change(&mut self, rng: &mut StdRng, me: &str, lazy: bool, rooms: &[String]) {
        match rng.random_range(0..10) {
            0 | 1 => {
                let name = *["a", "b", "c"].choose(rng).expect("there are some");
                let filters = random_filters(rng, rooms);
                let list =
                    List { last: rng.random_range(0..4), filters, config: Config::random(rng, me, lazy) };
                self.lists.insert(name, list);
            }
            2 | 3 => {
                for list in self.lists.values_mut() {
                    list.last = *[0, 1, 2, 4, 50].choose(rng).expect("there are some");
                }
            }
            4 => {
                self.lists.pop_last();
            }
            5 => {
                if let Some(room) = rooms.choose(rng) {
                    self.subscriptions.insert(room.clone(), Config::random(rng, me, lazy));
                }
            }
            6 => self.subscriptions.clear(),
            _ => {}
        }
    }

    /// Everything that is asked of a room, by each of these lists and by its subscription.
    pub(super) fn of_room(&self, room: &str, lists: &BTreeSet<String>) -> Vec<&Config> {
        let listed =
            self.lists.iter().filter(|(name, _)| lists.contains(**name)).map(|(_, list)| &list.config);
        listed.chain(self.subscriptions.get(room)).collect()
    }

    pub(super) fn on_wire(&self, shape: Shape, me: &str) -> Value {
        let list = |list: &List| {
            let mut wire = list.config.on_wire(shape, me);
            match shape {
                Shape::Stable => wire["range"] = json!([0, list.last]),
                Shape::Unstable => wire["ranges"] = json!([[0, list.last]]),
            }
            for (filter, wanted) in &list.filters {
                let filter =
                    if *filter == "is_invite" && shape == Shape::Stable { "is_invited" } else { filter };
                wire["filters"][filter] = wanted.clone();
            }
            wire
        };
        let lists: BTreeMap<_, _> = self.lists.iter().map(|(name, wanted)| (name, list(wanted))).collect();
        let subscriptions = self.subscriptions.iter();
        let subscriptions: BTreeMap<_, _> =
            subscriptions.map(|(room, config)| (room, config.on_wire(shape, me))).collect();
        let on = json!({ "enabled": true });
        let extensions = json!({ "account_data": on, "receipts": on, "typing": on });
        json!({ "lists": lists, "room_subscriptions": subscriptions, "extensions": extensions })
    }
}

fn random_filters(rng: &mut StdRng, rooms: &[String]) -> BTreeMap<&'static str, Value> {
    let mut filters = BTreeMap::new();
    match rng.random_range(0..12) {
        0 => filters.insert("is_dm", json!(rng.random_bool(0.5))),
        1 => filters.insert("is_invite", json!(rng.random_bool(0.5))),
        2 => filters.insert("spaces", json!(rooms.sample(rng, 2).collect::<Vec<_>>())),
        3 => filters.insert("tags", json!(["m.favourite"])),
        4 => filters.insert("not_tags", json!(["m.favourite"])),
        5 => filters.insert("room_types", json!(["m.space"])),
        6 => filters.insert("not_room_types", json!(["m.space"])),
        _ => None,
    };
    filters
}
