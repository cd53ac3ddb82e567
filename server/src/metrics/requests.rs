//! Counting requests: by platform, by what is asked for, by what was answered, and how long it took.
//!
//! It is a few additions to memory for each request, and no lock.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use axum::response::Response;
use hyper::{Method, StatusCode, header::HeaderValue};
use linkspan_platforms::{Platform, Platforms};
use linkspan_storage::{Histogram, HistogramReading};
use linkspan_wire::{Asked, RequestId};

use crate::log::AnsweredRequest;

/// Bounds of how long answers take, in milliseconds. A sync that waits for news takes up to half a minute or more.
const DURATIONS_MS: &[u64] = &[5, 25, 100, 500, 2_500, 10_000, 35_000];

/// Bounds of how long it takes to send, in microseconds. They are finer, for the plots of operators.
const SENDS_US: &[u64] = &[
    500, 1_000, 2_000, 3_000, 5_000, 7_500, 10_000, 15_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000,
];

/// What stands for the platform of a request that none is served for, and for the route of one that has none.
const NONE: &str = "none";

/// The header of an answer that tells the name of the request.
const REQUEST_ID: &str = "x-request-id";

/// How often the log says how many requests were refused.
const REFUSALS_TOLD_EVERY: Duration = Duration::from_secs(60);

/// What is asked for, roughly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouteGroup {
    /// News, also by sliding sync.
    Sync,
    /// Sending and redacting events.
    Send,
    /// Messages to devices.
    ToDevice,
    /// Everything else about rooms.
    Rooms,
    /// Keys and their backups.
    Keys,
    /// Uploads, downloads, thumbnails, previews.
    Media,
    /// Logging in and out, and registering.
    LogIn,
    /// All other endpoints.
    Other,
    /// Pages, and what is not there.
    Pages,
}

impl RouteGroup {
    pub(crate) const ALL: [Self; 9] = [
        Self::Sync,
        Self::Send,
        Self::ToDevice,
        Self::Rooms,
        Self::Keys,
        Self::Media,
        Self::LogIn,
        Self::Other,
        Self::Pages,
    ];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Send => "send",
            Self::ToDevice => "to_device",
            Self::Rooms => "rooms",
            Self::Keys => "keys",
            Self::Media => "media",
            Self::LogIn => "log_in",
            Self::Other => "other",
            Self::Pages => "pages",
        }
    }

    /// The group of an endpoint's path, such as `/_matrix/client/v3/rooms/{room_id}/send/{eventType}/{txnId}`.
    fn of(route: Option<&'static str>) -> Self {
        let Some(route) = route else { return Self::Pages };
        // Before these stand an empty part, the name of the specification, the API and its version.
        let (mut parts, mut api) = (route.split('/').skip(4), route.split('/').skip(2));
        if api.next() == Some("media") {
            return Self::Media;
        }
        match parts.next() {
            Some("sync") => Self::Sync,
            Some("rooms") => match parts.nth(1) {
                Some("send" | "redact") => Self::Send,
                _ => Self::Rooms,
            },
            Some("join" | "knock" | "createRoom" | "publicRooms" | "joined_rooms" | "directory") => {
                Self::Rooms
            }
            Some("sendToDevice") => Self::ToDevice,
            Some("keys" | "room_keys") => Self::Keys,
            Some("media") => Self::Media,
            Some("login" | "logout" | "register" | "refresh" | "auth") => Self::LogIn,
            _ if route.starts_with("/_linkspan/oauth2/") => Self::LogIn,
            // Of MSC4186, which names itself before it.
            _ if route.ends_with("/sync") => Self::Sync,
            _ => Self::Other,
        }
    }
}

/// What became of a request, roughly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done.
    Success,
    /// Something is elsewhere, or has not changed.
    Redirection,
    /// It is not as it should be, or not allowed.
    ClientError,
    /// There was no room for it: 429.
    Limited,
    /// The server failed.
    ServerError,
    /// The client has gone before there was an answer.
    Gone,
}

impl Outcome {
    pub(crate) const ALL: [Self; 6] =
        [Self::Success, Self::Redirection, Self::ClientError, Self::Limited, Self::ServerError, Self::Gone];

    /// Its name: a class of statuses, or one of them.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::Limited => "429",
            Self::ServerError => "5xx",
            Self::Gone => "gone",
        }
    }

    fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            429 => Self::Limited,
            ..300 => Self::Success,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

/// What is counted of one group of one platform.
#[derive(Debug)]
pub(crate) struct GroupCounts {
    under_way: AtomicUsize,
    /// In the order of [`Outcome::ALL`].
    outcomes: [AtomicU64; Outcome::ALL.len()],
    durations_ms: Histogram,
}

impl GroupCounts {
    fn new() -> Self {
        Self {
            under_way: AtomicUsize::new(0),
            outcomes: Default::default(),
            durations_ms: Histogram::new(DURATIONS_MS),
        }
    }

    /// How many requests are being answered.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// How many requests ended so.
    pub(crate) fn ended(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Ordering::Relaxed)
    }

    /// How long answers took, in milliseconds.
    pub(crate) fn durations_ms(&self) -> HistogramReading {
        self.durations_ms.read()
    }
}

/// What is counted of one platform.
#[derive(Debug)]
pub(crate) struct PlatformCounts {
    /// Its server name.
    name: String,
    /// In the order of [`RouteGroup::ALL`].
    groups: [GroupCounts; RouteGroup::ALL.len()],
    /// How long it took to send, in microseconds.
    sends_us: Histogram,
}

/// All requests since the start.
#[derive(Debug)]
pub(crate) struct Requests {
    hosted: Arc<Platforms>,
    /// By the numbers of platforms. Those that have come since the start are added when they are first asked.
    platforms: ArcSwap<Vec<Arc<PlatformCounts>>>,
    /// Those for no platform.
    others: Arc<PlatformCounts>,
}

impl PlatformCounts {
    fn new(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            groups: std::array::from_fn(|_| GroupCounts::new()),
            sends_us: Histogram::new(SENDS_US),
        })
    }

    /// All counts, with the platform's server name.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&str, RouteGroup, &GroupCounts)> {
        let groups = RouteGroup::ALL.into_iter().zip(&self.groups);
        groups.map(|(group, counts)| (self.name.as_str(), group, counts))
    }
}

impl Requests {
    /// None so far.
    pub(crate) fn new(hosted: Arc<Platforms>) -> Self {
        Self { hosted, platforms: ArcSwap::default(), others: PlatformCounts::new(NONE) }
    }

    /// What is counted of a platform, or of requests for none.
    fn counts_of(&self, platform: Option<&Platform>) -> Arc<PlatformCounts> {
        let Some(number) = platform.map(|platform| platform.number) else { return self.others.clone() };
        if let Some(known) = self.platforms.load().get(number) {
            return known.clone();
        }
        self.platforms.rcu(|known| {
            let more = self.hosted.iter().skip(known.len());
            let more = more.map(|platform| PlatformCounts::new(platform.server_name().as_str()));
            known.iter().cloned().chain(more).collect::<Vec<_>>()
        });
        self.platforms.load().get(number).unwrap_or(&self.others).clone()
    }

    /// Begins a request.
    pub(crate) fn begin<F>(&self, method: Method, asked: &Asked<F>) -> Counted {
        let counted = Counted {
            platform: self.counts_of(asked.platform.as_deref()),
            group: RouteGroup::of(asked.route),
            method,
            route: asked.route,
            id: RequestId::next(),
            begun: Instant::now(),
            status: None,
        };
        counted.counts().under_way.fetch_add(1, Ordering::Relaxed);
        counted
    }

    /// What is counted of each platform, and of requests for none.
    pub(crate) fn of_platforms(&self) -> Vec<Arc<PlatformCounts>> {
        self.platforms.load().iter().chain([&self.others]).cloned().collect()
    }

    /// How many requests to a platform have ended.
    pub(crate) fn ended_of(&self, platform: &Platform) -> u64 {
        let counts = self.counts_of(Some(platform));
        let groups = counts.groups.iter();
        groups.flat_map(|group| Outcome::ALL.map(|outcome| group.ended(outcome))).sum()
    }

    /// How long it took to send on a platform, in microseconds.
    pub(crate) fn sends_us(&self, platform: &Platform) -> HistogramReading {
        self.counts_of(Some(platform)).sends_us.read()
    }

    /// Tells the log of refusals, not of each but of how many, for ever.
    pub(crate) async fn tell_of_refusals(self: Arc<Self>) {
        let mut told = HashMap::new();
        loop {
            tokio::time::sleep(REFUSALS_TOLD_EVERY).await;
            for platform in self.of_platforms() {
                let told = told.entry(platform.name.clone()).or_default();
                let refused: u64 = platform.groups.iter().map(|group| group.ended(Outcome::Limited)).sum();
                if refused > *told {
                    let (platform, refused) = (&platform.name, refused - *told);
                    tracing::info!(
                        platform,
                        refused,
                        "requests were refused for lack of room in the last minute"
                    );
                }
                *told = refused;
            }
        }
    }
}

/// A request that is being answered. It is counted when this is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    platform: Arc<PlatformCounts>,
    group: RouteGroup,
    method: Method,
    route: Option<&'static str>,
    id: RequestId,
    begun: Instant,
    status: Option<StatusCode>,
}

impl Counted {
    /// Gives the answer, and counts it. Whoever is told of a failure can tell the operator which request that was.
    pub(crate) async fn answered(mut self, answer: impl Future<Output = Response>) -> Response {
        let mut response = self.id.scope(answer).await;
        self.status = Some(response.status());
        if response.status().is_server_error()
            && let Ok(id) = HeaderValue::try_from(self.id.to_string())
        {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }

    fn counts(&self) -> &GroupCounts {
        &self.platform.groups[self.group as usize]
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        let counts = self.counts();
        counts.under_way.fetch_sub(1, Ordering::Relaxed);
        let outcome = self.status.map_or(Outcome::Gone, Outcome::of);
        counts.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
        counts.durations_ms.note(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        if self.group == RouteGroup::Send && outcome == Outcome::Success {
            let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.platform.sends_us.note(took_us);
        }
        let answered = AnsweredRequest {
            id: self.id,
            platform: &self.platform.name,
            method: self.method.as_str(),
            route: self.route.unwrap_or(NONE),
            status: self.status.map(|status| status.as_u16()),
            took,
        };
        answered.tell();
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use linkspan_storage::{Memory, Store};

    use super::*;

    #[test]
    fn routes_are_put_into_few_groups() {
        let groups = [
            ("/_matrix/client/v3/sync", RouteGroup::Sync),
            ("/_matrix/client/v4/sync", RouteGroup::Sync),
            ("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", RouteGroup::Sync),
            ("/_matrix/client/v3/rooms/{room_id}/send/{eventType}/{txnId}", RouteGroup::Send),
            ("/_matrix/client/v3/rooms/{room_id}/messages", RouteGroup::Rooms),
            ("/_matrix/client/v3/sendToDevice/{eventType}/{txnId}", RouteGroup::ToDevice),
            ("/_matrix/client/v3/keys/query", RouteGroup::Keys),
            ("/_matrix/client/v1/media/download/{serverName}/{mediaId}", RouteGroup::Media),
            ("/_matrix/media/v3/upload", RouteGroup::Media),
            ("/_matrix/client/v3/login", RouteGroup::LogIn),
            ("/_linkspan/oauth2/token", RouteGroup::LogIn),
            ("/_matrix/client/v3/profile/{userId}", RouteGroup::Other),
        ];
        for (route, group) in groups {
            assert_eq!(RouteGroup::of(Some(route)), group, "{route}");
        }
        assert_eq!(RouteGroup::of(None), RouteGroup::Pages);
    }

    #[tokio::test]
    async fn a_failure_names_its_request_and_whoever_leaves_is_counted() {
        let store = Store::in_memory(Memory::new().expect("a store"));
        let platforms = Platforms::open(&store, Vec::new(), 0).await.expect("there are none");
        let requests = Requests::new(Arc::new(platforms));
        let begin = || {
            let asked = Asked { platform: None, route: Some("/_matrix/client/v3/sync"), answer: () };
            requests.begin(Method::GET, &asked)
        };
        let answered = async |status: StatusCode| begin().answered(async { status.into_response() }).await;
        assert!(answered(StatusCode::INTERNAL_SERVER_ERROR).await.headers().contains_key(REQUEST_ID));
        assert!(!answered(StatusCode::OK).await.headers().contains_key(REQUEST_ID));
        let counts = &requests.others.groups[RouteGroup::Sync as usize];
        let waits = begin();
        assert_eq!(counts.under_way(), 1);
        drop(waits);
        assert_eq!(counts.under_way(), 0);
        let ended = [Outcome::Success, Outcome::ServerError, Outcome::Gone, Outcome::ClientError];
        assert_eq!(ended.map(|outcome| counts.ended(outcome)), [1, 1, 1, 0]);
        assert_eq!(counts.durations_ms().counts.iter().sum::<u64>(), 3);
    }

    #[test]
    fn groups_and_outcomes_are_counted_where_they_are_listed() {
        assert!(RouteGroup::ALL.into_iter().enumerate().all(|(at, group)| group as usize == at));
        assert!(Outcome::ALL.into_iter().enumerate().all(|(at, outcome)| outcome as usize == at));
    }
}
