//! Asking the hooks of operators: programs of their own that say whether somebody may approach a person who does not
//! know the sender.
//!
//! What a hook is asked and may answer stands in docs/guides/policy-hook.md, and whose hook is asked about what in
//! docs/decisions/0019-first-contact.md. A hook that is slow, down or talks nonsense holds nobody up for long: each
//! question has a time limit, a few are on their way at once, and one that has failed several times is left alone for
//! some seconds. What is taken for its answer then is a setting. This crate does not know rooms.

mod breaker;
mod hook;
mod question;

use std::{collections::HashMap, time::Duration};

use linkspan_outbound::Outbound;
use linkspan_platforms::{NamedShares, Platforms, PolicyCheck};
use ruma::{OwnedServerName, ServerName};

use crate::hook::Hook;
pub use crate::{breaker::PAUSE, question::Question};

/// No setting lets a hook take longer than this for an answer.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(10);

/// What becomes of an approach. Where several hooks are asked, the greatest holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It goes on.
    Allow,
    /// The person never learns of it, and the sender does not learn that.
    Ignore,
    /// Nobody can say it now: the sender may try again.
    Later,
    /// The sender is told that it is not allowed, in these words if there are any.
    Refuse(Option<String>),
}

/// The hooks of all platforms.
#[derive(Debug)]
pub struct Policy {
    outbound: Option<Outbound>,
    hooks: HashMap<OwnedServerName, Hook>,
}

impl Policy {
    /// The hooks that are set for the platforms.
    pub fn new(platforms: &Platforms) -> Self {
        let set = platforms.iter().filter_map(|platform| {
            let settings = platform.settings.policy.clone()?;
            Some((platform.server_name().clone(), Hook::new(settings)))
        });
        let hooks: HashMap<_, _> = set.collect();
        // The operator chose the address, which may be in the operator's own network.
        let outbound = (!hooks.is_empty()).then(|| Outbound::new(MAX_TIMEOUT, true));
        Self { outbound, hooks }
    }

    /// The places that the questions to each hook share, for operators.
    pub fn shares(&self) -> impl Iterator<Item = NamedShares> {
        self.hooks.values().map(|hook| ("hooks", hook.places().clone()))
    }

    /// Whether a platform has a hook that is asked about something.
    pub fn asks(&self, platform: &ServerName, check: PolicyCheck) -> bool {
        self.hooks.get(platform).is_some_and(|hook| hook.settings.checks.contains(&check))
    }

    /// Whether any platform has such a hook.
    pub fn asks_anybody(&self, check: PolicyCheck) -> bool {
        self.hooks.values().any(|hook| hook.settings.checks.contains(&check))
    }

    /// Whether a platform's hook is shown what events say.
    pub fn is_shown_content(&self, platform: &ServerName) -> bool {
        self.hooks.get(platform).is_some_and(|hook| hook.settings.content)
    }

    /// Asks the hook of the platform that the question is for. `now_ts`: milliseconds since the Unix epoch.
    pub async fn ask(&self, question: &Question, now_ts: u64) -> Verdict {
        match (self.hooks.get(&question.platform), &self.outbound) {
            (Some(hook), Some(outbound)) => hook.ask(outbound, question, now_ts).await,
            _ => Verdict::Allow,
        }
    }
}
