//! Compares what a follower has with the truth, as the plain API and a new connection tell it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    activity::World,
    follower::{Entry, Follower, Receipts, Room, entries, entry, receipts, typing},
    wants::{List, Shape},
};
use crate::network::{Client, list, text};

/// A window in which no room stands.
const NO_PLACES: [u64; 2] = [1_000_000, 1_000_000];

/// The truth about a user.
pub(super) struct Truth<'a> {
    world: &'a World,
    client: &'a Client,
    /// A sync of everything.
    plain: Value,
    /// The answer on a new connection that asks for the same.
    fresh: Value,
}

impl<'a> Truth<'a> {
    pub(super) async fn read(world: &'a World, client: &'a Client, follower: &Follower) -> Self {
        let filter = "%7B%22room%22:%7B%22include_leave%22:true%7D%7D";
        let plain = client.get(&format!("/v3/sync?filter={filter}")).await.ok();
        let mut truth = Self { world, client, plain, fresh: Value::Null };
        let mut body = follower.wants.on_wire(Shape::Stable, &client.user_id);
        body["conn_id"] = json!("fresh");
        for (name, wanted) in &follower.wants.lists {
            // The places of rooms that a new connection does not know may be taken from any others.
            let taken = truth.count_left(follower, wanted).await;
            body["lists"][*name]["range"] = match wanted.last.checked_sub(taken) {
                Some(last) => json!([0, last]),
                None => json!(NO_PLACES),
            };
        }
        truth.fresh = client.post("/v4/sync", body).await.ok();
        truth
    }

    /// Fails unless the follower has the truth.
    pub(super) async fn check(&self, follower: &Follower) {
        for (name, wanted) in &follower.wants.lists {
            let count = follower.counts.get(*name).unwrap_or(&Value::Null);
            let new = self.count(wanted).await;
            let all = new + self.count_left(follower, wanted).await;
            assert_eq!(*count, json!(all), "how many rooms {name} has: {:?}", wanted.filters);
            assert_eq!(self.fresh["lists"][name]["count"], json!(new), "{name}, newly told");
        }
        for event in list(&self.plain["account_data"]["events"]) {
            let kind = text(&event["type"]);
            assert_eq!(follower.account_data.get(&kind), Some(&event["content"]), "account data {kind}");
        }
        for (room_id, room) in &follower.rooms {
            let known = match room.membership.as_str() {
                "join" => self.plain["rooms"]["join"].get(room_id).is_some(),
                "invite" => ["invite", "join"].iter().any(|kind| self.is(kind, room_id)),
                _ => true,
            };
            assert!(known || self.is_hidden(room_id), "the user is not in {room_id} any more");
        }
        let relevant = self.fresh["rooms"].as_object().into_iter().flatten();
        for (room_id, fresh) in relevant {
            let Some(room) = follower.rooms.get(room_id) else { panic!("{room_id} was never told") };
            self.check_room(follower, room_id, room, fresh).await;
        }
    }

    fn is(&self, kind: &str, room_id: &str) -> bool {
        self.plain["rooms"][kind].get(room_id).is_some()
    }

    /// Whether an invitation is hidden because it is from somebody ignored. Then its end is not told either.
    fn is_hidden(&self, room_id: &str) -> bool {
        let is_member = ["join", "leave"].iter().any(|kind| self.is(kind, room_id));
        !is_member && !self.world.ignored(&self.client.user_id).is_empty()
    }

    /// How many rooms a list of a new connection has.
    async fn count(&self, wanted: &List) -> u64 {
        let mut count = 0;
        for kind in ["join", "invite", "leave"] {
            for (room_id, room) in entries(&self.plain["rooms"][kind]) {
                let is_listed = kind != "leave" || self.was_put_out(room);
                count += u64::from(is_listed && self.matches(kind, room_id, wanted).await);
            }
        }
        count
    }

    /// How many rooms a list has besides these, of those that the client has seen and that the user has left.
    async fn count_left(&self, follower: &Follower, wanted: &List) -> u64 {
        let mut count = 0;
        for (room_id, room) in entries(&self.plain["rooms"]["leave"]) {
            let is_listed = !self.was_put_out(room) && follower.rooms.contains_key(room_id);
            count += u64::from(is_listed && self.matches("leave", room_id, wanted).await);
        }
        count
    }

    async fn matches(&self, kind: &str, room_id: &str, wanted: &List) -> bool {
        let events = list(&self.plain["account_data"]["events"]).iter();
        let direct =
            events.filter(|event| event["type"] == "m.direct").map(|event| event["content"].to_string());
        let direct: String = direct.collect();
        let mut matches = true;
        for (filter, value) in &wanted.filters {
            matches &= match *filter {
                "is_dm" => *value == direct.contains(&format!("\"{room_id}\"")),
                "is_invite" => *value == (kind == "invite"),
                "spaces" => self.is_in_spaces(room_id, value).await,
                "tags" => self.is_favourite(room_id).await,
                "not_tags" => !self.is_favourite(room_id).await,
                "room_types" => self.world.is_space(room_id),
                "not_room_types" => !self.world.is_space(room_id),
                other => panic!("no such filter: {other}"),
            };
        }
        matches
    }

    /// Whether somebody else has ended the user's membership.
    fn was_put_out(&self, room: &Value) -> bool {
        let own = |event: &&Value| {
            event["type"] == "m.room.member" && event["state_key"] == self.client.user_id.as_str()
        };
        let last = list(&room["timeline"]["events"]).iter().rfind(own);
        last.is_some_and(|event| {
            event["sender"] != self.client.user_id.as_str()
                && event["unsigned"]["prev_content"]["membership"] == "join"
        })
    }

    async fn is_favourite(&self, room_id: &str) -> bool {
        let path = format!("/v3/user/{}/rooms/{room_id}/tags", self.client.user_id);
        !self.client.get(&path).await.ok()["tags"]["m.favourite"].is_null()
    }

    async fn is_in_spaces(&self, room_id: &str, spaces: &Value) -> bool {
        for space in list(spaces).iter().map(text).filter(|space| self.is("join", space)) {
            let child =
                self.client.get(&format!("/v3/rooms/{space}/state/m.space.child/{room_id}")).await.json;
            if child["via"].is_array() {
                return true;
            }
        }
        false
    }

    async fn check_room(&self, follower: &Follower, room_id: &str, room: &Room, fresh: &Value) {
        assert_eq!(room.membership, text(&fresh["membership"]), "membership of {room_id}");
        if room.membership != "join" {
            return;
        }
        let plain = &self.plain["rooms"]["join"][room_id];
        let lists: BTreeSet<String> = list(&fresh["lists"]).iter().map(text).collect();
        let configs = follower.wants.of_room(room_id, &lists);
        let limit = configs.iter().map(|config| config.timeline_limit).max().unwrap_or(0);
        self.check_timeline(room_id, room, limit).await;
        let state = self.state(room_id).await;
        for ((kind, key), event_id) in &state {
            let is_wanted = configs.iter().any(|config| config.wants(kind, key));
            let known = room.state.get(&(kind.clone(), key.clone()));
            assert!(!is_wanted || known == Some(event_id), "state {kind} {key:?} of {room_id}: {known:?}");
        }
        if configs.iter().any(|config| config.lazy) {
            for (event_id, sender, _) in &room.timeline {
                let key = ("m.room.member".to_owned(), sender.clone());
                assert_eq!(room.state.get(&key), state.get(&key), "{sender} of {event_id} in {room_id}");
            }
        }
        check_fields(follower.shape, room_id, room, fresh, plain);
        self.check_beside(room_id, room, plain);
    }

    /// Checks the end of what the user may read. It has no gaps, and is as long as was asked for.
    async fn check_timeline(&self, room_id: &str, room: &Room, limit: u64) {
        let path = format!("/v3/rooms/{room_id}/messages?dir=b&limit=500");
        let page = self.client.get(&path).await.ok();
        let mut truth: Vec<_> = list(&page["chunk"]).iter().map(entry).collect();
        truth.reverse();
        let ignored = self.world.ignored(&self.client.user_id);
        // State from a past that is not shown is in a timeline all the same.
        let visible: BTreeSet<_> = truth.iter().map(|(event_id, ..)| event_id.clone()).collect();
        let counts = |(event_id, sender, is_state): &&Entry| {
            (*is_state && visible.contains(event_id)) || (!is_state && !ignored.contains(sender))
        };
        let shown: Vec<_> = room.timeline.iter().filter(counts).cloned().collect();
        let truth: Vec<_> = truth.iter().filter(counts).cloned().collect();
        let is_long = room.timeline.len() as u64 >= limit || shown.len() == truth.len();
        assert!(is_long, "{} of {} events of {room_id}, not {limit}", shown.len(), truth.len());
        assert_eq!(shown, truth[truth.len().saturating_sub(shown.len())..], "the timeline of {room_id}");
    }

    async fn state(&self, room_id: &str) -> BTreeMap<(String, String), String> {
        let state = self.client.get(&format!("/v3/rooms/{room_id}/state")).await.ok();
        let key = |event: &Value| (text(&event["type"]), text(&event["state_key"]));
        list(&state).iter().map(|event| (key(event), text(&event["event_id"]))).collect()
    }

    /// Checks receipts, account data and typing.
    fn check_beside(&self, room_id: &str, room: &Room, plain: &Value) {
        let mut truth = Room::default();
        for event in list(&plain["ephemeral"]["events"]) {
            match event["type"].as_str() {
                Some("m.receipt") => truth.receipts.extend(receipts(event)),
                _ => truth.typing = typing(event),
            }
        }
        let ignored = self.world.ignored(&self.client.user_id);
        let of_others = |receipts: &Receipts| -> Receipts {
            let seen = receipts.iter().filter(|((user, _), _)| !ignored.contains(user));
            seen.map(|(key, event_id)| (key.clone(), event_id.clone())).collect()
        };
        assert_eq!(of_others(&room.receipts), of_others(&truth.receipts), "receipts of {room_id}");
        assert_eq!(room.typing, truth.typing, "who types in {room_id}");
        truth.take_account_data(&plain["account_data"]["events"]);
        // A tag that was taken away is told as none, or not at all.
        let some = |data: &BTreeMap<String, Value>| -> BTreeMap<String, Value> {
            let some = data.iter().filter(|(_, content)| **content != json!({ "tags": {} }));
            some.map(|(kind, content)| (kind.clone(), content.clone())).collect()
        };
        assert_eq!(some(&room.account_data), some(&truth.account_data), "account data of {room_id}");
    }
}

fn check_fields(shape: Shape, room_id: &str, room: &Room, fresh: &Value, plain: &Value) {
    let field = |name: &str| room.fields.get(name).cloned().unwrap_or_default();
    for name in ["joined_count", "invited_count", "notification_count", "highlight_count", "avatar"] {
        assert_eq!(field(name), fresh[name], "{name} of {room_id}");
    }
    let summary = &plain["summary"];
    // The unstable shape cannot say that a name was taken away.
    if shape == Shape::Stable || fresh["name"].is_string() {
        assert_eq!(field("name"), fresh["name"], "name of {room_id}");
    }
    if !fresh["name"].is_string() {
        assert_eq!(field("heroes"), fresh["heroes"], "who names {room_id}");
        let heroes: Vec<_> = list(&fresh["heroes"]).iter().map(|hero| hero["user_id"].clone()).collect();
        assert_eq!(json!(heroes), summary["m.heroes"].as_array().map_or(json!([]), |heroes| json!(heroes)));
    }
    assert_eq!(field("joined_count"), summary["m.joined_member_count"], "{room_id}");
    assert_eq!(field("invited_count"), summary["m.invited_member_count"], "{room_id}");
    let unread = &plain["unread_notifications"];
    assert_eq!(field("notification_count"), unread["notification_count"], "unread of {room_id}");
    assert_eq!(field("highlight_count"), unread["highlight_count"], "highlights of {room_id}");
}
