//! What grows old is forgotten now and then: one table says what, how often, and by whom.

use std::time::Duration;

use futures_util::future::BoxFuture;
use linkspan_rooms::QUIET;
use linkspan_storage::using_reserve;
use ruma::OwnedServerName;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{Result, Services};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// A client that did not hear whether something was sent asks again within this time.
const TRANSACTION_LIFE_MS: u64 = DAY_MS;
/// A client that comes back after this time begins a new connection of sliding sync.
const CONNECTION_LIFE_MS: u64 = 30 * DAY_MS;

/// An operator who has not looked at a report in this time does not look at it any more.
const REPORT_LIFE_MS: u64 = 365 * DAY_MS;
/// What operators did is kept for those who look back over a year.
const ACTION_LIFE_MS: u64 = 400 * DAY_MS;
/// An operator who has not asked what became of a deletion in this time does not ask any more.
const DELETION_LIFE_MS: u64 = 30 * DAY_MS;

/// Something that is done now and then, the first time at the start. Each reads and writes in portions of bounded
/// size.
struct Sweep {
    /// What is swept, as the log names it.
    what: &'static str,
    every: Duration,
    /// The number is the time, in milliseconds since the Unix epoch.
    run: fn(&Services, u64) -> BoxFuture<'_, Result<()>>,
}

const SWEEPS: [Sweep; 18] = [
    Sweep {
        what: "what memory holds of who and what is idle",
        every: MINUTE,
        run: |all, _| Box::pin(async { all.forget_idle() }),
    },
    Sweep {
        what: "presence",
        every: MINUTE,
        run: |all, _| Box::pin(async { Ok(all.rooms.expire_presence(QUIET).await?) }),
    },
    Sweep {
        what: "messages that have disappeared",
        every: MINUTE,
        run: |all, now_ts| Box::pin(async move { Ok(all.rooms.erase_disappeared(now_ts).await?) }),
    },
    Sweep {
        what: "uploads that go with messages that have disappeared",
        every: MINUTE,
        run: |all, now_ts| Box::pin(async move { Ok(all.media.remove_expired(now_ts).await?) }),
    },
    Sweep {
        what: "what has expired of logging in",
        every: HOUR,
        run: |all, now_ts| Box::pin(all.expire_oauth(now_ts)),
    },
    Sweep {
        what: "addresses and numbers that nobody has confirmed",
        every: HOUR.saturating_mul(6),
        run: |all, now_ts| Box::pin(all.forget_validations(now_ts)),
    },
    Sweep {
        what: "codes that link accounts",
        every: HOUR,
        run: |all, now_ts| Box::pin(all.forget_link_offers(now_ts)),
    },
    Sweep {
        what: "handles that others can have again",
        every: HOUR.saturating_mul(6),
        run: |all, now_ts| Box::pin(all.forget_released_handles(now_ts)),
    },
    Sweep {
        what: "invitations by address that wait",
        every: HOUR.saturating_mul(6),
        run: |all, now_ts| Box::pin(async move { Ok(all.rooms.look_at_waiting(now_ts).await?) }),
    },
    Sweep {
        what: "links to rooms that have ended",
        every: HOUR.saturating_mul(6),
        run: |all, now_ts| Box::pin(async move { Ok(all.rooms.forget_join_links(now_ts).await?) }),
    },
    Sweep {
        what: "old transaction ids",
        every: HOUR.saturating_mul(6),
        run: |all, now_ts| {
            let before_ts = now_ts.saturating_sub(TRANSACTION_LIFE_MS);
            Box::pin(async move { Ok(all.rooms.forget_transactions(before_ts).await.map(drop)?) })
        },
    },
    Sweep {
        what: "unused connections of sliding sync",
        every: HOUR.saturating_mul(6),
        run: |all, now_ts| {
            let before_ts = now_ts.saturating_sub(CONNECTION_LIFE_MS);
            Box::pin(async move { Ok(all.sync.forget_connections(before_ts).await.map(drop)?) })
        },
    },
    Sweep {
        what: "old reports",
        every: DAY,
        run: |all, now_ts| Box::pin(all.forget_reports(now_ts.saturating_sub(REPORT_LIFE_MS))),
    },
    Sweep {
        what: "what operators did long ago",
        every: DAY,
        run: |all, now_ts| Box::pin(all.forget_actions(now_ts.saturating_sub(ACTION_LIFE_MS))),
    },
    Sweep {
        what: "rooms that were deleted some time ago",
        every: DAY,
        run: |all, now_ts| Box::pin(all.forget_room_deletions(now_ts.saturating_sub(DELETION_LIFE_MS))),
    },
    Sweep {
        what: "whom people approached weeks ago",
        every: DAY,
        run: |all, now_ts| Box::pin(async move { Ok(all.rooms.forget_approaches(now_ts).await?) }),
    },
    Sweep {
        what: "the number of buckets of addresses",
        every: DAY,
        run: |all, _| Box::pin(async { Ok(all.matching.fit_buckets().await?) }),
    },
    Sweep {
        what: "media without a record",
        every: DAY,
        run: |all, now_ts| Box::pin(all.remove_media_leftovers(now_ts)),
    },
];

impl Services {
    /// Sweeps for as long as it is polled. A sweep that takes long, or fails, holds up no other. `clock` says
    /// milliseconds since the Unix epoch.
    pub async fn sweep(self, clock: fn() -> u64) {
        let mut sweeps = JoinSet::new();
        for sweep in &SWEEPS {
            sweeps.spawn(self.clone().repeat(sweep, clock));
        }
        while let Some(ended) = sweeps.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a sweep broke off, and goes on with the next start");
            }
        }
    }

    async fn repeat(self, sweep: &Sweep, clock: fn() -> u64) {
        let mut every = interval(sweep.every);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            // What is swept makes room, sooner or later.
            if let Err(error) = using_reserve((sweep.run)(&self, clock())).await {
                tracing::warn!(%error, "{} could not be swept", sweep.what);
            }
        }
    }

    fn forget_idle(&self) -> Result<()> {
        self.inbox.forget_idle();
        self.rooms.forget_idle();
        self.platforms.iter().for_each(|platform| platform.rate_limiter.forget_idle());
        Ok(())
    }

    /// Does something for each platform. Fails with the last error, if there was one, once every platform had its turn.
    async fn on_each<F>(&self, sweep: impl Fn(Self, OwnedServerName) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        let mut outcome = Ok(());
        for platform in self.platforms.iter() {
            if let Err(error) = sweep(self.clone(), platform.server_name().clone()).await {
                outcome = Err(error);
            }
        }
        outcome
    }

    async fn expire_oauth(&self, now_ts: u64) -> Result<()> {
        let sweep = |all: Self, platform| async move { Ok(all.oauth.expire(&platform, now_ts).await?) };
        self.on_each(sweep).await
    }

    async fn forget_validations(&self, now_ts: u64) -> Result<()> {
        let sweep = |all: Self, platform| async move {
            Ok(all.accounts.forget_validations(&platform, now_ts).await?)
        };
        self.on_each(sweep).await
    }

    async fn forget_link_offers(&self, now_ts: u64) -> Result<()> {
        let sweep = |all: Self, platform| async move {
            Ok(all.accounts.forget_link_offers(&platform, now_ts).await?)
        };
        self.on_each(sweep).await
    }

    async fn forget_released_handles(&self, now_ts: u64) -> Result<()> {
        let sweep = |all: Self, platform| async move {
            Ok(all.accounts.forget_released_handles(&platform, now_ts).await?)
        };
        self.on_each(sweep).await
    }

    async fn forget_reports(&self, before_ts: u64) -> Result<()> {
        let sweep =
            |all: Self, platform| async move { Ok(all.rooms.forget_reports(&platform, before_ts).await?) };
        self.on_each(sweep).await
    }

    async fn forget_actions(&self, before_ts: u64) -> Result<()> {
        let sweep = |all: Self, platform| async move {
            Ok(all.operators.forget_actions(&platform, before_ts).await?)
        };
        self.on_each(sweep).await
    }

    async fn forget_room_deletions(&self, before_ts: u64) -> Result<()> {
        let sweep = |all: Self, platform| async move {
            Ok(all.rooms.forget_room_deletions(&platform, before_ts).await?)
        };
        self.on_each(sweep).await
    }

    async fn remove_media_leftovers(&self, now_ts: u64) -> Result<()> {
        let removed = self.media.remove_leftovers(now_ts).await?;
        if removed > 0 {
            tracing::info!(removed, "media without a record were removed");
        }
        Ok(())
    }
}
