//! Inviting people by an e-mail address or a phone number, whether they have an account or not.

use axum::response::Response;
use linkspan_accounts::ThirdPartyId;
use linkspan_rooms::{AddressInvitations, OfferedInvitation};
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer, known_base_url, now_ts};
use ruma::thirdparty::Medium;
use serde::Deserialize;
use serde_json::{Value, json};

use super::room_id_of;

#[derive(Deserialize)]
struct Body {
    medium: Medium,
    address: String,
    #[serde(default)]
    is_direct: bool,
}

pub(crate) async fn invite_by_address(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Body { medium, address, is_direct } = request.json()?;
    let room_id = room_id_of(&request)?;
    let invitations = AddressInvitations {
        ids: vec![ThirdPartyId::new(&medium, &address)?],
        is_direct,
        base_url: known_base_url(&app, &caller.platform, &request.parts.headers),
    };
    app.rooms.invite_by_address(&caller.user_id, &room_id, &invitations, now_ts()).await?;
    Ok(json_answer(&json!({})))
}

pub(crate) async fn list_invitations(app: App, caller: User, _: WholeRequest) -> Result<Response, ApiError> {
    let offered = app.rooms.list_offered_invitations(&caller.user_id, now_ts()).await?;
    let offered: Vec<Value> = offered.into_iter().map(to_wire).collect();
    Ok(json_answer(&json!({ "invitations": offered })))
}

fn to_wire(offered: OfferedInvitation) -> Value {
    json!({
        "token": offered.token,
        "sender": offered.sender,
        "medium": offered.id.medium(),
        "address": offered.id.address(),
        "is_direct": offered.is_direct,
        "made_ts": offered.made_ts,
    })
}

pub(crate) async fn accept_invitation(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let token = request.args.first().map(String::as_str).unwrap_or_default();
    let room_id = app.rooms.accept_offered_invitation(&caller.user_id, token, now_ts()).await?;
    Ok(json_answer(&json!({ "room_id": room_id })))
}
