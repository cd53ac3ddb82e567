//! What is in the archive, file by file.

use linkspan_accounts::{AccountsError, OwnAccountData};
use linkspan_rooms::{RoomSummary, RoomsError};
use linkspan_storage::records::{MediaRecord, MembershipRecord};
use ruma::{OwnedRoomId, OwnedUserId};
use serde_json::{Value, json, value::RawValue};

use crate::{Export, Result, archive::Archive};

/// The number of this form of the archive.
const VERSION: u32 = 1;
/// How many contacts and media are read at a time.
const BATCH: usize = 500;
/// The longest ending of a file's name that is kept.
const ENDING_BYTES: usize = 8;

impl Export {
    pub(crate) async fn fill(&self, mut archive: Archive, user_id: &OwnedUserId, now_ts: u64) -> Result<()> {
        let about = json!({ "version": VERSION, "user_id": user_id, "made_ts": now_ts });
        archive.add_json("about.json", &about).await?;
        self.add_account(&mut archive, user_id, now_ts).await?;
        self.add_account_data(&mut archive, user_id).await?;
        self.add_contacts(&mut archive, user_id).await?;
        archive.add_json("pushers.json", &self.push.pushers(user_id).await?).await?;
        self.add_what_waits(&mut archive, user_id).await?;
        self.add_rooms(&mut archive, user_id).await?;
        let missing = self.add_media(&mut archive, user_id).await?;
        archive.add_json("missing.json", &missing).await?;
        archive.finish().await
    }

    async fn add_account(&self, archive: &mut Archive, user_id: &OwnedUserId, now_ts: u64) -> Result<()> {
        let accounts = &self.accounts;
        let account = accounts.account(user_id).await?.ok_or(AccountsError::NotFound("account"))?;
        let handle = match accounts.own_handle(user_id, now_ts).await {
            Ok(own) => own.handle,
            // People have none on every platform.
            Err(AccountsError::Forbidden(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let addresses = accounts.third_party_ids(user_id).await?.into_iter().map(|added| {
            json!({
                "medium": added.id.medium(),
                "address": added.id.address(),
                "validated_ts": added.validated_ts,
                "added_ts": added.added_ts,
            })
        });
        let links = accounts.account_links(user_id).await?;
        let links = links.as_ref().map(|links| {
            json!({ "accounts": links.others, "shown": links.shown, "messages_arrive_at": links.arrive_at })
        });
        let account = json!({
            "created_ts": account.created_ts,
            "handle": handle,
            "has_password": account.password_hash.is_some(),
            "is_administrator": account.admin,
            "addresses": addresses.collect::<Vec<_>>(),
            "linked": links,
        });
        archive.add_json("account.json", &account).await?;
        archive.add_json("profile.json", &accounts.profile(user_id).await?).await?;
        let devices = accounts.devices(user_id).await?.into_iter().map(|device| {
            json!({
                "device_id": device.device_id,
                "display_name": device.display_name,
                "created_ts": device.created_ts,
                "last_seen_ts": device.last_seen_ts,
                "last_seen_ip": device.last_seen_ip,
                "oauth_client_id": device.client_id,
            })
        });
        archive.add_json("devices.json", &devices.collect::<Vec<_>>()).await
    }

    /// Settings, whom the user ignores, push rules, tags, read marks: all of it is account data.
    async fn add_account_data(&self, archive: &mut Archive, user_id: &OwnedUserId) -> Result<()> {
        archive.begin_lines("account_data.ndjson")?;
        let mut last: Option<OwnAccountData> = None;
        loop {
            let data = self.accounts.own_account_data(user_id, last.as_ref()).await?;
            for OwnAccountData { room_id, event_type, content } in &data {
                // What was deleted is empty.
                if let Ok(content) = serde_json::from_str::<&RawValue>(content) {
                    let entry = AccountDataLine { room_id: room_id.as_ref(), event_type, content };
                    archive.add_line(&entry).await?;
                }
            }
            last = data.into_iter().last();
            if last.is_none() {
                return Ok(());
            }
        }
    }

    async fn add_contacts(&self, archive: &mut Archive, user_id: &OwnedUserId) -> Result<()> {
        archive.begin_lines("contacts.ndjson")?;
        let mut last = None;
        loop {
            let contacts = self.contacts.list_contacts(user_id, last.as_ref(), BATCH).await?;
            for contact in &contacts {
                let line =
                    json!({ "user_id": contact.user_id, "since_ts": contact.since_ts, "how": contact.how });
                archive.add_line(&line).await?;
            }
            last = contacts.into_iter().last().map(|contact| contact.user_id);
            if last.is_none() {
                return Ok(());
            }
        }
    }

    /// What the user has asked for and what is not done yet, and what the user has reported.
    async fn add_what_waits(&self, archive: &mut Archive, user_id: &OwnedUserId) -> Result<()> {
        let delayed = self.rooms.list_delayed_events(user_id, &Default::default()).await?;
        let delayed = delayed.iter().map(|delayed| {
            let record = &delayed.record;
            json!({
                "room_id": record.room_id,
                "type": record.event_type,
                "state_key": record.state_key,
                "content": parsed(&record.content),
                "delay_ms": record.delay_ms,
                "running_since_ts": record.running_since_ts,
                "event_id": record.event_id,
            })
        });
        archive.add_json("scheduled.json", &delayed.collect::<Vec<_>>()).await?;
        let invitations = self.rooms.own_address_invitations(user_id).await?.into_iter().map(
            |record| json!({ "room_id": record.room_id, "medium": record.medium, "made_ts": record.made_ts }),
        );
        archive.add_json("invitations_by_address.json", &invitations.collect::<Vec<_>>()).await?;
        let reports = self.rooms.own_reports(user_id).await?.into_iter().map(|report| {
            json!({
                "room_id": report.room_id,
                "event_id": report.event_id,
                "user_id": report.user_id,
                "reason": report.reason,
                "ts": report.ts,
            })
        });
        archive.add_json("reports.json", &reports.collect::<Vec<_>>()).await
    }

    async fn add_rooms(&self, archive: &mut Archive, user_id: &OwnedUserId) -> Result<()> {
        let rooms = self.rooms.all_rooms_of(user_id).await?;
        archive.begin_lines("rooms.ndjson")?;
        for (number, (room_id, membership)) in rooms.iter().enumerate() {
            let line = self.room_line(user_id, room_id, membership, &messages_file(number)).await?;
            archive.add_line(&line).await?;
        }
        for (number, (room_id, _)) in rooms.iter().enumerate() {
            self.add_messages(archive, user_id, room_id, &messages_file(number)).await?;
        }
        Ok(())
    }

    /// What a room is. Of one that does not show itself to the user any more only its id is known.
    async fn room_line(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        membership: &MembershipRecord,
        messages: &str,
    ) -> Result<Value> {
        let summary = match self.rooms.summary(user_id.server_name(), Some(user_id), room_id).await {
            Ok((summary, _)) => summary,
            Err(RoomsError::NotFound(_)) => RoomSummary::default(),
            Err(error) => return Err(error.into()),
        };
        let links = self.rooms.own_join_links(user_id, room_id).await?.into_iter().map(|link| {
            json!({ "token": link.token, "made_ts": link.made_ts, "expires_ts": link.expires_ts, "uses": link.uses })
        });
        Ok(json!({
            "room_id": room_id,
            "membership": membership.membership.as_str(),
            "is_forgotten": membership.forgotten,
            "name": summary.name,
            "topic": summary.topic,
            "avatar_url": summary.avatar_url,
            "room_type": summary.room_type,
            "encryption": summary.encryption,
            "join_links": links.collect::<Vec<_>>(),
            "messages": messages,
        }))
    }

    /// The whole timeline is read for it, a part at a time.
    async fn add_messages(
        &self,
        archive: &mut Archive,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        file: &str,
    ) -> Result<()> {
        archive.begin_lines(file)?;
        let mut after = Some(0);
        while let Some(place) = after {
            let own = self.rooms.own_events(user_id, room_id, place).await?;
            for event in &own.events {
                archive.add_line(event).await?;
            }
            // Others may have said so much that no piece is sent for long.
            archive.check_session().await?;
            after = own.next;
        }
        Ok(())
    }

    /// Adds media; returns the names of the files that are not whole.
    async fn add_media(&self, archive: &mut Archive, user_id: &OwnedUserId) -> Result<Vec<String>> {
        archive.begin_lines("media.ndjson")?;
        let mut last: Option<String> = None;
        while let Some(id) = self.add_media_lines(archive, user_id, last.as_deref()).await? {
            last = Some(id);
        }
        last = None;
        let mut missing = Vec::new();
        loop {
            let media = self.media.list_own(user_id, last.as_deref(), BATCH, (self.clock)()).await?;
            for (id, record) in media.iter().filter_map(|(id, record)| Some((id, record.as_ref()?))) {
                let name = media_file(id, record);
                if !self.add_content(archive, user_id, &name, record).await? {
                    missing.push(name);
                }
            }
            last = media.into_iter().last().map(|(id, _)| id);
            if last.is_none() {
                return Ok(missing);
            }
        }
    }

    /// A content that cannot be read to its end keeps nobody from the rest. Returns whether it is there and whole.
    async fn add_content(
        &self,
        archive: &mut Archive,
        user_id: &OwnedUserId,
        name: &str,
        record: &MediaRecord,
    ) -> Result<bool> {
        let file = self.media.own_file(user_id, record, (self.clock)());
        let Some(file) = file else { return Ok(false) };
        match file.read(0..file.size_bytes).await {
            Ok(content) => archive.add_content(name, file.size_bytes, content).await,
            Err(error) => {
                tracing::warn!(%error, %user_id, name, "a content is not in the archive of a person");
                Ok(false)
            }
        }
    }

    /// Adds a line for some of the user's media; returns the last of them, if there were any.
    async fn add_media_lines(
        &self,
        archive: &mut Archive,
        user_id: &OwnedUserId,
        after: Option<&str>,
    ) -> Result<Option<String>> {
        let media = self.media.list_own(user_id, after, BATCH, (self.clock)()).await?;
        for (id, record) in media.iter().filter_map(|(id, record)| Some((id, record.as_ref()?))) {
            let line = json!({
                "url": format!("mxc://{}/{id}", user_id.server_name()),
                "filename": record.filename,
                "content_type": record.content_type,
                "size_bytes": record.size_bytes,
                "created_ts": record.created_ts,
                "file": media_file(id, record),
            });
            archive.add_line(&line).await?;
        }
        Ok(media.into_iter().last().map(|(id, _)| id))
    }
}

#[derive(serde::Serialize)]
struct AccountDataLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<&'a OwnedRoomId>,
    #[serde(rename = "type")]
    event_type: &'a str,
    content: &'a RawValue,
}

/// Content that is stored as text.
fn parsed(content: &str) -> Option<&RawValue> {
    serde_json::from_str(content).ok()
}

/// Ids of rooms have characters that names of files cannot have everywhere.
fn messages_file(number: usize) -> String {
    format!("messages/{}.ndjson", number + 1)
}

/// The name of a content in the archive: its id, and the ending that says to programs what it is.
fn media_file(id: &str, record: &MediaRecord) -> String {
    let ending = record.filename.as_deref().and_then(|name| Some(name.rsplit_once('.')?.1));
    let is_plain = |ending: &&str| {
        (1..=ENDING_BYTES).contains(&ending.len()) && ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    match ending.filter(is_plain) {
        Some(ending) => format!("media/{id}.{ending}"),
        None => format!("media/{id}"),
    }
}

#[cfg(test)]
mod tests {
    use linkspan_storage::records::MediaRecord;
    use ruma::user_id;

    use super::media_file;

    #[test]
    fn what_people_call_a_file_is_no_path() {
        for (name, file) in [
            (Some("quay.jpg"), "media/abc.jpg"),
            (Some("quay.tar.GZ"), "media/abc.GZ"),
            (Some("../../etc/passwd"), "media/abc"),
            (Some("a./../../b"), "media/abc"),
            (Some("quay.a long ending"), "media/abc"),
            (Some("quay."), "media/abc"),
            (Some("quay"), "media/abc"),
            (None, "media/abc"),
        ] {
            let record = MediaRecord {
                expires_ts: None,
                quarantined: false,
                protected: false,
                user_id: user_id!("@anna:instagram.localhost").to_owned(),
                content_type: None,
                filename: name.map(str::to_owned),
                size_bytes: 1,
                created_ts: 1,
                object: None,
            };
            assert_eq!(media_file("abc", &record), file, "{name:?}");
        }
    }
}
