//! The endpoints, a file for each area.

pub(crate) mod actions;
pub(crate) mod registration_tokens;
pub(crate) mod users;

use linkspan_wire::{ApiError, Operator, WholeRequest};
use ruma::{OwnedUserId, UserId};
use serde::Deserialize;

/// The most rows of a page.
const PAGE: usize = 500;
/// The rows of a page for which no number is asked.
const USUAL_PAGE: usize = 100;

/// What pages are asked for with.
#[derive(Deserialize)]
struct Page {
    from: Option<String>,
    limit: Option<usize>,
}

impl Page {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(USUAL_PAGE).clamp(1, PAGE)
    }
}

/// The first parameter in the path of a request: a user of the platform, by the user id or by what stands before its colon.
fn user_of(operator: &Operator, request: &WholeRequest) -> Result<OwnedUserId, ApiError> {
    let name = request.args.first().map(String::as_str).unwrap_or_default();
    let platform = operator.platform.server_name();
    let user_id = if name.starts_with('@') {
        UserId::parse(name)
    } else {
        UserId::parse(format!("@{name}:{platform}"))
    };
    let user_id = user_id.map_err(|_| ApiError::invalid_param("the path needs a user id"))?;
    if user_id.server_name() != platform {
        return Err(ApiError::invalid_param(format!("{user_id} is not a user of {platform}")));
    }
    Ok(user_id)
}
