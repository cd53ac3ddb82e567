//! Sending messages and state, and redacting.

use linkspan_domain::{Draft, parse_content};
use linkspan_storage::{Range, WriteSet, catalogue::Relations};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedDeviceId, OwnedEventId, OwnedMxcUri, OwnedRoomAliasId,
    OwnedRoomId, OwnedUserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};

use crate::{
    Result, Rooms, RoomsError,
    append::{Append, RelatesTo, Transaction, text},
    disappearing::check_attached,
    membership::not_in_room,
    policy::Consulted,
};

/// The longest transaction id, in bytes.
const MAX_TXN_ID_BYTES: usize = 255;

/// What goes with an event that is sent.
pub(crate) struct Also<'a> {
    /// The id that the event had while it was delayed.
    pub(crate) delay_id: Option<String>,
    /// What hooks have said of it.
    pub(crate) consulted: Consulted,
    /// The uploads that it carries, as its sender says.
    pub(crate) attached: Vec<OwnedMxcUri>,
    /// Adds rows, given the event's id.
    pub(crate) write: Box<Write<'a>>,
}

/// It is told whether the event disappears.
type Write<'a> = dyn Fn(&mut WriteSet, &OwnedEventId, bool) + Send + Sync + 'a;

impl Also<'_> {
    pub(crate) fn nothing_but(consulted: Consulted) -> Self {
        Self { delay_id: None, consulted, attached: Vec::new(), write: Box::new(|_, _, _| {}) }
    }
}

impl Rooms {
    /// Sends a message-like event; returns its id, the same one for a repeated transaction.
    ///
    /// `content`: JSON, an object. `attached`: the uploads that the event carries, as its sender says.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the request")]
    pub async fn send_message(
        &self,
        sender: &OwnedUserId,
        device_id: &OwnedDeviceId,
        room_id: &OwnedRoomId,
        event_type: &str,
        content: &str,
        attached: Vec<OwnedMxcUri>,
        txn_id: &str,
        now_ts: u64,
    ) -> Result<OwnedEventId> {
        check_attached(&attached)?;
        let transaction = Some(transaction(device_id, format!("send/{event_type}"), txn_id)?);
        self.consulting(now_ts, async |consulted| {
            let transaction = transaction.clone();
            let also = Also { attached: attached.clone(), ..Also::nothing_but(consulted) };
            self.send_message_and(sender, room_id, event_type, content, transaction, also, now_ts).await
        })
        .await
    }

    /// Does the same, with what is to be written in the same write-set.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the request")]
    pub(crate) async fn send_message_and(
        &self,
        sender: &OwnedUserId,
        room_id: &OwnedRoomId,
        event_type: &str,
        content: &str,
        transaction: Option<Transaction>,
        also: Also<'_>,
        now_ts: u64,
    ) -> Result<OwnedEventId> {
        let content = parse_content(content)?;
        let redacts = match content.get("redacts") {
            Some(CanonicalJsonValue::String(redacts)) if event_type == "m.room.redaction" => Some(
                redacts
                    .as_str()
                    .try_into()
                    .map_err(|_| RoomsError::Invalid("`redacts` is no event id".into()))?,
            ),
            _ if event_type == "m.room.redaction" => {
                return Err(RoomsError::Invalid("a redaction needs `redacts`".into()));
            }
            _ => None,
        };
        let draft = Draft { event_type: event_type.into(), state_key: None, content, redacts };
        self.send(sender, room_id, draft, transaction, also, now_ts).await
    }

    /// Redacts an event.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the request")]
    pub async fn redact_event(
        &self,
        sender: &OwnedUserId,
        device_id: &OwnedDeviceId,
        room_id: &OwnedRoomId,
        event_id: &OwnedEventId,
        reason: Option<&str>,
        txn_id: &str,
        now_ts: u64,
    ) -> Result<OwnedEventId> {
        let mut content = CanonicalJsonObject::new();
        if let Some(reason) = reason {
            content.insert("reason".into(), text(reason));
        }
        let draft = Draft {
            event_type: TimelineEventType::RoomRedaction,
            state_key: None,
            content,
            redacts: Some(event_id.clone()),
        };
        let transaction = Some(transaction(device_id, format!("redact/{event_id}"), txn_id)?);
        let attempt = async || {
            // Taking something back is nothing that hooks are asked about.
            let also = Also::nothing_but(Consulted::default());
            self.send(sender, room_id, draft.clone(), transaction.clone(), also, now_ts).await
        };
        self.again(attempt).await
    }

    async fn send(
        &self,
        sender: &OwnedUserId,
        room_id: &OwnedRoomId,
        draft: Draft,
        transaction: Option<Transaction>,
        also: Also<'_>,
        now_ts: u64,
    ) -> Result<OwnedEventId> {
        let room = self.find_room(room_id).await?.ok_or_else(not_in_room)?;
        let mut append = self.begin(&room, now_ts).await?;
        if let Some(transaction) = &transaction
            && let Some(event_id) = append.done(sender, transaction).await?
        {
            return Ok(event_id);
        }
        let is_permitted = append.permit(sender, &draft).is_some();
        if !is_permitted && append.membership(sender).await? != Some(MembershipState::Join) {
            return Err(not_in_room());
        }
        if let Some(redacts) = &draft.redacts
            && self.event(room_id, redacts).await?.is_none()
        {
            return Err(RoomsError::NotFound("the event to redact is not in this room".into()));
        }
        self.check_annotation(&append, sender, &draft).await?;
        (append.delay_id, append.consulted) = (also.delay_id.clone(), also.consulted.clone());
        append.attached.clone_from(&also.attached);
        let event = append.stage(sender, draft, transaction).await?;
        let disappears = append.staged.iter().any(|staged| staged.disappears_ts.is_some());
        (also.write)(&mut append.writes, &event.event_id, disappears);
        append.commit().await?;
        Ok(event.event_id.clone())
    }

    /// The same annotation of the same user counts once.
    /// <https://spec.matrix.org/v1.19/client-server-api/#avoiding-duplicate-annotations>
    async fn check_annotation(&self, append: &Append, sender: &OwnedUserId, draft: &Draft) -> Result<()> {
        let Some(CanonicalJsonValue::Object(relates_to)) = draft.content.get("m.relates_to") else {
            return Ok(());
        };
        let relates_to =
            serde_json::to_value(relates_to).ok().and_then(|value| serde_json::from_value(value).ok());
        let Some(RelatesTo { rel_type, event_id, key }) = relates_to else { return Ok(()) };
        if rel_type != "m.annotation" {
            return Ok(());
        }
        let event_type = draft.event_type.to_string();
        append.settle().await?;
        let range = Range::<Relations>::prefix((&append.room.id, &event_id, &rel_type));
        let twice = self.store().range(range).await?.into_iter().any(|(_, relation)| {
            relation.sender == *sender && relation.event_type == event_type && relation.key == key
        });
        if twice { Err(RoomsError::DuplicateAnnotation) } else { Ok(()) }
    }

    /// Sets an entry of a room's state; returns the event's id. Setting what is there already makes no new event.
    ///
    /// `content`: JSON, an object.
    pub async fn set_state(
        &self,
        sender: &OwnedUserId,
        room_id: &OwnedRoomId,
        event_type: &str,
        state_key: &str,
        content: &str,
        now_ts: u64,
    ) -> Result<OwnedEventId> {
        self.consulting(now_ts, async |consulted| {
            let also = Also::nothing_but(consulted);
            self.set_state_and(sender, room_id, event_type, state_key, content, also, now_ts).await
        })
        .await
    }

    /// Does the same, with what is to be written in the same write-set.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the request")]
    pub(crate) async fn set_state_and(
        &self,
        sender: &OwnedUserId,
        room_id: &OwnedRoomId,
        event_type: &str,
        state_key: &str,
        content: &str,
        also: Also<'_>,
        now_ts: u64,
    ) -> Result<OwnedEventId> {
        let mut content = parse_content(content)?;
        if event_type == "m.room.create" {
            // Not even what it says already can be set.
            return Err(RoomsError::BadJson("a room is created once".into()));
        }
        if event_type == "m.room.canonical_alias" {
            self.check_canonical_alias(room_id, &content).await?;
        }
        let room = self.find_room(room_id).await?.ok_or_else(not_in_room)?;
        let mut append = self.begin(&room, now_ts).await?;
        let is_member = event_type == "m.room.member";
        if !is_member && append.membership(sender).await? != Some(MembershipState::Join) {
            return Err(not_in_room());
        }
        let state_type = StateEventType::from(event_type);
        if let Some(current) = append.state_event(&state_type, state_key).await? {
            let same = current.sender == *sender
                && serde_json::to_string(&content).is_ok_and(|content| content == current.content.get());
            if same {
                let mut writes = WriteSet::new();
                (also.write)(&mut writes, &current.event_id, false);
                append.settle_and(writes).await?;
                return Ok(current.event_id.clone());
            }
        }
        if is_member {
            self.authorize_join(&mut append, state_key, &mut content).await?;
        }
        let draft = Draft::state(event_type.into(), state_key, content);
        (append.delay_id, append.consulted) = (also.delay_id.clone(), also.consulted.clone());
        let event = append.stage(sender, draft, None).await?;
        (also.write)(&mut append.writes, &event.event_id, false);
        append.commit().await?;
        Ok(event.event_id.clone())
    }

    /// Finds out whether somebody may join by being in another room: the content that a client gives is not believed.
    async fn authorize_join(
        &self,
        append: &mut Append,
        state_key: &str,
        content: &mut CanonicalJsonObject,
    ) -> Result<()> {
        let user_id: OwnedUserId =
            state_key.try_into().map_err(|_| RoomsError::Invalid("the state key is not a user id".into()))?;
        content.remove("join_authorised_via_users_server");
        let membership = content.get("membership").and_then(CanonicalJsonValue::as_str);
        let joins = membership == Some(MembershipState::Join.as_str());
        if joins && append.membership(&user_id).await? != Some(MembershipState::Join) {
            return self.authorize_restricted_join(append, &user_id, content).await;
        }
        Ok(())
    }

    /// An alias that a room calls its own must point at it.
    /// <https://spec.matrix.org/v1.19/client-server-api/#mroomcanonical_alias>
    async fn check_canonical_alias(
        &self,
        room_id: &OwnedRoomId,
        content: &CanonicalJsonObject,
    ) -> Result<()> {
        if content.get("alt_aliases").is_some_and(|aliases| aliases.as_array().is_none()) {
            return Err(RoomsError::Invalid("`alt_aliases` is not a list".into()));
        }
        let current = self.state_event(room_id, &StateEventType::RoomCanonicalAlias, "").await?;
        let current = current.and_then(|event| parse_content(event.content.get()).ok()).unwrap_or_default();
        for alias in named_aliases(content) {
            let text = alias.as_str().ok_or_else(|| RoomsError::Invalid("an alias is not text".into()))?;
            if text.is_empty() || named_aliases(&current).any(|named| named == alias) {
                continue;
            }
            let alias: OwnedRoomAliasId =
                text.try_into().map_err(|_| RoomsError::Invalid(format!("{text} is not an alias")))?;
            let points_at = self.shared.directory.resolve_alias(&alias).await?;
            if points_at.is_none_or(|record| record.room_id != *room_id) {
                return Err(RoomsError::BadAlias(format!("{alias} does not point at this room")));
            }
        }
        Ok(())
    }
}

/// What the content of a canonical alias calls the room by, as it stands there.
fn named_aliases(content: &CanonicalJsonObject) -> impl Iterator<Item = &CanonicalJsonValue> {
    let others = content.get("alt_aliases").and_then(CanonicalJsonValue::as_array);
    let main = content.get("alias").filter(|alias| !matches!(alias, CanonicalJsonValue::Null));
    main.into_iter().chain(others.into_iter().flatten())
}

fn transaction(device_id: &OwnedDeviceId, endpoint: String, txn_id: &str) -> Result<Transaction> {
    if txn_id.len() > MAX_TXN_ID_BYTES {
        return Err(RoomsError::TooLarge("the transaction id has more than 255 bytes".into()));
    }
    Ok(Transaction { device_id: device_id.clone(), endpoint, txn_id: txn_id.to_owned() })
}
