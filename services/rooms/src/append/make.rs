//! Making an event of a hosted user, if its sender may send it.

use std::sync::Arc;

use linkspan_domain::{
    Draft, Place, SharedPdu, StateKey as StateEntryKey, auth_event_keys, authorize, check_form,
};
use ruma::{
    CanonicalJsonObject, OwnedEventId, OwnedUserId,
    events::{StateEventType, TimelineEventType},
};

use super::{Append, Transaction};
use crate::{
    Result, RoomsError,
    disappearing::check_timer,
    permits::Asked,
    server_acl::{denies, is_own_leave, shuts_out_its_sender},
};

/// Events that an event follows at most.
/// <https://spec.matrix.org/v1.19/rooms/v12/#event-format>
const MAX_PREV_EVENTS: usize = 20;

impl Append {
    /// Makes an event of `sender`, checks that it is allowed, and puts it at the end of the room.
    pub(crate) async fn stage(
        &mut self,
        sender: &OwnedUserId,
        mut draft: Draft,
        transaction: Option<Transaction>,
    ) -> Result<SharedPdu> {
        self.rooms.check_may_send(&self.room.id, sender, &draft).await?;
        check_timer(&draft.event_type, draft.state_key.as_deref(), &draft.content)?;
        self.keep_words_out(&mut draft);
        if draft.redacts.is_some() {
            // The event, and whether it is redacted already, are read from the disk.
            self.settle().await?;
        }
        let (pdu, json) = match self.permit(sender, &draft) {
            Some(auth_events) => self.make(sender, draft, auth_events)?,
            None => self.make_if_allowed(sender, draft).await?,
        };
        self.let_in(&pdu).await?;
        self.check_joined_rooms(&pdu).await?;
        let pdu = self.withheld_if_unwanted(pdu).await?;
        self.accept(pdu.clone(), json, transaction).await?;
        if pdu.event_type == TimelineEventType::RoomMember {
            self.bring_in(&pdu).await?;
            Box::pin(self.bring_along(&pdu)).await?;
        }
        Ok(pdu)
    }

    /// Stages a user's membership, as `sender` sets it.
    pub(crate) async fn stage_member(
        &mut self,
        sender: &OwnedUserId,
        user_id: &OwnedUserId,
        content: CanonicalJsonObject,
    ) -> Result<()> {
        let draft = Draft::state(TimelineEventType::RoomMember, user_id.as_str(), content);
        self.stage(sender, draft, None).await.map(|_| ())
    }

    /// The events that allow a message, if such a message of its sender was allowed in this very state before.
    pub(crate) fn permit(&self, sender: &OwnedUserId, draft: &Draft) -> Option<Vec<OwnedEventId>> {
        self.state.is_empty().then(|| self.writer.permits.get(&Asked::of(sender, draft)?)).flatten()
    }

    /// Makes an event if the state as staged allows it.
    async fn make_if_allowed(&mut self, sender: &OwnedUserId, draft: Draft) -> Result<(SharedPdu, String)> {
        self.check_server_acl(sender, &draft).await?;
        let asked = Asked::of(sender, &draft);
        let allowing = self.allowing_events(sender, &draft).await?;
        let auth_events = allowing.iter().map(|(_, event)| event.event_id.clone()).collect();
        let (pdu, json) = self.make(sender, draft, auth_events)?;
        let create = self.state_event(&StateEventType::RoomCreate, "").await?;
        check_form(&self.room.rules, &pdu, create.as_ref().unwrap_or(&pdu))?;
        self.authorize(&pdu, allowing, create)?;
        // Only what the state says that the next append will find.
        if let Some(asked) = asked.filter(|_| self.state.is_empty()) {
            self.writer.permits.note(asked, &pdu.auth_events);
        }
        Ok((pdu, json))
    }

    /// The events of the state, as staged, that allow or forbid what is drafted.
    async fn allowing_events(
        &mut self,
        sender: &OwnedUserId,
        draft: &Draft,
    ) -> Result<Vec<(StateEntryKey, SharedPdu)>> {
        let content = serde_json::value::to_raw_value(&draft.content)
            .map_err(|error| RoomsError::BadJson(error.to_string()))?;
        let state_key = draft.state_key.as_deref();
        let keys = auth_event_keys(&self.room.rules, &draft.event_type, sender, state_key, &content)?;
        let mut allowing = Vec::with_capacity(keys.len());
        for (event_type, state_key) in keys {
            if let Some(event) = self.state_event(&event_type, &state_key).await? {
                allowing.push(((event_type, state_key), event));
            }
        }
        Ok(allowing)
    }

    /// Makes the event that follows the newest ends of the room.
    fn make(
        &self,
        sender: &OwnedUserId,
        draft: Draft,
        auth_events: Vec<OwnedEventId>,
    ) -> Result<(SharedPdu, String)> {
        let rules = &self.room.rules;
        // An event may not follow more.
        let ends = &self.head.extremities;
        let prev_events = ends[ends.len().saturating_sub(MAX_PREV_EVENTS)..].to_vec();
        let place = Place { prev_events, auth_events, depth: self.head.depth + 1 };
        let is_create = draft.event_type == TimelineEventType::RoomCreate;
        let hash_names_room = is_create && linkspan_domain::room_id_is_hash(rules);
        let room_id = (!hash_names_room).then_some(&self.room.id);
        let (pdu, json) = draft.into_pdu(rules, room_id, sender, self.now, place)?;
        Ok((Arc::new(pdu), json))
    }

    /// Checks an event against the state as staged: its create event, and those of its entries that matter.
    fn authorize(
        &self,
        pdu: &SharedPdu,
        mut allowing: Vec<(StateEntryKey, SharedPdu)>,
        create: Option<SharedPdu>,
    ) -> Result<()> {
        // In version 12 it is no auth event, but the rules ask for it all the same.
        allowing.extend(create.map(|create| ((StateEventType::RoomCreate, String::new()), create)));
        authorize(&self.room.rules, pdu, |event_type, state_key| {
            let entry = allowing.iter().find(|((of_type, key), _)| of_type == event_type && key == state_key);
            entry.map(|(_, event)| event.clone())
        })?;
        Ok(())
    }

    /// Servers of a room keep out whom its access list denies; so do hosted platforms among themselves. Everybody may
    /// leave all the same, as a server lets its own users leave whatever other servers make of it: whoever could not
    /// would go on receiving what is written there. Nobody may shut out the own platform.
    /// <https://spec.matrix.org/v1.19/client-server-api/#server-access-control-lists-acls-for-rooms>
    async fn check_server_acl(&mut self, sender: &OwnedUserId, draft: &Draft) -> Result<()> {
        let platform = sender.server_name();
        if shuts_out_its_sender(draft, sender) {
            return Err(RoomsError::BadJson(format!("this access list denies your own server, {platform}")));
        }
        let acl = self.state_event(&StateEventType::RoomServerAcl, "").await?;
        if !denies(acl.as_ref(), sender) || is_own_leave(draft, sender) {
            return Ok(());
        }
        Err(RoomsError::Forbidden(format!("this room's server access list denies {platform}")))
    }
}
