//! Linked accounts: the caller's own, and how two become linked.

use axum::response::Response;
use linkspan_accounts::{LINK_CODE_MS, LinkChoices};
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer, now_ts};
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::user_id_of;

/// Who is shown what is linked with an account.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum ShownTo {
    Nobody,
    Contacts,
}

impl ShownTo {
    fn of(shown: bool) -> Self {
        if shown { Self::Contacts } else { Self::Nobody }
    }
}

pub(crate) async fn get_links(app: App, caller: User, _: WholeRequest) -> Result<Response, ApiError> {
    let links = app.accounts.account_links(&caller.user_id).await?;
    let others = links.iter().flat_map(|links| &links.others);
    let accounts = others.map(|(user_id, since_ts)| json!({ "user_id": user_id, "since_ts": since_ts }));
    let mut answer = json!({
        "accounts": accounts.collect::<Vec<Value>>(),
        "shown_to": ShownTo::of(links.as_ref().is_some_and(|links| links.shown)),
    });
    if let Some(arrive_at) = links.as_ref().and_then(|links| links.arrive_at.as_ref()) {
        answer["messages_arrive_at"] = arrive_at.as_str().into();
    }
    if let Some(waiting) = app.accounts.waiting_link(&caller.user_id, now_ts()).await? {
        answer["waiting"] = json!({ "user_id": waiting });
    }
    Ok(json_answer(&answer))
}

pub(crate) async fn new_link_code(app: App, caller: User, _: WholeRequest) -> Result<Response, ApiError> {
    let code = app.accounts.new_link_code(&caller.user_id, now_ts()).await?;
    Ok(json_answer(&json!({ "code": code, "expires_in_ms": LINK_CODE_MS })))
}

#[derive(Deserialize)]
struct TypedCode {
    code: String,
}

pub(crate) async fn enter_link_code(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let TypedCode { code } = request.json()?;
    app.accounts.enter_link_code(&caller.platform, &caller.user_id, &code, now_ts()).await?;
    Ok(json_answer(&json!({})))
}

#[derive(Deserialize)]
struct Waiting {
    user_id: OwnedUserId,
}

pub(crate) async fn confirm_link(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Waiting { user_id } = request.json()?;
    app.accounts.confirm_link(&caller.user_id, &user_id, now_ts()).await?;
    Ok(json_answer(&json!({})))
}

pub(crate) async fn decline_link(app: App, caller: User, _: WholeRequest) -> Result<Response, ApiError> {
    app.accounts.decline_link(&caller.user_id).await?;
    Ok(json_answer(&json!({})))
}

#[derive(Deserialize)]
struct Choices {
    shown_to: ShownTo,
    messages_arrive_at: Option<OwnedUserId>,
}

pub(crate) async fn set_link_choices(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Choices { shown_to, messages_arrive_at: arrive_at } = request.json()?;
    let choices = LinkChoices { shown: matches!(shown_to, ShownTo::Contacts), arrive_at };
    app.accounts.set_link_choices(&caller.user_id, &choices).await?;
    Ok(json_answer(&json!({})))
}

pub(crate) async fn unlink(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    app.accounts.unlink(&caller.user_id, &user_id_of(&request)?).await?;
    Ok(json_answer(&json!({})))
}
