//! The hook of one platform.

use std::time::{Duration, Instant};

use linkspan_outbound::{Outbound, OutboundError, post_signed};
use linkspan_platforms::{HoldingLimits, OnFailure, PolicyHook, Shares, WaitingLimits};
use parking_lot::Mutex;
use rand::{RngExt as _, distr::Alphanumeric};
use reqwest::{StatusCode, Url};
use serde::Serialize;

use crate::{MAX_TIMEOUT, Question, Verdict, breaker::Breaker, question::read_answer};

/// How many questions to a hook are on their way at the same time. One sender, who can make it answer slowly, leaves half
/// of them to others: whoever waits too long is let through or refused without being asked about.
const AT_ONCE: HoldingLimits = HoldingLimits { per_who: 16, per_platform: 32, in_all: 32 };
/// The most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 4 << 10;
/// The length of the name that a question has in the operator's logs.
const ID_LENGTH: usize = 16;

/// A hook, and how it has done lately.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) settings: PolicyHook,
    slots: Shares,
    breaker: Mutex<Breaker>,
}

/// A hook gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("its address is no URL")]
    NoUrl,
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("it cannot be reached: {0}")]
    Http(reqwest::Error),
    #[error("it answered with the status {0}")]
    Status(StatusCode),
    #[error("its answer is too long")]
    TooLong,
    #[error("its answer makes no sense: {0}")]
    Nonsense(#[from] serde_json::Error),
    #[error("it took too long")]
    TooSlow,
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        // The address may hold a password, so it is left out.
        Self::Http(error.without_url())
    }
}

#[derive(Serialize)]
struct Body<'a> {
    id: String,
    #[serde(flatten)]
    question: &'a Question,
}

impl Hook {
    pub(crate) fn new(settings: PolicyHook) -> Self {
        Self { settings, slots: slots(), breaker: Mutex::default() }
    }

    /// The places that its questions share.
    pub(crate) fn places(&self) -> &Shares {
        &self.slots
    }

    /// Asks, or gives the answer that is set for a hook that fails.
    pub(crate) async fn ask(&self, outbound: &Outbound, question: &Question, now_ts: u64) -> Verdict {
        if !self.breaker.lock().lets_through(Instant::now()) {
            return self.on_failure();
        }
        let limit = Duration::from_millis(self.settings.timeout_ms).min(MAX_TIMEOUT);
        // That many ask at once says nothing about the hook, so waiting is no failure of it.
        let slot = self.slots.take(&question.platform, question.sender.as_str());
        let Ok(_slot) = tokio::time::timeout(limit, slot).await else {
            return self.on_failure();
        };
        let answer = tokio::time::timeout(limit, self.call(outbound, question, now_ts)).await;
        match answer.unwrap_or(Err(Failure::TooSlow)) {
            Ok(verdict) => {
                self.breaker.lock().succeeded();
                verdict
            }
            Err(failure) => {
                if self.breaker.lock().failed(Instant::now()) {
                    let platform = &question.platform;
                    tracing::warn!(%failure, %platform, "the policy hook fails, and is left alone for a while");
                }
                self.on_failure()
            }
        }
    }

    fn on_failure(&self) -> Verdict {
        match self.settings.on_failure {
            OnFailure::Allow => Verdict::Allow,
            OnFailure::Refuse => Verdict::Later,
        }
    }

    async fn call(&self, outbound: &Outbound, question: &Question, now_ts: u64) -> Result<Verdict, Failure> {
        let url = Url::parse(&self.settings.url).map_err(|_| Failure::NoUrl)?;
        let id = rand::rng().sample_iter(Alphanumeric).take(ID_LENGTH).map(char::from).collect();
        let body = serde_json::to_string(&Body { id, question })?;
        let request =
            post_signed(outbound.client_for(&url)?, url.clone(), &self.settings.secret, now_ts, body);
        let mut response = request.send().await?;
        if response.status() != StatusCode::OK {
            return Err(Failure::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(Failure::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(read_answer(&body)?)
    }
}

/// Nobody waits for longer than the hook may take, so there is no limit to those who wait.
fn slots() -> Shares {
    Shares::new_limited(AT_ONCE, WaitingLimits::NONE)
}

#[cfg(test)]
mod tests {
    use ruma::server_name;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_much_at_once_leaves_others_their_questions() {
        let (slots, here) = (slots(), server_name!("a.example"));
        let mut held = Vec::new();
        while let Ok(slot) = timeout(Duration::from_secs(1), slots.take(here, "@anna:a.example")).await {
            held.push(slot.expect("nobody is refused"));
        }
        assert_eq!(held.len(), AT_ONCE.per_who);
        slots.take(here, "@ben:b.example").await.expect("another sender is asked about");
    }
}
