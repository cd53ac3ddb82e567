//! Uploads.

use axum::response::Response;
use linkspan_media::{ListedMedia, MediaFilter, MediaTreatment};
use linkspan_wire::{ApiError, App, Operator, WholeRequest, json_answer, now_ts};
use ruma::{OwnedServerName, RoomId};
use serde_json::{Value, json};

use super::{MAX_COUNTED, MAX_PAGE, Numbered, arg, user_of};

pub(crate) async fn synapse_list_media(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let user_id = user_of(&operator, &request)?;
    let page: Numbered = request.query()?;
    let (from, limit) = page.read()?;
    app.accounts.account_info(&user_id).await?;
    let (platform, filter) =
        (platform(&operator), MediaFilter { user_id: Some(user_id), ..MediaFilter::default() });
    let (mut media, mut total) = (Vec::new(), 0);
    let mut after = None;
    loop {
        let found = app.media.list_media(&platform, &filter, after, MAX_PAGE, now_ts()).await?;
        for upload in &found.media {
            if (from..from + limit).contains(&total) {
                media.push(to_wire(upload));
            }
            total += 1;
        }
        after = found.next;
        if after.is_none() || total >= MAX_COUNTED {
            break;
        }
    }
    let mut answer = json!({ "media": media, "total": total });
    if from + limit < total {
        answer["next_token"] = (from + limit).into();
    }
    Ok(json_answer(&answer))
}

pub(crate) async fn synapse_quarantine(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    treat(&app, &operator, &request, MediaTreatment::Quarantine).await?;
    Ok(json_answer(&json!({})))
}

pub(crate) async fn synapse_release(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    treat(&app, &operator, &request, MediaTreatment::Release).await?;
    Ok(json_answer(&json!({})))
}

pub(crate) async fn synapse_delete_media(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    treat(&app, &operator, &request, MediaTreatment::Remove).await?;
    Ok(json_answer(&json!({ "deleted_media": [arg(&request, 1)], "total": 1 })))
}

/// Does something with the upload in the path: a server name and an id.
async fn treat(
    app: &App,
    operator: &Operator,
    request: &WholeRequest,
    treatment: MediaTreatment,
) -> Result<(), ApiError> {
    let platform = platform(operator);
    if arg(request, 0) != platform.as_str() {
        return Err(ApiError::not_found("no such media"));
    }
    Ok(app.media.treat_media(&platform, arg(request, 1), treatment, now_ts()).await?)
}

pub(crate) async fn synapse_protect(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    app.media.set_media_protected(&platform(&operator), arg(&request, 0), true, now_ts()).await?;
    Ok(json_answer(&json!({})))
}

pub(crate) async fn synapse_unprotect(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    app.media.set_media_protected(&platform(&operator), arg(&request, 0), false, now_ts()).await?;
    Ok(json_answer(&json!({})))
}

pub(crate) async fn synapse_quarantine_of_user(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let user_id = user_of(&operator, &request)?;
    let filter = MediaFilter { user_id: Some(user_id), ..MediaFilter::default() };
    let (platform, treatment) = (platform(&operator), MediaTreatment::Quarantine);
    let (mut quarantined, mut after) = (0, None);
    loop {
        let step = app.media.treat_all_media(&platform, &filter, treatment, after, now_ts()).await?;
        quarantined += step.treated;
        after = step.next;
        if after.is_none() {
            return Ok(json_answer(&json!({ "num_quarantined": quarantined })));
        }
    }
}

pub(crate) async fn synapse_quarantine_of_room(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let room_id = RoomId::parse(arg(&request, 0));
    let room_id = room_id.map_err(|_| ApiError::invalid_param("the path needs a room id"))?;
    let platform = platform(&operator);
    let (mut quarantined, mut after) = (0, None);
    loop {
        let step = app.treat_room_media(&platform, &room_id, MediaTreatment::Quarantine, after).await?;
        quarantined += step.treated;
        after = step.next;
        if after.is_none() {
            return Ok(json_answer(&json!({ "num_quarantined": quarantined })));
        }
    }
}

fn platform(operator: &Operator) -> OwnedServerName {
    operator.platform.server_name().to_owned()
}

fn to_wire(ListedMedia { media_id, record }: &ListedMedia) -> Value {
    json!({
        "media_id": media_id,
        "media_type": record.content_type,
        "media_length": record.size_bytes,
        "upload_name": record.filename,
        "created_ts": record.created_ts,
        "last_access_ts": null,
        "quarantined_by": record.quarantined.then_some("an operator"),
        "safe_from_quarantine": record.protected,
    })
}
