//! The people whom the caller has accepted or written to, and the cards of people.

use axum::response::Response;
use linkspan_contacts::CardAccount;
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

pub(crate) async fn get_card(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    let user_id = user_id_of(&request)?;
    let profile = app.rooms.profile_for(&user_id, Some(&caller.user_id)).await?;
    let card = app.contacts.card(&caller.user_id, &user_id, profile).await?;
    let mut answer = to_wire(&card.account);
    answer["accounts"] = card.linked.iter().map(to_wire).collect();
    if let Some(arrive_at) = card.arrive_at {
        answer["messages_arrive_at"] = arrive_at.as_str().into();
    }
    Ok(json_answer(&answer))
}

fn to_wire(account: &CardAccount) -> Value {
    let CardAccount { user_id, displayname, avatar_url, handle } = account;
    let mut answer = json!({ "user_id": user_id });
    for (field, value) in [("displayname", displayname), ("avatar_url", avatar_url), ("handle", handle)] {
        if let Some(value) = value {
            answer[field] = value.as_str().into();
        }
    }
    answer
}
