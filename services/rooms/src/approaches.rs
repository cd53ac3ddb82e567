//! Approaching people who do not know the sender: how often somebody may, and what somebody may send before they
//! have answered.
//!
//! It is asked at the door (`door.rs`) before anything about the people who are approached: whether they have accounts
//! or whom they ignore makes no difference. How many times a day is one rule (`domain/src/first_contact.rs`), and
//! docs/decisions/0019-first-contact.md says why.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use linkspan_domain::{ANSWER_DAYS, DAYS_TO_ANSWER, FirstContacts, Pdu, approaches_per_day};
use linkspan_platforms::{Counted, Limits, Platform, RateClass};
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{ApproachCounts, ApproachKey, Approaches, Members, RoomUserKey, UserKey},
    records::ApproachCountsRecord,
};
use ruma::{
    OwnedUserId,
    events::{TimelineEventType, room::member::MembershipState},
};

use serde::de::IgnoredAny;

use crate::{Result, Rooms, RoomsError, append::Append, door::Coming};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// How many approaches of a user are looked at when a day begins: as many as the limits that are set by default allow in
/// the days that count.
const MAX_LOOKED_AT: usize = 200 * ANSWER_DAYS as usize;
/// How many approaches are read at a time to be forgotten.
const SWEPT_AT_ONCE: usize = 1_000;

/// What an append counts of approaches.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    /// The sender's count as staged.
    staged: Option<ApproachCountsRecord>,
    /// What counts against the limits between platforms.
    between_platforms: Vec<Counted>,
}

impl Counting {
    /// Keeps what was counted: it is on its way to the disk.
    pub(crate) fn keep(self) {
        self.between_platforms.into_iter().for_each(Counted::keep);
    }
}

impl Append {
    /// Whether an invitation goes to somebody who does not know its sender. Common rooms make nobody known: anybody can
    /// join a public one. Whoever has asked to be let in is answered, and not approached, and an account that comes along
    /// with another of the same person is not approached besides.
    pub(crate) async fn is_approach(&self, coming: &Coming<'_>) -> Result<bool> {
        let is_answered = self.is_wanted || coming.before == Some(MembershipState::Knock);
        if is_answered || self.arrives_for.is_some() {
            return Ok(false);
        }
        Ok(!self.rooms.shared.contacts.is_contact(&coming.user_id, &coming.event.sender).await?)
    }

    /// Counts an approach, or refuses it because there were too many.
    pub(crate) async fn count_approach(&mut self, coming: &Coming<'_>) -> Result<()> {
        let sender = &coming.event.sender;
        let own = self.rooms.platform_of(sender)?;
        if self.rooms.is_greeter(&own, sender).await? {
            return Ok(());
        }
        self.count_for_sender(&own, coming).await?;
        let other = self.rooms.platform_of(&coming.user_id)?;
        if other.server_name() != own.server_name() {
            let counted = other.count(RateClass::Strangers, own.server_name().as_str());
            let too_many = |limited: linkspan_platforms::Limited| RoomsError::TooManyStrangers {
                retry_after: limited.retry_after,
            };
            self.counting.between_platforms.push(counted.map_err(too_many)?);
        }
        Ok(())
    }

    async fn count_for_sender(&mut self, platform: &Platform, coming: &Coming<'_>) -> Result<()> {
        let Limits { strangers_per_day: first, strangers_per_day_max: most, .. } = platform.settings.limits;
        if !platform.settings.rate_limits || first == 0 {
            return Ok(());
        }
        let (sender, now_ts) = (&coming.event.sender, u64::from(self.now.get()));
        let before = match self.counting.staged.take() {
            Some(staged) => staged,
            None => self.expect_count(sender, now_ts).await?,
        };
        let account = self.rooms.shared.accounts.expect_active(&mut self.writes, sender).await?;
        let created_ts = account.map_or(now_ts, |account| account.created_ts);
        let known = FirstContacts {
            age_ms: now_ts.saturating_sub(created_ts),
            approached: before.approached,
            accepted: before.accepted,
        };
        if before.count >= approaches_per_day(first, most, known) {
            let retry_after = Duration::from_millis(((before.day + 1) * DAY_MS).saturating_sub(now_ts));
            return Err(RoomsError::TooManyStrangers { retry_after });
        }
        let after = ApproachCountsRecord { count: before.count + 1, ..before };
        self.writes.put::<ApproachCounts>(&UserKey { user_id: sender.clone() }, &after);
        self.counting.staged = Some(after);
        Ok(())
    }

    /// Notes whom a counted approach went to, so that it is known later whether they have come. Who is brought in
    /// without being asked has said nothing about the sender.
    pub(crate) fn note_approach(&mut self, coming: &Coming<'_>) {
        let Some(ApproachCountsRecord { day, .. }) = self.counting.staged else { return };
        if self.brings_in(coming.event) {
            return;
        }
        let (user_id, other) = (coming.event.sender.clone(), coming.user_id.clone());
        let key = ApproachKey { user_id, day, other, room_id: self.room.id.clone() };
        self.writes.put::<Approaches>(&key, &());
    }

    /// What a user has counted today, which must not change until the append is committed.
    async fn expect_count(&mut self, user_id: &OwnedUserId, now_ts: u64) -> Result<ApproachCountsRecord> {
        if self.staged.is_empty() {
            // What the user did in this room just before may still be queued, and would be in the way.
            self.settle().await?;
        }
        let key = UserKey { user_id: user_id.clone() };
        let stored = self.rooms.store().get::<ApproachCounts>(&key).await?;
        self.writes.expect_read::<ApproachCounts>(&key, stored.as_ref());
        let day = now_ts / DAY_MS;
        // If the clock was put back, the day that was counted is the one that goes on.
        match stored.filter(|stored| stored.day >= day) {
            Some(today) => Ok(today),
            None => self.rooms.begin_day(user_id, day).await,
        }
    }

    /// Counts an event that waits for an answer ([`Self::waits_for_answer`]), or refuses it because enough was sent.
    pub(crate) async fn count_unanswered(&mut self, event: &Pdu) -> Result<()> {
        let platform = self.rooms.platform_of(&event.sender)?;
        if !platform.settings.rate_limits || self.rooms.is_greeter(&platform, &event.sender).await? {
            return Ok(());
        }
        let Limits { unanswered_messages: most, unanswered_bytes: most_bytes, .. } = platform.settings.limits;
        let count = self.head.unanswered.saturating_add(1);
        let bytes = self.head.unanswered_bytes.saturating_add(event.content.get().len() as u64);
        if (most > 0 && count > most) || (most_bytes > 0 && bytes > most_bytes) {
            return Err(RoomsError::Unanswered);
        }
        (self.head.unanswered, self.head.unanswered_bytes) = (count, bytes);
        Ok(())
    }

    /// Whether a membership only changes what a member is called.
    fn is_own_name(&self, event: &Pdu) -> bool {
        event.membership() == Some(MembershipState::Join)
            && event.state_key.as_deref() == Some(event.sender.as_str())
            && self.members.contains(&event.sender)
    }

    /// Whether an event is sent to people who have not answered the invitation to this room, in which nobody else is but
    /// the sender. The head says so, which is in memory. Invitations have limits of their own, and to take something back
    /// needs no words; but a name of one's own, or the reason of a redaction, says something.
    pub(crate) fn waits_for_answer(&self, event: &Pdu) -> bool {
        let waits = self.head.joined == 1 && self.head.invited > 0 && !self.from_elsewhere;
        waits
            && match event.event_type {
                TimelineEventType::RoomMember => self.is_own_name(event) || gives_reason(event),
                TimelineEventType::RoomRedaction => gives_reason(event),
                TimelineEventType::RoomThirdPartyInvite => !self.invites_by_address,
                _ => true,
            }
    }
}

/// Whether an event says why it is sent.
fn gives_reason(event: &Pdu) -> bool {
    let content = event.content_as::<BTreeMap<&str, IgnoredAny>>();
    content.is_some_and(|content| content.contains_key("reason"))
}

impl Rooms {
    /// Whether the limits on approaching people do not hold for somebody.
    async fn is_greeter(&self, platform: &Platform, user_id: &OwnedUserId) -> Result<bool> {
        if platform.settings.greeters.contains(user_id) {
            return Ok(true);
        }
        if self.shared.accounts.is_notices_account(user_id).await? {
            return Ok(true);
        }
        Ok(self.shared.accounts.account(user_id).await?.is_some_and(|account| account.admin))
    }

    /// The count of a user for a new day, with what has become of the approaches of the weeks before.
    async fn begin_day(&self, user_id: &OwnedUserId, day: u64) -> Result<ApproachCountsRecord> {
        let first = day.saturating_sub(ANSWER_DAYS);
        let range = Range::<Approaches>::between((user_id, &first), (user_id, &day)).limit(MAX_LOOKED_AT);
        let approaches = self.store().keys(range).await?;
        let members: Vec<_> = approaches
            .iter()
            .map(|approach| RoomUserKey {
                room_id: approach.room_id.clone(),
                user_id: approach.other.clone(),
            })
            .collect();
        let members = self.store().get_many::<Members>(&members).await?;
        let mut people: HashMap<&OwnedUserId, bool> = HashMap::new();
        for (approach, member) in approaches.iter().zip(members) {
            let has_come = member.is_some_and(|member| member.membership == MembershipState::Join);
            if has_come || approach.day.saturating_add(DAYS_TO_ANSWER) < day {
                *people.entry(&approach.other).or_default() |= has_come;
            }
        }
        let count = |people: usize| u32::try_from(people).unwrap_or(u32::MAX);
        Ok(ApproachCountsRecord {
            day,
            count: 0,
            approached: count(people.len()),
            accepted: count(people.values().filter(|has_come| **has_come).count()),
        })
    }

    /// Forgets approaches whose answers do not count any more.
    pub async fn forget_approaches(&self, now_ts: u64) -> Result<()> {
        let first = (now_ts / DAY_MS).saturating_sub(ANSWER_DAYS);
        let mut last = None;
        loop {
            let range = match &last {
                Some(key) => Range::<Approaches>::all().after(key),
                None => Range::all(),
            };
            let approaches = self.store().keys(range.limit(SWEPT_AT_ONCE)).await?;
            last = approaches.last().cloned();
            if last.is_none() {
                return Ok(());
            }
            let mut writes = WriteSet::new();
            let old = approaches.iter().filter(|approach| approach.day < first);
            old.for_each(|approach| writes.delete::<Approaches>(approach));
            self.store().commit(writes).await?;
            tokio::task::yield_now().await;
        }
    }

    /// Forgets whom a user whose account is gone has approached.
    pub(crate) async fn remove_approaches(&self, user_id: &OwnedUserId) -> Result<()> {
        let mut writes = WriteSet::new();
        writes.delete::<ApproachCounts>(&UserKey { user_id: user_id.clone() });
        self.store().commit(writes).await?;
        Ok(self.store().delete_range::<Approaches>(Range::prefix((user_id,))).await?)
    }
}
