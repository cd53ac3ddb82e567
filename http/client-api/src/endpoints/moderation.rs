//! Locking and suspending accounts, by administrators of the platform.
//! <https://spec.matrix.org/v1.19/client-server-api/#account-moderation>

use linkspan_accounts::Restriction;
use linkspan_wire::{ApiError, App, User};
use ruma::api::client::admin::{is_user_locked, is_user_suspended, lock_user, suspend_user};

pub(crate) async fn get_locked(
    app: App,
    caller: User,
    request: is_user_locked::v1::Request,
) -> Result<is_user_locked::v1::Response, ApiError> {
    let locked =
        app.accounts.is_restricted(Some(&caller.user_id), &request.user_id, Restriction::Locked).await?;
    Ok(is_user_locked::v1::Response::new(locked))
}

pub(crate) async fn set_locked(
    app: App,
    caller: User,
    request: lock_user::v1::Request,
) -> Result<lock_user::v1::Response, ApiError> {
    let restriction = Restriction::Locked;
    app.accounts.set_restricted(Some(&caller.user_id), &request.user_id, restriction, request.locked).await?;
    Ok(lock_user::v1::Response::new(request.locked))
}

pub(crate) async fn get_suspended(
    app: App,
    caller: User,
    request: is_user_suspended::v1::Request,
) -> Result<is_user_suspended::v1::Response, ApiError> {
    let suspended =
        app.accounts.is_restricted(Some(&caller.user_id), &request.user_id, Restriction::Suspended).await?;
    Ok(is_user_suspended::v1::Response::new(suspended))
}

pub(crate) async fn set_suspended(
    app: App,
    caller: User,
    request: suspend_user::v1::Request,
) -> Result<suspend_user::v1::Response, ApiError> {
    let restriction = Restriction::Suspended;
    app.accounts
        .set_restricted(Some(&caller.user_id), &request.user_id, restriction, request.suspended)
        .await?;
    Ok(suspend_user::v1::Response::new(request.suspended))
}
