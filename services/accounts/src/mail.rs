//! Mails: what they say, and how many may be sent. Another crate sends them.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use linkspan_platforms::Platform;
use ruma::ServerName;
use tokio::sync::Semaphore;

use crate::{Accounts, AccountsError, expiring::Expiring};

/// How many mails may be on their way at the same time.
const MAX_SENDING: usize = 64;
/// How many mails one address gets within [`WINDOW_MS`].
const MAX_PER_ADDRESS: u32 = 5;
/// The time in which the mails to an address are counted, in milliseconds.
const WINDOW_MS: u64 = 3_600_000;
/// How many addresses are counted at the same time.
const COUNTED: usize = 100_000;
/// How long somebody waits before trying again while too many mails are on their way.
const BUSY: Duration = Duration::from_secs(10);

/// A mail to one person.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The address.
    pub to: String,
    /// The subject, which is one line.
    pub subject: String,
    /// The text of the mail, without markup.
    pub text: String,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text holds a token, so it is not printed.
        f.debug_struct("Mail").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// A mail on its way. The error says why it was not taken.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Sends mails.
pub trait Mailer: Send + Sync {
    /// Sends a mail of a platform.
    fn send<'a>(&'a self, platform: &'a ServerName, mail: Mail) -> Sending<'a>;
}

/// What is known of mails on their way.
pub(crate) struct Outgoing {
    permits: Arc<Semaphore>,
    /// How many mails each address has got, with the end of the window in which they are counted.
    counts: Expiring<(u32, u64)>,
}

impl Outgoing {
    pub(crate) fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(MAX_SENDING)), counts: Expiring::new(COUNTED) }
    }

    /// Counts a mail to an address of a platform, or refuses it.
    fn count(&self, platform: &ServerName, address: &str, now_ts: u64) -> Result<(), AccountsError> {
        let name = format!("{platform}\0{address}");
        let (count, ends_ts) = self.counts.get(&name, now_ts).unwrap_or((0, now_ts + WINDOW_MS));
        if count >= MAX_PER_ADDRESS {
            let retry_after = Duration::from_millis(ends_ts.saturating_sub(now_ts));
            return Err(AccountsError::TooManyMails { retry_after });
        }
        self.counts.put(name, (count + 1, ends_ts), ends_ts);
        Ok(())
    }
}

impl Accounts {
    /// Whether a platform's users can be sent mails.
    pub fn sends_mails(&self, platform: &Platform) -> bool {
        platform.settings.email.is_some() && self.mailer.is_some()
    }

    /// Refuses a further mail to an address that has got too many.
    pub(crate) fn count_mail(
        &self,
        platform: &ServerName,
        address: &str,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        self.shared.mails.count(platform, address, now_ts)
    }

    /// Sends a mail. Nobody waits for it, because the time that it takes would tell what it says.
    pub(crate) fn send_mail(&self, platform: &ServerName, mail: Mail) -> Result<(), AccountsError> {
        let mailer = self.mailer.clone().ok_or(AccountsError::NoEmail)?;
        let permit = self.shared.mails.permits.clone().try_acquire_owned();
        let permit = permit.map_err(|_| AccountsError::TooManyMails { retry_after: BUSY })?;
        let platform = platform.to_owned();
        tokio::spawn(async move {
            if let Err(error) = mailer.send(&platform, mail).await {
                tracing::warn!(%error, %platform, "a mail could not be sent");
            }
            drop(permit);
        });
        Ok(())
    }
}
