//! Which threads a user follows.
//! <https://github.com/matrix-org/matrix-spec-proposals/pull/4306>
//! <https://github.com/matrix-org/matrix-spec-proposals/pull/4308>

use std::collections::BTreeMap;

use axum::response::Response;
use linkspan_push::{ThreadChange, ThreadChanges};
use linkspan_storage::Position;
use linkspan_sync::Pos;
use linkspan_wire::{ApiError, App, User, WholeRequest, respond};
use ruma::{
    OwnedEventId, OwnedRoomId, UInt,
    api::{
        client::{
            sync::sync_events::v5,
            threads::{
                get_thread_subscription,
                get_thread_subscriptions_changes::unstable::{
                    Response as ChangesResponse, ThreadSubscription, ThreadUnsubscription,
                },
                subscribe_thread, unsubscribe_thread,
            },
        },
        error::ErrorKind,
    },
};
use serde::Deserialize;

/// How many changes are told at once if the client does not say it.
pub(crate) const DEFAULT_LIMIT: usize = 100;

/// Something about threads, by their rooms and roots.
type ByThread<T> = BTreeMap<OwnedRoomId, BTreeMap<OwnedEventId, T>>;

pub(crate) async fn get_thread_subscription(
    app: App,
    caller: User,
    request: get_thread_subscription::unstable::Request,
) -> Result<get_thread_subscription::unstable::Response, ApiError> {
    let get_thread_subscription::unstable::Request { room_id, thread_root, .. } = request;
    let automatic = app.push.thread_subscription(&caller.user_id, &room_id, &thread_root).await?;
    Ok(get_thread_subscription::unstable::Response::new(automatic))
}

pub(crate) async fn subscribe_thread(
    app: App,
    caller: User,
    request: subscribe_thread::unstable::Request,
) -> Result<subscribe_thread::unstable::Response, ApiError> {
    let subscribe_thread::unstable::Request { room_id, thread_root, automatic, .. } = request;
    app.push.subscribe_thread(&caller.user_id, &room_id, &thread_root, automatic.as_ref()).await?;
    Ok(subscribe_thread::unstable::Response::new())
}

pub(crate) async fn unsubscribe_thread(
    app: App,
    caller: User,
    request: unsubscribe_thread::unstable::Request,
) -> Result<unsubscribe_thread::unstable::Response, ApiError> {
    let unsubscribe_thread::unstable::Request { room_id, thread_root, .. } = request;
    app.push.unsubscribe_thread(&caller.user_id, &room_id, &thread_root).await?;
    Ok(unsubscribe_thread::unstable::Response::new())
}

/// The query. It is not ruma's request, which keeps the direction to itself.
#[derive(Deserialize)]
struct ChangesQuery {
    dir: Option<String>,
    from: Option<String>,
    to: Option<String>,
    limit: Option<u64>,
}

pub(crate) async fn get_thread_subscriptions(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let query: ChangesQuery = request.query()?;
    match query.dir.as_deref() {
        Some("b") => {}
        Some(_) => return Err(ApiError::invalid_param("dir is always b")),
        None => return Err(ApiError::bad_request(ErrorKind::MissingParam, "dir is needed")),
    }
    let limit = match query.limit {
        Some(0) => return Err(ApiError::invalid_param("limit is greater than zero")),
        limit => wanted(limit),
    };
    let up_to = query.from.as_deref().map_or(Ok(Position::PENDING), place)?;
    let after = query.to.as_deref().map_or(Ok(Position::ZERO), |to| match to.parse::<Pos>() {
        Ok(pos) => Ok(pos.token.position),
        Err(_) => place(to),
    })?;
    let news = app.push.thread_changes(&caller.user_id, after, up_to, limit).await?;
    let mut response = ChangesResponse::new();
    response.end = news.older.map(|older| older.to_string());
    (response.subscribed, response.unsubscribed) = by_thread(news.changes);
    respond(response)
}

fn place(text: &str) -> Result<Position, ApiError> {
    let number = text.parse().map_err(|_| ApiError::invalid_param("this is no token of this list"))?;
    Ok(Position::from_u64(number))
}

/// How many changes a client wants.
pub(crate) fn wanted(limit: Option<u64>) -> usize {
    limit.map_or(DEFAULT_LIMIT, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// What a sliding sync tells of subscriptions.
pub(crate) fn extension_answer(news: ThreadChanges) -> v5::response::ThreadSubscriptions {
    let mut answer = v5::response::ThreadSubscriptions::default();
    answer.prev_batch = news.older.map(|older| older.to_string());
    (answer.subscribed, answer.unsubscribed) = by_thread(news.changes);
    answer
}

fn by_thread(changes: Vec<ThreadChange>) -> (ByThread<ThreadSubscription>, ByThread<ThreadUnsubscription>) {
    let (mut subscribed, mut unsubscribed) = (ByThread::new(), ByThread::new());
    for ThreadChange { room_id, root, automatic, bump_stamp } in changes {
        let bump_stamp = UInt::new_saturating(bump_stamp);
        match automatic {
            Some(automatic) => {
                let subscription = ThreadSubscription::new(automatic, bump_stamp);
                subscribed.entry(room_id).or_default().insert(root, subscription);
            }
            None => {
                let unsubscription = ThreadUnsubscription::new(bump_stamp);
                unsubscribed.entry(room_id).or_default().insert(root, unsubscription);
            }
        }
    }
    (subscribed, unsubscribed)
}
