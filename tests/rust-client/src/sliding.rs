//! What a person sees by sliding sync: matrix-sdk-ui's list of rooms, and the timelines of rooms that are open.

use std::{collections::BTreeMap, pin::pin, sync::Arc};

use futures_util::StreamExt;
use matrix_sdk::{
    Client, Room, SessionChange,
    ruma::{
        OwnedRoomId,
        events::room::{
            MediaSource,
            message::{MessageType, RoomMessageEventContent},
        },
    },
};
use matrix_sdk_ui::{
    eyeball_im::Vector,
    room_list_service::{RoomList, RoomListItem, RoomListLoadingState, filters::new_filter_non_left},
    sync_service::{State, SyncService},
    timeline::{
        EventTimelineItem, LatestEventValue, MsgLikeContent, MsgLikeKind, RoomExt, Timeline, TimelineItem,
        TimelineItemContent, TimelineReadReceiptTracking,
    },
};
use serde_json::{Value, json};
use tokio::{
    sync::{
        broadcast::{Receiver, error::RecvError},
        mpsc::UnboundedSender,
    },
    task::JoinSet,
};

use crate::{
    Command, Refused,
    commands::{Answer, done},
    sliding_events, write,
};

/// The most rooms that are listed. Nobody here has as many.
const ROOMS: usize = 100;

/// A running sync service.
pub(crate) struct Sliding {
    service: SyncService,
    open: BTreeMap<OwnedRoomId, Arc<Timeline>>,
    /// Tells that a room is open, and who is in it.
    opened: UnboundedSender<Room>,
    tasks: JoinSet<()>,
}

impl Sliding {
    pub(crate) async fn start(client: &Client, opened: UnboundedSender<Room>) -> Result<Self, Refused> {
        let service = SyncService::builder(client.clone()).with_offline_mode().build().await?;
        let list = service.room_list_service().all_rooms().await?;
        let mut loading = list.loading_state();
        let mut tasks = JoinSet::new();
        tasks.spawn(tell_states(client.clone(), service.state()));
        tasks.spawn(tell_list(list));
        tasks.spawn(tell_the_end(client.subscribe_to_session_changes()));
        service.start().await;
        while matches!(loading.get(), RoomListLoadingState::NotLoaded) {
            loading.next().await.ok_or_else(|| Refused::new("the list of rooms is gone"))?;
        }
        Ok(Self { service, open: BTreeMap::new(), opened, tasks })
    }

    pub(crate) async fn stop(&mut self) {
        self.service.stop().await;
        self.tasks.shutdown().await;
    }

    /// Obeys a command that depends on the kind of sync. None means that it does not.
    pub(crate) async fn obey(&mut self, client: &Client, name: &str, command: &Command) -> Option<Answer> {
        Some(match name {
            "open_room" => self.open_room(client, command).await,
            "paginate" => self.paginate(command).await,
            "queue_text" => self.queue_text(command).await,
            _ => return None,
        })
    }

    async fn open_room(&mut self, client: &Client, command: &Command) -> Answer {
        let room = command.room(client)?;
        let id = room.room_id().to_owned();
        if self.open.contains_key(&id) {
            return done();
        }
        let builder = room.timeline_builder();
        let builder = builder.track_read_marker_and_receipts(TimelineReadReceiptTracking::MessageLikeEvents);
        let timeline = Arc::new(builder.build().await?);
        self.tasks.spawn(tell_items(id.clone(), timeline.clone()));
        self.tasks.spawn(sliding_events::follow(&room).await?);
        self.open.insert(id, timeline.clone());
        // A subscription replaces those before.
        let all: Vec<_> = self.open.keys().map(AsRef::as_ref).collect();
        self.service.room_list_service().subscribe_to_rooms(&all).await;
        timeline.fetch_members().await;
        let _ = self.opened.send(room);
        done()
    }

    fn timeline(&self, command: &Command) -> Result<&Timeline, Refused> {
        let timeline = self.open.get(&command.room_id()?);
        Ok(timeline.ok_or_else(|| Refused::new("the room is not open"))?)
    }

    async fn paginate(&self, command: &Command) -> Answer {
        let count = u16::try_from(command.number("count"))?;
        Ok(json!(self.timeline(command)?.paginate_backwards(count).await?))
    }

    async fn queue_text(&self, command: &Command) -> Answer {
        let content = RoomMessageEventContent::text_plain(command.text("body")?);
        self.timeline(command)?.send(content.into()).await?;
        done()
    }
}

async fn tell_states(client: Client, mut states: impl futures_util::Stream<Item = State> + Unpin) {
    while let Some(state) = states.next().await {
        let name = match &state {
            State::Idle => "idle",
            State::Running => "running",
            State::Terminated => "terminated",
            State::Offline => "offline",
            State::Error(_) => "error",
        };
        let why = if let State::Error(error) = &state { Some(error.to_string()) } else { None };
        write(&json!({ "event": "service", "state": name, "why": why }));
        if matches!(state, State::Running) {
            // Messages that could not be sent wait until the client says that there is a network again.
            client.send_queue().set_enabled(true).await;
        }
    }
}

/// Tells the end of the session, because the sync service takes a refused token for a network that is gone.
async fn tell_the_end(mut changes: Receiver<SessionChange>) {
    loop {
        match changes.recv().await {
            Ok(SessionChange::UnknownToken(_)) => {
                write(&json!({ "event": "sync_failed", "message": "M_UNKNOWN_TOKEN" }));
            }
            // The library tells of each request that failed, and keeps only the last. So it may tell the same
            // again.
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

async fn tell_list(list: RoomList) {
    let (changes, controller) = list.entries_with_dynamic_adapters(ROOMS);
    controller.set_filter(Box::new(new_filter_non_left()));
    let mut changes = pin!(changes);
    let mut entries = Vector::<RoomListItem>::new();
    let mut told = Value::Null;
    while let Some(diffs) = changes.next().await {
        for diff in diffs {
            diff.apply(&mut entries);
        }
        let mut rooms = Vec::new();
        for entry in &entries {
            rooms.push(describe_room(entry).await);
        }
        let line = json!({ "event": "list", "rooms": rooms });
        if line != told {
            write(&line);
            told = line;
        }
    }
}

async fn describe_room(room: &Room) -> Value {
    let latest = match RoomExt::latest_event(room).await {
        LatestEventValue::Remote { content, .. } | LatestEventValue::Local { content, .. } => {
            content.as_message().map(|message| message.body().to_owned())
        }
        LatestEventValue::None | LatestEventValue::RemoteInvite { .. } => None,
    };
    json!({
        "room": room.room_id(),
        "name": room.cached_display_name().map(|name| name.to_string()),
        "membership": format!("{:?}", room.state()).to_lowercase(),
        "notifications": room.num_unread_notifications(),
        "highlights": room.num_unread_mentions(),
        "encrypted": room.encryption_state().is_encrypted(),
        "latest": latest,
    })
}

async fn tell_items(room: OwnedRoomId, timeline: Arc<Timeline>) {
    let (mut items, changes) = timeline.subscribe().await;
    let mut changes = pin!(changes);
    write_items(&room, &items);
    while let Some(diffs) = changes.next().await {
        for diff in diffs {
            diff.apply(&mut items);
        }
        write_items(&room, &items);
    }
}

fn write_items(room: &OwnedRoomId, items: &Vector<Arc<TimelineItem>>) {
    let items: Vec<_> = items.iter().filter_map(|item| item.as_event()).map(describe_item).collect();
    write(&json!({ "event": "items", "room": room, "items": items }));
}

fn describe_item(item: &EventTimelineItem) -> Value {
    let mut described = json!({
        "id": item.event_id(), "sender": item.sender(), "read_by": item.read_receipts().keys().collect::<Vec<_>>(),
        "body": null, "edited": false, "file": null, "reactions": {}, "reply_to": null,
    });
    match item.content() {
        TimelineItemContent::MsgLike(content) => describe_message(&mut described, content),
        TimelineItemContent::MembershipChange(_) => described["kind"] = json!("membership"),
        _ => described["kind"] = json!("other"),
    }
    described
}

fn describe_message(described: &mut Value, content: &MsgLikeContent) {
    let reactions: BTreeMap<_, Vec<_>> =
        content.reactions.iter().map(|(key, by)| (key, by.keys().collect())).collect();
    described["reactions"] = json!(reactions);
    described["reply_to"] = json!(content.in_reply_to.as_ref().map(|to| &to.event_id));
    described["kind"] = json!(match &content.kind {
        MsgLikeKind::Message(message) => {
            described["body"] = json!(message.body());
            described["edited"] = json!(message.is_edited());
            match message.msgtype() {
                MessageType::Image(image) => {
                    if let MediaSource::Encrypted(file) = &image.source {
                        described["file"] = json!(file);
                    }
                    "picture"
                }
                _ => "text",
            }
        }
        MsgLikeKind::Redacted => "redacted",
        MsgLikeKind::UnableToDecrypt(_) => "undecryptable",
        _ => "other",
    });
}
