//! What has changed for a user since the token. This also builds those parts of an answer that are outside
//! rooms.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use linkspan_accounts::AccountDataItem;
use linkspan_inbox::{PresenceState, Waiter};
use linkspan_keys::DeviceListChanges;
use linkspan_storage::records::InboxPointer;
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use serde_json::{json, value::RawValue};

use crate::{Ask, Event, Result, Sync, SyncResponse};

/// The most people of a room whose presence is told to somebody who joins it.
const MAX_ACQUAINTANCES: usize = 2_000;

/// What may have changed in a room.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoomChange {
    pub(crate) events: bool,
    pub(crate) receipts: bool,
    pub(crate) account_data: bool,
}

/// What may have changed for a user.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) rooms: BTreeMap<OwnedRoomId, RoomChange>,
    pub(crate) account_data: bool,
    pub(crate) thread_subscriptions: bool,
    /// Users whose keys have changed.
    pub(crate) device_lists: Vec<OwnedUserId>,
}

impl Sync {
    pub(crate) async fn find_changes(&self, ask: &Ask) -> Result<Changes> {
        let user_id = &ask.request.user_id;
        let mut changes = Changes::default();
        let all = RoomChange { events: true, receipts: true, account_data: true };
        if ask.since.is_none() || ask.request.full_state {
            changes.account_data = true;
            changes.thread_subscriptions = true;
            for (room_id, _) in self.rooms.memberships(user_id).await? {
                changes.rooms.insert(room_id, all);
            }
        }
        let big_rooms = self.inbox.big_rooms(user_id).await?;
        let changed_rooms = self.inbox.changed_big_rooms(user_id, &big_rooms, ask.since_position());
        let Some(since) = ask.since else { return Ok(changes) };

        // Pointers after `until` count as well. If the inbox was trimmed meanwhile, they stand for older
        // ones.
        for pointer in self.inbox.pointers(user_id, since.position).await? {
            match pointer {
                InboxPointer::Room(room_id) => changes.rooms.entry(room_id).or_default().events = true,
                InboxPointer::Receipts(room_id) => changes.rooms.entry(room_id).or_default().receipts = true,
                InboxPointer::AccountData(Some(room_id)) => {
                    changes.rooms.entry(room_id).or_default().account_data = true;
                }
                InboxPointer::AccountData(None) => changes.account_data = true,
                InboxPointer::DeviceList(other) => changes.device_lists.push(other),
                InboxPointer::ThreadSubscriptions => changes.thread_subscriptions = true,
                InboxPointer::Profile(_) => {}
            }
        }
        for room_id in changed_rooms {
            let Some(room) = self.rooms.find_room(&room_id).await? else { continue };
            if self.rooms.room_changed_since(&room, since.position).await? {
                let change = changes.rooms.entry(room_id).or_default();
                change.events = true;
                change.receipts = true;
            }
        }
        for room_id in &ask.typing {
            changes.rooms.entry(room_id.clone()).or_default();
        }
        Ok(changes)
    }

    /// The users whose keys the client has to look up again, or may forget. A client looks everybody up at
    /// its first sync anyway.
    pub(crate) async fn device_list_changes(
        &self,
        ask: &Ask,
        changes: &Changes,
    ) -> Result<DeviceListChanges> {
        let Some(since) = ask.since else { return Ok(DeviceListChanges::default()) };
        let rooms = changes.rooms.iter().filter(|(_, change)| change.events).map(|(room_id, _)| room_id);
        let told = changes.device_lists.clone();
        Ok(self.keys.device_list_changes_in(&ask.request.user_id, since.position, told, rooms).await?)
    }

    pub(crate) async fn add_account_data(
        &self,
        ask: &Ask,
        changes: &Changes,
        response: &mut SyncResponse,
    ) -> Result<()> {
        let filter = &ask.filter.account_data;
        // Account data names no sender. It is the user, who has written it.
        if !changes.account_data || !filter.matches_sender(&ask.request.user_id) {
            return Ok(());
        }
        let items = self.accounts.list_account_data(&ask.request.user_id, None).await?;
        let mut has_push_rules = false;
        for item in items {
            has_push_rules |= item.event_type == "m.push_rules";
            if is_news(ask, &item) && filter.matches_type(&item.event_type) {
                response.account_data.events.push(self.account_data_event(ask, &item).await?);
            }
        }
        if ask.since.is_none() && !has_push_rules && filter.matches_type("m.push_rules") {
            response.account_data.events.extend(self.push_rules_event(ask).await?);
        }
        Ok(())
    }

    async fn account_data_event(&self, ask: &Ask, item: &AccountDataItem) -> Result<Event> {
        if item.event_type == "m.push_rules" {
            return Ok(self.push_rules_event(ask).await?.unwrap_or_else(|| account_data_json(item)));
        }
        Ok(account_data_json(item))
    }

    /// The push rules, including those of the server. Users who never changed a rule get them too.
    async fn push_rules_event(&self, ask: &Ask) -> Result<Option<Event>> {
        let content = self.push.push_rules_content(&ask.request.user_id).await?;
        Ok(raw(format!("{{\"type\":\"m.push_rules\",\"content\":{content}}}")))
    }

    pub(crate) async fn add_presence(
        &self,
        ask: &Ask,
        waiter: &Waiter,
        changes: &Changes,
        response: &mut SyncResponse,
    ) -> Result<()> {
        let filter = &ask.filter.presence;
        if !ask.request.presence || !filter.matches_type("m.presence") {
            return Ok(());
        }
        let changed = ask.since.and_then(|since| waiter.presence_since(since.epoch));
        let users: BTreeSet<_> = match changed {
            Some(changed) => changed.into_iter().chain(self.new_acquaintances(ask, changes).await?).collect(),
            None => self.rooms.known_people(&ask.request.user_id).await?.into_iter().collect(),
        };
        for user_id in users.into_iter().filter(|user_id| filter.matches_sender(user_id)) {
            let Some(presence) = self.inbox.presence(&user_id) else { continue };
            if self.rooms.hides_presence(&user_id, &ask.request.user_id).await? {
                continue;
            }
            let state = match presence.state {
                PresenceState::Online => "online",
                PresenceState::Unavailable => "unavailable",
                PresenceState::Offline => "offline",
            };
            let mut content = json!({
                "presence": state,
                "last_active_ago": u64::try_from(presence.last_active_ago.as_millis()).unwrap_or(u64::MAX),
                "currently_active": presence.state == PresenceState::Online,
            });
            if let Some(status_msg) = presence.status_msg {
                content["status_msg"] = status_msg.into();
            }
            let event = json!({ "type": "m.presence", "sender": user_id, "content": content });
            response.presence.events.extend(raw(event.to_string()));
        }
        response.presence.events.truncate(ask.filter.presence_limit());
        Ok(())
    }
}

impl Sync {
    /// The users with whom the user may have come to share a room since the token.
    async fn new_acquaintances(&self, ask: &Ask, changes: &Changes) -> Result<BTreeSet<OwnedUserId>> {
        let (own, since) = (&ask.request.user_id, ask.since_position());
        let mut people = BTreeSet::new();
        for (room_id, _) in changes.rooms.iter().filter(|(_, change)| change.events) {
            let entries = self.rooms.state_changes(room_id, since).await?.into_iter();
            let changed: HashSet<_> = entries
                .filter(|entry| entry.event_type == "m.room.member")
                .filter_map(|entry| OwnedUserId::try_from(entry.state_key).ok())
                .collect();
            if changed.is_empty() || self.rooms.membership(room_id, own).await? != Some(MembershipState::Join)
            {
                continue;
            }
            let Some(room) = self.rooms.find_room(room_id).await? else { continue };
            let members = self.rooms.local_members(&room).await?;
            let is_new = changed.contains(own)
                && self.membership_at(room_id, own, since).await? != Some(MembershipState::Join);
            let met = members.iter().filter(|member| is_new || changed.contains(*member));
            people.extend(met.take(MAX_ACQUAINTANCES).cloned());
        }
        Ok(people)
    }

    /// The users who type in a room, as far as the user is told of it.
    pub(crate) fn typing(&self, ask: &Ask, room_id: &OwnedRoomId) -> Vec<OwnedUserId> {
        let mut typing = self.inbox.typing(room_id, &ask.request.user_id);
        typing.retain(|user_id| !ask.ignored.contains(user_id));
        typing
    }
}

/// Whether an entry of account data has to be told.
pub(crate) fn is_news(ask: &Ask, item: &AccountDataItem) -> bool {
    match ask.since {
        Some(since) if !ask.request.full_state => item.position > since.position,
        _ => !item.deleted,
    }
}

/// An entry of account data as an event.
pub(crate) fn account_data_json(item: &AccountDataItem) -> Event {
    let content: &RawValue = serde_json::from_str(&item.content)
        .unwrap_or_else(|_| serde_json::from_str("{}").expect("an object"));
    let event = AccountDataEvent { content, event_type: &item.event_type };
    serde_json::value::to_raw_value(&event).expect("account data is JSON")
}

#[derive(serde::Serialize)]
struct AccountDataEvent<'a> {
    content: &'a RawValue,
    #[serde(rename = "type")]
    event_type: &'a str,
}

/// JSON text as an event. None if it is not JSON, which storage does not hold.
pub(crate) fn raw(json: String) -> Option<Event> {
    RawValue::from_string(json).ok()
}
