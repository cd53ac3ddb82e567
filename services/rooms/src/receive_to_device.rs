//! Messages that wait for devices, as far as the platforms' rules on encryption of today let them through, and the
//! user's own list of those who are ignored: a message may have been queued before either.
//! <https://spec.matrix.org/v1.19/client-server-api/#receiving-to-device-messages>

use linkspan_domain::check_to_device;
use linkspan_inbox::ToDeviceMessage;
use linkspan_storage::Position;
use ruma::{OwnedDeviceId, OwnedUserId};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Result, Rooms, blocked::Ignoring};

/// What is taken from somebody whom the user ignores: keys. What is said in a group can be decrypted with
/// them once the user ignores its sender no longer. All else, such as calls and verifications, is kept away.
const KEYS: [&str; 2] = ["m.room.encrypted", "m.room_key.withheld"];

/// Steps of a verification. Clients take some by themselves, so a user who asks for one would notice if they did not
/// come; only that others begin one is kept away if they are ignored by a link.
const VERIFICATION: &str = "m.key.verification.";
const REQUEST: &str = "m.key.verification.request";

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
    sender: OwnedUserId,
    #[serde(rename = "type")]
    event_type: String,
}

/// Whether a message of a type comes through from somebody whom the user ignores so.
pub(crate) fn passes(ignoring: Ignoring, event_type: &str) -> bool {
    let is_key = KEYS.contains(&event_type);
    match ignoring {
        Ignoring::No => true,
        Ignoring::ByList => is_key,
        Ignoring::ByLink => is_key || (event_type.starts_with(VERIFICATION) && event_type != REQUEST),
    }
}

impl Rooms {
    /// The messages that wait for a device, up to `until`, oldest first. The second value is the position up
    /// to which the answer is complete: less than `until` if there are more.
    pub async fn to_device(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        until: Position,
    ) -> Result<(Vec<ToDeviceMessage>, Position)> {
        let (messages, complete) = self.shared.inbox.to_device(user_id, device_id, until).await?;
        let messages = self.keep_allowed(user_id, messages).await?;
        if messages.is_empty() && complete < until {
            return self.to_device_after(user_id, device_id, complete, until).await;
        }
        Ok((messages, complete))
    }

    /// Does the same, but only for those after `since`.
    pub async fn to_device_after(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        mut since: Position,
        until: Position,
    ) -> Result<(Vec<ToDeviceMessage>, Position)> {
        loop {
            let page = self.shared.inbox.to_device_after(user_id, device_id, since, until).await?;
            let (messages, complete) = page;
            let messages = self.keep_allowed(user_id, messages).await?;
            // Whoever is handed nothing waits for more: what there is has to come before that.
            if !messages.is_empty() || complete >= until {
                return Ok((messages, complete));
            }
            since = complete;
        }
    }

    async fn keep_allowed(
        &self,
        user_id: &OwnedUserId,
        messages: Vec<ToDeviceMessage>,
    ) -> Result<Vec<ToDeviceMessage>> {
        if messages.is_empty() {
            return Ok(messages);
        }
        let ignores_nobody = self.ignored_users(user_id).await?.is_empty();
        if ignores_nobody && !self.has_encryption_rules() {
            return Ok(messages);
        }
        let mut allowed = Vec::with_capacity(messages.len());
        for message in messages {
            if self.may_receive(user_id, &message.json).await? {
                allowed.push(message);
            }
        }
        Ok(allowed)
    }

    async fn may_receive(&self, user_id: &OwnedUserId, json: &str) -> Result<bool> {
        let Ok(Event { content, sender, event_type }) = serde_json::from_str(json) else { return Ok(false) };
        let ignoring = self.ignoring(user_id, &sender).await?;
        if !passes(ignoring, &event_type) {
            return Ok(false);
        }
        let present = self.rules_of([&sender, user_id].into_iter());
        Ok(check_to_device(&present, &event_type, content, sender == *user_id).is_ok())
    }
}
