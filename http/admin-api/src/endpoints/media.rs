//! The uploads of a platform's people.

use axum::response::Response;
use linkspan_media::{ListedMedia, MediaFilter, MediaOverview, MediaTreatment, UserUsage};
use linkspan_wire::{ApiError, App, Operator, WholeRequest, json_answer, now_ts};
use ruma::{OwnedRoomId, OwnedServerName};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Page, named_user};

#[derive(Deserialize)]
struct Query {
    #[serde(flatten)]
    page: Page,
    user_id: Option<String>,
    before_ts: Option<String>,
    quarantined: Option<bool>,
}

pub(crate) async fn get_media_usage(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let page: Page = request.query()?;
    let overview = app.media.overview(&platform(&operator), page.limit()?, now_ts()).await?;
    let MediaOverview { count, size_bytes, quarantined, users } = overview;
    let user = |UserUsage { user_id, count, size_bytes }: &UserUsage| json!({ "user_id": user_id, "count": count, "size_bytes": size_bytes });
    let users: Vec<Value> = users.iter().map(user).collect();
    Ok(json_answer(&json!({
        "count": count, "size_bytes": size_bytes, "quarantined": quarantined, "users": users,
    })))
}

pub(crate) async fn list_media(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Query { page, user_id, before_ts, quarantined } = request.query()?;
    let before_ts = before_ts.as_deref().map(str::parse).transpose();
    let filter = MediaFilter {
        user_id: user_id.map(|name| named_user(&operator, &name)).transpose()?,
        before_ts: before_ts.map_err(|_| ApiError::invalid_param("before_ts is no time"))?,
        quarantined,
    };
    let (platform, limit) = (platform(&operator), page.limit()?);
    let listed = app.media.list_media(&platform, &filter, page.from, limit, now_ts()).await?;
    let media: Vec<Value> = listed.media.iter().map(|media| to_wire(&platform, media)).collect();
    Ok(json_answer(&json!({ "media": media, "next_batch": listed.next })))
}

pub(crate) async fn get_media(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let platform = platform(&operator);
    let media = app.media.get_media(&platform, media_id(&request), now_ts()).await?;
    Ok(json_answer(&to_wire(&platform, &media)))
}

pub(crate) async fn delete_media(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let treatment = MediaTreatment::Remove;
    app.media.treat_media(&platform(&operator), media_id(&request), treatment, now_ts()).await?;
    Ok(json_answer(&json!({})))
}

#[derive(Deserialize)]
struct Quarantined {
    quarantined: bool,
}

pub(crate) async fn set_media_quarantined(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Quarantined { quarantined } = request.json()?;
    let treatment = if quarantined { MediaTreatment::Quarantine } else { MediaTreatment::Release };
    app.media.treat_media(&platform(&operator), media_id(&request), treatment, now_ts()).await?;
    Ok(json_answer(&json!({ "quarantined": quarantined })))
}

#[derive(Deserialize)]
struct Protected {
    protected: bool,
}

pub(crate) async fn set_media_protected(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Protected { protected } = request.json()?;
    app.media.set_media_protected(&platform(&operator), media_id(&request), protected, now_ts()).await?;
    Ok(json_answer(&json!({ "protected": protected })))
}

/// Which uploads are meant, and where the step begins.
#[derive(Deserialize)]
struct Many {
    user_id: Option<String>,
    before_ts: Option<u64>,
    room_id: Option<OwnedRoomId>,
    from: Option<String>,
}

pub(crate) async fn remove_media(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    treat(&app, &operator, &request, MediaTreatment::Remove).await
}

pub(crate) async fn quarantine_media(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    treat(&app, &operator, &request, MediaTreatment::Quarantine).await
}

async fn treat(
    app: &App,
    operator: &Operator,
    request: &WholeRequest,
    treatment: MediaTreatment,
) -> Result<Response, ApiError> {
    let Many { user_id, before_ts, room_id, from } = request.json()?;
    let platform = platform(operator);
    let (treated, next) = match (user_id, before_ts, room_id) {
        (None, None, Some(room_id)) => {
            let after = from.as_deref().map(str::parse).transpose();
            let after = after.map_err(|_| ApiError::invalid_param("from is not a token of this list"))?;
            let step = app.treat_room_media(&platform, &room_id, treatment, after).await?;
            (step.treated, step.next.map(|next| next.to_string()))
        }
        (None, None, None) | (_, _, Some(_)) => {
            let reason = "say which uploads: those of a room, or those of a user, before a time, or both";
            return Err(ApiError::invalid_param(reason));
        }
        (user_id, before_ts, None) => {
            let user_id = user_id.map(|name| named_user(operator, &name)).transpose()?;
            let filter = MediaFilter { user_id, before_ts, quarantined: None };
            let step = app.media.treat_all_media(&platform, &filter, treatment, from, now_ts()).await?;
            (step.treated, step.next)
        }
    };
    Ok(json_answer(&json!({ "changed": treated, "next_batch": next })))
}

fn platform(operator: &Operator) -> OwnedServerName {
    operator.platform.server_name().to_owned()
}

fn media_id(request: &WholeRequest) -> &str {
    request.args.first().map(String::as_str).unwrap_or_default()
}

fn to_wire(platform: &OwnedServerName, ListedMedia { media_id, record }: &ListedMedia) -> Value {
    json!({
        "media_id": media_id,
        "uri": format!("mxc://{platform}/{media_id}"),
        "user_id": record.user_id,
        "content_type": record.content_type,
        "filename": record.filename,
        "size_bytes": record.size_bytes,
        "created_ts": record.created_ts,
        "quarantined": record.quarantined,
        "protected": record.protected,
    })
}
