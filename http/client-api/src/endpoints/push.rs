//! Push rules, pushers and the list of notifications.
//! <https://spec.matrix.org/v1.19/client-server-api/#push-notifications>

use axum::response::Response;
use http::StatusCode;
use linkspan_domain::{ClientEvent, Unsigned};
use linkspan_push::{Notification, PusherState};
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer};
use ruma::{
    api::client::push::{
        delete_pushrule, get_notifications, get_pushrule, get_pushrule_actions, get_pushrule_enabled,
        get_pushrules_all, get_pushrules_global_scope, set_pusher, set_pushrule, set_pushrule_actions,
        set_pushrule_enabled,
    },
    push::AnyPushRule,
    serde::Raw,
};
use serde::Deserialize;
use serde_json::json;
use set_pusher::v3::PusherAction;

/// How many notifications a page has if the client does not say it.
const DEFAULT_LIMIT: usize = 20;

pub(crate) async fn get_push_rules(
    app: App,
    caller: User,
    _: get_pushrules_all::v3::Request,
) -> Result<get_pushrules_all::v3::Response, ApiError> {
    Ok(get_pushrules_all::v3::Response::new(app.push.ruleset(&caller.user_id).await?))
}

pub(crate) async fn get_global_push_rules(
    app: App,
    caller: User,
    _: get_pushrules_global_scope::v3::Request,
) -> Result<get_pushrules_global_scope::v3::Response, ApiError> {
    Ok(get_pushrules_global_scope::v3::Response::new(app.push.ruleset(&caller.user_id).await?))
}

pub(crate) async fn get_push_rule(
    app: App,
    caller: User,
    request: get_pushrule::v3::Request,
) -> Result<get_pushrule::v3::Response, ApiError> {
    let rule = app.push.rule(&caller.user_id, request.kind, &request.rule_id).await?;
    Ok(get_pushrule::v3::Response::new(match rule {
        // ruma panics at this kind, which is newer than its conversion.
        AnyPushRule::PostContent(rule) => rule.into(),
        rule => rule.into(),
    }))
}

pub(crate) async fn put_push_rule(
    app: App,
    caller: User,
    request: set_pushrule::v3::Request,
) -> Result<set_pushrule::v3::Response, ApiError> {
    let set_pushrule::v3::Request { rule, before, after, .. } = request;
    app.push.put_rule(&caller.user_id, rule, after.as_deref(), before.as_deref()).await?;
    Ok(set_pushrule::v3::Response::new())
}

pub(crate) async fn delete_push_rule(
    app: App,
    caller: User,
    request: delete_pushrule::v3::Request,
) -> Result<delete_pushrule::v3::Response, ApiError> {
    app.push.delete_rule(&caller.user_id, request.kind, &request.rule_id).await?;
    Ok(delete_pushrule::v3::Response::new())
}

pub(crate) async fn get_push_rule_enabled(
    app: App,
    caller: User,
    request: get_pushrule_enabled::v3::Request,
) -> Result<get_pushrule_enabled::v3::Response, ApiError> {
    let rule = app.push.rule(&caller.user_id, request.kind, &request.rule_id).await?;
    Ok(get_pushrule_enabled::v3::Response::new(rule.enabled()))
}

pub(crate) async fn put_push_rule_enabled(
    app: App,
    caller: User,
    request: set_pushrule_enabled::v3::Request,
) -> Result<set_pushrule_enabled::v3::Response, ApiError> {
    let set_pushrule_enabled::v3::Request { kind, rule_id, enabled, .. } = request;
    app.push.set_rule_enabled(&caller.user_id, kind, &rule_id, enabled).await?;
    Ok(set_pushrule_enabled::v3::Response::new())
}

pub(crate) async fn get_push_rule_actions(
    app: App,
    caller: User,
    request: get_pushrule_actions::v3::Request,
) -> Result<get_pushrule_actions::v3::Response, ApiError> {
    let rule = app.push.rule(&caller.user_id, request.kind, &request.rule_id).await?;
    Ok(get_pushrule_actions::v3::Response::new(rule.actions().to_vec()))
}

pub(crate) async fn put_push_rule_actions(
    app: App,
    caller: User,
    request: set_pushrule_actions::v3::Request,
) -> Result<set_pushrule_actions::v3::Response, ApiError> {
    let set_pushrule_actions::v3::Request { kind, rule_id, actions, .. } = request;
    app.push.set_rule_actions(&caller.user_id, kind, &rule_id, actions).await?;
    Ok(set_pushrule_actions::v3::Response::new())
}

/// Does not answer with ruma's response, which does not know whether a pusher has been activated.
pub(crate) async fn get_pushers(app: App, caller: User, _: WholeRequest) -> Result<Response, ApiError> {
    Ok(json_answer(&json!({ "pushers": app.push.pushers(&caller.user_id).await? })))
}

/// A pusher that has to be activated is answered with 201.
/// <https://github.com/matrix-org/matrix-spec-proposals/pull/4174>
pub(crate) async fn set_pusher(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    let request: set_pusher::v3::Request = request.parse()?;
    let mut response = json_answer(&json!({}));
    match request.action {
        PusherAction::Post(data) => {
            let set = app.push.set_pusher(&caller.user_id, &caller.device_id, data.pusher, data.append);
            if set.await? == PusherState::Unconfirmed {
                *response.status_mut() = StatusCode::CREATED;
            }
        }
        PusherAction::Delete(ids) => app.push.delete_pusher(&caller.user_id, &ids).await?,
        _ => return Err(ApiError::not_found("no such action")),
    }
    Ok(response)
}

/// What an app was sent by Web Push, which shows that messages reach it.
#[derive(Deserialize)]
struct Acknowledgement {
    app_id: String,
    ack_token: String,
}

/// <https://github.com/matrix-org/matrix-spec-proposals/pull/4174>
pub(crate) async fn acknowledge_pusher(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Acknowledgement { app_id, ack_token } = request.json()?;
    app.push.confirm_pusher(&caller.user_id, &app_id, &ack_token).await?;
    Ok(json_answer(&json!({})))
}

pub(crate) async fn get_notifications(
    app: App,
    caller: User,
    request: get_notifications::v3::Request,
) -> Result<get_notifications::v3::Response, ApiError> {
    let limit = request.limit.and_then(|limit| limit.try_into().ok()).unwrap_or(DEFAULT_LIMIT);
    let highlights_only = request.only.as_deref() == Some("highlight");
    let page =
        app.push.notifications(&caller.user_id, request.from.as_deref(), limit, highlights_only).await?;
    let shown = page.notifications.into_iter().map(show).collect();
    let mut response = get_notifications::v3::Response::new(shown);
    response.next_token = page.next;
    Ok(response)
}

fn show(notification: Notification) -> get_notifications::v3::Notification {
    let pdu = &notification.event.pdu;
    let event = ClientEvent::without_room_id(pdu, Unsigned::default()).to_json();
    get_notifications::v3::Notification::new(
        notification.actions,
        Raw::from_json(event),
        notification.read,
        pdu.room_id.clone(),
        pdu.origin_server_ts,
    )
}
