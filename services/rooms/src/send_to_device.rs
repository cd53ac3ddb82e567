//! Messages to devices: sent once for each transaction, to the devices of any hosted platform.
//! <https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging>

use linkspan_inbox::send_to_device;
use linkspan_storage::{
    WriteSet,
    catalogue::{TransactionKey, Transactions},
    records::TransactionRecord,
};
use ruma::{OwnedDeviceId, OwnedUserId};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{Result, Rooms, RoomsError};

/// Devices that one request reaches at most.
const MAX_TARGETS: usize = 1_000;
/// The greatest content of a message, in bytes.
const MAX_CONTENT_BYTES: usize = 65_536;
/// The greatest length of a type or a transaction id, in bytes.
const MAX_NAME_BYTES: usize = 255;

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
    /// exist are passed over.
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
        self.check_to_device(sender, event_type, &messages)?;
        let transaction = TransactionKey {
            user_id: sender.clone(),
            device_id: device_id.clone(),
            room_id: None,
            endpoint: format!("sendToDevice/{event_type}"),
            txn_id: txn_id.to_owned(),
        };
        self.store()
            .update(async || {
                let mut writes = WriteSet::new();
                if self.store().contains::<Transactions>(&transaction).await? {
                    return Ok((writes, ()));
                }
                writes.expect_absent::<Transactions>(&transaction);
                writes.put::<Transactions>(&transaction, &TransactionRecord { event_id: None, ts: now_ts });
                self.put_messages(&mut writes, sender, event_type, &messages).await?;
                Ok((writes, ()))
            })
            .await
    }

    async fn put_messages(
        &self,
        writes: &mut WriteSet,
        sender: &OwnedUserId,
        event_type: &str,
        messages: &[ToDeviceMessage],
    ) -> Result<()> {
        let mut sent = 0;
        for message in messages {
            if message.content.get().len() > MAX_CONTENT_BYTES {
                return Err(RoomsError::TooLarge(format!(
                    "a message has more than {MAX_CONTENT_BYTES} bytes"
                )));
            }
            let event = Event { content: &message.content, sender, event_type };
            let json = serde_json::to_string(&event).expect("a message is JSON");
            for device_id in self.target_devices(message).await? {
                send_to_device(writes, &message.user_id, &device_id, sent, json.clone());
                sent += 1;
                if sent as usize > MAX_TARGETS {
                    return Err(RoomsError::TooLarge(format!("more than {MAX_TARGETS} devices are meant")));
                }
            }
        }
        Ok(())
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
