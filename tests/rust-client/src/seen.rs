//! What the person sees: events as they come, and each room as the library describes it, whenever that
//! changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use matrix_sdk::{
    Client, Room, RoomMemberships, RoomState,
    config::SyncSettings,
    ruma::{
        OwnedRoomId, OwnedUserId,
        events::{AnySyncEphemeralRoomEvent, RoomAccountDataEventType, receipt::ReceiptEventContent},
        serde::Raw,
    },
    sync::{RoomUpdates, State, SyncResponse, Timeline},
};
use serde_json::{Value, json};
use tokio::sync::{
    broadcast::{Receiver, error::RecvError},
    mpsc::UnboundedReceiver,
};

use crate::{Refused, decryption::Undecrypted, devices::Devices, write};

/// How long the server may wait for news.
const POLL: Duration = Duration::from_secs(30);

/// What was told so far.
pub(crate) struct Seen {
    client: Client,
    devices: Devices,
    undecrypted: Undecrypted,
    typing: BTreeMap<OwnedRoomId, Vec<OwnedUserId>>,
    account_data: BTreeMap<OwnedRoomId, BTreeSet<RoomAccountDataEventType>>,
    shown: BTreeMap<OwnedRoomId, Value>,
}

impl Seen {
    pub(crate) fn new(client: Client, devices: Devices) -> Self {
        let (typing, account_data, shown) = Default::default();
        let undecrypted = Undecrypted::new(client.clone());
        Self { client, devices, undecrypted, typing, account_data, shown }
    }

    pub(crate) fn undecrypted(&self) -> Undecrypted {
        self.undecrypted.clone()
    }

    /// Shows what was known before this program began.
    pub(crate) async fn show_all_rooms(&mut self) -> Result<(), Refused> {
        for room in self.client.rooms() {
            self.show_room(&room).await?;
        }
        Ok(())
    }

    pub(crate) async fn sync_forever(mut self, mut since: String) {
        loop {
            match self.sync(Some(since)).await {
                Ok(next) => since = next,
                Err(Refused { code, message }) => {
                    write(&json!({ "event": "sync_failed", "message": format!("{code} {message}") }));
                    return;
                }
            }
        }
    }

    /// Syncs once. Returns the token of the next sync.
    pub(crate) async fn sync(&mut self, since: Option<String>) -> Result<String, Refused> {
        let settings = match since {
            Some(since) => SyncSettings::new().timeout(POLL).token(since),
            None => SyncSettings::new().timeout(Duration::ZERO),
        };
        let response = self.client.sync_once(settings).await?;
        self.show(&response).await?;
        self.undecrypted.retry().await?;
        Ok(response.next_batch)
    }

    /// Tells what sliding sync brings, except for timelines, which are told of open rooms. `opened` tells
    /// which rooms have their members known by now.
    pub(crate) async fn follow_sliding(
        mut self,
        mut updates: Receiver<RoomUpdates>,
        mut opened: UnboundedReceiver<Room>,
    ) {
        loop {
            let shown = tokio::select! {
                Some(room) = opened.recv() => self.show_room(&room).await,
                update = updates.recv() => match update {
                    Ok(updates) => self.show_rooms(&updates).await,
                    Err(RecvError::Lagged(_)) => self.show_all_rooms().await,
                    Err(RecvError::Closed) => return,
                },
            };
            if let Err(Refused { code, message }) = shown {
                write(&json!({ "event": "sync_failed", "message": format!("{code} {message}") }));
                return;
            }
        }
    }

    async fn show(&mut self, response: &SyncResponse) -> Result<(), Refused> {
        for (room, update) in &response.rooms.joined {
            self.show_timeline(room, &update.timeline).await?;
        }
        for (room, update) in &response.rooms.left {
            self.show_timeline(room, &update.timeline).await?;
        }
        for event in &response.account_data {
            let event: Value = event.deserialize_as_unchecked()?;
            write(&json!({ "event": "account_data", "type": event["type"], "content": event["content"] }));
        }
        self.show_rooms(&response.rooms).await
    }

    async fn show_rooms(&mut self, rooms: &RoomUpdates) -> Result<(), Refused> {
        for (room, update) in &rooms.joined {
            let (State::Before(events) | State::After(events)) = &update.state;
            // The library shows the state. Here it is only checked that it can be read.
            events.iter().try_for_each(|event| event.deserialize().map(drop))?;
            for event in &update.ephemeral {
                self.show_ephemeral(room, event)?;
            }
            for event in &update.account_data {
                let kind = event.deserialize()?.event_type();
                self.account_data.entry(room.clone()).or_default().insert(kind);
            }
        }
        for room in rooms.iter_all_room_ids() {
            if let Some(room) = self.client.get_room(room) {
                self.show_room(&room).await?;
            }
        }
        write(&json!({ "event": "synced" }));
        self.devices.tell().await
    }

    async fn show_timeline(&self, room: &OwnedRoomId, timeline: &Timeline) -> Result<(), Refused> {
        for event in &timeline.events {
            event.raw().deserialize()?;
            self.undecrypted.show(room, event).await;
        }
        Ok(())
    }

    fn show_ephemeral(
        &mut self,
        room: &OwnedRoomId,
        event: &Raw<AnySyncEphemeralRoomEvent>,
    ) -> Result<(), Refused> {
        match event.deserialize()? {
            AnySyncEphemeralRoomEvent::Receipt(event) => show_receipts(room, event.content),
            AnySyncEphemeralRoomEvent::Typing(event) => {
                let mut typing = event.content.user_ids;
                typing.sort();
                self.typing.insert(room.clone(), typing);
            }
            _ => {}
        }
        Ok(())
    }

    async fn show_room(&mut self, room: &Room) -> Result<(), Refused> {
        let id = room.room_id();
        let mut state = describe(room).await?;
        let mut account_data = BTreeMap::new();
        for kind in self.account_data.get(id).into_iter().flatten() {
            if let Some(event) = room.account_data(kind.clone()).await? {
                let event: Value = event.deserialize_as_unchecked()?;
                account_data.insert(kind.to_string(), event["content"].clone());
            }
        }
        state["account_data"] = json!(account_data);
        state["typing"] = json!(self.typing.get(id).map_or(&[][..], Vec::as_slice));
        if self.shown.get(id) != Some(&state) {
            write(&json!({ "event": "room", "room": id, "state": state }));
            self.shown.insert(id.to_owned(), state);
        }
        Ok(())
    }
}

fn show_receipts(room: &OwnedRoomId, content: ReceiptEventContent) {
    for (id, kinds) in content.0 {
        for (kind, users) in kinds {
            for (user, receipt) in users {
                let thread = receipt.thread.as_str();
                write(&json!({
                    "event": "receipt", "room": room, "id": id, "user": user, "kind": kind, "thread": thread,
                }));
            }
        }
    }
}

async fn describe(room: &Room) -> Result<Value, Refused> {
    let membership = match room.state() {
        RoomState::Joined => "join",
        RoomState::Left => "leave",
        RoomState::Invited => "invite",
        RoomState::Knocked => "knock",
        RoomState::Banned => "ban",
    };
    let inviter = match room.state() {
        RoomState::Invited => Some(room.invite_details().await?.inviter_id),
        _ => None,
    };
    let members = room.members_no_sync(RoomMemberships::ACTIVE).await?;
    let members: BTreeMap<_, _> = members
        .iter()
        .map(|member| {
            let described = json!({
                "membership": member.membership(), "name": member.display_name(), "avatar": member.avatar_url(),
            });
            (member.user_id().to_owned(), described)
        })
        .collect();
    let counts = room.unread_notification_counts();
    let tags = room.tags().await?.unwrap_or_default();
    let tags: BTreeMap<_, _> = tags.into_iter().map(|(tag, info)| (tag.to_string(), info.order)).collect();
    Ok(json!({
        "membership": membership,
        "inviter": inviter,
        "name": room.name(),
        "title": room.display_name().await?.to_string(),
        "topic": room.topic(),
        "avatar": room.avatar_url(),
        "members": members,
        "fully_read": room.fully_read_event_id(),
        "notifications": counts.notification_count,
        "highlights": counts.highlight_count,
        "tags": tags,
        "encrypted": room.encryption_state().is_encrypted(),
        "successor": room.successor_room().map(|successor| successor.room_id),
    }))
}
