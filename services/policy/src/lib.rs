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

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use linkspan_outbound::Outbound;
use linkspan_platforms::{NamedShares, Platforms, PolicyCheck, PolicyHook};
use parking_lot::Mutex;
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
    platforms: Arc<Platforms>,
    /// It is made when the first question is asked.
    outbound: OnceLock<Outbound>,
    /// The hooks that are set, each once it was needed.
    hooks: Mutex<HashMap<OwnedServerName, Arc<Hook>>>,
}

impl Policy {
    /// The hooks that are set for the platforms, at the time when somebody is to be asked about.
    pub fn new(platforms: Arc<Platforms>) -> Self {
        Self { platforms, outbound: OnceLock::new(), hooks: Mutex::default() }
    }

    /// The places that the questions to each hook share, for operators.
    pub fn shares(&self) -> impl Iterator<Item = NamedShares> {
        let hooks: Vec<_> = self.platforms.iter().filter_map(|it| self.hook(it.server_name())).collect();
        hooks.into_iter().map(|hook| ("hooks", hook.places().clone()))
    }

    /// Whether a platform has a hook that is asked about something.
    pub fn asks(&self, platform: &ServerName, check: PolicyCheck) -> bool {
        self.set_for(platform, |hook| hook.checks.contains(&check))
    }

    /// Whether any platform has such a hook.
    pub fn asks_anybody(&self, check: PolicyCheck) -> bool {
        let asks = |hook: &PolicyHook| hook.checks.contains(&check);
        self.platforms.iter().any(|platform| platform.settings.policy.as_ref().is_some_and(asks))
    }

    /// Whether a platform's hook is shown what events say.
    pub fn is_shown_content(&self, platform: &ServerName) -> bool {
        self.set_for(platform, |hook| hook.content)
    }

    fn set_for(&self, platform: &ServerName, says: impl FnOnce(&PolicyHook) -> bool) -> bool {
        let platform = self.platforms.get(platform);
        platform.is_some_and(|platform| platform.settings.policy.as_ref().is_some_and(says))
    }

    /// The hook of a platform. How it has done lately counts no more once its settings have changed.
    fn hook(&self, platform: &ServerName) -> Option<Arc<Hook>> {
        let platform = self.platforms.get(platform)?;
        let settings = platform.settings.policy.as_ref()?;
        let mut hooks = self.hooks.lock();
        match hooks.get(platform.server_name()) {
            Some(known) if known.settings == *settings => Some(known.clone()),
            _ => {
                let hook = Arc::new(Hook::new(settings.clone()));
                hooks.insert(platform.server_name().clone(), hook.clone());
                Some(hook)
            }
        }
    }

    /// Asks the hook of the platform that the question is for. `now_ts`: milliseconds since the Unix epoch.
    pub async fn ask(&self, question: &Question, now_ts: u64) -> Verdict {
        // The operator chose the address, which may be in the operator's own network.
        let outbound = || Outbound::new(MAX_TIMEOUT, true);
        match self.hook(&question.platform) {
            Some(hook) => hook.ask(self.outbound.get_or_init(outbound), question, now_ts).await,
            None => Verdict::Allow,
        }
    }
}
