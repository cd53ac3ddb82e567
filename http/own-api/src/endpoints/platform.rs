//! What an app has to know of the platform that serves it.

use axum::response::Response;
use linkspan_platforms::{Encryption, Identity, Registration};
use linkspan_wire::{Anybody, ApiError, App, WholeRequest, json_answer};
use serde_json::json;

pub(crate) async fn get_platform(_: App, caller: Anybody, _: WholeRequest) -> Result<Response, ApiError> {
    let platform = &caller.platform;
    let settings = &platform.settings;
    let identity = match settings.identity {
        Identity::Handle => "handle",
        Identity::Phone => "phone",
        Identity::Account => "account",
    };
    let registration = match settings.registration {
        Registration::Open => "open",
        Registration::Token => "token",
        Registration::Closed => "closed",
    };
    let encryption = match settings.encryption {
        Encryption::Optional => "optional",
        Encryption::Required => "required",
        Encryption::Forbidden => "forbidden",
    };
    Ok(json_answer(&json!({
        "name": platform.display_name(),
        "server_name": platform.server_name(),
        "identity": identity,
        "registration": registration,
        "guests": settings.guests,
        "encryption": encryption,
        "presence": settings.presence,
    })))
}
