//! Taking reports of rooms, messages and people, and telling them to the operators whom they concern.
//! <https://spec.matrix.org/v1.19/client-server-api/#reporting-content>
//!
//! Each platform that a report concerns gets a row of its own, with what it may know, and closes it by itself.

use std::time::Duration;

use linkspan_domain::{ClientEvent, Unsigned};
use linkspan_storage::{
    Position, Range, WriteSet,
    catalogue::{ReportKey, Reports, UserReportKey, UserReports},
    records::{ReportRecord, UserReportRecord},
};
use ruma::{OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId};
use serde_json::{Map, Value};

use crate::{Result, Rooms, RoomsError, View, events::TimelineEvent, read::no_such_event};

/// The longest reason, in bytes.
const MAX_REASON_BYTES: usize = 4_096;
/// The greatest event that a reporter discloses, as JSON, in bytes: as large as an event of a room can be.
const MAX_CONTENT_BYTES: usize = 65_536;
/// How many reports are kept of a person. They are forgotten after a year.
const MAX_REPORTS: usize = 500;
/// When somebody with as many may try again: those that are a year old are forgotten once a day.
const RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// What is reported.
#[derive(Clone, Debug)]
pub enum Reported {
    /// A room.
    Room(OwnedRoomId),
    /// An event.
    Event(OwnedRoomId, OwnedEventId),
    /// A user.
    User(OwnedUserId),
}

/// A report, as somebody makes it.
#[derive(Clone, Debug)]
pub struct NewReport {
    /// What is reported.
    pub reported: Reported,
    /// Why.
    pub reason: Option<String>,
    /// How bad it is, from -100, the worst, to 0.
    pub score: Option<i64>,
    /// What more operators may know.
    pub disclosed: Disclosed,
}

/// What somebody who reports chooses to disclose.
#[derive(Clone, Debug, Default)]
pub struct Disclosed {
    /// The event in the clear, as the reporter's client has it. It matters for encrypted events only: the server knows what
    /// others say.
    pub content: Option<Map<String, Value>>,
    /// Whether the platform of whoever is reported learns who reports.
    pub reporter: bool,
}

/// What a report is about, and what the server knows of it.
struct Subject {
    room_id: Option<OwnedRoomId>,
    event_id: Option<OwnedEventId>,
    user_id: Option<OwnedUserId>,
    /// The platform that answers for it.
    platform: OwnedServerName,
    content: Option<String>,
    /// It is a person who has no account. Nobody has to be told, but whoever reports does not learn it.
    is_nobody: bool,
}

impl Rooms {
    /// Takes a report, for the operators of the reporter's platform and of the platform that answers for what is reported,
    /// if that is hosted, too.
    pub async fn report(&self, reporter: &OwnedUserId, report: NewReport, now_ts: u64) -> Result<()> {
        let NewReport { reported, reason, score, disclosed } = report;
        if reason.as_ref().is_some_and(|reason| reason.len() > MAX_REASON_BYTES) {
            return Err(RoomsError::TooLarge(format!("the reason has more than {MAX_REASON_BYTES} bytes")));
        }
        let claimed = check_content(&reported, disclosed.content)?;
        let subject = self.subject_of(reporter, reported).await?;
        let is_claimed = subject.content.is_none() && claimed.is_some();
        let own = ReportRecord {
            reporter: Some(reporter.clone()),
            room_id: subject.room_id,
            event_id: subject.event_id,
            user_id: subject.user_id,
            reason,
            score,
            ts: now_ts,
            content: subject.content.or(claimed),
            is_claimed,
            closed_ts: None,
            note: None,
        };
        if subject.is_nobody {
            // It counts for the reporter all the same, and is in the archive of their data.
            return self.put_report(reporter, Vec::new(), Some(own)).await;
        }
        let mut told = vec![(reporter.server_name().to_owned(), own.clone())];
        if subject.platform != *reporter.server_name() && self.shared.platforms.hosts(&subject.platform) {
            let named = disclosed.reporter.then(|| reporter.clone());
            told.push((subject.platform, ReportRecord { reporter: named, ..own }));
        }
        self.put_report(reporter, told, None).await
    }

    async fn subject_of(&self, reporter: &OwnedUserId, reported: Reported) -> Result<Subject> {
        let of = |platform: &OwnedUserId| Subject {
            room_id: None,
            event_id: None,
            user_id: None,
            platform: platform.server_name().to_owned(),
            content: None,
            is_nobody: false,
        };
        match reported {
            Reported::Room(room_id) => {
                let room = self.room(&room_id).await?;
                Ok(Subject { room_id: Some(room_id), ..of(&room.record.creator) })
            }
            Reported::Event(room_id, event_id) => {
                let mut view = self.view(reporter, &room_id).await.map_err(|error| match error {
                    RoomsError::Forbidden(_) | RoomsError::NotFound(_) => no_such_event(),
                    error => error,
                })?;
                // A user may report what somebody said whom the user ignores.
                let event = self.visible_event(&mut view, &event_id).await?;
                let (sender, content) = (event.pdu.sender.clone(), self.said(&mut view, &event).await?);
                let (room_id, event_id) = (Some(room_id), Some(event_id));
                Ok(Subject { room_id, event_id, user_id: Some(sender.clone()), content, ..of(&sender) })
            }
            Reported::User(user_id) => {
                if !self.shared.platforms.hosts(user_id.server_name()) {
                    return Err(RoomsError::NotFound("this user's server cannot be reached".into()));
                }
                let is_nobody = !self.shared.accounts.is_active(&user_id).await?;
                Ok(Subject { user_id: Some(user_id.clone()), is_nobody, ..of(&user_id) })
            }
        }
    }

    /// An event as the reporter may see it; None if it is encrypted.
    async fn said(&self, view: &mut View, event: &TimelineEvent) -> Result<Option<String>> {
        if event.pdu.event_type == ruma::events::TimelineEventType::RoomEncrypted {
            return Ok(None);
        }
        let pdu = self.copy_for(view, event).await?;
        Ok(Some(ClientEvent::new(&pdu, Unsigned::default()).to_json().get().to_owned()))
    }

    /// Writes a report for each platform that it concerns, and where they are; or one that concerns none.
    async fn put_report(
        &self,
        reporter: &OwnedUserId,
        told: Vec<(OwnedServerName, ReportRecord)>,
        untold: Option<ReportRecord>,
    ) -> Result<()> {
        let of_user = Range::<UserReports>::prefix((reporter,)).limit(MAX_REPORTS);
        if self.store().keys(of_user).await?.len() >= MAX_REPORTS {
            return Err(RoomsError::TooManyReports { retry_after: RETRY_AFTER });
        }
        self.store()
            .update(async || {
                let mut writes = WriteSet::new();
                // Whoever is deactivated meanwhile is named in no report.
                self.shared.accounts.expect_active(&mut writes, reporter).await?;
                for (platform, record) in &told {
                    let key = ReportKey { platform: platform.clone(), position: Position::PENDING };
                    writes.put::<Reports>(&key, record);
                }
                let key = UserReportKey { user_id: reporter.clone(), position: Position::PENDING };
                let platforms = told.iter().map(|(platform, _)| platform.clone()).collect();
                writes.put::<UserReports>(&key, &UserReportRecord { platforms, untold: untold.clone() });
                Ok::<_, RoomsError>((writes, ()))
            })
            .await
    }
}

/// The event that a reporter discloses, as JSON. Refuses one that belongs to no message, or is too large.
fn check_content(reported: &Reported, content: Option<Map<String, Value>>) -> Result<Option<String>> {
    let Some(content) = content else { return Ok(None) };
    if !matches!(reported, Reported::Event(..)) {
        return Err(RoomsError::Invalid("content is disclosed of messages only".into()));
    }
    let json = Value::Object(content).to_string();
    if json.len() > MAX_CONTENT_BYTES {
        return Err(RoomsError::TooLarge(format!("the content has more than {MAX_CONTENT_BYTES} bytes")));
    }
    Ok(Some(json))
}
