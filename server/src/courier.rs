//! Carrying messages to people: mails over SMTP, SMS over a gateway. A message that was not taken is sent again, a few
//! times within a minute or two: a code is worth nothing after ten.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use linkspan_accounts::{Courier, Message, Sending};
use linkspan_platforms::{Platform, PlatformCounts, Platforms, Sent};
use ruma::ServerName;
use tokio::time::Instant;

use crate::{mail::SmtpMailer, sms::SmsSender};

/// How often a message is tried.
const MAX_TRIES: u32 = 6;
/// How long a message is tried.
const MAX_TIME: Duration = Duration::from_secs(120);
/// How long the second try waits; each further one waits twice as long.
pub(crate) const FIRST_WAIT: Duration = Duration::from_secs(1);

/// What came of a try.
pub(crate) enum Outcome {
    Taken,
    /// It will not be taken, however often it is tried.
    Refused(String),
    /// It may be taken later, but not before this time has passed.
    Failed {
        why: String,
        not_before: Duration,
    },
}

impl Outcome {
    /// It may be taken later.
    pub(crate) fn failed(why: String) -> Self {
        Self::Failed { why, not_before: Duration::ZERO }
    }
}

/// The tries of one message.
pub(crate) struct Tries {
    first_wait: Duration,
    started: Instant,
    count: u32,
}

impl Tries {
    /// None yet.
    pub(crate) fn new(first_wait: Duration) -> Self {
        Self { first_wait, started: Instant::now(), count: 0 }
    }

    /// Waits for the next try if there is to be one, else says what came of the message.
    pub(crate) async fn go_on(&mut self, outcome: Outcome) -> ControlFlow<Result<(), String>> {
        let (why, not_before) = match outcome {
            Outcome::Taken => return ControlFlow::Break(Ok(())),
            Outcome::Refused(why) => return ControlFlow::Break(Err(why)),
            Outcome::Failed { why, not_before } => (why, not_before),
        };
        self.count += 1;
        let Some(wait) = next_wait(self.first_wait, self.count, not_before, self.started.elapsed()) else {
            return ControlFlow::Break(Err(format!("given up after {} tries: {why}", self.count)));
        };
        tokio::time::sleep(wait).await;
        ControlFlow::Continue(())
    }
}

/// How long to wait after so many tries. None if it is given up.
fn next_wait(first: Duration, tries: u32, not_before: Duration, elapsed: Duration) -> Option<Duration> {
    let wait = first.saturating_mul(1 << (tries - 1).min(16)).max(not_before);
    (tries < MAX_TRIES && elapsed.saturating_add(wait) < MAX_TIME).then_some(wait)
}

/// Carries the messages of all platforms.
pub(crate) struct Couriers {
    mails: SmtpMailer,
    sms: SmsSender,
    platforms: Arc<Platforms>,
}

impl Couriers {
    pub(crate) fn new(platforms: Arc<Platforms>) -> Self {
        Self { mails: SmtpMailer::new(), sms: SmsSender::new(), platforms }
    }

    /// Sends by the settings that a platform has now, and counts what became of the message.
    async fn send_for(&self, platform: &Platform, message: Message) -> Result<(), String> {
        let of: fn(&PlatformCounts) -> &Sent = match message {
            Message::Mail(_) => |counts| &counts.mails,
            Message::Sms(_) => |counts| &counts.sms,
        };
        let sent = match message {
            Message::Mail(mail) => self.mails.send(&platform.settings, mail).await,
            Message::Sms(sms) => self.sms.send(&platform.settings, sms).await,
        };
        match &sent {
            Ok(()) => of(&platform.counts).sent.note(),
            Err(_) => of(&platform.counts).failed.note(),
        }
        sent
    }
}

impl Courier for Couriers {
    fn send<'a>(&'a self, platform: &'a ServerName, message: Message) -> Sending<'a> {
        Box::pin(async move {
            let platform = self.platforms.get(platform).ok_or("this platform is not hosted here")?;
            self.send_for(&platform, message).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let wait = |tries, not_before: u64, elapsed: u64| {
            let (not_before, elapsed) = (Duration::from_secs(not_before), Duration::from_secs(elapsed));
            next_wait(FIRST_WAIT, tries, not_before, elapsed).map(|wait| wait.as_secs())
        };
        assert_eq!(
            [1, 2, 3, 4, 5, 6].map(|tries| wait(tries, 0, 0)),
            [Some(1), Some(2), Some(4), Some(8), Some(16), None]
        );
        assert_eq!(wait(1, 30, 0), Some(30), "the other side says when");
        assert_eq!(wait(1, 600, 0), None, "but a code does not last so long");
        assert_eq!(wait(1, u64::MAX, 0), None);
        assert_eq!((wait(2, 0, 117), wait(2, 0, 118)), (Some(2), None));
    }

    #[tokio::test]
    async fn what_fails_is_given_up_and_what_is_refused_is_not_tried_again() {
        let tries_of = async |outcome: fn() -> Outcome| {
            let mut tries = Tries::new(Duration::ZERO);
            for count in 1.. {
                if let ControlFlow::Break(sent) = tries.go_on(outcome()).await {
                    return (sent, count);
                }
            }
            unreachable!("it ends")
        };
        let (sent, tries) = tries_of(|| Outcome::failed("it is down".into())).await;
        assert_eq!((sent, tries), (Err("given up after 6 tries: it is down".into()), MAX_TRIES));
        assert_eq!(tries_of(|| Outcome::Refused("no".into())).await, (Err("no".into()), 1));
        assert_eq!(tries_of(|| Outcome::Taken).await, (Ok(()), 1));
    }
}
