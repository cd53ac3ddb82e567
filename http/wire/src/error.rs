//! Errors on the wire. Every service's errors are mapped to the specification's codes here.
//! <https://spec.matrix.org/v1.19/client-server-api/#standard-error-response>

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::BytesMut;
use http::{StatusCode, header};
use linkspan_accounts::AccountsError;
use linkspan_contacts::ContactsError;
use linkspan_export::ExportError;
use linkspan_finding::FindingError;
use linkspan_keys::KeysError;
use linkspan_lifecycle::LifecycleError;
use linkspan_matching::MatchingError;
use linkspan_media::MediaError;
use linkspan_platforms::Limited;
use linkspan_push::PushError;
use linkspan_rooms::RoomsError;
use linkspan_storage::{BUSY_RETRY, CommitError, StorageError};
use linkspan_sync::SyncError;
use ruma::ServerName;
use ruma::api::{
    OutgoingResponseExt,
    client::uiaa::{UiaaInfo, UiaaResponse},
    error::{
        DeserializationError, ErrorBody, ErrorKind, FromHttpRequestError, LimitExceededErrorData, RetryAfter,
        StandardErrorBody, UnknownTokenErrorData, WrongRoomKeysVersionErrorData,
    },
};
use serde::de::IgnoredAny;
use tracing::field::display;

use crate::RequestId;

/// What a client is told of a platform that is fenced.
const FENCED: &str = "ORG.LINKSPAN.FENCED";
/// How long it should wait then.
const FENCE_RETRY: Duration = Duration::from_secs(10);

/// A kind of error that ruma has no name for.
fn custom_kind(errcode: &str) -> ErrorKind {
    serde_json::from_value(serde_json::json!({ "errcode": errcode })).unwrap_or(ErrorKind::Unknown)
}

/// What a client is told went wrong.
#[derive(Debug)]
pub enum ApiError {
    /// A standard error.
    Standard {
        /// The status of the answer.
        status: StatusCode,
        /// The code, and what fields belong to it.
        kind: ErrorKind,
        /// A sentence for people.
        message: String,
    },
    /// An error with fields of its own.
    Json {
        /// The status of the answer.
        status: StatusCode,
        /// The whole body.
        body: serde_json::Value,
    },
    /// More authentication is needed.
    Uiaa(Box<UiaaInfo>),
}

impl ApiError {
    /// A standard error.
    pub fn new(status: StatusCode, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Standard { status, kind, message: message.into() }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Standard { status, .. } | Self::Json { status, .. } => *status,
            Self::Uiaa(_) => StatusCode::UNAUTHORIZED,
        }
    }

    /// The platform is fenced: what would change something has to wait. It is seldom for long.
    pub fn fenced(platform: &ServerName) -> Self {
        let message = format!("{platform} takes nothing new at the moment; try again in a while");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, custom_kind(FENCED), message)
    }

    /// What an operator asked for cannot be done: the message says why, as the operator may know.
    pub fn operation_failed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, ErrorKind::Unknown, message)
    }

    /// An error whose status is 400.
    pub fn bad_request(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, message)
    }

    /// An error whose status is 400 and whose code is `M_INVALID_PARAM`.
    pub fn invalid_param(message: impl Into<String>) -> Self {
        Self::bad_request(ErrorKind::InvalidParam, message)
    }

    /// An error whose status is 401.
    pub fn unauthorized(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, kind, message)
    }

    /// An error whose status is 403 and whose code is `M_FORBIDDEN`.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, ErrorKind::Forbidden, message)
    }

    /// An error whose status is 404 and whose code is `M_NOT_FOUND`.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorKind::NotFound, message)
    }

    /// An error of which the client learns nothing, and the log has the cause.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        let request = RequestId::current().map(display);
        tracing::error!(request, %cause, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorKind::Unknown, "internal server error")
    }

    /// There is no room on the server's disk for what is asked. `M_RESOURCE_LIMIT_EXCEEDED` would have to name a contact,
    /// and not every platform has one.
    pub fn full(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, ErrorKind::Unknown, message)
    }

    /// There is too much of something for now. All answers with 429 are made here, so that each says when to come back,
    /// in its body and in its head.
    /// <https://spec.matrix.org/v1.19/client-server-api/#rate-limiting>
    pub fn limited(limited: Limited, message: impl Into<String>) -> Self {
        let mut data = LimitExceededErrorData::new();
        data.retry_after = Some(RetryAfter::Delay(limited.retry_after));
        Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorKind::LimitExceeded(data), message)
    }

    /// A token that is not valid, or not any more. `soft` says that refreshing or logging in again keeps the
    /// device.
    pub fn unknown_token(soft: bool) -> Self {
        let mut data = UnknownTokenErrorData::new();
        data.soft_logout = soft;
        Self::unauthorized(ErrorKind::UnknownToken(data), "this access token is not valid")
    }

    /// An error of OAuth that its RFCs have no code for, which is a refusal of the accounts or a failure.
    pub fn from_oauth(error: &linkspan_oauth::OAuthError) -> Self {
        use linkspan_accounts::AccountsError::{Deactivated, DeviceDeparting, Locked, Storage, TooMany};
        use linkspan_oauth::OAuthError::{self, Accounts};
        match error {
            Accounts(error @ (Deactivated | TooMany(_))) => Self::forbidden(error.to_string()),
            Accounts(Locked) => Locked.into(),
            Accounts(DeviceDeparting) => DeviceDeparting.into(),
            Accounts(Storage(error)) | OAuthError::Storage(error) => error.into(),
            error => Self::internal(error),
        }
    }

    /// A body that is not the JSON that was expected.
    pub fn from_json(error: &serde_json::Error, body: &[u8]) -> Self {
        let message = error.to_string();
        let kind = match serde_json::from_slice::<IgnoredAny>(body) {
            Err(_) => ErrorKind::NotJson,
            Ok(_) if message.contains("missing field") => ErrorKind::MissingParam,
            Ok(_) => ErrorKind::BadJson,
        };
        Self::bad_request(kind, message)
    }

    /// A request that ruma could not parse. Its body tells errors of JSON from others.
    pub fn from_parse(error: &FromHttpRequestError, body: &[u8]) -> Self {
        let message = error.to_string();
        match error {
            FromHttpRequestError::Deserialization(DeserializationError::Json(error)) => {
                Self::from_json(error, body)
            }
            FromHttpRequestError::Deserialization(DeserializationError::Query(_))
                if message.contains("missing field") =>
            {
                Self::bad_request(ErrorKind::MissingParam, message)
            }
            _ => Self::invalid_param(message),
        }
    }
}

impl ApiError {
    /// The body of the answer, for what tells of an error inside another answer.
    pub fn to_json(&self) -> serde_json::Value {
        let written = match self {
            Self::Json { body, .. } => return body.clone(),
            Self::Standard { kind, message, .. } => {
                serde_json::to_value(StandardErrorBody::new(kind.clone(), message.clone()))
            }
            Self::Uiaa(info) => serde_json::to_value(info),
        };
        written.unwrap_or_default()
    }

    /// How long to wait before trying again, if that is known.
    fn retry_delay(&self) -> Option<Duration> {
        let Self::Standard { kind, .. } = self else { return None };
        let ErrorKind::LimitExceeded(data) = kind else {
            return (kind.errcode().as_str() == FENCED).then_some(FENCE_RETRY);
        };
        match data.retry_after {
            Some(RetryAfter::Delay(delay)) => Some(delay),
            _ => None,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let delay = self.retry_delay();
        let response = match self {
            Self::Json { status, body } => {
                let body = ErrorBody::Json(body);
                ruma::api::error::Error::new(status, body).try_into_http_response::<BytesMut>()
            }
            Self::Uiaa(info) => UiaaResponse::AuthResponse(*info).try_into_http_response::<BytesMut>(),
            Self::Standard { status, kind, message } => {
                let body = ErrorBody::Standard(StandardErrorBody::new(kind, message));
                ruma::api::error::Error::new(status, body).try_into_http_response::<BytesMut>()
            }
        };
        match response {
            Ok(mut response) => {
                if let Some(delay) = delay {
                    // ruma rounds down: who came back then would be too early.
                    let seconds = delay.as_millis().div_ceil(1000);
                    let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
                    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
                }
                response.map(|body| Body::from(body.freeze()))
            }
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

impl From<Limited> for ApiError {
    fn from(limited: Limited) -> Self {
        Self::limited(limited, "too many requests")
    }
}

impl From<&StorageError> for ApiError {
    fn from(error: &StorageError) -> Self {
        match error {
            StorageError::Commit(full @ CommitError::Full) => Self::full(full.to_string()),
            StorageError::Commit(CommitError::Busy) => Limited { retry_after: BUSY_RETRY }.into(),
            error => Self::internal(error),
        }
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        Self::from(&error)
    }
}

impl From<AccountsError> for ApiError {
    fn from(error: AccountsError) -> Self {
        let message = error.to_string();
        match error {
            AccountsError::UnknownToken { soft_logout } => Self::unknown_token(soft_logout),
            AccountsError::Interactive(info) => Self::Uiaa(info),
            AccountsError::Forbidden(_) | AccountsError::DemoAccount | AccountsError::TooMany(_) => {
                Self::forbidden(message)
            }
            AccountsError::Locked => Self::unauthorized(ErrorKind::UserLocked, message),
            AccountsError::DeviceDeparting => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unknown, message)
            }
            AccountsError::Guest(_) => {
                Self::new(StatusCode::FORBIDDEN, ErrorKind::GuestAccessForbidden, message)
            }
            AccountsError::Suspended => Self::new(StatusCode::FORBIDDEN, ErrorKind::UserSuspended, message),
            AccountsError::Deactivated => {
                Self::new(StatusCode::FORBIDDEN, ErrorKind::UserDeactivated, message)
            }
            AccountsError::InvalidUsername(_) => Self::bad_request(ErrorKind::InvalidUsername, message),
            AccountsError::UserInUse | AccountsError::LooksLikeAnother => {
                Self::bad_request(ErrorKind::UserInUse, message)
            }
            AccountsError::WeakPassword(_) => Self::bad_request(ErrorKind::WeakPassword, message),
            AccountsError::NotFound(_) => Self::not_found(message),
            AccountsError::InvalidParam(_) => Self::invalid_param(message),
            AccountsError::MissingParam(_) => Self::bad_request(ErrorKind::MissingParam, message),
            AccountsError::NotAnObject | AccountsError::BadReachRules(_) | AccountsError::BadDiscovery(_) => {
                Self::bad_request(ErrorKind::BadJson, message)
            }
            AccountsError::TooLarge(_) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::TooLarge, message)
            }
            AccountsError::KeyTooLarge => Self::bad_request(ErrorKind::KeyTooLarge, message),
            AccountsError::ProfileTooLarge => Self::bad_request(ErrorKind::ProfileTooLarge, message),
            AccountsError::NotSent => Self::new(StatusCode::FORBIDDEN, ErrorKind::ThreepidDenied, message),
            AccountsError::AddressInUse => Self::bad_request(ErrorKind::ThreepidInUse, message),
            AccountsError::NoAccount => Self::bad_request(ErrorKind::ThreepidNotFound, message),
            AccountsError::PasswordNeeded => {
                Self::new(StatusCode::FORBIDDEN, custom_kind("ORG.LINKSPAN.PASSWORD_NEEDED"), message)
            }
            AccountsError::AddressNotValidated | AccountsError::WrongCode => {
                Self::bad_request(ErrorKind::ThreepidAuthFailed, message)
            }
            AccountsError::TooManyMessages { retry_after } | AccountsError::HandleChanges { retry_after } => {
                Limited { retry_after }.into()
            }
            AccountsError::Limited(limited) => limited.into(),
            AccountsError::ServerControlled => {
                Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorKind::BadJson, message)
            }
            AccountsError::Hashing(_) => Self::internal(&message),
            AccountsError::Storage(error) => error.into(),
        }
    }
}

impl From<ContactsError> for ApiError {
    fn from(error: ContactsError) -> Self {
        match error {
            ContactsError::Accounts(error) => error.into(),
            ContactsError::Storage(error) => error.into(),
        }
    }
}

impl From<PushError> for ApiError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::NoSuchRule => Self::not_found(error.to_string()),
            PushError::NoSuchPusher => Self::not_found(error.to_string()),
            PushError::UnknownAckToken => {
                Self::bad_request(custom_kind("M_UNKNOWN_ACTIVATION_TOKEN"), error.to_string())
            }
            PushError::ExpiredAckToken => {
                Self::bad_request(custom_kind("M_EXPIRED_ACTIVATION_TOKEN"), error.to_string())
            }
            PushError::NoSuchThread(_) => Self::not_found(error.to_string()),
            PushError::NotInThread => Self::bad_request(ErrorKind::NotInThread, error.to_string()),
            PushError::ConflictingUnsubscription => {
                Self::new(StatusCode::CONFLICT, ErrorKind::ConflictingUnsubscription, error.to_string())
            }
            PushError::Invalid(reason) => Self::invalid_param(reason),
            PushError::Misplaced(reason) => Self::bad_request(ErrorKind::Unknown, reason),
            PushError::Rooms(error) => error.into(),
            PushError::Accounts(error) => error.into(),
            PushError::Storage(error) => error.into(),
        }
    }
}

impl From<KeysError> for ApiError {
    fn from(error: KeysError) -> Self {
        let message = error.to_string();
        match error {
            KeysError::BadJson(_) => Self::bad_request(ErrorKind::BadJson, message),
            KeysError::Invalid(_) => Self::invalid_param(message),
            KeysError::NamedLikeDevice | KeysError::TooMany(_) => Self::forbidden(message),
            KeysError::Missing(_) => Self::bad_request(ErrorKind::MissingParam, message),
            KeysError::WrongBackupVersion { current } => {
                let data = WrongRoomKeysVersionErrorData::new(current.to_string());
                let kind = ErrorKind::WrongRoomKeysVersion(data);
                Self::new(StatusCode::FORBIDDEN, kind, message)
            }
            KeysError::BadSignature(_) => Self::bad_request(custom_kind("M_INVALID_SIGNATURE"), message),
            KeysError::ReplacesIdentity => Self::forbidden(message),
            KeysError::NotFound(_) => Self::not_found(message),
            KeysError::TooLarge(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::TooLarge, message),
            KeysError::Accounts(error) => error.into(),
            KeysError::Rooms(error) => error.into(),
            KeysError::Storage(error) => error.into(),
        }
    }
}

impl From<SyncError> for ApiError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::UnknownPos => Self::bad_request(ErrorKind::UnknownPos, error.to_string()),
            SyncError::TooMany => Self::invalid_param(error.to_string()),
            SyncError::TooLarge => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::TooLarge, error.to_string())
            }
            SyncError::Limited(limited) => limited.into(),
            SyncError::Rooms(error) => error.into(),
            SyncError::Accounts(error) => error.into(),
            SyncError::Keys(error) => error.into(),
            SyncError::Push(error) => error.into(),
            SyncError::Storage(error) => error.into(),
        }
    }
}

impl From<RoomsError> for ApiError {
    fn from(error: RoomsError) -> Self {
        let message = error.to_string();
        match error {
            RoomsError::Forbidden(_)
            | RoomsError::TurnedAway(_)
            | RoomsError::Unanswered
            | RoomsError::TooMany(_)
            | RoomsError::PolicyRefused { .. } => Self::forbidden(message),
            RoomsError::Unasked(_) => Self::internal(&message),
            RoomsError::Encryption(refusal) => {
                let body = serde_json::json!({
                    "errcode": "M_FORBIDDEN", "error": message, "org.linkspan.rule": refusal.rule(),
                });
                Self::Json { status: StatusCode::FORBIDDEN, body }
            }
            RoomsError::NotFound(_) => Self::not_found(message),
            RoomsError::Invalid(_) => Self::invalid_param(message),
            RoomsError::BadJson(_) => Self::bad_request(ErrorKind::BadJson, message),
            RoomsError::TooLarge(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::TooLarge, message),
            RoomsError::UnsupportedVersion(_) => {
                Self::bad_request(ErrorKind::UnsupportedRoomVersion, message)
            }
            RoomsError::AliasInUse => Self::bad_request(ErrorKind::RoomInUse, message),
            RoomsError::Replaced { .. } => Self::bad_request(ErrorKind::BadState, message),
            RoomsError::BadAlias(_) => Self::bad_request(ErrorKind::BadAlias, message),
            RoomsError::NoThreadRoot | RoomsError::NotLeft => Self::bad_request(ErrorKind::Unknown, message),
            RoomsError::DuplicateAnnotation => Self::bad_request(ErrorKind::DuplicateAnnotation, message),
            RoomsError::DelayTooLong { max_delay_ms } => {
                // Under the names of the proposal, and under those that clients looked for before.
                let body = serde_json::json!({
                    "errcode": "ORG.MATRIX.MSC4140_MAX_DELAY_EXCEEDED",
                    "error": message,
                    "org.matrix.msc4140.errcode": "M_MAX_DELAY_EXCEEDED",
                    "org.matrix.msc4140.max_delay": max_delay_ms,
                });
                Self::Json { status: StatusCode::BAD_REQUEST, body }
            }
            RoomsError::TooManyDelayed { retry_after }
            | RoomsError::TooManyStrangers { retry_after }
            | RoomsError::PolicyUnavailable { retry_after } => Limited { retry_after }.into(),
            RoomsError::QueuesFull(limited) | RoomsError::Limited(limited) => limited.into(),
            RoomsError::TooManyReports { retry_after } => Self::limited(Limited { retry_after }, message),
            RoomsError::Finalised => Self::new(StatusCode::CONFLICT, ErrorKind::Unknown, message),
            RoomsError::NoticeRoom => {
                Self::new(StatusCode::FORBIDDEN, ErrorKind::CannotLeaveServerNoticeRoom, message)
            }
            RoomsError::InviteBlocked => Self::new(StatusCode::FORBIDDEN, ErrorKind::InviteBlocked, message),
            RoomsError::InvalidState(_) => Self::bad_request(ErrorKind::InvalidRoomState, message),
            RoomsError::Accounts(error) => error.into(),
            RoomsError::Contacts(error) => error.into(),
            RoomsError::Storage(error) => error.into(),
        }
    }
}

impl From<MatchingError> for ApiError {
    fn from(error: MatchingError) -> Self {
        let message = error.to_string();
        match error {
            MatchingError::Invalid(_) => Self::invalid_param(message),
            MatchingError::OtherPepper => Self::bad_request(custom_kind("M_INVALID_PEPPER"), message),
            MatchingError::Changed => Self::new(StatusCode::CONFLICT, ErrorKind::Unknown, message),
            MatchingError::Limited { retry_after } => Limited { retry_after }.into(),
            MatchingError::Busy(limited) => limited.into(),
            MatchingError::Accounts(error) => error.into(),
            MatchingError::Storage(error) => error.into(),
            MatchingError::NotDone(error) => Self::internal(&error),
        }
    }
}

impl From<FindingError> for ApiError {
    fn from(error: FindingError) -> Self {
        match error {
            FindingError::Accounts(error) => error.into(),
            FindingError::Contacts(error) => error.into(),
            FindingError::Matching(error) => error.into(),
            FindingError::Rooms(error) => error.into(),
            FindingError::Storage(error) => error.into(),
        }
    }
}

impl From<ExportError> for ApiError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Limited(limited) => limited.into(),
            ExportError::NotRead | ExportError::Archive(_) | ExportError::Io(_) => Self::internal(&error),
            ExportError::Accounts(error) => error.into(),
            ExportError::Contacts(error) => error.into(),
            ExportError::Media(error) => error.into(),
            ExportError::Push(error) => error.into(),
            ExportError::Rooms(error) => error.into(),
            ExportError::Storage(error) => error.into(),
        }
    }
}

impl From<LifecycleError> for ApiError {
    fn from(error: LifecycleError) -> Self {
        match error {
            LifecycleError::Accounts(error) => error.into(),
            LifecycleError::Matching(error) => error.into(),
            LifecycleError::Contacts(error) => error.into(),
            LifecycleError::OAuth(error) => Self::from_oauth(&error),
            LifecycleError::Rooms(error) => error.into(),
            LifecycleError::Keys(error) => error.into(),
            LifecycleError::Push(error) => error.into(),
            LifecycleError::Sync(error) => error.into(),
            LifecycleError::Media(error) => error.into(),
            LifecycleError::Storage(error) => error.into(),
        }
    }
}

impl From<MediaError> for ApiError {
    fn from(error: MediaError) -> Self {
        let message = error.to_string();
        match error {
            MediaError::NotFound => Self::not_found(message),
            MediaError::NotYours | MediaError::QuotaExceeded { .. } | MediaError::Protected => {
                Self::forbidden(message)
            }
            MediaError::TooLarge { .. } | MediaError::TooLargeToThumbnail => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::TooLarge, message)
            }
            MediaError::CannotOverwrite => {
                Self::new(StatusCode::CONFLICT, ErrorKind::CannotOverwriteMedia, message)
            }
            MediaError::NotYetUploaded => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, ErrorKind::NotYetUploaded, message)
            }
            MediaError::Busy(limited) => limited.into(),
            MediaError::TooManyPending { retry_after } => Self::limited(Limited { retry_after }, message),
            // Clients show the link alone.
            MediaError::NoPreview(_) => Self::new(StatusCode::BAD_GATEWAY, ErrorKind::Unknown, message),
            MediaError::CannotThumbnail | MediaError::Interrupted(_) => {
                Self::bad_request(ErrorKind::Unknown, message)
            }
            MediaError::Full => Self::full(message),
            MediaError::Objects(error) => Self::internal(&error),
            MediaError::Storage(error) => error.into(),
            MediaError::NotDone(error) => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_no_fault_of_the_server() {
        let answer = |error| ApiError::from(RoomsError::Storage(StorageError::Commit(error))).into_response();
        assert_eq!(answer(CommitError::Full).status(), StatusCode::INSUFFICIENT_STORAGE);
        let busy = answer(CommitError::Busy);
        assert_eq!(busy.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(busy.headers()[header::RETRY_AFTER], "1");
        assert_eq!(answer(CommitError::Refused("long")).status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    /// Clients wait for as long as they are told, and many ask again at once if they are not.
    #[test]
    fn whoever_is_told_to_wait_is_told_for_how_long() {
        const WAIT: Duration = Duration::from_millis(1_500);
        let (retry_after, limited) = (WAIT, || Limited { retry_after: WAIT });
        let busy = || StorageError::Commit(CommitError::Busy);
        let limits: Vec<ApiError> = vec![
            limited().into(),
            ApiError::limited(limited(), "words"),
            AccountsError::TooManyMessages { retry_after }.into(),
            AccountsError::HandleChanges { retry_after }.into(),
            AccountsError::Limited(limited()).into(),
            ContactsError::Accounts(AccountsError::Limited(limited())).into(),
            PushError::Rooms(RoomsError::Limited(limited())).into(),
            KeysError::Rooms(RoomsError::Limited(limited())).into(),
            SyncError::Limited(limited()).into(),
            RoomsError::TooManyDelayed { retry_after }.into(),
            RoomsError::TooManyStrangers { retry_after }.into(),
            RoomsError::PolicyUnavailable { retry_after }.into(),
            RoomsError::TooManyReports { retry_after }.into(),
            RoomsError::QueuesFull(limited()).into(),
            RoomsError::Limited(limited()).into(),
            MatchingError::Limited { retry_after }.into(),
            MatchingError::Busy(limited()).into(),
            FindingError::Matching(MatchingError::Busy(limited())).into(),
            ExportError::Limited(limited()).into(),
            LifecycleError::Media(MediaError::Busy(limited())).into(),
            MediaError::Busy(limited()).into(),
            MediaError::TooManyPending { retry_after }.into(),
            AccountsError::Storage(busy()).into(),
            ContactsError::Storage(busy()).into(),
            PushError::Storage(busy()).into(),
            KeysError::Storage(busy()).into(),
            SyncError::Storage(busy()).into(),
            RoomsError::Storage(busy()).into(),
            MatchingError::Storage(busy()).into(),
            FindingError::Storage(busy()).into(),
            ExportError::Storage(busy()).into(),
            LifecycleError::Storage(busy()).into(),
            MediaError::Storage(busy()).into(),
        ];
        for error in limits {
            let (name, body) = (format!("{error:?}"), error.to_json());
            let response = error.into_response();
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS, "{name}");
            let wait_ms = body["retry_after_ms"].as_u64().unwrap_or_else(|| panic!("{name} has no field"));
            let wait_s = response.headers().get(header::RETRY_AFTER).and_then(|wait| wait.to_str().ok());
            let wait_s: u64 = wait_s.and_then(|wait| wait.parse().ok()).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(wait_s, wait_ms.div_ceil(1_000), "{name}");
        }
        let code = include_str!("error.rs").split("mod tests").next().expect("the code");
        let made = code.matches("StatusCode::TOO_MANY_REQUESTS").count();
        assert_eq!(
            (made, code.matches("ErrorKind::LimitExceeded(").count()),
            (1, 2),
            "made here and read here"
        );
    }
}
