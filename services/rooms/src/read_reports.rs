//! Reading, closing and forgetting reports, each platform's by itself.

use linkspan_storage::{
    Position, Range, WriteSet,
    catalogue::{ReportKey, Reports, UserReportKey, UserReports},
    records::ReportRecord,
};
use ruma::{OwnedServerName, OwnedUserId, ServerName};

use crate::{Result, Rooms, RoomsError};

/// The longest note of an operator, in bytes.
const MAX_NOTE_BYTES: usize = 4_096;
/// How many reports are read at a time to be forgotten.
const SWEEP: usize = 1_000;

/// A report that a platform's operators were told.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// By this number the platform's operators know it. Another platform's may have the same.
    pub number: u64,
    /// What they were told, and whether they have closed it.
    pub record: ReportRecord,
}

impl Rooms {
    /// A page of a platform's reports, oldest first, those after the one with the number `after`.
    pub async fn list_reports(
        &self,
        platform: &OwnedServerName,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Report>> {
        let mut range = Range::<Reports>::prefix((platform,)).limit(limit);
        if let Some(after) = after {
            range = range.after(&report_key(platform, after));
        }
        let rows = self.store().range(range).await?;
        let report = |(key, record): (ReportKey, ReportRecord)| Report { number: key.position.get(), record };
        Ok(rows.into_iter().map(report).collect())
    }

    /// A report of a platform.
    pub async fn get_report(&self, platform: &ServerName, number: u64) -> Result<Option<Report>> {
        let record = self.store().get::<Reports>(&report_key(platform, number)).await?;
        Ok(record.map(|record| Report { number, record }))
    }

    /// Closes a report of a platform, with a note if there is something to say. A report that is closed already keeps
    /// its note unless there is another.
    pub async fn close_report(
        &self,
        platform: &ServerName,
        number: u64,
        note: Option<String>,
        now_ts: u64,
    ) -> Result<()> {
        if note.as_ref().is_some_and(|note| note.len() > MAX_NOTE_BYTES) {
            return Err(RoomsError::TooLarge(format!("the note has more than {MAX_NOTE_BYTES} bytes")));
        }
        let key = report_key(platform, number);
        let changed = self
            .change_report(&key, |record| {
                record.closed_ts = Some(now_ts);
                if note.is_some() {
                    record.note.clone_from(&note);
                }
            })
            .await?;
        if changed { Ok(()) } else { Err(RoomsError::NotFound("there is no such report".into())) }
    }

    /// Takes the name of a user whose account goes out of what the user has reported.
    pub(crate) async fn remove_reporter(&self, user_id: &OwnedUserId) -> Result<()> {
        for (key, told) in self.store().range::<UserReports>(Range::prefix((user_id,))).await? {
            for platform in told.platforms {
                let key = ReportKey { platform, position: key.position };
                self.change_report(&key, |record| record.reporter = None).await?;
            }
        }
        Ok(self.store().delete_range::<UserReports>(Range::prefix((user_id,))).await?)
    }

    /// Forgets a platform's reports that were made before a time, in portions, and those of its people of which nobody
    /// was told.
    pub async fn forget_reports(&self, platform: &OwnedServerName, before_ts: u64) -> Result<()> {
        while self.forget_some_reports(platform, before_ts).await? {}
        self.forget_untold_reports(platform, before_ts).await
    }

    async fn forget_untold_reports(&self, platform: &OwnedServerName, before_ts: u64) -> Result<()> {
        let mut last: Option<UserReportKey> = None;
        loop {
            let range = Range::<UserReports>::prefix_platform((), platform).limit(SWEEP);
            let rows = self.store().range(range.after_last(last.as_ref())).await?;
            let mut writes = WriteSet::new();
            for (key, own) in &rows {
                // An earlier version kept nothing of them but that there are some.
                let is_old = own.untold.as_ref().is_none_or(|untold| untold.ts < before_ts);
                if own.platforms.is_empty() && is_old {
                    writes.delete::<UserReports>(key);
                }
            }
            self.store().commit(writes).await?;
            last = rows.into_iter().last().map(|(key, _)| key);
            if last.is_none() {
                return Ok(());
            }
        }
    }

    /// Forgets a portion of them. Returns whether there may be more.
    async fn forget_some_reports(&self, platform: &OwnedServerName, before_ts: u64) -> Result<bool> {
        let range = Range::<Reports>::prefix((platform,)).limit(SWEEP);
        let old: Vec<_> = self.store().range(range).await?;
        let old: Vec<_> = old.into_iter().take_while(|(_, record)| record.ts < before_ts).collect();
        let may_be_more = old.len() == SWEEP;
        let mut writes = WriteSet::new();
        for (key, record) in old {
            writes.delete::<Reports>(&key);
            if let Some(user_id) = record.reporter.filter(|reporter| reporter.server_name() == platform) {
                writes.delete::<UserReports>(&UserReportKey { user_id, position: key.position });
            }
        }
        self.store().commit(writes).await?;
        Ok(may_be_more)
    }

    /// Changes a report. False: there is none.
    async fn change_report(&self, key: &ReportKey, change: impl Fn(&mut ReportRecord)) -> Result<bool> {
        self.store()
            .update(async || {
                let mut writes = WriteSet::new();
                let Some(record) = self.store().get::<Reports>(key).await? else {
                    return Ok((writes, false));
                };
                let mut changed = record.clone();
                change(&mut changed);
                writes.expect::<Reports>(key, &record);
                writes.put::<Reports>(key, &changed);
                Ok::<_, RoomsError>((writes, true))
            })
            .await
    }
}

fn report_key(platform: &ServerName, number: u64) -> ReportKey {
    ReportKey { platform: platform.to_owned(), position: Position::from_u64(number) }
}
