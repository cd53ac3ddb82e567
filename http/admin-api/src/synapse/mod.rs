//! The part of Synapse's admin API that tools for operators use most, under `/_synapse/admin/`: a translation of what the
//! operator API does, so that such tools work. What a platform's operators do not see there is not here either.
//! <https://element-hq.github.io/synapse/latest/usage/administration/admin_api/>

mod media;
mod reports;
mod rooms;
mod tokens;
mod users;

use axum::response::Response;
use http::Method;
use linkspan_platforms::RateClass::{self, Other, Read};
use linkspan_wire::{ApiError, App, Endpoint, Operator, WholeRequest, json_answer, operator_endpoint};
use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::json;

/// Where the API is described.
const SPEC: &str = "https://element-hq.github.io/synapse/latest/usage/administration/admin_api/";
/// The most rows of a page.
const MAX_PAGE: usize = 500;
/// Rows that are counted and skipped for a page: this API counts its rows, and pages by number.
const MAX_COUNTED: usize = 10_000;

/// The table of the endpoints.
pub fn synapse_endpoints() -> Vec<Endpoint> {
    let get = |path: [&'static str; 1]| (Method::GET, path, Read);
    let put = |path: [&'static str; 1]| (Method::PUT, path, Other);
    let post = |path: [&'static str; 1]| (Method::POST, path, Other);
    let delete = |path: [&'static str; 1]| (Method::DELETE, path, Other);
    vec![
        line(get(["/_synapse/admin/v1/server_version"]), synapse_server_version),
        line(get(["/_synapse/admin/v2/users"]), users::synapse_list_users)
            .also_at("/_synapse/admin/v3/users"),
        line(get(["/_synapse/admin/v2/users/{user_id}"]), users::synapse_get_user),
        line(put(["/_synapse/admin/v2/users/{user_id}"]), users::synapse_put_user),
        line(post(["/_synapse/admin/v1/reset_password/{user_id}"]), users::synapse_reset_password),
        line(post(["/_synapse/admin/v1/deactivate/{user_id}"]), users::synapse_deactivate_user),
        line(put(["/_synapse/admin/v1/suspend/{user_id}"]), users::synapse_suspend_user),
        line(get(["/_synapse/admin/v1/whois/{user_id}"]), users::synapse_whois),
        line(get(["/_synapse/admin/v2/users/{user_id}/devices"]), users::synapse_list_devices),
        line(post(["/_synapse/admin/v2/users/{user_id}/delete_devices"]), users::synapse_delete_devices),
        line(get(["/_synapse/admin/v1/users/{user_id}/joined_rooms"]), users::synapse_list_joined_rooms),
        line(post(["/_synapse/admin/v1/send_server_notice"]), users::synapse_send_server_notice),
        line(get(["/_synapse/admin/v1/registration_tokens"]), tokens::synapse_list_tokens),
        line(post(["/_synapse/admin/v1/registration_tokens/new"]), tokens::synapse_create_token),
        line(delete(["/_synapse/admin/v1/registration_tokens/{token}"]), tokens::synapse_delete_token),
        line(get(["/_synapse/admin/v1/rooms"]), rooms::synapse_list_rooms),
        line(get(["/_synapse/admin/v1/rooms/{room_id}"]), rooms::synapse_get_room),
        line(get(["/_synapse/admin/v1/rooms/{room_id}/members"]), rooms::synapse_list_members),
        line(get(["/_synapse/admin/v1/rooms/{room_id}/block"]), rooms::synapse_get_block),
        line(put(["/_synapse/admin/v1/rooms/{room_id}/block"]), rooms::synapse_block_room),
        line(delete(["/_synapse/admin/v2/rooms/{room_id}"]), rooms::synapse_delete_room),
        line(get(["/_synapse/admin/v2/rooms/delete_status/{delete_id}"]), rooms::synapse_get_deletion),
        line(get(["/_synapse/admin/v2/rooms/{room_id}/delete_status"]), rooms::synapse_list_deletions),
        line(get(["/_synapse/admin/v1/users/{user_id}/media"]), media::synapse_list_media),
        line(
            post(["/_synapse/admin/v1/media/quarantine/{server_name}/{media_id}"]),
            media::synapse_quarantine,
        ),
        line(
            post(["/_synapse/admin/v1/media/unquarantine/{server_name}/{media_id}"]),
            media::synapse_release,
        ),
        line(post(["/_synapse/admin/v1/media/protect/{media_id}"]), media::synapse_protect),
        line(post(["/_synapse/admin/v1/media/unprotect/{media_id}"]), media::synapse_unprotect),
        line(delete(["/_synapse/admin/v1/media/{server_name}/{media_id}"]), media::synapse_delete_media),
        line(post(["/_synapse/admin/v1/user/{user_id}/media/quarantine"]), media::synapse_quarantine_of_user),
        line(post(["/_synapse/admin/v1/room/{room_id}/media/quarantine"]), media::synapse_quarantine_of_room),
        line(get(["/_synapse/admin/v1/event_reports"]), reports::synapse_list_reports),
        line(get(["/_synapse/admin/v1/event_reports/{number}"]), reports::synapse_get_report),
    ]
}

fn line<F, Fut>((method, paths, rate_class): (Method, [&'static str; 1], RateClass), function: F) -> Endpoint
where
    F: Fn(App, Operator, WholeRequest) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    operator_endpoint(method, &paths, function, rate_class, SPEC)
}

pub(crate) async fn synapse_server_version(
    _: App,
    _: Operator,
    _: WholeRequest,
) -> Result<Response, ApiError> {
    Ok(json_answer(&json!({ "server_version": concat!("Linkspan ", env!("CARGO_PKG_VERSION")) })))
}

/// What pages are asked for with: by the number of their first row.
#[derive(Deserialize)]
struct Numbered {
    from: Option<String>,
    limit: Option<String>,
}

impl Numbered {
    /// The number of the first row, and how many there are.
    fn read(&self) -> Result<(usize, usize), ApiError> {
        let number = |text: &Option<String>| text.as_deref().map(str::parse).transpose();
        let wrong = |_| ApiError::invalid_param("from and limit are numbers");
        let from: usize = number(&self.from).map_err(wrong)?.unwrap_or_default();
        let limit: usize = number(&self.limit).map_err(wrong)?.unwrap_or(100);
        if from > MAX_COUNTED {
            return Err(ApiError::invalid_param("from is too great: this API pages by number"));
        }
        Ok((from, limit.clamp(1, MAX_PAGE)))
    }
}

/// The parameter of the path of a request with this number.
fn arg(request: &WholeRequest, number: usize) -> &str {
    request.args.get(number).map(String::as_str).unwrap_or_default()
}

/// The user in the path of a request, who has to be of the platform.
fn user_of(operator: &Operator, request: &WholeRequest) -> Result<OwnedUserId, ApiError> {
    own_user(operator, arg(request, 0))
}

fn own_user(operator: &Operator, name: &str) -> Result<OwnedUserId, ApiError> {
    let user_id = UserId::parse(name).map_err(|_| ApiError::invalid_param("a user id is needed"))?;
    match user_id.server_name() == operator.platform.server_name() {
        true => Ok(user_id),
        false => Err(ApiError::invalid_param("only users of this platform can be looked up")),
    }
}
