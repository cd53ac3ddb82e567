//! The parts of a sliding-sync answer that are not rooms.

use std::collections::BTreeMap;

use linkspan_storage::Position;
use ruma::OwnedRoomId;
use serde_json::json;

use super::{
    AccountDataNews, Building, E2eeNews, ExtensionNews, Relevant, Scope, SlidingRequest, SlidingRoom,
    ToDeviceNews,
};
use crate::{
    Result, Sync, SyncResponse,
    changes::{account_data_json, raw},
};

/// A room in an answer, for which an extension is wanted.
struct InScope<'a> {
    room_id: &'a OwnedRoomId,
    /// Whether the room is sent as a whole.
    is_whole: bool,
    /// Whether the user is in it. What people do in other rooms is not told.
    is_joined: bool,
    /// The position up to which the room was sent before.
    since: Position,
}

impl Sync {
    /// Removes the messages to the device that it says it has got.
    pub(super) async fn acknowledge(&self, request: &SlidingRequest) -> Result<()> {
        if let Some(Some(since)) = request.extensions.to_device {
            let since = Position::from_u64(since);
            self.inbox.acknowledge_to_device(&request.user_id, &request.device_id, since).await?;
        }
        Ok(())
    }

    pub(super) async fn extension_news(
        &self,
        building: &Building<'_>,
        rooms: &BTreeMap<OwnedRoomId, SlidingRoom>,
    ) -> Result<ExtensionNews> {
        let request = building.request;
        let wanted = &request.extensions;
        let mut news = ExtensionNews::default();
        if wanted.to_device.is_some() {
            let until = building.ask.until.position;
            let (user_id, device_id) = (&request.user_id, &request.device_id);
            let (messages, complete) = self.rooms.to_device(user_id, device_id, until).await?;
            let events = messages.into_iter().filter_map(|message| raw(message.json)).collect();
            news.to_device = Some(ToDeviceNews { next_batch: complete.get(), events });
        }
        if wanted.e2ee {
            let changes = self.device_list_changes(&building.ask, &building.changes).await?;
            let remaining = self.keys.remaining(&request.user_id, &request.device_id).await?;
            news.e2ee = Some(E2eeNews {
                changed: changes.changed,
                left: changes.left,
                one_time_keys: remaining.one_time.clone(),
                unused_fallback: remaining.unused_fallback.clone(),
            });
        }
        if let Some(scope) = &wanted.account_data {
            news.account_data = Some(self.account_data_news(building, scope, rooms).await?);
        }
        if let Some(scope) = &wanted.receipts {
            let joined = in_scope(building, scope, rooms).filter(|room| room.is_joined);
            for InScope { room_id, since, .. } in joined {
                let changed = building.changes.rooms.get(room_id).is_some_and(|change| change.receipts);
                if changed || since < building.ask.since_position() {
                    let receipts = self.receipts(&building.ask, room_id, since).await?;
                    news.receipts.extend(receipts.map(|receipts| (room_id.clone(), receipts)));
                }
            }
        }
        if let Some(scope) = &wanted.typing {
            let joined = in_scope(building, scope, rooms).filter(|room| room.is_joined);
            for InScope { room_id, is_whole, since, .. } in joined {
                let is_behind = !is_whole && since < building.ask.since_position();
                let changed = is_behind || building.ask.typing.contains(room_id);
                if !changed && !is_whole {
                    continue;
                }
                let typing = self.typing(&building.ask, room_id);
                if changed || !typing.is_empty() {
                    let event = json!({ "type": "m.typing", "content": { "user_ids": typing } });
                    news.typing.extend(raw(event.to_string()).map(|event| (room_id.clone(), event)));
                }
            }
        }
        if let Some(limit) = wanted.thread_subscriptions
            && building.changes.thread_subscriptions
        {
            let (after, up_to) = (building.ask.since_position(), building.ask.until.position);
            news.thread_subscriptions =
                self.push.thread_changes(&request.user_id, after, up_to, limit).await?;
        }
        Ok(news)
    }

    async fn account_data_news(
        &self,
        building: &Building<'_>,
        scope: &Scope,
        rooms: &BTreeMap<OwnedRoomId, SlidingRoom>,
    ) -> Result<AccountDataNews> {
        let user_id = &building.request.user_id;
        let mut plain = SyncResponse::default();
        self.add_account_data(&building.ask, &building.changes, &mut plain).await?;
        let mut news = AccountDataNews { global: plain.account_data.events, rooms: BTreeMap::new() };
        for InScope { room_id, is_whole, since, .. } in in_scope(building, scope, rooms) {
            let changed = building.changes.rooms.get(room_id).is_some_and(|change| change.account_data);
            if !is_whole && !changed && since == building.ask.since_position() {
                continue;
            }
            let items = self.accounts.list_account_data(user_id, Some(room_id)).await?;
            let wanted = items.iter().filter(|item| match is_whole {
                true => !item.deleted,
                false => item.position > since,
            });
            let events: Vec<_> = wanted.map(account_data_json).collect();
            if !events.is_empty() {
                news.rooms.insert(room_id.clone(), events);
            }
        }
        Ok(news)
    }
}

/// The rooms of an answer for which an extension is wanted.
fn in_scope<'a>(
    building: &'a Building<'_>,
    scope: &'a Scope,
    rooms: &'a BTreeMap<OwnedRoomId, SlidingRoom>,
) -> impl Iterator<Item = InScope<'a>> {
    let is_wanted = |room_id: &OwnedRoomId, relevant: &Relevant| {
        let listed = match &scope.lists {
            Some(wanted) => relevant.lists.iter().any(|list| wanted.contains(list)),
            None => !relevant.lists.is_empty(),
        };
        let subscribed =
            relevant.is_subscribed && scope.rooms.as_ref().is_none_or(|wanted| wanted.contains(room_id));
        listed || subscribed
    };
    let wanted = building.relevant.iter().filter(move |(room_id, relevant)| is_wanted(room_id, relevant));
    wanted.map(|(room_id, relevant)| {
        let is_whole = rooms.get(room_id).is_some_and(|room| room.initial);
        let told = building.ask.since_position();
        let since = building.behind.get(room_id).copied().unwrap_or(told);
        let since = if is_whole { Position::ZERO } else { since };
        InScope { room_id, is_whole, is_joined: relevant.is_joined, since }
    })
}
