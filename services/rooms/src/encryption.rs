//! Where the platforms' rules on encryption are applied: to every event that comes into a room, to rooms that are
//! created, to what is shown. What the rules are is decided in `domain`.
//! See docs/decisions/0007-encryption-rules.md.

use std::sync::Arc;

use linkspan_domain::{
    Draft, EncryptionRule, Pdu, Place, RoomEncryption, RulesPresent, SharedPdu, StateKey, check_event,
    check_member, check_redacted, check_to_device, take_words_out,
};
use linkspan_storage::{Range, StorageError, WriteSet, catalogue::Members};
use ruma::{
    OwnedUserId, ServerName, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};

use crate::{
    CreateRoom, InitialState, Result, Room, Rooms, RoomsError, ToDeviceMessage,
    append::{Append, object, text},
    door::Coming,
    membership::is_present,
};

const SPACE: &str = "m.space";
const ENCRYPTION: &str = "m.room.encryption";
/// The algorithm of rooms that are encrypted without their creator's saying so.
const ALGORITHM: &str = "m.megolm.v1.aes-sha2";

/// The rules on encryption that hold in a room, as a writer keeps them.
#[derive(Clone, Debug)]
pub(crate) struct KnownRules {
    pub(crate) present: Arc<RulesPresent>,
    /// How often platforms had changed their rules when they were loaded.
    pub(crate) generation: u64,
}

impl Rooms {
    /// What a user's platform demands of encryption; None: nothing, or it is not hosted.
    pub fn encryption_rule(&self, user_id: &UserId) -> Option<EncryptionRule> {
        self.rule_of(user_id.server_name())
    }

    fn rule_of(&self, platform: &ServerName) -> Option<EncryptionRule> {
        self.shared.platforms.get(platform)?.settings.encryption.rule()
    }

    /// The rules that the people of a room bring, as the disk has it.
    async fn stored_rules(&self, room: &Room) -> Result<RulesPresent> {
        let mut present = RulesPresent::default();
        for platform in self.shared.platforms.iter() {
            let Some(rule) = platform.settings.encryption.rule() else { continue };
            let range = Range::<Members>::prefix_platform((&room.id,), platform.server_name());
            let people = self.store().range(range).await?;
            for _ in people.iter().filter(|(_, member)| is_present(&member.membership)) {
                present.add(platform.server_name(), rule);
            }
        }
        Ok(present)
    }

    /// The rules that hold in a room, for who holds the writer. Each append loads them before it changes members, so
    /// that the disk is complete whenever they are not loaded yet. If a platform has changed its rule since, they are
    /// loaded anew once all that is queued is on disk.
    pub(crate) async fn rules_present(
        &self,
        room: &Room,
        known: &mut Option<KnownRules>,
    ) -> Result<KnownRules> {
        let generation = self.shared.platforms.encryption_generation();
        match known {
            Some(known) if known.generation == generation => return Ok(known.clone()),
            Some(_) => drop(self.store().commit(WriteSet::new()).await.map_err(StorageError::from)?),
            None => {}
        }
        let present = Arc::new(self.stored_rules(room).await?);
        Ok(known.insert(KnownRules { present, generation }).clone())
    }

    /// Whether any hosted platform demands something of encryption.
    pub(crate) fn has_encryption_rules(&self) -> bool {
        self.shared.platforms.iter().any(|platform| platform.settings.encryption.rule().is_some())
    }

    pub(crate) fn rules_of<'a>(&self, people: impl Iterator<Item = &'a OwnedUserId>) -> RulesPresent {
        let mut present = RulesPresent::default();
        for user_id in people {
            if let Some(rule) = self.encryption_rule(user_id) {
                present.add(user_id.server_name(), rule);
            }
        }
        present
    }

    /// Encrypts the room that is to be created if somebody in it needs that, and refuses it if somebody else cannot
    /// have that: before anything of it is there.
    pub(crate) fn plan_encryption(&self, creator: &OwnedUserId, command: &mut CreateRoom) -> Result<()> {
        let is_space = command.creation_content.get("type").and_then(|kind| kind.as_str()) == Some(SPACE);
        if is_space {
            return Ok(());
        }
        let present = self.rules_of(std::iter::once(creator).chain(&command.invite));
        present.check_agree()?;
        if present.platform_with(EncryptionRule::Required).is_some() {
            encrypt(&mut command.initial_state);
        }
        Ok(())
    }

    /// Messages that belong into a room do not go past it to devices.
    pub(crate) fn check_to_device(
        &self,
        sender: &OwnedUserId,
        event_type: &str,
        messages: &[ToDeviceMessage],
    ) -> Result<()> {
        for ToDeviceMessage { user_id, content, .. } in messages {
            let present = self.rules_of([sender, user_id].into_iter());
            check_to_device(&present, event_type, content, user_id == sender)?;
        }
        Ok(())
    }

    /// Whether the door would let an event in now that is to be sent later: until then it is kept as it is.
    pub(crate) async fn check_later(
        &self,
        room: &Arc<Room>,
        sender: &OwnedUserId,
        draft: Draft,
        now_ts: u64,
    ) -> Result<()> {
        let mut append = self.begin(room, now_ts).await?;
        let (pdu, _) = draft.into_pdu(&room.rules, Some(&room.id), sender, append.now, Place::default())?;
        append.let_in(&pdu).await
    }
}

impl Append {
    /// Carries encryption over to the room that replaces this one, also if this was not encrypted when somebody's
    /// platform began to require it.
    pub(crate) fn keep_encryption(&self, initial_state: &mut Vec<InitialState>) {
        let required = self.present.platform_with(EncryptionRule::Required).is_some();
        if required && !is_space(&self.room) {
            encrypt(initial_state);
        }
    }

    /// Whether all that was staged is right for those who were invited after it.
    pub(crate) fn check_staged(&self) -> Result<()> {
        Ok(self.staged.iter().try_for_each(|event| check_event(&self.present, &event.pdu))?)
    }

    /// Whether all that was staged would be right for somebody who is not there yet, too.
    pub(crate) fn is_staged_right_for(&self, user_id: &OwnedUserId) -> bool {
        let mut present = RulesPresent::clone(&self.present);
        if let Some(rule) = self.rooms.encryption_rule(user_id) {
            present.add(user_id.server_name(), rule);
        }
        self.staged.iter().all(|event| check_event(&present, &event.pdu).is_ok())
    }

    /// Whether an entry of the state may become another, or nothing, because states were resolved: what was refused
    /// when it came does not come into force by what follows it.
    pub(crate) async fn may_become(&mut self, entry: &StateKey, event: Option<&SharedPdu>) -> Result<bool> {
        let checked = match event {
            Some(pdu) => self.let_in(pdu).await,
            None => match self.state_event(&entry.0, &entry.1).await? {
                Some(current) => self.check_redacted(&current),
                None => Ok(()),
            },
        };
        match checked {
            Ok(()) => Ok(true),
            Err(RoomsError::Encryption(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether encryption in the room is as the platform of who comes demands it. Who is there already may change their
    /// profile.
    pub(crate) async fn check_encryption_of(&mut self, coming: &Coming<'_>) -> Result<()> {
        let Coming { user_id, before, after, .. } = coming;
        let Some(rule) = self.rooms.encryption_rule(user_id) else { return Ok(()) };
        let was_there = *before == Some(MembershipState::Join) || before.as_ref() == Some(after);
        // A space is no place to talk: it need not be encrypted to be one where nothing in the clear is said.
        if was_there || self.is_creation() || is_space(&self.room) {
            return Ok(());
        }
        let encryption = self.state_event(&StateEventType::RoomEncryption, "").await?;
        let encryption = RoomEncryption::of(encryption.as_deref());
        Ok(check_member(&self.present, encryption, user_id.server_name(), rule)?)
    }

    /// Whether the creator comes into the room that is being created: what else it will be is planned.
    fn is_creation(&self) -> bool {
        self.head.joined == 0 && self.head.seq <= 1
    }

    /// Whether an event may lose its content.
    pub(crate) fn check_redacted(&self, target: &Pdu) -> Result<()> {
        Ok(check_redacted(&self.present, target)?)
    }

    /// Takes reasons, which anybody could read, out of redactions and memberships where words in the clear are not
    /// accepted, and what steps of a verification say to people. What they do stands.
    pub(crate) fn keep_words_out(&self, draft: &mut Draft) {
        let here = self.present.platform_with(EncryptionRule::Required).is_some();
        if here {
            take_words_out(draft);
        }
        let is_member = draft.event_type == TimelineEventType::RoomMember;
        if draft.redacts.is_none() && !is_member {
            return;
        }
        // Who comes in is not there yet.
        let whose =
            draft.state_key.as_deref().filter(|_| is_member).and_then(|id| <&UserId>::try_from(id).ok());
        let rule = whose.and_then(|user_id| self.rooms.encryption_rule(user_id));
        if !here && rule != Some(EncryptionRule::Required) {
            return;
        }
        match is_member {
            true => drop(draft.content.remove("reason")),
            false => draft.content.clear(),
        }
    }

    /// Notes the rule that a user brings into the room, or takes out of it. Who is invited counts, too: it must not
    /// happen that an invitation that was right cannot be accepted.
    pub(crate) fn note_rule(
        &mut self,
        user_id: &UserId,
        before: Option<&MembershipState>,
        now: Option<&MembershipState>,
    ) {
        let Some(rule) = self.rooms.encryption_rule(user_id) else { return };
        match (before.is_some_and(is_present), now.is_some_and(is_present)) {
            (false, true) => Arc::make_mut(&mut self.present).add(user_id.server_name(), rule),
            (true, false) => Arc::make_mut(&mut self.present).remove(user_id.server_name()),
            _ => {}
        }
    }
}

fn is_space(room: &Room) -> bool {
    room.record.room_type.as_deref() == Some(SPACE)
}

/// Has the state that a room starts with turn encryption on.
fn encrypt(initial_state: &mut Vec<InitialState>) {
    let is_encrypted = |state: &InitialState| {
        state.content.get("algorithm").and_then(|algorithm| algorithm.as_str()) == Some(ALGORITHM)
    };
    let given =
        initial_state.iter_mut().find(|state| state.event_type == ENCRYPTION && state.state_key.is_empty());
    let content = object([("algorithm", text(ALGORITHM))]);
    match given {
        Some(state) if is_encrypted(state) => {}
        Some(state) => state.content = content,
        None => {
            let (event_type, state_key) = (ENCRYPTION.to_owned(), String::new());
            initial_state.push(InitialState { event_type, state_key, content });
        }
    }
}
