//! The endpoints, a file for each area.

pub(crate) mod account_links;
pub(crate) mod actions;
pub(crate) mod devices;
pub(crate) mod find_user;
pub(crate) mod media;
pub(crate) mod registration_tokens;
pub(crate) mod reports;
pub(crate) mod rooms;
pub(crate) mod server_notices;
pub(crate) mod statistics;
pub(crate) mod users;

use std::str::FromStr;

use linkspan_wire::{ApiError, Operator, WholeRequest};
use ruma::{OwnedUserId, UserId};
use serde::Deserialize;

/// The most rows of a page.
const PAGE: usize = 500;
/// The rows of a page for which no number is asked.
const USUAL_PAGE: usize = 100;

/// What pages are asked for with. The numbers are texts, because a query may hold them beside other parameters.
#[derive(Deserialize)]
struct Page {
    from: Option<String>,
    limit: Option<String>,
}

impl Page {
    /// How many rows it has.
    fn limit(&self) -> Result<usize, ApiError> {
        let limit = self.limit.as_deref().map(str::parse).transpose();
        let limit = limit.map_err(|_| ApiError::invalid_param("limit is no number"))?;
        Ok(limit.unwrap_or(USUAL_PAGE).clamp(1, PAGE))
    }

    /// The last row of the page before, or the place where this one begins.
    fn place<T: FromStr>(&self) -> Result<Option<T>, ApiError> {
        let place = self.from.as_deref().map(str::parse).transpose();
        place.map_err(|_| ApiError::invalid_param("from is not a token of this list"))
    }
}

/// The token of the page after this one, if there may be one.
fn next_batch<T>(rows: &[T], limit: usize, place: impl Fn(&T) -> String) -> Option<String> {
    rows.last().filter(|_| rows.len() == limit).map(place)
}

/// The first parameter in the path of a request: a user of the platform, by the user id or by what stands before its colon.
fn user_of(operator: &Operator, request: &WholeRequest) -> Result<OwnedUserId, ApiError> {
    named_user(operator, request.args.first().map(String::as_str).unwrap_or_default())
}

/// A user of the platform, by the user id or by what stands before its colon.
fn named_user(operator: &Operator, name: &str) -> Result<OwnedUserId, ApiError> {
    let platform = operator.platform.server_name();
    let user_id = if name.starts_with('@') {
        UserId::parse(name)
    } else {
        UserId::parse(format!("@{name}:{platform}"))
    };
    let user_id = user_id
        .map_err(|_| ApiError::invalid_param("a user id, or what stands before its colon, is needed"))?;
    if user_id.server_name() != platform {
        return Err(ApiError::invalid_param(format!("{user_id} is not a user of {platform}")));
    }
    Ok(user_id)
}
