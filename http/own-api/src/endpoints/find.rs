//! Finding the people who have just this handle, number or address.

use axum::response::Response;
use linkspan_accounts::ThirdPartyId;
use linkspan_finding::{FoundPerson, Wanted};
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer, now_ts};
use ruma::thirdparty::Medium;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Body {
    handle: Option<String>,
    phone: Option<String>,
    email: Option<String>,
}

pub(crate) async fn find_people(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    let wanted = match request.json()? {
        Body { handle: Some(handle), phone: None, email: None } => Wanted::Handle(handle),
        Body { handle: None, phone: Some(phone), email: None } => {
            Wanted::Address(ThirdPartyId::new(&Medium::Msisdn, &phone)?)
        }
        Body { handle: None, phone: None, email: Some(email) } => {
            Wanted::Address(ThirdPartyId::email(&email)?)
        }
        _ => return Err(ApiError::invalid_param("a request has one of `handle`, `phone` and `email`")),
    };
    let found = app.finding.find(&caller.user_id, &wanted, now_ts()).await?;
    let people = found.into_iter().map(|person| to_wire(&app, person));
    Ok(json_answer(&json!({ "people": people.collect::<Vec<_>>() })))
}

fn to_wire(app: &App, person: FoundPerson) -> Value {
    let server_name = person.user_id.server_name();
    let platform = app.platforms.get(server_name).map(|platform| platform.display_name());
    let mut found = json!({
        "user_id": person.user_id,
        "platform": { "server_name": server_name, "name": platform },
    });
    if let Some(name) = person.display_name {
        found["display_name"] = name.into();
    }
    if let Some(url) = person.avatar_url {
        found["avatar_url"] = url.into();
    }
    found
}
