//! Messages to devices: sent once for each transaction, to the devices of any hosted platform.
//! <https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging>
//!
//! How much waits for a device is bounded, so that nobody fills the disk or the queue of somebody who is away. Where a
//! sender's share is used up, the oldest messages of the same sender give way. A message that finds no room all the same is
//! passed over, and all others are sent. docs/decisions/0029-messages-to-devices.md says why.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use linkspan_domain::{Approach, Reach, ReachKind, Relation};
use linkspan_inbox::{Amount, QueueLimits, SendingToDevices};
use linkspan_platforms::Limited;
use linkspan_storage::{
    WriteSet,
    catalogue::{TransactionKey, Transactions},
    records::TransactionRecord,
};
use ruma::{OwnedDeviceId, OwnedUserId};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{Result, Rooms, RoomsError, blocked::Ignoring, receive_to_device::passes};

/// Devices that one request reaches at most.
const MAX_TARGETS: usize = 1_000;
/// The greatest content of a message, in bytes.
const MAX_CONTENT_BYTES: usize = 65_536;
/// The bytes that the messages of a request have at most, each counted for every device that it goes to. Room keys for a
/// thousand devices have a sixth of it.
const MAX_SENT_BYTES: usize = 16 << 20;
/// The greatest length of a type or a transaction id, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// After this time a device may have fetched what waits for it.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// What waits for a device of people who have no common room with its user, and are none of the user's contacts. A room
/// key has about two thousand bytes, and there is one for each hundred messages or week.
const OF_STRANGERS: QueueLimits = limits([500, 1 << 20], [40_000, 96 << 20]);
/// What waits of people in a common room, who may be many and strangers in all but that. An active person in many large
/// rooms receives thousands of keys in a week.
const OF_COMMON_ROOMS: QueueLimits = limits([5_000, 16 << 20], [80_000, 192 << 20]);
/// What waits of contacts. There is still room for it when others have filled theirs.
const OF_CONTACTS: QueueLimits = limits([5_000, 16 << 20], [100_000, 224 << 20]);
/// What waits of the user's own devices.
const OF_ONESELF: QueueLimits = limits([10_000, 32 << 20], [120_000, 256 << 20]);

/// Limits as numbers of messages and of bytes: of one sender, and of all together.
const fn limits(of_sender: [u64; 2], of_queue: [u64; 2]) -> QueueLimits {
    const fn amount([messages, bytes]: [u64; 2]) -> Amount {
        Amount { messages, bytes }
    }
    QueueLimits { of_sender: amount(of_sender), of_queue: amount(of_queue) }
}

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// This device.
    Device(OwnedDeviceId),
    /// Every device that the user has now.
    AllDevices,
}

/// A message for devices of a user.
#[derive(Clone, Debug)]
pub struct ToDeviceMessage {
    /// Whose devices.
    pub user_id: OwnedUserId,
    /// Which of them.
    pub target: Target,
    /// JSON, an object.
    pub content: Box<RawValue>,
}

#[derive(Serialize)]
struct Event<'a> {
    content: &'a RawValue,
    sender: &'a OwnedUserId,
    #[serde(rename = "type")]
    event_type: &'a str,
}

impl Rooms {
    /// Sends messages to devices; a repeated transaction sends nothing again. Devices that do not
    /// exist are passed over, and so are those whose queues others have filled. Fails with [`RoomsError::QueuesFull`] if
    /// nothing is sent for that reason.
    pub async fn send_to_device(
        &self,
        sender: &OwnedUserId,
        device_id: &OwnedDeviceId,
        event_type: &str,
        txn_id: &str,
        messages: Vec<ToDeviceMessage>,
        now_ts: u64,
    ) -> Result<()> {
        if event_type.len() > MAX_NAME_BYTES || txn_id.len() > MAX_NAME_BYTES {
            return Err(RoomsError::TooLarge("the type or the transaction id is too long".into()));
        }
        if messages.iter().any(|message| message.content.get().len() > MAX_CONTENT_BYTES) {
            return Err(RoomsError::TooLarge(format!("a message has more than {MAX_CONTENT_BYTES} bytes")));
        }
        self.check_to_device(sender, event_type, &messages)?;
        let messages = self.keep_wanted(sender, event_type, messages).await?;
        let transaction = TransactionKey {
            user_id: sender.clone(),
            device_id: device_id.clone(),
            room_id: None,
            endpoint: format!("sendToDevice/{event_type}"),
            txn_id: txn_id.to_owned(),
        };
        let sent = self.store().update(async || {
            let mut writes = WriteSet::new();
            if self.store().contains::<Transactions>(&transaction).await? {
                return Ok((writes, None));
            }
            writes.expect_absent::<Transactions>(&transaction);
            writes.put::<Transactions>(&transaction, &TransactionRecord { event_id: None, ts: now_ts });
            let sending = self.put_messages(&mut writes, sender, event_type, &messages).await?;
            Ok((writes, Some(sending)))
        });
        // What was held for it is given back now that it is there.
        sent.await.map(drop)
    }

    async fn put_messages(
        &self,
        writes: &mut WriteSet,
        sender: &OwnedUserId,
        event_type: &str,
        messages: &[ToDeviceMessage],
    ) -> Result<SendingToDevices> {
        let mut sending = self.shared.inbox.begin_sending(sender);
        let mut known = HashMap::new();
        let (mut targets, mut bytes, mut put) = (0, 0, 0);
        for message in messages {
            let event = Event { content: &message.content, sender, event_type };
            let json = serde_json::to_string(&event).expect("a message is JSON");
            let device_ids = self.target_devices(message).await?;
            targets += device_ids.len();
            bytes += device_ids.len() * json.len();
            if targets > MAX_TARGETS {
                return Err(RoomsError::TooLarge(format!("more than {MAX_TARGETS} devices are meant")));
            }
            if bytes > MAX_SENT_BYTES {
                let message =
                    format!("the messages have more than {MAX_SENT_BYTES} bytes in all queues together");
                return Err(RoomsError::TooLarge(message));
            }
            let mut have_room = Vec::with_capacity(device_ids.len());
            for device_id in device_ids {
                if self.hold_room(&mut sending, &mut known, sender, message, &device_id, json.len()).await? {
                    have_room.push(device_id);
                }
            }
            put += have_room.len();
            if !have_room.is_empty() {
                sending.put(writes, &message.user_id, have_room, json);
            }
        }
        match put == 0 && targets > 0 {
            true => Err(RoomsError::QueuesFull(Limited { retry_after: RETRY_AFTER })),
            false => Ok(sending),
        }
    }

    /// Keeps room for a message in the queue of a device; says whether there is any. `known` has the limits that were
    /// looked up for the people of this request.
    async fn hold_room<'a>(
        &self,
        sending: &mut SendingToDevices,
        known: &mut HashMap<&'a OwnedUserId, QueueLimits>,
        sender: &OwnedUserId,
        message: &'a ToDeviceMessage,
        device_id: &OwnedDeviceId,
        size_bytes: usize,
    ) -> Result<bool> {
        let user_id = &message.user_id;
        let limits = match known.get(user_id) {
            Some(limits) => *limits,
            // Hardly anybody needs more than a stranger may, and who is none is not looked up before that.
            None if sending.hold_room(user_id, device_id, size_bytes, OF_STRANGERS).await? => {
                return Ok(true);
            }
            None => {
                let limits = self.queue_limits(user_id, sender).await?;
                known.insert(user_id, limits);
                limits
            }
        };
        Ok(sending.hold_or_make_room(user_id, device_id, size_bytes, limits).await?)
    }

    /// What may wait of a sender's for a device of a user.
    async fn queue_limits(&self, user_id: &OwnedUserId, sender: &OwnedUserId) -> Result<QueueLimits> {
        Ok(if user_id == sender {
            OF_ONESELF
        } else if self.shared.contacts.is_contact(user_id, sender).await? {
            OF_CONTACTS
        } else if self.share_a_room(user_id, sender).await? {
            OF_COMMON_ROOMS
        } else {
            OF_STRANGERS
        })
    }

    /// Those of the messages that their people would be given.
    async fn keep_wanted(
        &self,
        sender: &OwnedUserId,
        event_type: &str,
        mut messages: Vec<ToDeviceMessage>,
    ) -> Result<Vec<ToDeviceMessage>> {
        let people: HashSet<_> = messages.iter().map(|message| message.user_id.clone()).collect();
        let mut unwilling = HashSet::new();
        for user_id in people {
            if user_id != *sender && self.is_kept_away(&user_id, sender, event_type).await? {
                unwilling.insert(user_id);
            }
        }
        messages.retain(|message| !unwilling.contains(&message.user_id));
        Ok(messages)
    }

    /// Whether a message of a type from somebody never reaches a user. The keys of somebody who is ignored are taken in
    /// common rooms only: they are for what is said there.
    async fn is_kept_away(
        &self,
        user_id: &OwnedUserId,
        sender: &OwnedUserId,
        event_type: &str,
    ) -> Result<bool> {
        let ignoring = self.ignoring(user_id, sender).await?;
        if !passes(ignoring, event_type) {
            return Ok(true);
        }
        let is_shut_out = ignoring == Ignoring::ByList || self.cannot_approach(user_id, sender).await?;
        Ok(is_shut_out && !self.share_a_room(user_id, sender).await?)
    }

    /// Whether a user takes nothing by which somebody who is in no common room could come to be in one: no chat, no group,
    /// and no call.
    async fn cannot_approach(&self, user_id: &OwnedUserId, sender: &OwnedUserId) -> Result<bool> {
        let contacts = &self.shared.contacts;
        let choices = contacts.choices(user_id).await?;
        if choices.by_permission(sender) >= Reach::Ignored {
            return Ok(true);
        }
        let relation = match contacts.is_contact(user_id, sender).await? {
            true => Relation::Contact,
            false => Relation::Stranger,
        };
        let (source, server) = (contacts.source(user_id, sender), sender.server_name());
        let reach = |kind| choices.by_rules(&Approach { source, server, relation, kind });
        let kinds = [ReachKind::DirectChat, ReachKind::Group, ReachKind::Call];
        Ok(kinds.into_iter().all(|kind| reach(kind) >= Reach::Ignored))
    }

    async fn target_devices(&self, message: &ToDeviceMessage) -> Result<Vec<OwnedDeviceId>> {
        let user_id = &message.user_id;
        let accounts = &self.shared.accounts;
        match &message.target {
            Target::Device(device_id) => {
                let device = accounts.device(user_id, device_id).await?;
                Ok(device.map(|device| device.device_id).into_iter().collect())
            }
            Target::AllDevices => {
                Ok(accounts.devices(user_id).await?.into_iter().map(|device| device.device_id).collect())
            }
        }
    }
}
