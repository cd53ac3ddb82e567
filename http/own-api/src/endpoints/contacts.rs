//! The people whom the caller has accepted or written to.

use axum::response::Response;
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer};
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::user_id_of;

/// The most contacts of a page.
const PAGE: usize = 500;

#[derive(Deserialize)]
struct Query {
    from: Option<OwnedUserId>,
}

pub(crate) async fn list_contacts(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Query { from } = request.query()?;
    let page = app.contacts.list_contacts(&caller.user_id, from.as_ref(), PAGE).await?;
    let next = page.last().filter(|_| page.len() == PAGE).map(|contact| contact.user_id.clone());
    let contacts = page.into_iter().map(
        |contact| json!({ "user_id": contact.user_id, "since_ts": contact.since_ts, "how": contact.how }),
    );
    let mut answer = json!({ "contacts": contacts.collect::<Vec<Value>>() });
    if let Some(next) = next {
        answer["next_batch"] = next.as_str().into();
    }
    Ok(json_answer(&answer))
}

pub(crate) async fn remove_contact(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    app.contacts.remove_contact(&caller.user_id, &user_id_of(&request)?).await?;
    Ok(json_answer(&json!({})))
}
