//! Events of timelines, decrypted as soon as their keys are there.

use std::{pin::pin, sync::Arc};

use futures_util::{Stream, StreamExt};
use matrix_sdk::{
    Client,
    deserialized_responses::{TimelineEvent, TimelineEventKind},
    ruma::{OwnedRoomId, events::AnySyncTimelineEvent, serde::Raw},
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{Refused, write};

type Waiting = (OwnedRoomId, Raw<AnySyncTimelineEvent>);

/// Events whose keys were not there when they came.
#[derive(Clone)]
pub(crate) struct Undecrypted {
    client: Client,
    waiting: Arc<Mutex<Vec<Waiting>>>,
}

impl Undecrypted {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, waiting: Arc::default() }
    }

    /// Tells of an event as it came.
    pub(crate) async fn show(&self, room: &OwnedRoomId, event: &TimelineEvent) {
        write(&described("timeline", room, event));
        if let TimelineEventKind::UnableToDecrypt { event, .. } = &event.kind {
            self.waiting.lock().await.push((room.clone(), event.clone()));
        }
    }

    /// Tries again whenever keys come.
    pub(crate) async fn follow(self) -> Result<impl Future<Output = ()>, Refused> {
        let keys = self.client.encryption().room_keys_received_stream().await;
        let keys = keys.ok_or_else(|| Refused::new("there is no encryption"))?.map(drop);
        Ok(self.retry_after_each(keys))
    }

    async fn retry_after_each(self, keys: impl Stream<Item = ()>) {
        let mut keys = pin!(keys);
        while keys.next().await.is_some() {
            if let Err(refused) = self.retry().await {
                write(&json!({ "event": "sync_failed", "message": refused.message }));
            }
        }
    }

    pub(crate) async fn retry(&self) -> Result<(), Refused> {
        let mut waiting = self.waiting.lock().await;
        for (id, event) in std::mem::take(&mut *waiting) {
            let Some(room) = self.client.get_room(&id) else { continue };
            let now = room.decrypt_event(event.cast_ref_unchecked(), None).await?;
            if matches!(now.kind, TimelineEventKind::UnableToDecrypt { .. }) {
                waiting.push((id, event));
            } else {
                write(&described("decrypted", &id, &now));
            }
        }
        Ok(())
    }
}

/// A line that tells of an event.
pub(crate) fn described(kind: &str, room: &OwnedRoomId, event: &TimelineEvent) -> Value {
    let mut line = json!({ "event": kind, "room": room, "item": event.raw() });
    match &event.kind {
        TimelineEventKind::PlainText { .. } => {}
        TimelineEventKind::Decrypted(event) => {
            line["encryption"] = json!({ "session": event.encryption_info.session_id() });
        }
        TimelineEventKind::UnableToDecrypt { utd_info, .. } => {
            let why = format!("{:?}", utd_info.reason);
            line["encryption"] = json!({ "session": utd_info.session_id, "undecryptable": why });
        }
    }
    line
}
